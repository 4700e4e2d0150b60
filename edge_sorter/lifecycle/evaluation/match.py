"""Which found box is which true box: the one place where detections meet the truth.

Contract: `match` pairs boxes the way COCO does (class by class, most confident first, at ten overlaps), for precision,
recall and AP; `pair` does so whatever the class, for confusions and for naming errors. Both look at one picture at a
time and know nothing of thresholds, curves or reports.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edge_sorter.lifecycle.evaluation.labelled import Labelled
from edge_sorter.types import Detections, FloatArray, IntArray

IOUS = np.linspace(0.5, 0.95, 10)
"""Overlaps of mAP50-95; the first is the one every other figure here uses."""
SAME = 0.5
MOST_PER_PICTURE = 100
"""COCO's limit: so many boxes of one class count in one picture."""

Bools = NDArray[np.bool_]
Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Matches:
    """Every found box of a set and every true one, as columns.

    Attributes:
        picture: (n,) number of the picture a found box is in.
        confidence: (n,) its confidence.
        class_id: (n,) its class.
        hit: (n, 10) whether it is right at each of `IOUS`.
        true_picture, true_class, true_side_px: (m,) picture, class and side (root of the area) of the true boxes.
        true_by: (m,) confidence of the box that found it at overlap 0.5; 0 where none did.
        pictures: How many pictures there are.
    """

    picture: IntArray
    confidence: Doubles
    class_id: IntArray
    hit: Bools
    true_picture: IntArray
    true_class: IntArray
    true_side_px: Doubles
    true_by: Doubles
    pictures: int

    def of_class(self, class_id: int) -> Matches:
        """Return the rows of one class."""
        found, true = self.class_id == class_id, self.true_class == class_id
        return replace(
            self,
            picture=self.picture[found],
            confidence=self.confidence[found],
            class_id=self.class_id[found],
            hit=self.hit[found],
            true_picture=self.true_picture[true],
            true_class=self.true_class[true],
            true_side_px=self.true_side_px[true],
            true_by=self.true_by[true],
        )


def overlaps(left: FloatArray, right: FloatArray) -> Doubles:
    """Intersection over union of every box (n, 4) with every box (m, 4), in double precision as COCO computes it."""
    a, b = np.asarray(left, np.float64).reshape(-1, 1, 4), np.asarray(right, np.float64).reshape(1, -1, 4)
    shared = np.clip(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0, None).prod(axis=2)
    areas = (a[..., 2:] - a[..., :2]).prod(axis=2) + (b[..., 2:] - b[..., :2]).prod(axis=2)
    return np.asarray(shared / np.maximum(areas - shared, 1e-12))


def match(truths: Sequence[Labelled], found: Sequence[Detections]) -> Matches:
    """Pair the boxes of a set, picture by picture and class by class."""
    columns: list[tuple[IntArray, Doubles, IntArray, Bools]] = []
    by: list[Doubles] = []
    for number, (truth, detections) in enumerate(zip(truths, found, strict=True)):
        order = np.argsort(-detections.confidence, kind="stable")
        rows = _most_confident(detections.class_id, order)
        hit, finder = _match_picture(truth, detections, rows)
        confidence = detections.confidence[rows].astype(np.float64)
        columns.append((np.full(len(rows), number), confidence, detections.class_id[rows], hit))
        by.append(np.where(finder >= 0, np.append(confidence, 0.0)[finder], 0.0))
    picture, confidence, class_id, hits = (np.concatenate(column) for column in zip(*columns, strict=True))
    sides = [np.sqrt((t.xyxy[:, 2:] - t.xyxy[:, :2]).prod(axis=1).astype(np.float64)) for t in truths]
    return Matches(
        picture=picture.astype(np.int64),
        confidence=confidence,
        class_id=class_id,
        hit=hits,
        true_picture=np.concatenate([np.full(len(t.class_id), i, np.int64) for i, t in enumerate(truths)]),
        true_class=np.concatenate([t.class_id for t in truths]),
        true_side_px=np.concatenate(sides),
        true_by=np.concatenate(by),
        pictures=len(truths),
    )


def _most_confident(class_id: IntArray, order: IntArray) -> IntArray:
    seen: dict[int, int] = {}
    rows = []
    for row in order:
        kind = int(class_id[row])
        seen[kind] = seen.get(kind, 0) + 1
        if seen[kind] <= MOST_PER_PICTURE:
            rows.append(row)
    return np.array(rows, np.int64)


def _match_picture(truth: Labelled, detections: Detections, rows: IntArray) -> tuple[Bools, IntArray]:
    """Return hits (n, 10) of the found boxes, and for each true box which row found it at overlap 0.5, or -1."""
    table = overlaps(detections.xyxy[rows], truth.xyxy)
    table = np.where(detections.class_id[rows][:, None] == truth.class_id[None, :], table, -1.0)
    hit = np.zeros((len(rows), len(IOUS)), np.bool_)
    finder = np.full(len(truth.class_id), -1, np.int64)
    for level, least in enumerate(IOUS):
        free = np.ones(len(truth.class_id), np.bool_)
        for row in range(len(rows)):
            open_table = np.where(free, table[row], -1.0)
            if not len(open_table) or open_table.max() < least:
                continue
            taken = len(open_table) - 1 - int(open_table[::-1].argmax())  # COCO takes the last of equals
            free[taken] = False
            hit[row, level] = True
            if level == 0:
                finder[taken] = row
    return hit, finder


def pair(truth: Labelled, detections: Detections, *, least: float = SAME) -> list[tuple[int, int, float]]:
    """Pair boxes of one picture whatever their class, best overlap first: (true row, found row, overlap)."""
    table = overlaps(truth.xyxy, detections.xyxy)
    pairs: list[tuple[int, int, float]] = []
    for index in np.argsort(-table, axis=None, kind="stable"):
        row, column = (int(i) for i in np.unravel_index(index, table.shape))
        if table[row, column] < least:
            break
        if all(row != r and column != c for r, c, _ in pairs):
            pairs.append((row, column, float(table[row, column])))
    return pairs


def without_classes(truths: Sequence[Labelled], found: Sequence[Detections]) -> tuple[list[Labelled], list[Detections]]:
    """Return the same boxes with every class 0: positions only."""
    blank = [replace(truth, class_id=np.zeros_like(truth.class_id)) for truth in truths]
    return blank, [Detections(d.captured_ns, d.xyxy, d.confidence, np.zeros_like(d.class_id)) for d in found]
