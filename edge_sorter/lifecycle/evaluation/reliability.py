"""Whether a confidence of 0.7 means seven in ten: calibration of confidences.

Contract: `reliability` bins boxes by confidence and returns, for each bin, how sure they were and how many were right,
with the expected and the largest calibration error (ECE, MCE: Naeini et al. 2015; on detections: Küppers et al. 2020).
Right means right class and overlap of at least 0.5, each true box counted once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_sorter.lifecycle.evaluation.match import Matches
from edge_sorter.replay.truth import wilson

BINS = 10
LEAST_CONFIDENCE = 0.05
"""Boxes below are hundreds of near-zeros that no threshold would keep; they would make any model look calibrated."""


@dataclass(frozen=True)
class Bin:
    """Boxes of one range of confidence; `precision_95` is a Wilson interval."""

    low: float
    high: float
    boxes: int
    mean_confidence: float
    precision: float
    precision_95: tuple[float, float]


@dataclass(frozen=True)
class Reliability:
    """All bins that hold a box; `ece` weighs the gaps by boxes, `mce` is the largest of a bin with at least ten."""

    bins: tuple[Bin, ...]
    boxes: int
    ece: float
    mce: float

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        rows = [{k: np.round(v, 4).tolist() for k, v in vars(b).items()} for b in self.bins]
        return {"bins": rows, "boxes": self.boxes, "ece": round(self.ece, 4), "mce": round(self.mce, 4)}


def reliability(matches: Matches, *, least: float = LEAST_CONFIDENCE) -> Reliability:
    """Bin the boxes of at least `least` confidence."""
    counted = matches.confidence >= least
    confidence, right = matches.confidence[counted], matches.hit[counted, 0]
    place = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    bins = []
    for number in np.unique(place):
        inside = place == number
        boxes, hits = int(inside.sum()), int(right[inside].sum())
        mean = float(confidence[inside].mean())
        bins.append(Bin(number / BINS, (number + 1) / BINS, boxes, mean, hits / boxes, wilson(hits, boxes)))
    gaps = [abs(item.precision - item.mean_confidence) for item in bins]
    total = sum(item.boxes for item in bins)
    ece = sum(item.boxes * gap for item, gap in zip(bins, gaps, strict=True)) / total if total else 0.0
    mce = max((gap for item, gap in zip(bins, gaps, strict=True) if item.boxes >= 10), default=0.0)
    return Reliability(tuple(bins), total, ece, mce)
