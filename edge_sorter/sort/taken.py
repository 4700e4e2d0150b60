"""Where decided parcels lie, so that no part or later track of one is decided again.

Contract: remembers a bounded number of footprints, the latest ones; asks about places on the belt, or, where the belt's
motion is not known, in the picture.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from edge_sorter.sort.footprint import Extent, Footprint, Trail
from edge_sorter.types import Track

REMEMBERED = 64
"""Decided parcels kept for telling a split from a newcomer; a line carries fewer between camera and diverter."""
FORGET_NS = 1_000_000_000
"""Where belt travel is unknown, a place in the picture is trusted this long after its track ended."""
NEIGHBOURS = 8
"""So many of the latest claims a new one may run into."""


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

    def claim(self, track_id: int, extent: Extent) -> Extent:
        """Claim a stretch of belt for one decision; return what earlier ones have left of it.

        Places are known to centimetres, and looks at two parcels melted into one reach over both: no two decisions may
        name the same belt for that.
        """
        trail_mm, lead_mm, near_mm, far_mm = extent
        middle_mm = (trail_mm + lead_mm) / 2.0
        for other in list(self._claims.values())[-NEIGHBOURS:]:
            if min(far_mm, other.far_mm) <= max(near_mm, other.near_mm):
                continue
            if middle_mm < other.trail_mm < lead_mm:
                lead_mm = other.trail_mm
            elif trail_mm < other.lead_mm < middle_mm:
                trail_mm = other.lead_mm
        left = Extent(trail_mm, lead_mm, near_mm, far_mm)
        self._claims[track_id] = left
        return left

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
