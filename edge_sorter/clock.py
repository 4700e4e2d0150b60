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


class Clock(Protocol):
    """What a pipeline, a source or a link may ask of time."""

    def now_ns(self) -> int:
        """Return the present on the axis of `captured_ns`."""

    def wall(self, at_ns: int) -> datetime:
        """Translate a time on that axis to UTC."""

    def sleep_until(self, at_ns: int) -> None:
        """Wait until `now_ns()` reaches `at_ns`; returns at once if it already did."""


class SystemClock:
    """Real time: monotonic nanoseconds, anchored once to UTC so that a wall-clock step cannot move a deadline."""

    def __init__(self) -> None:
        self._wall_at_zero_ns = time.time_ns() - time.monotonic_ns()

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


class FileClock(SystemClock):
    """Real time shifted so that a file's first frame is "now": paces a clip as a camera would (`--realtime`)."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Make this moment the time of the first frame; call it when everything else is ready."""
        self._zero_ns = time.monotonic_ns()
        self._wall_at_zero_ns = time.time_ns()

    def now_ns(self) -> int:
        """Return nanoseconds since the clock was made."""
        return time.monotonic_ns() - self._zero_ns

    def sleep_until(self, at_ns: int) -> None:
        """Sleep until the given time since the clock was made."""
        wait_ns = at_ns - self.now_ns()
        if wait_ns > 0:
            time.sleep(wait_ns / 1e9)


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
