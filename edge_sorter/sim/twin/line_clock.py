"""The world's time, laid over the time of the clip that the sorter plays.

The sorter's heartbeat says what time it is on the axis of its pictures (`mono_ns`). Arrival minus that is the clip's
beginning plus the time on the way; the smallest difference seen is the best one, whatever the clocks on either side
say. A better one than before is approached slowly, so that the belt neither jumps nor runs backwards.
"""

from __future__ import annotations

SLEW = 0.05
"""World time may run by this share faster than real time while it catches up."""


class LineClock:
    """Turns our own monotonic time into world time; not started before the first `start` or `align`."""

    def __init__(self) -> None:
        self._zero_ns: int | None = None
        self._best_ns = 0
        self._asked_ns = 0

    @property
    def started(self) -> bool:
        """Whether world time runs."""
        return self._zero_ns is not None

    def start(self, now_ns: int) -> None:
        """Begin world time now."""
        if self._zero_ns is None:
            self._zero_ns = self._best_ns = self._asked_ns = now_ns

    def align(self, arrived_ns: int, theirs_ns: int) -> None:
        """Take what the sorter says its time was when it sent a message that arrived then."""
        begin_ns = arrived_ns - theirs_ns
        if self._zero_ns is None:
            self._zero_ns = self._best_ns = begin_ns
            self._asked_ns = arrived_ns
        self._best_ns = min(self._best_ns, begin_ns)

    def world_ns(self, now_ns: int) -> int:
        """Return world time; asked with rising times."""
        if self._zero_ns is None:
            return 0
        room_ns = round(SLEW * max(0, now_ns - self._asked_ns))
        self._zero_ns -= min(self._zero_ns - self._best_ns, room_ns)
        self._asked_ns = max(self._asked_ns, now_ns)
        return now_ns - self._zero_ns
