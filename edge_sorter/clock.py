"""The only place that reads the time.

A `Clock` says what time it is on the axis of `captured_ns` and translates that axis to wall time for messages.
Live code gets a `SystemClock`, a replay a `ReplayClock` that stands where its frames put it; nothing else in
edge_sorter may ask the operating system for the time (ruff's banned-api rule checks it).
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from typing import Protocol

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


STEP_NS = 20_000_000
"""A wall clock that is off by more than this was set."""
RUN_AWAY = 0.005
"""So much faster or slower than the monotonic clock, and a wall clock is being bent."""
SETTLED_NS = 10_000_000_000
"""A wall clock that was set is believed again after it kept still for so long."""


class Clock(Protocol):
    """What a pipeline, a source or a link may ask of time."""

    def now_ns(self) -> int:
        """Return the present on the axis of `captured_ns`."""

    def wall(self, at_ns: int) -> datetime:
        """Translate a time on that axis to UTC."""

    def sleep_until(self, at_ns: int) -> None:
        """Wait until `now_ns()` reaches `at_ns`; returns at once if it already did."""

    def trusted(self) -> bool:
        """Tell whether `wall` gives the times that others read on their clocks."""


class SystemClock:
    """Real time: monotonic nanoseconds, anchored to UTC so that a wall-clock step cannot move a deadline.

    When the wall clock is set, or runs away, times are not `trusted` until it has kept still for `SETTLED_NS`; only
    then are they anchored anew. Until then all goes on by the old anchor, or by the encoder.
    """

    def __init__(self) -> None:
        self._wall_at_zero_ns = _wall_at_zero_ns()
        self._watch = _WallWatch(self._wall_at_zero_ns, time.monotonic_ns())

    def now_ns(self) -> int:
        """Return monotonic nanoseconds."""
        return time.monotonic_ns()

    def wall(self, at_ns: int) -> datetime:
        """Translate monotonic nanoseconds to UTC."""
        return _utc(self._wall_at_zero_ns + at_ns)

    def sleep_until(self, at_ns: int) -> None:
        """Sleep until the given monotonic time."""
        wait_ns = at_ns - time.monotonic_ns()
        if wait_ns > 0:
            time.sleep(wait_ns / 1e9)

    def trusted(self) -> bool:
        """Tell whether the wall clock has kept still; ask every second or so."""
        offset_ns = _wall_at_zero_ns()
        trusted = self._watch.look(offset_ns, time.monotonic_ns())
        if trusted:
            self._wall_at_zero_ns = self._watch.anchor_ns
        return trusted


class _WallWatch:
    """Whether the offset between wall and monotonic clock stays what it was.

    Attributes:
        anchor_ns: The offset that times are translated with.
    """

    def __init__(self, offset_ns: int, now_ns: int) -> None:
        self.anchor_ns = offset_ns
        self._last = (offset_ns, now_ns)
        self._moved_ns: int | None = None

    def look(self, offset_ns: int, now_ns: int) -> bool:
        """Take the present offset; return whether the anchor holds."""
        last_offset_ns, last_ns = self._last
        elapsed_ns = now_ns - last_ns
        moved_ns = abs(offset_ns - last_offset_ns)
        if moved_ns > STEP_NS or (elapsed_ns >= 1_000_000_000 and moved_ns > RUN_AWAY * elapsed_ns):
            self._moved_ns = now_ns
        if elapsed_ns >= 1_000_000_000 or self._moved_ns == now_ns:
            self._last = (offset_ns, now_ns)
        if self._moved_ns is not None and now_ns - self._moved_ns >= SETTLED_NS:
            self.anchor_ns, self._moved_ns = offset_ns, None
        if self._moved_ns is None and abs(offset_ns - self.anchor_ns) > STEP_NS:
            self._moved_ns = now_ns  # it crept away
        return self._moved_ns is None


class ReplayClock:
    """Recorded time: the present is whatever the newest frame says, so a replay decides alike on any machine."""

    def __init__(self, *, wall_at_zero: datetime = EPOCH) -> None:
        self._now_ns = 0
        self._wall_at_zero = wall_at_zero

    def now_ns(self) -> int:
        """Return the time of the newest frame."""
        return self._now_ns

    def wall(self, at_ns: int) -> datetime:
        """Translate recorded time to UTC, counted from `wall_at_zero`."""
        return self._wall_at_zero + timedelta(microseconds=at_ns // 1000)

    def sleep_until(self, at_ns: int) -> None:
        """Move the present forward; recorded time never waits."""
        self._now_ns = max(self._now_ns, at_ns)

    def trusted(self) -> bool:
        """Return True: recorded time is what it is."""
        return True


class FileClock(SystemClock):
    """Real time shifted so that a file's first frame is "now": paces a clip as a camera would (`--realtime`).

    Args:
        slow: Slow motion: so many times longer does everything take, for machines that real time is too fast for.
    """

    def __init__(self, *, slow: float = 1.0) -> None:
        self.slow = slow
        self.restart()

    def restart(self) -> None:
        """Make this moment the time of the first frame; call it when everything else is ready."""
        self._zero_ns = time.monotonic_ns()
        self._wall_at_zero_ns = time.time_ns()

    def now_ns(self) -> int:
        """Return nanoseconds since the clock was made."""
        return round((time.monotonic_ns() - self._zero_ns) / self.slow)

    def sleep_until(self, at_ns: int) -> None:
        """Sleep until the given time since the clock was made."""
        wait_ns = (at_ns - self.now_ns()) * self.slow
        if wait_ns > 0:
            time.sleep(wait_ns / 1e9)

    def trusted(self) -> bool:
        """Return True: a clip's times are nobody else's."""
        return True


class ShiftedClock:
    """Another clock seen by somebody whose time begins at `zero_ns` of it."""

    def __init__(self, clock: Clock, zero_ns: int) -> None:
        self._clock, self._zero_ns = clock, zero_ns

    def now_ns(self) -> int:
        """Return the present, counted from `zero_ns`."""
        return self._clock.now_ns() - self._zero_ns

    def wall(self, at_ns: int) -> datetime:
        """Translate a time counted from `zero_ns` to UTC."""
        return self._clock.wall(at_ns + self._zero_ns)

    def sleep_until(self, at_ns: int) -> None:
        """Wait for a time counted from `zero_ns`."""
        self._clock.sleep_until(at_ns + self._zero_ns)

    def trusted(self) -> bool:
        """Ask the other clock."""
        return self._clock.trusted()


def _wall_at_zero_ns() -> int:
    """Return what the wall clock showed at monotonic 0, from a reading that nothing interrupted."""
    best_ns, offset_ns = None, 0
    for _ in range(5):
        before_ns, wall_ns, after_ns = time.monotonic_ns(), time.time_ns(), time.monotonic_ns()
        if best_ns is None or after_ns - before_ns < best_ns:
            best_ns, offset_ns = after_ns - before_ns, wall_ns - (before_ns + after_ns) // 2
        if best_ns < 100_000:
            break
    return offset_ns


def processor_ns() -> int:
    """Return the processor time this process has used, on all its threads; other work on the machine adds nothing."""
    return time.process_time_ns()


def stopwatch_ns() -> int:
    """Return a high-resolution reading for measuring durations; never used to decide anything."""
    return time.perf_counter_ns()


def _utc(epoch_ns: int) -> datetime:
    return EPOCH + timedelta(microseconds=epoch_ns // 1000)


def since_local_midnight_ns(moment: datetime) -> int:
    """Return the time of the day at this place, in nanoseconds; which zone it is in the operating system knows."""
    local = moment.astimezone()
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    return (local - midnight) // timedelta(microseconds=1) * 1000


def rfc3339(moment: datetime) -> str:
    """Format a UTC moment with microseconds, as the PLC messages want it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
