"""Where a parcel lies on the belt, as several looks at it say.

Contract: pure functions of the looks. `Whereabouts` works out once what is asked of the same looks again and again:
whether a parcel is part of a decided one, what hangs on it, and which stretch of belt its decision is about.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_sorter.belt import BeltMap
from edge_sorter.sort.slid import first_after_slide
from edge_sorter.types import Box

ALIKE = 0.3
"""A look whose length is further than this share from the median one saw a part of the parcel, or more than it."""
CREPT_MM = 2.0
"""A belt that moved less than this since the last look shows nothing new; keeping it would outvote the others."""
RECENT_MM = 800.0
"""The ends of a parcel are taken from looks over so much of the belt before the latest one."""


class Extent(NamedTuple):
    """Where something lies in the belt-fixed frame, mm: along travel, and across it."""

    trail_mm: float
    lead_mm: float
    near_mm: float
    far_mm: float

    def clear_mm(self, other: Extent) -> float:
        """Return the clear distance between both, along or across, whichever is more; negative if they overlap."""
        along = max(self.trail_mm, other.trail_mm) - min(self.lead_mm, other.lead_mm)
        return max(along, max(self.near_mm, other.near_mm) - min(self.far_mm, other.far_mm))

    def joined(self, other: Extent) -> Extent:
        """Return what covers both."""
        return Extent(
            min(self.trail_mm, other.trail_mm),
            max(self.lead_mm, other.lead_mm),
            min(self.near_mm, other.near_mm),
            max(self.far_mm, other.far_mm),
        )


class Look(NamedTuple):
    """One measured box, its time, the belt travel then, and whether all of the parcel was in the picture."""

    box: Box
    at_ns: int
    travel_mm: float | None
    whole: bool

    def stands(self, travel_mm: float | None) -> bool:
        """Tell whether the belt is known not to have moved since."""
        return travel_mm is not None and self.travel_mm is not None and abs(travel_mm - self.travel_mm) < CREPT_MM


class Whereabouts:
    """Where looks, of which at least one was taken at a known travel, say that a parcel lies: belt-fixed, mm."""

    def __init__(self, belt_map: BeltMap, looks: Sequence[Look]) -> None:
        self._map = belt_map
        self._looks = [look for look in looks if look.travel_mm is not None]
        self._latest = sum(look.travel_mm is not None for look in looks[-2:])

    @cached_property
    def _boxes(self) -> NDArray[np.float64]:
        """One box a look (n, 4)."""
        xyxy = np.array([look.box for look in self._looks])
        centre, half = self._map.centre_mm(xyxy), self._map.size_mm(xyxy) / 2.0
        centre[:, 0] -= np.array([look.travel_mm for look in self._looks])
        return np.concatenate((centre - half, centre + half), axis=1)

    @cached_property
    def middle(self) -> Box:
        """The median box."""
        return median_box(self._boxes)

    @cached_property
    def largest(self) -> Box:
        """What three of four boxes stay within."""
        ordered, few = np.sort(self._boxes, axis=0), len(self._boxes) // 4
        return _box([*ordered[few, :2].tolist(), *ordered[-1 - few, 2:].tolist()])

    @property
    def reaches(self) -> list[Box]:
        """Boxes that the parcel may fill: the largest, and those of the latest two looks, which lean as it does."""
        return [self.largest, *(_box(row) for row in self._boxes[len(self._boxes) - self._latest :].tolist())]

    @cached_property
    def extent(self) -> Extent:
        """Where the parcel lies: its ends where looks at all of it tell them, else the median box."""
        trail, near, lead, far = self.middle
        return Extent(trail, lead, near, far) if self.ends_mm is None else Extent(*self.ends_mm, near, far)

    @cached_property
    def ends_mm(self) -> tuple[float, float] | None:
        """Trailing and leading end of the parcel, or None where no look shows them.

        What stands up from the belt leans away from the camera's foot point in the picture, so each end looks further
        out than it is, until it has passed below the camera (the trailing end) or from then on (the leading one).
        So the innermost place of each end is the true one, wherever the camera hangs. Runs of three looks vouch for
        it, which makes noise push both ends alike: their middle stays. Of a parcel that slid, only looks since then
        count.
        """
        looks = [look for look in self._looks if look.whole]
        if not looks:
            return None
        travel_mm = np.array([look.travel_mm for look in looks])
        recent = travel_mm >= travel_mm[-1] - RECENT_MM
        xyxy = np.array([look.box for look in looks])[recent]
        along = self._map.edges_mm(xyxy)[0]
        ends = np.stack((along.min(axis=0), along.max(axis=0)), axis=1)
        lengths = ends[:, 1] - ends[:, 0]
        # A camera that is turned about its axis sees boxes longer than parcels; at the latest look this is told apart
        # from what the perspective does elsewhere.
        turned = (lengths - self._map.size_mm(xyxy)[:, 0])[-3:].min() / 2.0
        ends = ends - travel_mm[recent, None] + np.array([turned, -turned])
        typical = float(np.sort(lengths)[len(lengths) // 2])
        ends = ends[np.abs(lengths / typical - 1.0) <= ALIKE]
        ends = ends[first_after_slide(ends) :]
        if len(ends) >= 3:
            ends = np.sort(np.stack((ends[:-2], ends[1:-1], ends[2:])), axis=0)[1]
        elif len(ends) == 2:
            ends = ends.mean(axis=0, keepdims=True)
        trail, lead = float(ends[:, 0].max()), float(ends[:, 1].min())
        return (trail, lead) if trail < lead else None


def belt_fixed(belt_map: BeltMap, xyxy: Box, travel_mm: float) -> Box:
    """Return the belt-fixed box (x1, y1, x2, y2 mm) of one look: a box in the picture, and the belt travel then."""
    x1, y1, x2, y2 = xyxy
    (x, y), (length, width) = belt_map.point_mm(((x1 + x2) / 2.0, (y1 + y2) / 2.0)), belt_map.size_of(xyxy)
    x -= travel_mm
    return x - length / 2.0, y - width / 2.0, x + length / 2.0, y + width / 2.0


def median_box(boxes: NDArray[np.float64]) -> Box:
    """Return the median of boxes (n, 4), edge by edge."""
    ordered, half = np.sort(boxes, axis=0), len(boxes) // 2
    return _box(((ordered[half] + ordered[-1 - half]) / 2.0).tolist())


def _box(row: list[float]) -> Box:
    x1, y1, x2, y2 = row
    return x1, y1, x2, y2
