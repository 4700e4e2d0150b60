"""Whether parcels kept their places on the belt while the line stood: the encoder cannot know, the picture can.

A belt that brakes hard lets parcels slide, and people reach in. What was in view when the line stopped is looked at
again when it starts: by the counts each parcel should be where it was on the belt.

Contract: `hear` takes the line's states, `look` the tracks of every frame. It says so with the first frame after a
restart that shows a parcel out of place by more than `SLIP_MM`. What vanished or appeared meanwhile says nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from edge_sorter.belt.mapping import BeltMap
from edge_sorter.events import LineReport
from edge_sorter.types import Track, TrackState

SLIP_MM = 50.0
STANDING = frozenset(
    {"STOPPING", "STOPPED", "ABORTING", "ABORTED", "CLEARING", "HOLDING", "HELD", "SUSPENDING", "SUSPENDED"}
)
"""PackML states in which the belt stands or comes to a stand."""


class _Place(NamedTuple):
    """Both ends of a parcel in the frame that rides with the belt, mm."""

    trail_mm: float
    lead_mm: float

    def slipped_mm(self, other: _Place) -> float:
        """Return how far it moved at least: height moves the two ends by different amounts, sliding by the same."""
        return min(abs(self.trail_mm - other.trail_mm), abs(self.lead_mm - other.lead_mm))


class StopWatch:
    """Compares places on the belt before and after a stop."""

    def __init__(self, belt_map: BeltMap) -> None:
        self._belt_map = belt_map
        self._stands = False
        self._now: dict[int, _Place] = {}
        self._before: dict[int, _Place] = {}

    def hear(self, report: LineReport) -> None:
        """Take a state of the line."""
        stands = report.packml.upper() in STANDING
        if stands and not self._stands:
            self._before = dict(self._now)
        self._stands = stands

    def look(self, tracks: Sequence[Track], *, travel_mm: float | None) -> bool:
        """Take the tracks of one frame; tell whether it shows, after a restart, that parcels slipped."""
        if travel_mm is None:
            self._now = {}
            return False
        self._now = {
            track.track_id: self._place(track, travel_mm)
            for track in tracks
            if track.measured and track.state is TrackState.CONFIRMED
        }
        if self._stands or not self._before:
            return False
        live = {track.track_id for track in tracks if track.state is not TrackState.ENDED}
        seen = [(self._before[id_], place) for id_, place in self._now.items() if id_ in self._before]
        self._before = {id_: place for id_, place in self._before.items() if id_ in live and id_ not in self._now}
        return any(before.slipped_mm(place) > SLIP_MM for before, place in seen)

    def _place(self, track: Track, travel_mm: float) -> _Place:
        x1, y1, x2, y2 = track.looked_xyxy
        x, y = (x1 + x2) / 2.0, (y1 + y2) / 2.0
        along = [self._belt_map.point_mm(point)[0] for point in ((x1, y), (x2, y), (x, y1), (x, y2))]
        return _Place(min(along) - travel_mm, max(along) - travel_mm)
