"""From a picture or a decision to a folder of heat maps and `explain.json`, by whichever ways were asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge_sorter.atomic import write_json
from edge_sorter.config import DetectSection
from edge_sorter.detect import Detector, open_detector
from edge_sorter.lifecycle.explanation import draw
from edge_sorter.lifecycle.explanation.activation import eigen_cam, feature_maps
from edge_sorter.lifecycle.explanation.gradient import gradient
from edge_sorter.lifecycle.explanation.occlusion import Heat, occlusion
from edge_sorter.lifecycle.explanation.subject import Subject, Target
from edge_sorter.types import Frame, Image

SCHEMA = "edge_sorter.explanation/1"
FLOOR_CONFIDENCE = 0.01
"""Covered parcels are still followed down to here."""

Progress = Callable[[str, int, int], None]


def explain(
    section: DetectSection,
    subject_of: Callable[[Detector], Subject],
    out: Path,
    *,
    methods: Sequence[str],
    checkpoint: Path | None = None,
    masks: int = 400,
    seed: int = 0,
    on_progress: Progress = lambda *_: None,
) -> dict[str, Any]:
    """Write heat maps and return what `explain.json` holds.

    Args:
        section: Model, engine, crop and mask, as on the line.
        subject_of: Makes the subject with the opened detector.
        out: Folder for the pictures.
        methods: Of occlusion, activation, gradient.
        checkpoint: For gradient.
        masks: Looks for each box, for occlusion.
        seed: Of masks and noise.
        on_progress: Called with what is done, how many looks of how many.

    Raises:
        EdgeSorterError: Model, picture, journal or clip are wrong, or a package is missing.
    """
    low = section.model_copy(update={"low_confidence": FLOOR_CONFIDENCE})
    with open_detector(low) as detector:
        subject = subject_of(detector)
        files = {"boxes": [draw.save(out / "boxes.png", draw.with_boxes(subject.picture, subject.targets)).name]}
        inside: dict[str, list[float]] = {}
        if "occlusion" in methods:
            heats = _occlusions(detector, subject, masks=masks, seed=seed, on_progress=on_progress)
            files["occlusion"], inside["occlusion"] = _save_heats(out, "occlusion", subject, heats)
        if "activation" in methods:
            files |= _activations(section.model, detector, section, subject, out)
        if "gradient" in methods and checkpoint is not None:
            size_px = detector.input_size_px
            crop = section.crop
            heats = gradient(checkpoint, subject.picture, subject.targets, size_px=size_px, crop=crop, seed=seed)
            files["gradient"], inside["gradient"] = _save_heats(out, "gradient", subject, heats)
        document = {
            "schema": SCHEMA,
            "subject": subject.name,
            "runs_on": detector.description,
            "decision": subject.decision,
            "masks": masks,
            "seed": seed,
            "boxes": [_told(number, target, inside) for number, target in enumerate(subject.targets)],
            "files": files,
        }
    write_json(out / "explain.json", document)
    return document


def _told(number: int, target: Target, inside: dict[str, list[float]]) -> dict[str, Any]:
    shares = {method: round(values[number], 3) for method, values in inside.items()}
    return {
        "class": target.class_name,
        "confidence": round(target.confidence, 4),
        "xyxy": [round(side, 1) for side in target.xyxy],
        "heat_inside": shares,
    }


def _occlusions(detector: Detector, subject: Subject, *, masks: int, seed: int, on_progress: Progress) -> list[Heat]:
    """Explain every box on a picture shrunk to what the network sees of it: the same boxes, faster masks."""
    height, width = subject.picture.shape[:2]
    scale = min(max(detector.input_size_px[0] / width, detector.input_size_px[1] / height), 1.0)
    small = np.asarray(cv2.resize(subject.picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    fx, fy = small.shape[1] / width, small.shape[0] / height
    heats = []
    for number, target in enumerate(subject.targets, start=1):
        x1, y1, x2, y2 = target.xyxy
        shrunk = Target((x1 * fx, y1 * fy, x2 * fx, y2 * fy), target.class_id, target.class_name, target.confidence)
        heat = occlusion(
            lambda picture: detector.detect(Frame(0, 0, picture)),
            small,
            shrunk,
            masks=masks,
            seed=seed + number,
            on_progress=lambda done, n=number: on_progress(f"box {n}", done, masks),  # type: ignore[misc]
        )
        large = cv2.resize(heat.map, (width, height), interpolation=cv2.INTER_LINEAR)
        heats.append(Heat(np.asarray(large, np.float32), heat.inside))
    return heats


def _save_heats(out: Path, method: str, subject: Subject, heats: Sequence[Heat]) -> tuple[list[str], list[float]]:
    names = []
    for number, (target, heat) in enumerate(zip(subject.targets, heats, strict=True), start=1):
        picture: Image = draw.heat_over(subject.picture, heat.map, [target], first=number)
        names.append(draw.save(out / f"{method}_{number}_{target.class_name}.png", picture).name)
    return names, [heat.inside for heat in heats]


def _activations(
    model: Path, detector: Detector, section: DetectSection, subject: Subject, out: Path
) -> dict[str, list[str]]:
    size_px = detector.input_size_px
    levels, letterbox = feature_maps(model, detector.manifest, subject.picture, size_px=size_px, crop=section.crop)
    cams, sheets = [], []
    for level in levels:
        heat = eigen_cam(level, letterbox=letterbox, size_px=size_px, targets=subject.targets)
        over = draw.heat_over(subject.picture, heat, subject.targets)
        cams.append(draw.save(out / f"activation_{level.stride_px}.png", over).name)
        sheets.append(draw.save(out / f"features_{level.stride_px}.png", draw.sheet(level.maps)).name)
    return {"activation": cams, "features": sheets}
