"""When an encoder sample was taken, from when it arrived and when the PLC says it sent it.

A network delays samples by different times, and at 2 m/s a delay of 10 ms is 20 mm of belt. The PLC's clock does not
have to be right for taking that out: it only has to run evenly. The smallest difference between arrival and the PLC's
stamp in the last two seconds is the clocks' offset plus the shortest delay; with it each stamp becomes a time of ours.

Contract: times rise strictly, are never later than the arrival, and never earlier than it by more than `LONGEST_NS`.
Without a stamp, or with one that contradicts this (too coarse, or the PLC's clock was set), the arrival stands.
"""

from __future__ import annotations

from collections import deque

WINDOW_NS = 2_000_000_000
LONGEST_NS = 250_000_000
"""A longer delay is not believed: it is the PLC's clock that was set."""


class SampleTimes:
    """Turns arrivals into times of sampling, for one encoder."""

    def __init__(self) -> None:
        self._seen: deque[tuple[int, int]] = deque()
        self._last_ns: int | None = None

    def taken_ns(self, arrived_ns: int, sent_ns: int | None) -> int:
        """Return when a sample was taken.

        Args:
            arrived_ns: When it arrived.
            sent_ns: The PLC's stamp on the same axis, however wrong its clock; None without one.
        """
        taken_ns = arrived_ns if sent_ns is None else self._believed(arrived_ns, sent_ns)
        if self._last_ns is not None and taken_ns <= self._last_ns:
            taken_ns = max(arrived_ns, self._last_ns + 1)
        self._last_ns = taken_ns
        return taken_ns

    def _believed(self, arrived_ns: int, sent_ns: int) -> int:
        behind_ns = arrived_ns - sent_ns
        while self._seen and arrived_ns - self._seen[0][0] > WINDOW_NS:
            self._seen.popleft()
        if self._seen and behind_ns - min(behind for _, behind in self._seen) > LONGEST_NS:
            self._seen.clear()
        self._seen.append((arrived_ns, behind_ns))
        return sent_ns + min(behind for _, behind in self._seen)
