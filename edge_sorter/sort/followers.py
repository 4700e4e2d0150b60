"""Parcels that follow one another too closely for the diverters between them.

Contract: a diverter parts two parcels only if enough belt lies between them; two for the same lane need no parting.
Only the last few decided parcels are kept.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from edge_sorter.types import BeltPosition, SortDecision

NEIGHBOURS = 4
"""Decided parcels that a new one may follow too closely."""


class Passed(NamedTuple):
    """A decided parcel, and the belt travel at which its trailing edge was at the line."""

    uid: str
    trail_mm: float
    lane: str


class Followers:
    """The last decided parcels, and whether the next one is too close to them.

    Args:
        least_mm: Belt that must lie between parcels of different lanes; 0: not checked.
    """

    def __init__(self, least_mm: float) -> None:
        self._least_mm = least_mm
        self._passed: deque[Passed] = deque(maxlen=NEIGHBOURS)

    def add(self, decision: SortDecision) -> None:
        """Remember a decided parcel whose place is known."""
        if self._least_mm > 0.0 and decision.position.trail_mm is not None:
            self._passed.append(Passed(decision.parcel_uid, decision.position.trail_mm, decision.lane))

    def too_close(self, position: BeltPosition, lane: str, *, lane_now: Callable[[Passed], str]) -> list[Passed]:
        """Return the parcels from which no diverter can part one that is for `lane`.

        Args:
            position: Where it is.
            lane: Where it should go.
            lane_now: Where a decided parcel goes by now.
        """
        lead_mm = position.lead_mm
        if lead_mm is None:
            return []
        return [p for p in self._passed if lead_mm - p.trail_mm < self._least_mm and lane_now(p) != lane]
