"""Where decided parcels lie, so that no part or later track of one is decided again.

Contract: remembers a bounded number of footprints, the latest ones; asks about places on the belt, or, where the belt's
motion is not known, in the picture.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from edge_sorter.sort.footprint import Footprint, Trail
from edge_sorter.sort.whereabouts import Extent
from edge_sorter.types import Track

REMEMBERED = 64
"""Decided parcels kept for telling a split from a newcomer; a line carries fewer between camera and diverter."""
FORGET_NS = 1_000_000_000
"""Where belt travel is unknown, a place in the picture is trusted this long after its track ended."""
NEIGHBOURS = 8
"""So many of the latest claims a new one may run into."""
BLUR_MM = 40.0
"""Two parcels may seem to overlap by this, because either end is a little off."""
LEAST_MM = 100.0
"""What reaches beyond a decided parcel by less than this, or than half its length, is no parcel of its own."""
IN_LINE = 0.6
"""Two that share this part of the wider one's extent across the belt lie at the same place across it."""


class Taken:
    """Footprints of decided parcels by the id of the track that was decided, oldest first."""

    def __init__(self) -> None:
        self._footprints: OrderedDict[int, Footprint] = OrderedDict()
        self._claims: OrderedDict[int, Extent] = OrderedDict()
        self._left = 0
        self._any_in_picture = False
        """Whether the place of any may be known in the picture only."""

    def __len__(self) -> int:
        return len(self._footprints)

    def __contains__(self, track_id: int | None) -> bool:
        return track_id in self._footprints

    def add(self, track_id: int, footprint: Footprint) -> None:
        """Remember where a decided parcel lies."""
        self._footprints[track_id] = footprint
        self._any_in_picture |= footprint.velocity_s is not None

    def extent(self, track_id: int | None) -> Extent | None:
        """Return where the parcel decided by a track lies on the belt, or None where that is not known."""
        if track_id is None or track_id not in self._footprints:
            return None
        footprint = self._footprints[track_id]
        if track_id in self._claims or footprint.velocity_s is not None:
            return self._claims.get(track_id)
        trail_mm, near_mm, lead_mm, far_mm = footprint.box
        return Extent(trail_mm, lead_mm, near_mm, far_mm)

    def leave(self, track_id: int) -> None:
        """Keep a decided parcel's place although its track now follows another."""
        self._left -= 1  # track ids count from 1: a number below 0 names no track
        self._footprints[self._left] = self._footprints.pop(track_id)
        if track_id in self._claims:
            self._claims[self._left] = self._claims.pop(track_id)

    def covers(self, footprint: Footprint, trail: Trail, *, gap_mm: float) -> bool:
        """Tell whether something is a decided parcel, or part of one.

        A footprint that was melted with another for a while may reach over its neighbour; what the decision named does
        not. Whatever lies clear of that is a parcel of its own.
        """
        return any(
            taken.at(footprint.at_ns).same_parcel(footprint) and not trail.clear_of(self.extent(track_id), gap_mm)
            for track_id, taken in self._footprints.items()
        )

    def overlaid(self, extent: Extent | None) -> bool:
        """Tell whether something lies where a decided parcel does: a part of it, or a ghost, for no two share a place.

        What reaches far beyond that parcel is another one, which was seen melted with it.
        """
        return extent is not None and any(_overlays(extent, other) for other in self._latest())

    def claim(self, track_id: int, extent: Extent) -> Extent:
        """Claim a stretch of belt for one decision; return what earlier ones have left of it, behind or ahead of them.

        Places are known to centimetres, and looks at two parcels melted into one reach over both: no two decisions may
        name the same belt for that.
        """
        trail_mm, lead_mm, near_mm, far_mm = extent
        for other in self._latest():
            if min(far_mm, other.far_mm) <= max(near_mm, other.near_mm):
                continue
            if _stays_within(Extent(trail_mm, lead_mm, near_mm, far_mm), other):
                continue
            if other.trail_mm - trail_mm >= lead_mm - other.lead_mm:
                lead_mm = min(lead_mm, other.trail_mm)
            else:
                trail_mm = max(trail_mm, other.lead_mm)
        left = Extent(trail_mm, lead_mm, near_mm, far_mm)
        self._claims[track_id] = left
        return left

    def _latest(self) -> list[Extent]:
        return list(self._claims.values())[-NEIGHBOURS:]

    def carry(self, tracks: Iterable[Track], captured_ns: int) -> None:
        """Move footprints in the picture on with their tracks, so that a belt that stops does not lose them."""
        for track in tracks if self._any_in_picture else ():
            taken = self._footprints.get(track.track_id)
            if taken is not None and taken.velocity_s is not None:
                self._footprints[track.track_id] = taken.at(captured_ns, track.velocity_px_s)

    def forget(self, captured_ns: int) -> None:
        """Drop what can no longer matter."""
        if self._any_in_picture:
            in_picture = [track_id for track_id, taken in self._footprints.items() if taken.velocity_s is not None]
            for track_id in in_picture:
                if captured_ns - self._footprints[track_id].at_ns > FORGET_NS:
                    del self._footprints[track_id]
            self._any_in_picture = bool(in_picture)
        while len(self._footprints) > REMEMBERED:
            self._footprints.popitem(last=False)
        while len(self._claims) > REMEMBERED:
            self._claims.popitem(last=False)


def _stays_within(extent: Extent, decided: Extent) -> bool:
    """Tell whether too little of something for a parcel of its own reaches beyond a decided one, along the belt."""
    beyond_mm = max(decided.trail_mm - extent.trail_mm, extent.lead_mm - decided.lead_mm)
    return beyond_mm < min(LEAST_MM, (extent.lead_mm - extent.trail_mm) / 2.0)


def _overlays(extent: Extent, decided: Extent) -> bool:
    """Tell whether something lies on a decided parcel's place, and about as far out across the belt."""
    along_mm = min(extent.lead_mm, decided.lead_mm) - max(extent.trail_mm, decided.trail_mm)
    across_mm = min(extent.far_mm, decided.far_mm) - max(extent.near_mm, decided.near_mm)
    broader_mm = max(extent.far_mm - extent.near_mm, decided.far_mm - decided.near_mm)
    return along_mm > BLUR_MM and across_mm >= IN_LINE * broader_mm and _stays_within(extent, decided)
