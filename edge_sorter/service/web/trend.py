"""The last hour in points of ten seconds: throughput, latency, frame rate.

Contract: `sample` is called by one thread with a snapshot; a point is what happened since the one before it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass
from typing import Any

from edge_sorter.service.status import LineSnapshot

PERIOD_S = 10.0
POINTS = 360


@dataclass(frozen=True, slots=True)
class Point:
    """One stretch of time.

    Attributes:
        at_ms: Its end, milliseconds since 1970.
        seconds: Its length.
        decided: Decisions made in it.
        failed: Decisions that did not reach the PLC in time.
        fps: Frames a second.
        median_ms, slowest_ms: From exposure to the end of publishing; None without frames.
    """

    at_ms: int
    seconds: float
    decided: int
    failed: int
    fps: float
    median_ms: float | None
    slowest_ms: float | None


class Trend:
    """Keeps the last `POINTS` points."""

    def __init__(self) -> None:
        self._points: deque[Point] = deque(maxlen=POINTS)
        self._before: LineSnapshot | None = None

    def due(self, now_ns: int) -> bool:
        """Tell whether it is time for the next point."""
        return self._before is None or abs(now_ns - self._before.now_ns) >= PERIOD_S * 1e9

    def sample(self, now: LineSnapshot) -> None:
        """Add what happened since the snapshot before."""
        before, self._before = self._before, now
        if before is None or now.now_ns <= before.now_ns:
            return  # the first, or a clip's clock began anew
        seconds = (now.now_ns - before.now_ns) / 1e9
        latencies = sorted(timed.latency_ns for timed in now.timings if timed.captured_ns > before.now_ns)
        self._points.append(
            Point(
                at_ms=round(now.now.timestamp() * 1000),
                seconds=round(seconds, 2),
                decided=sum(now.published.values()) - sum(before.published.values()),
                failed=_failed(now) - _failed(before),
                fps=round((now.frames - before.frames) / seconds, 1),
                median_ms=round(latencies[len(latencies) // 2] / 1e6, 1) if latencies else None,
                slowest_ms=round(latencies[-1] / 1e6, 1) if latencies else None,
            )
        )

    def points(self) -> list[dict[str, Any]]:
        """Return all points, oldest first."""
        return [asdict(point) for point in self._points]


def _failed(seen: LineSnapshot) -> int:
    return sum(count for result, count in seen.published.items() if result != "SENT")
