"""Where things on a simulated belt are: with it, unless they slide, are stuck, or stand behind one that is.

Contract: `move` goes on from one belt travel to a later one; in between everything moves evenly. Nobody overtakes and
nobody lies where another does: who comes up to one ahead stands behind it. Without mishaps a thing is exactly where it
was laid plus the belt's travel. Knows neither counts nor lanes, and reads no clock.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from edge_sorter.sim.twin.faults import FaultSection
from edge_sorter.sim.twin.mishaps import Slip
from edge_sorter.sim.twin.traffic import Traffic

CLOSE_MM = 1e-6
"""Places that differ by less are one."""


@dataclass(slots=True)
class Mishap:
    """Something that befell a thing on the belt.

    Attributes:
        what: "slid", "stuck", or "held up" by one ahead.
        at_mm: Where its middle was when it began.
        by_mm: How far it fell behind the belt.
    """

    what: str
    at_mm: float
    by_mm: float


@dataclass(slots=True)
class _Pending:
    slip: Slip
    left_mm: float
    begun: bool = False


class Falls:
    """Places of all things, and what befell them.

    Args:
        traffic: What lies on the belt, and who slides or gets stuck.
        faults: Of these, jams hold at a place what comes there.

    Attributes:
        mishaps: By index of the thing, in order.
    """

    def __init__(self, traffic: Traffic, faults: Sequence[FaultSection]) -> None:
        self.mishaps: dict[int, list[Mishap]] = {}
        self._things = traffic.parcels
        self._stretch = {i: number for number, stretch in enumerate(traffic.stretches) for i in stretch.parcels}
        self._pending = {slip.parcel: _Pending(slip, slip.by_mm) for slip in traffic.slips}
        self._jams = [(jam, jam.at_mm) for jam in faults if jam.kind == "jam" and jam.at_mm is not None]
        places = [slip.at_mm for slip in traffic.slips] + [at_mm for _, at_mm in self._jams]
        self._from_mm = min(places, default=math.inf)  # no mishap begins further upstream
        self._first = 0
        self._gone_mm = 0.0
        self._fallen_mm: defaultdict[int, float] = defaultdict(float)
        self._newly_mm: dict[int, float] = {}
        self._before_mm = 0.0

    def ends_before(self, i: int) -> tuple[float, float]:
        """Return rear and front of a thing at the beginning of the newest move."""
        moved = self._before_mm - (self._fallen_mm.get(i, 0.0) - self._newly_mm.get(i, 0.0))
        return self._things[i].trail_mm + moved, self._things[i].lead_mm + moved

    def ends(self, i: int) -> tuple[float, float]:
        """Return rear and front of a thing now."""
        moved = self._gone_mm - self._fallen_mm.get(i, 0.0)
        return self._things[i].trail_mm + moved, self._things[i].lead_mm + moved

    def middles(self, i: int) -> tuple[float, float]:
        """Return the middle of a thing at the beginning of the newest move and now."""
        fallen, centre = self._fallen_mm.get(i, 0.0), self._things[i].centre_mm
        return centre + self._before_mm - (fallen - self._newly_mm.get(i, 0.0)), centre + self._gone_mm - fallen

    def move(self, to_mm: float, *, at_s: float, off: Collection[int]) -> None:
        """Go on to a later belt travel.

        Args:
            to_mm: Travel of the belt.
            at_s: World time, for what holds things for a time.
            off: What has left the belt, and holds nobody any more.
        """
        self._before_mm, self._gone_mm = self._gone_mm, to_mm
        self._newly_mm.clear()
        if self._from_mm == math.inf or to_mm <= self._before_mm:
            return
        while self._first < len(self._things) and self._first in off:
            self._first += 1
        jammed_mm = [at_mm for jam, at_mm in self._jams if jam.at_s <= at_s < jam.until_s]
        wall_mm, ahead = math.inf, -1
        row_rear_mm = math.inf  # of the stretch at hand: a wall only for those behind it
        for i in range(self._first, len(self._things)):
            if i in off:
                continue
            row = self._stretch[i]
            if ahead < 0 or self._stretch[ahead] != row:
                wall_mm, row_rear_mm = min(wall_mm, row_rear_mm), math.inf
            self._move_one(i, ahead if ahead >= 0 and self._stretch[ahead] == row else -1, wall_mm, jammed_mm)
            rear_mm, front_mm = self.ends(i)
            row_rear_mm, ahead = min(row_rear_mm, rear_mm), i
            if front_mm < self._from_mm and i not in self._newly_mm:
                break  # nobody further upstream is reached by anything

    def _move_one(self, i: int, beside: int, wall_mm: float, jammed_mm: Sequence[float]) -> None:
        belt_mm = self._gone_mm - self._before_mm
        lost = self._own(i, belt_mm)
        front_mm, thing = self.ends(i)[1], self._things[i]
        front_before_mm = front_mm - belt_mm
        for at_mm in jammed_mm:
            over_mm = front_mm - lost - at_mm
            if front_before_mm <= at_mm + CLOSE_MM and over_mm > 0.0:
                self._tell(i, "stuck", over_mm)
                lost += over_mm
        limit_mm = wall_mm if beside < 0 else self.ends(beside)[1] + thing.lead_mm - self._things[beside].lead_mm
        if front_mm - lost > limit_mm + CLOSE_MM:
            self._tell(i, "held up", front_mm - lost - limit_mm)
            lost = front_mm - limit_mm
        if lost > 0.0:
            self._fallen_mm[i] += lost
            self._newly_mm[i] = lost

    def _own(self, i: int, belt_mm: float) -> float:
        """Return how far a thing falls behind of itself while the belt goes so far."""
        pending = self._pending.get(i)
        if pending is None:
            return 0.0
        slip, middle_mm = pending.slip, sum(self.ends(i)) / 2.0
        if not pending.begun and middle_mm < slip.at_mm:
            return 0.0
        since_mm = belt_mm if pending.begun else min(belt_mm, middle_mm - slip.at_mm)
        lost = min(pending.left_mm, since_mm * slip.rate)
        self._tell(i, "stuck" if slip.rate >= 1.0 else "slid", lost)
        pending.begun, pending.left_mm = True, pending.left_mm - lost
        if pending.left_mm <= CLOSE_MM:
            del self._pending[i]
        return lost

    def _tell(self, i: int, what: str, by_mm: float) -> None:
        told = self.mishaps.setdefault(i, [])
        if told and told[-1].what == what:
            told[-1].by_mm += by_mm
        else:
            told.append(Mishap(what, sum(self.ends_before(i)) / 2.0, by_mm))
