"""Parcels that no diverter can part: touching, one beside the other, or melted into one box.

Contract: `Doubles.group` says from places on the belt alone what belongs to a parcel that crossed, and why it may not
be sorted. A photo-eye sees such a group as one item, so it gets one decision that covers all of it
(`sort.doubles: exception`). A parcel that was decided before its neighbour was seen to hang on it is named, to be
revised while it is in flight. Nothing here changes anything else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

from edge_sorter.sort.footprint import Trail
from edge_sorter.sort.whereabouts import Extent
from edge_sorter.types import Reason

BESIDE = 0.3
"""Parcels side by side share at least this part of the shorter one's extent along the belt."""
STACKED = 0.3
"""Two boxes that share more than this part of the narrower one's extent across are not side by side."""
LEANING_MM = 200.0
"""A tall parcel may look so much longer than it is; who is further away than this is no neighbour."""
REPEATED = 2
"""One diverter takes what lies beside one another, seen whole or not; but not for a single look, maybe a false box."""
NEIGHBOURS = 8
"""Decided parcels that a newly crossed one may touch."""


class Group(NamedTuple):
    """What cannot be sorted apart.

    Attributes:
        extent: What it covers.
        members: The tracks that belong to it besides the first.
        reason: Why.
        hangs_on: Parcels by uid that were decided before, and surely hang on it.
    """

    extent: Extent
    members: tuple[int, ...]
    reason: Reason
    hangs_on: tuple[str, ...] = ()


class Doubles:
    """Remembers where the latest decided parcels lie."""

    def __init__(self, *, gap_mm: float) -> None:
        self._gap_mm = gap_mm
        self._decided: deque[tuple[str, Extent]] = deque(maxlen=NEIGHBOURS)
        self._newest: Extent | None = None

    def group(self, trail: Trail, others: Mapping[int, Trail]) -> Group | None:
        """Return the group a crossed parcel belongs to, or None where it is alone.

        Args:
            trail: The parcel's own.
            others: Those of all undecided tracks, by track id.
        """
        self._newest = extent = trail.extent()
        if extent is None:
            return None
        reason = None
        if trail.whereabouts and trail.torn():  # then its looks say no more than where it may reach
            reason, reach = Reason.DOUBLE, trail.whereabouts.largest
            extent = extent.joined(Extent(reach[0], reach[2], reach[1], reach[3]))
        blur_mm, hangs_on = trail.blur_mm(), []
        for uid, decided in self._decided:
            reason = inseparable(extent, decided, gap_mm=self._gap_mm + blur_mm) or reason
            if inseparable(extent, decided, gap_mm=self._gap_mm) is not None:  # not only for want of looks
                hangs_on.append(uid)
        rest, members, grown = dict(others), [], True
        while grown:
            grown = False
            for track_id, other in list(rest.items()):
                if other.apart_mm(extent) > LEANING_MM:
                    continue
                found = other.extent()
                if found is None or other.seldom_seen(trail):
                    continue
                why = inseparable(extent, found, gap_mm=self._gap_mm)
                if why is None and trail.hangs_on(other):
                    why = Reason.DOUBLE
                if why is not None and (
                    other.seen_whole() or (why is Reason.SIDE_BY_SIDE and len(other.seen) >= REPEATED)
                ):
                    extent, reason, grown = extent.joined(found), reason or why, True
                    members.append(track_id)
                    del rest[track_id]
                else:
                    reason = reason or inseparable(extent, found, gap_mm=self._gap_mm + blur_mm + other.blur_mm())
        self._newest = extent
        return None if reason is None else Group(extent, tuple(members), reason, tuple(hangs_on))

    def decided(self, uid: str) -> None:
        """Remember what `group` was asked about last as decided under this uid."""
        if self._newest is not None:
            self._decided.append((uid, self._newest))
            self._newest = None


def inseparable(a: Extent, b: Extent, *, gap_mm: float) -> Reason | None:
    """Tell why two parcels cannot be sorted apart, or None where at least `gap_mm` of belt lies between them."""
    along = min(a.lead_mm, b.lead_mm) - max(a.trail_mm, b.trail_mm)
    if along <= -gap_mm:
        return None
    across = min(a.far_mm, b.far_mm) - max(a.near_mm, b.near_mm)
    shorter = min(a.lead_mm - a.trail_mm, b.lead_mm - b.trail_mm)
    narrower = min(a.far_mm - a.near_mm, b.far_mm - b.near_mm)
    beside = along > BESIDE * shorter and across < STACKED * narrower
    return Reason.SIDE_BY_SIDE if beside else Reason.DOUBLE
