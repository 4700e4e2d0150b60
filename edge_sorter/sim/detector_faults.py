"""Counts what a detector does wrong against the truth, in the words of the levels.

Contract: `Faults.see` takes one picture's detections and truth; `report` says everything seen so far. Truth that is cut
off by the picture's edge may be found or not: it excuses boxes, and is not counted as missed.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sorter.track.associate import assign, by_overlap, overlaps
from edge_sorter.types import Detections

Floats = NDArray[np.float64]

MATCH_IOU = 0.3
"""A box that overlaps an object more than this may be about it."""
WHOLE = 0.95
"""An object of which so much is in the picture counts as whole."""
INSIDE = 0.7
"""A box that lies on an object, or an object that lies in a box, by this share."""
WILD = 3.0
"""An edge error beyond so many robust standard deviations is a wild one."""


@dataclass(frozen=True, slots=True)
class Truth:
    """Objects of one picture: xyxy px (n, 4), identity (n,), our class id or -1 (n,), share in the picture (n,)."""

    xyxy: Floats
    identity: NDArray[np.int_]
    class_id: NDArray[np.int_]
    visible: Floats


@dataclass
class Faults:
    """Everything counted so far.

    Args:
        threshold: Confidence from which on a box counts as sure.
        classes: Names of our classes.
        identified: Whether identities go on from one picture to the next.
    """

    threshold: float
    classes: tuple[str, ...]
    identified: bool
    pictures: int = 0
    looks: int = 0
    missed: int = 0
    low: int = 0
    judged: int = 0
    confused: Counter[str] = field(default_factory=Counter)
    confidences: list[float] = field(default_factory=list)
    edges_px: list[list[float]] = field(default_factory=list)
    sides_px: list[list[float]] = field(default_factory=list)
    false: int = 0
    false_sure: int = 0
    second: int = 0
    split: int = 0
    merged: int = 0
    runs: list[int] = field(default_factory=list)
    whose: list[int] = field(default_factory=list)
    _missing: dict[int, int] = field(default_factory=dict)

    def see(self, detections: Detections, truth: Truth) -> None:
        """Compare one picture's boxes with its truth."""
        self.pictures += 1
        boxes = detections.xyxy.astype(np.float64)
        iou, on_it = overlaps(truth.xyxy, boxes)
        _, held = overlaps(boxes, truth.xyxy)
        pairs = assign(by_overlap(iou, min_iou=MATCH_IOU))
        of = dict(pairs)
        for row in range(len(truth.xyxy)):
            if truth.visible[row] >= WHOLE:
                self._look(row, of.get(row), detections, truth)
        spare = sorted(set(range(len(boxes))) - {column for _, column in pairs})
        merging = {c for c in range(len(boxes)) if (held[c] >= INSIDE).sum() > 1} if len(truth.xyxy) else set()
        self.merged += len(merging)
        for column in spare:
            if len(truth.xyxy) and on_it[:, column].max() >= INSIDE:
                row = int(on_it[:, column].argmax())
                partner = of.get(row)
                cut = partner is None or (on_it[row, partner] >= INSIDE and iou[row, partner] < INSIDE)
                self.split += cut
                self.second += not cut
            elif column not in merging:
                self.false += 1
                self.false_sure += bool(detections.confidence[column] >= self.threshold)

    def _look(self, row: int, column: int | None, detections: Detections, truth: Truth) -> None:
        """Count one look at one whole object."""
        self.looks += 1
        identity = int(truth.identity[row])
        if column is None:
            self.missed += 1
            self._missing[identity] = self._missing.get(identity, 0) + 1
            return
        if gone := self._missing.pop(identity, 0):
            self.runs.append(gone)
        confidence = float(detections.confidence[column])
        self.confidences.append(confidence)
        self.low += confidence < self.threshold
        x1, y1, x2, y2 = truth.xyxy[row].tolist()
        self.whose.append(identity)
        self.edges_px.append((detections.xyxy[column] - truth.xyxy[row]).tolist())
        self.sides_px.append([x2 - x1, y2 - y1, x2 - x1, y2 - y1])
        if truth.class_id[row] >= 0:
            self.judged += 1
            seen = int(detections.class_id[column])
            if seen != truth.class_id[row]:
                self.confused[f"{self.classes[truth.class_id[row]]} seen as {self.classes[seen]}"] += 1

    def report(self) -> dict[str, Any]:
        """Return the figures; shares are of looks at whole objects, sure or not."""
        seen = max(len(self.confidences), 1)
        runs = self.runs + list(self._missing.values())
        result: dict[str, Any] = {
            "pictures": self.pictures,
            "looks": self.looks,
            "misses": round(self.missed / max(self.looks, 1), 4),
            "longest_miss": max(runs, default=0) if self.identified else None,
            "mean_miss": round(sum(runs) / max(len(runs), 1), 2) if self.identified else None,
            "low": round(self.low / seen, 4),
            "confidence_percentiles_1_5_25_50": [
                round(float(np.percentile(self.confidences or [0.0], p)), 3) for p in (1, 5, 25, 50)
            ],
            "false_per_frame": round(self.false / max(self.pictures, 1), 4),
            "false_sure": round(self.false_sure / max(self.false, 1), 4),
            "doubled": round(self.second / seen, 4),
            "split_looks": round(self.split / seen, 4),
            "merged_looks": round(self.merged / seen, 4),
            "confused": round(sum(self.confused.values()) / self.judged, 4) if self.judged else None,
            "confusions": dict(self.confused.most_common(5)),
        }
        return result | self._noise()

    def _noise(self) -> dict[str, Any]:
        """Return the errors of edges about their common mean: of an object as such, from look to look, and odd ones."""
        if not self.edges_px:
            return {}
        edges, sides = np.array(self.edges_px), np.array(self.sides_px)
        centred = edges - np.median(edges, axis=0)
        robust_px = 1.4826 * np.median(np.abs(centred), axis=0)
        result: dict[str, Any] = {
            "edge_mean_px": _rounded(np.median(edges, axis=0)),
            "edge_noise_px": _rounded(centred.std(axis=0)),
            "edge_noise_px_robust": _rounded(robust_px),
            "edge_error_px_99": _rounded(np.percentile(np.abs(centred), 99, axis=0)),
            "edge_noise_share_robust": (1.4826 * np.median(np.abs(centred / sides), axis=0)).round(4).tolist(),
            "wild": round(float((np.abs(centred) > WILD * np.maximum(robust_px, 0.5)).any(axis=1).mean()), 4),
            "side_px_median": _rounded(np.median(sides[:, :2], axis=0)),
        }
        if self.identified:
            whose = np.array(self.whose)
            own = {i: np.median(centred[whose == i], axis=0) for i in set(self.whose)}
            result["edge_bias_px_by_object"] = _rounded(np.array(list(own.values())).std(axis=0))
            rest = centred - np.array([own[i] for i in self.whose])
            result["edge_noise_px_within_object"] = _rounded(rest.std(axis=0))
        return result


def _rounded(values: Floats) -> list[float]:
    return [round(float(value), 2) for value in values]
