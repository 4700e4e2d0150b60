"""How long things took, since the start: exact counts in fixed buckets, as Prometheus wants them.

Contract: recording is a search and two additions; a copy taken under the owner's lock is a consistent histogram.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

BOUNDS_MS = (0.5, 1, 2, 5, 10, 15, 20, 30, 40, 50, 75, 100, 120, 150, 200, 250, 500, 1000, 2500)
"""Upper bounds, inclusive. 50, 120, 200 and 250 ms are the p50, p99, p99.9 and largest latency the product promises."""

_BOUNDS_NS = tuple(round(bound * 1e6) for bound in BOUNDS_MS)


@dataclass(frozen=True, slots=True)
class DurationCounts:
    """A finished copy.

    Attributes:
        counts: How many durations fell into each bucket; one more than `BOUNDS_MS`, the last has no upper bound.
        total_ns: Sum of all durations.
    """

    counts: tuple[int, ...]
    total_ns: int

    @property
    def count(self) -> int:
        """How many durations there were."""
        return sum(self.counts)


class Durations:
    """Counts durations; belongs to whoever holds the lock around it."""

    __slots__ = ("_counts", "_total_ns")

    def __init__(self) -> None:
        self._counts = [0] * (len(_BOUNDS_NS) + 1)
        self._total_ns = 0

    def record(self, duration_ns: int) -> None:
        """Count one duration."""
        self._counts[bisect_left(_BOUNDS_NS, duration_ns)] += 1
        self._total_ns += duration_ns

    def copy(self) -> DurationCounts:
        """Return what was counted so far."""
        return DurationCounts(tuple(self._counts), self._total_ns)
