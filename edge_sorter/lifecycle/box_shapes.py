"""What oriented boxes would tell about parcels on a belt, and upright ones do not: place, size and heading.

Contract: `bound` asks a perfect detector (exact silhouettes of parcels laid on a scenario's belt at chosen skews), so
it says what any model could gain at best; `seen` asks a real one on a rendered clip with its truth. Both measure
upright hull and oriented box of the same look, brought to the belt the way the line does it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_sorter.belt import BeltMap
from edge_sorter.belt.mapping import Calibration
from edge_sorter.errors import ModelError
from edge_sorter.sim import scenario as scenarios
from edge_sorter.sim import truth
from edge_sorter.sim.parcels import mesh_of
from edge_sorter.types import Frame

Floats = NDArray[np.float64]

SKEWS_DEG = ((0, 5), (5, 15), (15, 30), (30, 45))
HEIGHTS_MM = {"mailer": (12.0, 45.0), "carton": (60.0, 300.0)}
COARSE = 8
"""Facets of a mesh's side: silhouettes need no more."""
SAME = 0.5
"""Overlap from which a detection is of a true parcel."""
WHOLE = 0.999
"""Share of a parcel's box inside the picture from which all of it is seen."""


@dataclass(frozen=True)
class Look:
    """One parcel on the belt as truth has it and as each kind of box has it, in millimetres and degrees.

    `true` is x, y, length, width, skew; the others are what was measured of the same, an upright box having no skew.
    """

    true: Floats
    upright: Floats
    oriented: Floats


def bound(
    scenario: scenarios.Scenario, *, kind: str, skew_deg: tuple[float, float], count: int, seed: int
) -> list[Look]:
    """Lay parcels on the decision line at random skews within limits, either way, and measure exact silhouettes.

    Args:
        scenario: Its camera, belt and calibration are used, not its parcels.
        kind: "mailer" (flat) or "carton" (tall).
        skew_deg: Least and most skew.
        count: Parcels to lay; those that are not wholly in the picture are laid again.
        seed: Of the draws.
    """
    rng = np.random.default_rng(seed)
    belt_map, camera = _belt_map(scenario), scenario.pinhole()
    looks: list[Look] = []
    while len(looks) < count:
        length, width = np.sort(rng.uniform(120.0, 500.0, 2))[::-1]
        size = (float(length), float(max(width, 0.4 * length)), float(rng.uniform(*HEIGHTS_MM[kind])))
        angle = np.deg2rad(rng.uniform(*skew_deg) * rng.choice([-1, 1]))
        place = np.array([scenario.belt.decision_line_mm, rng.uniform(0.3, 0.7) * scenario.belt.width_mm])
        mesh = mesh_of(kind, size, (len(looks), seed), damaged=False, resolution=COARSE)
        x, y, z = mesh.vertices_mm.T
        turned = np.column_stack([np.cos(angle) * x - np.sin(angle) * y, np.sin(angle) * x + np.cos(angle) * y])
        hull = cv2.convexHull(camera.project(np.column_stack([turned + place, z])).astype(np.float32)).reshape(-1, 2)
        if (hull >= 0).all() and (hull <= camera.image_px).all():
            true = np.array([*place, size[0], size[1], np.rad2deg(angle)])
            looks.append(_look(belt_map, true, hull, cv2.boxPoints(cv2.minAreaRect(hull))))
    return looks


def seen(scenario: scenarios.Scenario, clip: Path, model: Path, *, every: int = 5) -> list[Look]:
    """Run a model of oriented boxes over a scenario's clip and measure what it finds of parcels wholly in the picture.

    Raises:
        ModelError: The model has upright boxes, or finds none of the parcels.
    """
    from edge_sorter.config import DetectSection
    from edge_sorter.detect import open_detector

    belt_map, looks = _belt_map(scenario), []
    with open_detector(DetectSection(model=model)) as detector:
        for index, picture in _pictures(clip, every):
            found = detector.detect(Frame(index, index, picture))
            if found.corners is None:
                raise ModelError(f"{model} has upright boxes; give a model of oriented ones (train --task obb).")
            sure = found.where(found.confidence >= detector.high_confidence)
            assert sure.corners is not None
            for true, box in _parcels_in(scenario, index / scenario.video.fps):
                overlaps = _overlaps(box, sure.xyxy.astype(np.float64))
                if len(overlaps) and overlaps.max() > SAME:
                    best = int(overlaps.argmax())
                    hull = sure.xyxy[best].reshape(2, 2)
                    looks.append(_look(belt_map, true, hull, sure.corners[best]))
    if not looks:
        raise ModelError(f"{model} finds none of the parcels of {clip}.")
    return looks


def errors(looks: Sequence[Look]) -> dict[str, dict[str, list[float]]]:
    """Return median and 95th percentile of the errors of upright and oriented boxes: place, size, skew."""
    true = np.array([look.true for look in looks])
    told: dict[str, dict[str, list[float]]] = {}
    for form in ("upright", "oriented"):
        off = np.abs(np.array([getattr(look, form) for look in looks]) - true)
        off[:, 4] = np.minimum(off[:, 4] % 180.0, 180.0 - off[:, 4] % 180.0)
        names = ("along_mm", "across_mm", "length_mm", "width_mm", "skew_deg")
        told[form] = {
            name: [round(float(value), 1) for value in np.quantile(off[:, column], (0.5, 0.95))]
            for column, name in enumerate(names)
        }
    return told


def parted(looks: Sequence[Look], *, limit_deg: float = 10.0) -> dict[str, list[Look]]:
    """Part looks into those at parcels that lie nearly straight and those askew; a part without looks is left out."""
    straight = [look for look in looks if abs(look.true[4]) < limit_deg]
    askew = [look for look in looks if abs(look.true[4]) >= limit_deg]
    parts = {f"0-{limit_deg:g}": straight, f"{limit_deg:g} and more": askew}
    return {name: part for name, part in parts.items() if part}


def rows(told: dict[str, dict[str, dict[str, list[float]]]]) -> Iterator[list[str]]:
    """Yield a table's rows: what was looked at, then "upright / oriented" of every figure, its median."""
    for name, forms in told.items():
        upright, oriented = forms["upright"], forms["oriented"]
        yield [name, *(f"{upright[key][0]:g} / {oriented[key][0]:g}" for key in upright)]


def _belt_map(scenario: scenarios.Scenario) -> BeltMap:
    points = truth.calibration(scenario)
    size_px = (scenario.video.width_px, scenario.video.height_px)
    content: dict[str, Any] = {
        "image_size_px": size_px,
        "image_points_px": points.image_points_px.tolist(),
        "belt_points_mm": points.belt_points_mm.tolist(),
    }
    return BeltMap(Calibration.model_validate(content), image_size_px=size_px)


def _look(belt_map: BeltMap, true: Floats, hull: NDArray[np.float32], corners: NDArray[np.float32]) -> Look:
    box = np.concatenate([hull.min(axis=0), hull.max(axis=0)]).astype(np.float64)
    upright = np.concatenate([belt_map.centre_mm([box])[0], belt_map.size_mm([box])[0], [0.0]])
    on_belt = belt_map.to_mm(corners)
    first, second = on_belt[1] - on_belt[0] + on_belt[2] - on_belt[3], on_belt[2] - on_belt[1] + on_belt[3] - on_belt[0]
    sides = [(np.linalg.norm(side) / 2.0, np.rad2deg(np.arctan2(side[1], side[0]))) for side in (first, second)]
    # Which side is the length: the one nearer to the parcel's own, since nearly square ones have no longer one.
    (length, skew), (width, _) = sorted(sides, key=lambda side: abs((side[1] - true[4] + 90.0) % 180.0 - 90.0))
    return Look(true, upright, np.array([*on_belt.mean(axis=0), length, width, skew]))


def _parcels_in(scenario: scenarios.Scenario, at_s: float) -> Iterator[tuple[Floats, Floats]]:
    """Yield the truth and the box xyxy of every parcel that is wholly in the picture."""
    for parcel in scenarios.expand(scenario):
        box = truth.box_at(scenario, parcel, at_s)
        if box is not None and box[4] >= WHOLE:
            x, y, width, height, _ = box
            spec, travel_mm = parcel.spec, scenario.belt.motion.travel_mm(at_s)
            place = (parcel.start_mm + travel_mm, spec.lateral_mm)
            yield (
                np.array([*place, spec.length_mm, spec.width_mm, spec.skew_deg]),
                np.array([x, y, x + width, y + height]),
            )


def _overlaps(box: Floats, others: Floats) -> Floats:
    shared = np.clip(np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2]), 0, None).prod(axis=1)
    areas = (others[:, 2:] - others[:, :2]).prod(axis=1)
    overlaps: Floats = shared / ((box[2:] - box[:2]).prod() + areas - shared)
    return overlaps


def _pictures(clip: Path, every: int) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    video = cv2.VideoCapture(str(clip))
    if not video.isOpened():
        raise ModelError(f"No clip at {clip}.")
    index = 0
    while True:
        good, picture = video.read()
        if not good:
            break
        if index % every == 0:
            yield index, np.asarray(picture, np.uint8)
        index += 1
    video.release()
