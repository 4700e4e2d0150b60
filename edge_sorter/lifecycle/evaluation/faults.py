"""What goes wrong at the working threshold, named box by box: missed, false, confused, badly placed, doubled.

Contract: `faults_of` names every error of one picture once; `confusion` counts which class was taken for which, with
"background" for what is not there or not seen. The kinds follow TIDE (Bolya et al. 2020), the limits are below.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from edge_sorter.lifecycle.evaluation.labelled import Labelled
from edge_sorter.lifecycle.evaluation.match import SAME, overlaps, pair
from edge_sorter.types import Box, Detections, IntArray

TOUCHING = 0.1
"""A box that overlaps a true one by less than this has nothing to do with it."""
KINDS = {
    "missed": "a true box that nothing was found for",
    "false": "a box where there is nothing",
    "confused": "the right place, the wrong class",
    "misplaced": "a true box with only a bad box on it (overlap 0.1 to 0.5)",
    "doubled": "a second box on what has one already",
}


@dataclass(frozen=True)
class Fault:
    """One error.

    Attributes:
        kind: One of `KINDS`.
        picture: Number of the picture.
        true_xyxy, true_class: The true box it is about, or None.
        found_xyxy, found_class: The found box it is about, or None.
        confidence: Of the found box; of a missed one the best there was below the threshold, 0 where there was none.
        overlap: Of the two boxes.
        weight: How bad: the gallery shows the highest first.
    """

    kind: str
    picture: int
    true_xyxy: Box | None
    true_class: int | None
    found_xyxy: Box | None
    found_class: int | None
    confidence: float
    overlap: float
    weight: float


def faults_of(number: int, truth: Labelled, detections: Detections, *, confidence: float) -> list[Fault]:
    """Name the errors of one picture, boxes below `confidence` left out."""
    seen = detections.where(detections.confidence >= confidence)
    pairs = pair(truth, seen)
    own_true = {row: column for row, column, _ in pairs}
    own_found = {column for _, column, _ in pairs}
    table = overlaps(truth.xyxy, seen.xyxy)
    faults = [
        _fault("confused", number, truth, row, seen, column, overlap=overlap, weight=float(seen.confidence[column]))
        for row, column, overlap in pairs
        if truth.class_id[row] != seen.class_id[column]
    ]
    explained: set[int] = set()  # true boxes that a badly placed box stands for
    for column in range(len(seen)):
        if column in own_found:
            continue
        row = int(table[:, column].argmax()) if len(truth.class_id) else -1
        overlap = float(table[row, column]) if row >= 0 else 0.0
        score = float(seen.confidence[column])
        if overlap < TOUCHING:
            faults.append(_fault("false", number, truth, None, seen, column, overlap=overlap, weight=score))
        elif row in own_true or row in explained:
            faults.append(_fault("doubled", number, truth, row, seen, column, overlap=overlap, weight=score))
        else:
            explained.add(row)
            faults.append(_fault("misplaced", number, truth, row, seen, column, overlap=overlap, weight=1 - overlap))
    for row in range(len(truth.class_id)):
        if row not in own_true and row not in explained:
            faults.append(_missed(number, truth, row, detections))
    return faults


def _missed(number: int, truth: Labelled, row: int, detections: Detections) -> Fault:
    low = overlaps(truth.xyxy[row : row + 1], detections.xyxy)[0] >= SAME
    best = float(detections.confidence[low].max()) if low.any() else 0.0
    width, height = truth.size_px
    x1, y1, x2, y2 = (float(side) for side in truth.xyxy[row])
    share = (x2 - x1) * (y2 - y1) / max(width * height, 1)
    return Fault("missed", number, (x1, y1, x2, y2), int(truth.class_id[row]), None, None, best, 0.0, share)


def _fault(
    kind: str,
    number: int,
    truth: Labelled,
    row: int | None,
    seen: Detections,
    column: int,
    *,
    overlap: float,
    weight: float,
) -> Fault:
    x1, y1, x2, y2 = (float(side) for side in seen.xyxy[column])
    true_box: Box | None = None
    if row is not None:
        a, b, c, d = (float(side) for side in truth.xyxy[row])
        true_box = (a, b, c, d)
    true_class = None if row is None else int(truth.class_id[row])
    found_class, confidence = int(seen.class_id[column]), float(seen.confidence[column])
    return Fault(kind, number, true_box, true_class, (x1, y1, x2, y2), found_class, confidence, overlap, weight)


def confusion(truths: Sequence[Labelled], found: Sequence[Detections], *, classes: int, confidence: float) -> IntArray:
    """Return counts (classes + 1, classes + 1): rows are true, columns found, the last of each is background."""
    table = np.zeros((classes + 1, classes + 1), np.int64)
    for truth, detections in zip(truths, found, strict=True):
        seen = detections.where(detections.confidence >= confidence)
        pairs = pair(truth, seen)
        for row, column, _ in pairs:
            table[truth.class_id[row], seen.class_id[column]] += 1
        rows, columns = {row for row, _, _ in pairs}, {column for _, column, _ in pairs}
        for row in set(range(len(truth.class_id))) - rows:
            table[truth.class_id[row], classes] += 1
        for column in set(range(len(seen))) - columns:
            table[classes, seen.class_id[column]] += 1
    return table


def worst(faults: Iterable[Fault], *, kind: str, count: int) -> list[Fault]:
    """Return the worst of one kind, at most two of one picture, so that one bad picture does not fill the page."""
    chosen: list[Fault] = []
    for fault in sorted((f for f in faults if f.kind == kind), key=lambda f: (-f.weight, f.picture)):
        if sum(f.picture == fault.picture for f in chosen) < 2 and len(chosen) < count:
            chosen.append(fault)
    return chosen
