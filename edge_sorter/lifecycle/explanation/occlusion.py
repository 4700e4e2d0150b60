"""What a box needs to be seen: parts of the picture are covered at random, and where that hurts, evidence lies.

Contract: `occlusion` returns a heat map (h, w) of 0 to 1 over the picture and how much of it lies in the box. It only
calls the detector, so it explains any engine and any model as it runs, int8 included. This is D-RISE (Petsiuk et al.
2021, "Black-box Explanation of Object Detectors via Saliency Maps") with masks only around the box, so that a few
hundred looks are enough for cells of a sixth of the box.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from edge_sorter.detect.letterbox import PAD_VALUE
from edge_sorter.lifecycle.evaluation.match import overlaps
from edge_sorter.lifecycle.explanation.subject import Target
from edge_sorter.types import Detections, FloatArray, Image

AROUND = 0.75
"""Masks reach this share of the box's longer side beyond it."""
CELLS = 12
"""Cells along the longer side of the masked window."""
KEPT = 0.5
"""Share of the cells that stay uncovered."""
SURE = 2.0
"""Standard errors of a pixel's value that are taken for chance and left out."""

ROUNDING = 1e-6

Detect = Callable[[Image], Detections]


@dataclass(frozen=True)
class Heat:
    """A heat map over the picture.

    Attributes:
        map: float32 (h, w), 0 to 1.
        inside: Share of the heat that lies inside the box: low means that the surroundings spoke for it.
    """

    map: FloatArray
    inside: float


def occlusion(
    detect: Detect,
    picture: Image,
    target: Target,
    *,
    masks: int = 400,
    seed: int = 0,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Heat:
    """Cover random cells around a box `masks` times and see how much of the box is left.

    Args:
        detect: The detector, down to a low confidence.
        picture: BGR.
        target: The box.
        masks: How many looks; the noise of the map falls with their root.
        seed: Of the masks.
        on_progress: Called with the number of looks done.
    """
    rng = np.random.default_rng(seed)
    x1, y1, x2, y2 = _window(target, picture)
    height, width = y2 - y1, x2 - x1
    weighted, covered = np.zeros((height, width), np.float64), np.zeros((height, width), np.float64)
    lefts = []
    for number in range(masks):
        mask = _mask(rng, height=height, width=width)
        shown = picture.copy()
        part = shown[y1:y2, x1:x2]
        part[:] = (part * mask[..., None] + PAD_VALUE * (1 - mask[..., None])).astype(np.uint8)
        left = _left(detect(shown), target)
        weighted += left * mask
        covered += mask
        lefts.append(left)
        on_progress(number + 1)
    local = weighted / np.maximum(covered, 1e-6) - np.mean(lefts)  # what seeing this pixel adds
    chance = SURE * float(np.std(lefts)) * np.sqrt((1 - KEPT) / (KEPT * masks))
    heat = np.zeros(picture.shape[:2], np.float32)
    heat[y1:y2, x1:x2] = np.clip(local - max(chance, ROUNDING), 0, None)
    return scaled(heat, target)


def scaled(heat: FloatArray, target: Target) -> Heat:
    """Scale a map of non-negative values to 0..1 and say how much of it lies inside the box."""
    total = float(heat.sum())
    x1, y1, x2, y2 = (round(side) for side in target.xyxy)
    inside = float(heat[max(y1, 0) : y2, max(x1, 0) : x2].sum()) / total if total else 0.0
    return Heat(np.asarray(heat / max(float(heat.max()), 1e-12), np.float32), inside)


def _left(found: Detections, target: Target) -> float:
    """How much of the box is left: overlap times confidence of the best box of its class (D-RISE, similarity)."""
    same = found.class_id == target.class_id
    if not same.any():
        return 0.0
    table = overlaps(np.array([target.xyxy], np.float32), found.xyxy[same])[0]
    return float((table * found.confidence[same]).max())


def _window(target: Target, picture: Image) -> tuple[int, int, int, int]:
    x1, y1, x2, y2 = target.xyxy
    room = AROUND * max(x2 - x1, y2 - y1)
    height, width = picture.shape[:2]
    left, top = max(int(x1 - room), 0), max(int(y1 - room), 0)
    return left, top, min(int(np.ceil(x2 + room)), width), min(int(np.ceil(y2 + room)), height)


def _mask(rng: np.random.Generator, *, height: int, width: int) -> FloatArray:
    """Return a smooth mask (h, w) of 0 (covered) to 1, shifted at random against its own cells (RISE, section 3.2)."""
    cell = max(height, width) / CELLS
    rows, columns = int(np.ceil(height / cell)) + 1, int(np.ceil(width / cell)) + 1
    coarse = (rng.random((rows, columns)) < KEPT).astype(np.float32)
    size = (int(np.ceil(columns * cell)), int(np.ceil(rows * cell)))
    fine = cv2.resize(coarse, size, interpolation=cv2.INTER_LINEAR)
    top, left = int(rng.integers(0, size[1] - height + 1)), int(rng.integers(0, size[0] - width + 1))
    return np.asarray(fine[top : top + height, left : left + width], np.float32)
