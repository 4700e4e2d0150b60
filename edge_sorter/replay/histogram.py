"""Latency distributions in constant memory: log-spaced buckets, 2 % wide, so a week-long run costs what a clip does."""

from __future__ import annotations

import math

_GROWTH = 1.02
_FIRST_NS = 1_000.0
_LAST_NS = 60e9
_BUCKETS = math.ceil(math.log(_LAST_NS / _FIRST_NS, _GROWTH)) + 2


class Histogram:
    """Counts durations; percentiles are right to 2 %, the maximum and the mean are exact."""

    def __init__(self) -> None:
        self._counts = [0] * _BUCKETS
        self.count = 0
        self.max_ns = 0
        self.total_ns = 0

    def record(self, duration_ns: int) -> None:
        """Count one duration; a negative one counts as zero."""
        duration_ns = max(duration_ns, 0)
        self._counts[_bucket(duration_ns)] += 1
        self.count += 1
        self.total_ns += duration_ns
        self.max_ns = max(self.max_ns, duration_ns)

    def percentile_ms(self, percent: float) -> float | None:
        """Return the duration below which `percent` of all lie, in milliseconds; None when nothing was counted."""
        if not self.count:
            return None
        rank = max(1, math.ceil(self.count * percent / 100))
        seen = 0
        for bucket, count in enumerate(self._counts):
            seen += count
            if seen >= rank:
                return min(_upper_ns(bucket), self.max_ns) / 1e6
        return self.max_ns / 1e6

    def summary_ms(self) -> dict[str, float | int | None]:
        """Return count, mean, p50, p95, p99 and max for a report."""
        return {
            "count": self.count,
            "mean": round(self.total_ns / self.count / 1e6, 3) if self.count else None,
            **{
                f"p{percent}": None if (value := self.percentile_ms(percent)) is None else round(value, 3)
                for percent in (50, 95, 99)
            },
            "max": round(self.max_ns / 1e6, 3),
        }


def _bucket(duration_ns: int) -> int:
    if duration_ns <= _FIRST_NS:
        return 0
    return min(_BUCKETS - 1, 1 + int(math.log(duration_ns / _FIRST_NS, _GROWTH)))


def _upper_ns(bucket: int) -> float:
    return _FIRST_NS * _GROWTH**bucket
