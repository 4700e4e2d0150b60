"""Two models on the same pictures: is the difference real, or would other pictures of the kind say the opposite?

Contract: `compare` resamples pictures once and measures both models on every draw, so that a hard picture is hard for
both; a difference is called significant where its 95 % interval leaves out 0. `apart` finds the pictures on which they
differ most.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_sorter.errors import ModelError
from edge_sorter.lifecycle.evaluation.match import match
from edge_sorter.lifecycle.evaluation.measure import Evaluation, Looked
from edge_sorter.lifecycle.evaluation.precision import RESAMPLES, bootstrap, draws, figures, interval_95, rank
from edge_sorter.types import IntArray

HEADLINE = "map50_95"


@dataclass(frozen=True)
class Difference:
    """One figure of both models; `low` and `high` are the 95 % interval of b - a."""

    name: str
    a: float
    b: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """Say in words what the interval says."""
        if self.low > 0:
            return "B better"
        return "A better" if self.high < 0 else "no significant difference"

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        values = {name: round(value, 4) for name, value in vars(self).items() if name != "name"}
        return values | {"difference": round(self.b - self.a, 4), "verdict": self.verdict}


@dataclass(frozen=True)
class Apart:
    """A picture on which one model makes more errors than the other."""

    picture: int
    faults_a: int
    faults_b: int


@dataclass(frozen=True)
class Comparison:
    """Both models, figure by figure, and where they differ."""

    differences: tuple[Difference, ...]
    apart: tuple[Apart, ...]

    @property
    def headline(self) -> Difference:
        """The difference of mAP50-95, which decides."""
        return next(d for d in self.differences if d.name == HEADLINE)

    def as_json(self, names: list[str]) -> dict[str, Any]:
        """Return plain values; `names` are the pictures' file names."""
        return {
            "verdict": self.headline.verdict,
            "figures": {d.name: d.as_dict() for d in self.differences},
            "apart": [{"image": names[p.picture], "faults_a": p.faults_a, "faults_b": p.faults_b} for p in self.apart],
        }


def compare(
    a: Looked,
    b: Looked,
    *,
    confidence_a: float,
    confidence_b: float,
    groups: IntArray | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[Difference, ...]:
    """Return every figure of both models with the interval of its difference.

    Raises:
        ModelError: They did not look at the same pictures with the same classes.
    """
    if a.classes != b.classes:
        raise ModelError(
            f"The models know different classes ({', '.join(a.classes)}; {', '.join(b.classes)}), so their figures "
            "cannot be compared. Compare positions only: --any-class."
        )
    if [truth.path for truth in a.truths] != [truth.path for truth in b.truths]:
        raise ModelError("The two models looked at different pictures.")
    ranked_a, ranked_b = (rank(match(side.truths, side.found), side.classes) for side in (a, b))
    weights = draws(len(a.truths), groups, resamples=resamples, seed=seed)
    drawn_a = bootstrap(lambda weight: figures(ranked_a, weight, confidence=confidence_a), weights)
    drawn_b = bootstrap(lambda weight: figures(ranked_b, weight, confidence=confidence_b), weights)
    ones = np.ones(len(a.truths))
    whole_a = figures(ranked_a, ones, confidence=confidence_a)
    whole_b = figures(ranked_b, ones, confidence=confidence_b)
    return tuple(
        Difference(name, whole_a[name], whole_b[name], *interval_95(drawn_b[name] - drawn_a[name]))
        for name in whole_a
        if name in whole_b
    )


def apart(a: Evaluation, b: Evaluation, *, count: int) -> tuple[Apart, ...]:
    """Return the pictures whose number of errors differs most, at each model's working threshold."""
    counts_a, counts_b = (Counter(fault.picture for fault in side.faults) for side in (a, b))
    rows = [Apart(picture, counts_a[picture], counts_b[picture]) for picture in {*counts_a, *counts_b}]
    differing = [row for row in rows if row.faults_a != row.faults_b]
    return tuple(sorted(differing, key=lambda row: (-abs(row.faults_a - row.faults_b), row.picture))[:count])
