"""What every possible threshold would give: precision, recall, F1 and false boxes per picture.

Contract: a `Curve` holds one row for each different confidence, "keep boxes of at least this"; it answers what a
threshold gives, which is best by F1, and which reaches a wanted recall with the fewest false boxes.

Detection has no true negatives, so there is no ROC curve in the strict sense; recall against false boxes per picture
(FROC, Bunch et al. 1978) is what takes its place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_sorter.lifecycle.evaluation.match import Doubles, Matches

POINTS_KEPT = 200


@dataclass(frozen=True)
class Point:
    """What one threshold gives."""

    confidence: float
    precision: float
    recall: float
    f1: float
    false_per_picture: float

    def as_dict(self) -> dict[str, float]:
        """Return plain values, rounded to what a set of a few hundred pictures can tell."""
        return {name: round(float(value), 4) for name, value in vars(self).items()}


@dataclass(frozen=True)
class Curve:
    """Rows of falling confidence, all of equal length n; empty where nothing was found."""

    confidence: Doubles
    precision: Doubles
    recall: Doubles
    f1: Doubles
    false_per_picture: Doubles

    def at(self, confidence: float) -> Point:
        """Return what keeping boxes of at least `confidence` gives."""
        kept = int((self.confidence >= confidence).sum())
        if kept == 0:
            return Point(confidence, 0.0, 0.0, 0.0, 0.0)
        return self._point(kept - 1, confidence)

    def best(self) -> Point:
        """Return the threshold with the highest F1."""
        return self._point(int(self.f1.argmax())) if len(self.f1) else self.at(1.0)

    def for_recall(self, target: float) -> Point | None:
        """Return the highest threshold whose recall is at least `target`; None where no threshold is low enough."""
        reached = np.flatnonzero(self.recall >= target - 1e-9)
        return self._point(int(reached[0])) if len(reached) else None

    def _point(self, row: int, confidence: float | None = None) -> Point:
        # Rounded down, so that the box it was made from stays above it.
        told = np.floor(self.confidence[row] * 1e4) / 1e4 if confidence is None else confidence
        values = (self.precision[row], self.recall[row], self.f1[row], self.false_per_picture[row])
        return Point(float(told), *map(float, values))

    def as_dict(self) -> dict[str, Any]:
        """Return at most `POINTS_KEPT` rows as plain lists, evenly over the rows, both ends kept."""
        count = len(self.confidence)
        rows = np.unique(np.linspace(0, max(count - 1, 0), min(count, POINTS_KEPT)).round().astype(int))
        return {name: np.round(column[rows], 4).tolist() for name, column in vars(self).items()}


def curve(matches: Matches) -> Curve:
    """Return the curve of these boxes at overlap 0.5; of all classes together where `matches` holds several."""
    order = np.argsort(-matches.confidence, kind="stable")
    confidence = matches.confidence[order]
    last = np.flatnonzero(np.append(confidence[:-1] != confidence[1:], True)) if len(order) else np.empty(0, np.int64)
    hits = np.cumsum(matches.hit[order, 0])[last].astype(np.float64)
    kept = (last + 1).astype(np.float64)
    true = max(len(matches.true_class), 1)
    return Curve(
        confidence=confidence[last],
        precision=hits / np.maximum(kept, 1),
        recall=hits / true,
        f1=2 * hits / (kept + true),
        false_per_picture=(kept - hits) / max(matches.pictures, 1),
    )
