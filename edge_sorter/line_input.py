"""Where line events come from: the seam between the loop and whatever listens to the line.

Contract: `take_events` is asked by the main loop only, never waits, and hands every event out once, in the order of
arrival. The MQTT link is one; so is the record of a clip's encoder; `EventList` is the shipped stand-in.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from edge_sorter.clock import Clock, since_local_midnight_ns
from edge_sorter.events import LineEvent, WallTime

WALL_TIME_EVERY_NS = 60_000_000_000


class LineInput(Protocol):
    """Something that hears the line."""

    def take_events(self, now_ns: int) -> Sequence[LineEvent]:
        """Return what arrived up to now and was not handed out yet."""


class EventList:
    """Events from memory, each handed out once its time has come; also a line that never says anything."""

    def __init__(self, events: Iterable[LineEvent] = ()) -> None:
        self._events = sorted(events, key=lambda event: event.at_ns)
        self._next = 0

    def take_events(self, now_ns: int) -> list[LineEvent]:
        """Return the events that are due."""
        begin = self._next
        while self._next < len(self._events) and self._events[self._next].at_ns <= now_ns:
            self._next += 1
        return self._events[begin : self._next]


class Inputs:
    """Several inputs as one, asked in this order."""

    def __init__(self, inputs: Iterable[LineInput]) -> None:
        self._inputs = tuple(inputs)

    def take_events(self, now_ns: int) -> list[LineEvent]:
        """Return what arrived at any of them."""
        return [event for one in self._inputs for event in one.take_events(now_ns)]


class WallClock:
    """The clock on the wall, told once a minute: an event, so that a journal replays the cut-off times of its day."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._due_ns: int | None = None

    def take_events(self, now_ns: int) -> list[LineEvent]:
        """Return the time of the day when it is due; each time the wall clock is looked at, whether it was set."""
        self._clock.trusted()
        if self._due_ns is not None and now_ns < self._due_ns:
            return []
        self._due_ns = now_ns + WALL_TIME_EVERY_NS
        return [WallTime(now_ns, since_local_midnight_ns(self._clock.wall(now_ns)))]
