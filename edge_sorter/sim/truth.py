"""Exact truth of a scenario: what crosses the decision line and when, and the box of every parcel in every frame.

Contract: computed from the scenario alone, never from pixels; ``write`` leaves either all files or the old ones.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sorter.sim import truth_others
from edge_sorter.sim.parcels import mesh_of
from edge_sorter.sim.profile import encoder_rows
from edge_sorter.sim.scenario import KINDS, PlacedParcel, Scenario, expand, groups
from edge_sorter.sim.truth_boxes import Box, box_of

SCHEMA = "edge_sorter.truth/1"
FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """Four pixels and the belt-surface millimetres they show."""

    image_points_px: FloatArray
    belt_points_mm: FloatArray


def calibration(scenario: Scenario) -> Calibration:
    """Four points on the belt's surface, well inside the picture, and their exact pixels."""
    camera = scenario.pinhole()
    width_px, height_px = camera.image_px
    mid = np.array([[0.08 * width_px, height_px / 2], [0.92 * width_px, height_px / 2]])
    start, end = np.round(camera.on_belt(mid)[:, 0] / 10) * 10
    width = scenario.belt.width_mm
    belt = np.array([[start, width], [end, width], [end, 0.0], [start, 0.0]])
    pixels = camera.project(np.column_stack([belt, np.zeros(4)]))
    return Calibration(pixels, belt)


def truth(scenario: Scenario) -> dict[str, Any]:
    """The content of truth.json."""
    video, belt, points = scenario.video, scenario.belt, calibration(scenario)
    placed = expand(scenario)
    together = groups(placed)
    return {
        "schema": SCHEMA,
        "clip": f"{scenario.name}.mp4",
        "fps": video.fps,
        "frames": video.frames,
        "image_px": [video.width_px, video.height_px],
        "belt": {
            "profile": [list(knot) for knot in belt.motion.knots],
            "width_mm": belt.width_mm,
            "image_points_px": points.image_points_px.round(4).tolist(),
            "belt_points_mm": points.belt_points_mm.tolist(),
        },
        "decision_line_mm": belt.decision_line_mm,
        "parcels": [_parcel_truth(scenario, parcel, together) for parcel in placed],
        "boxes_mot": "truth_mot.txt",
        **truth_others.rows(scenario),
    }


def _parcel_truth(
    scenario: Scenario, parcel: PlacedParcel, together: dict[int, tuple[str, tuple[int, ...]]]
) -> dict[str, Any]:
    spec, line = parcel.spec, scenario.belt.decision_line_mm
    cross_s = scenario.belt.motion.time_at_s(line - parcel.start_mm)
    last_s = (scenario.video.frames - 1) / scenario.video.fps
    crosses = cross_s is not None and 0.0 <= cross_s <= last_s
    reason, members = together.get(parcel.id, (None, ()))
    return {
        "id": parcel.id,
        "class": spec.kind,
        "length_mm": spec.length_mm,
        "width_mm": spec.width_mm,
        "height_mm": spec.height_mm,
        "weight_kg": parcel.weight_kg,
        "skew_deg": spec.skew_deg,
        "lateral_mm": spec.lateral_mm,
        "start_mm": round(parcel.start_mm, 3),
        "label_code": parcel.label_code,
        "labelled": spec.labelled,
        "damaged": spec.damaged,
        "in_view_at_start": bool(box_at(scenario, parcel, 0.0) is not None),
        "group": reason,
        "group_ids": list(members),
        "crosses": crosses,
        "cross_s": round(cross_s, 4) if crosses and cross_s is not None else None,
    }


def placed_vertices_mm(parcel: PlacedParcel) -> FloatArray:
    """The parcel's mesh vertices in the belt world at time zero, shape (n, 3)."""
    spec = parcel.spec
    mesh = mesh_of(spec.kind, (spec.length_mm, spec.width_mm, spec.height_mm), parcel.seed, damaged=spec.damaged)
    angle = np.deg2rad(spec.skew_deg)
    x, y, z = mesh.vertices_mm.T
    return np.column_stack(
        [
            np.cos(angle) * x - np.sin(angle) * y + parcel.start_mm,
            np.sin(angle) * x + np.cos(angle) * y + spec.lateral_mm,
            z,
        ]
    )


def box_at(
    scenario: Scenario, parcel: PlacedParcel, time_s: float, vertices_mm: FloatArray | None = None
) -> Box | None:
    """The parcel's box (x, y, width, height) clipped to the picture and the share of it inside, or None if outside."""
    return box_of(scenario, placed_vertices_mm(parcel) if vertices_mm is None else vertices_mm, time_s)


def mot_lines(scenario: Scenario) -> list[str]:
    """All boxes in MOT order: frame (from 1), id, x, y, w, h, 1, kind (from 1), visibility."""
    lines = []
    parcels = [(parcel, placed_vertices_mm(parcel)) for parcel in expand(scenario)]
    for frame in range(scenario.video.frames):
        for parcel, vertices in parcels:
            box = box_at(scenario, parcel, frame / scenario.video.fps, vertices)
            if box is not None:
                x, y, w, h, share = box
                kind = KINDS.index(parcel.spec.kind) + 1
                lines.append(f"{frame + 1},{parcel.id},{x:.2f},{y:.2f},{w:.2f},{h:.2f},1,{kind},{share:.3f}")
    return lines


def calibration_yaml(scenario: Scenario) -> str:
    """The calibration file that the running system reads for this clip."""
    points = calibration(scenario)
    rows = {
        "image_points_px": [[round(float(v), 4) for v in row] for row in points.image_points_px],
        "belt_points_mm": [[float(v) for v in row] for row in points.belt_points_mm],
    }
    return (
        f"image_size_px: [{scenario.video.width_px}, {scenario.video.height_px}]\n"
        f"image_points_px: {rows['image_points_px']}\n"
        f"belt_points_mm: {rows['belt_points_mm']}\n"
        "note: four points on the belt surface (height 0) of the rendered demo clip, exact from its camera\n"
    )


def encoder_csv(scenario: Scenario) -> str | None:
    """The record of the belt's encoder over the clip, or None where the scenario has none."""
    spec = scenario.belt.encoder
    if spec is None:
        return None
    rows = encoder_rows(
        scenario.belt.motion,
        duration_s=scenario.video.duration_s,
        mm_per_count=spec.mm_per_count,
        first_count=spec.first_count,
        period_ms=spec.period_ms,
    )
    return "captured_ns,count\n" + "".join(f"{at_ns},{count}\n" for at_ns, count in rows)


def write(scenario: Scenario, out_dir: Path, calibration_path: Path | None = None) -> None:
    """Write truth.json, truth_mot.txt, the encoder's record if there is one, and, if wanted, the calibration file.

    Boxes of foreign objects and hands, if there are any, have a file of their own: nobody takes them for parcels.
    Each file appears whole or not at all.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    _replace(out_dir / "truth.json", json.dumps(truth(scenario), indent=1) + "\n")
    _replace(out_dir / "truth_mot.txt", "\n".join(mot_lines(scenario)) + "\n")
    if scenario.foreign or scenario.hands:
        _replace(out_dir / truth_others.MOT_FILE, "\n".join(truth_others.mot_lines(scenario)) + "\n")
    else:
        (out_dir / truth_others.MOT_FILE).unlink(missing_ok=True)  # of the same scenario when it had some
    encoder = encoder_csv(scenario)
    if encoder is not None:
        _replace(out_dir / f"{scenario.name}.encoder.csv", encoder)
    if calibration_path is not None:
        calibration_path.parent.mkdir(parents=True, exist_ok=True)
        _replace(calibration_path, calibration_yaml(scenario))


def _replace(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
