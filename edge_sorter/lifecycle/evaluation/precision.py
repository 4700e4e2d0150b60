"""Average precision with weights on pictures, so that a set can be drawn again and again without matching anew.

Contract: with all weights 1 `average_precision` equals COCO's 101-point AP (a test holds it against the COCO
evaluator); `bootstrap` returns figures of resampled sets, reproducible by seed.

Resampling is over pictures, not boxes: boxes of one picture share its light, its belt and its blur. Pictures of one
clip do so too; where file names tell the clip, `groups` keeps them together (Field and Welsh 2007, cluster bootstrap).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from edge_sorter.lifecycle.evaluation.match import IOUS, Doubles, Matches
from edge_sorter.types import IntArray

RECALLS = np.linspace(0.0, 1.0, 101)
RESAMPLES = 1000

Figures = dict[str, float]


class Ranked:
    """Found boxes of one class, ranked by confidence once, to be weighted many times."""

    def __init__(self, matches: Matches) -> None:
        order = np.argsort(-matches.confidence, kind="stable")
        self.confidence = matches.confidence[order]
        self._picture = matches.picture[order]
        self._hit = matches.hit[order].astype(np.float64)
        self._true_picture = matches.true_picture

    def average_precision(self, weight: Doubles) -> Doubles | None:
        """Return AP at each of `IOUS`, every picture counted `weight` times; None without a true box."""
        positives = float(weight[self._true_picture].sum())
        if positives == 0:
            return None
        each = weight[self._picture]
        hits = np.cumsum(each[:, None] * self._hit, axis=0)
        kept = np.cumsum(each)
        recall = hits / positives
        precision = hits / np.maximum(kept, 1e-12)[:, None]
        envelope = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
        result = np.zeros(len(IOUS))
        for level in range(len(IOUS)):
            first = np.searchsorted(recall[:, level], RECALLS, side="left")
            within = first[first < len(kept)]
            result[level] = envelope[within, level].sum() / len(RECALLS)
        return result

    def counts(self, weight: Doubles, confidence: float) -> tuple[float, float, float]:
        """Return hits at overlap 0.5, boxes kept and true boxes, at a threshold."""
        kept = self.confidence >= confidence
        each = weight[self._picture[kept]]
        return float(each @ self._hit[kept, 0]), float(each.sum()), float(weight[self._true_picture].sum())


def rank(matches: Matches, classes: Sequence[str]) -> dict[str, Ranked]:
    """Rank the boxes of every class that is in the truth or was found."""
    return {name: Ranked(matches.of_class(index)) for index, name in enumerate(classes)}


def figures(ranked: Mapping[str, Ranked], weight: Doubles, *, confidence: float) -> Figures:
    """Return the headline figures of a weighted set: mAP50, mAP50-95, precision, recall, F1, and AP50-95 per class."""
    per_class = {name: boxes.average_precision(weight) for name, boxes in ranked.items()}
    known = {name: value for name, value in per_class.items() if value is not None}
    table = np.array(list(known.values())).reshape(-1, len(IOUS))
    hits, kept, true = np.sum([boxes.counts(weight, confidence) for boxes in ranked.values()], axis=0)
    precision, recall = (hits / kept if kept else 0.0), (hits / true if true else 0.0)
    result = {
        "map50": float(table[:, 0].mean()) if len(table) else 0.0,
        "map50_95": float(table.mean()) if len(table) else 0.0,
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(2 * hits / (kept + true)) if kept + true else 0.0,
    }
    return result | {f"ap50_95 {name}": float(value.mean()) for name, value in known.items()}


def draws(pictures: int, groups: IntArray | None, *, resamples: int, seed: int) -> list[Doubles]:
    """Return weights of pictures, one array for each resampled set; pictures of one group come and go together."""
    rng = np.random.default_rng(seed)
    own = np.arange(pictures) if groups is None else np.unique(groups, return_inverse=True)[1]
    count = int(own.max()) + 1
    return [
        np.bincount(rng.integers(0, count, count), minlength=count)[own].astype(np.float64) for _ in range(resamples)
    ]


def bootstrap(of: Callable[[Doubles], Figures], weights: Sequence[Doubles]) -> dict[str, Doubles]:
    """Return the figures of every resampled set, as one array for each figure (NaN where a class was not drawn)."""
    rows = [of(weight) for weight in weights]
    names = list(dict.fromkeys(name for row in rows for name in row))
    return {name: np.array([row.get(name, np.nan) for row in rows]) for name in names}


def interval_95(values: Doubles) -> tuple[float, float]:
    """Return the 2.5 and 97.5 percentiles, NaN left out."""
    low, high = np.nanpercentile(values, (2.5, 97.5))
    return float(low), float(high)
