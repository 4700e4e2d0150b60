"""Parcels that no frame comes for in time: lost pictures, a camera that went blind, a frame that is late on its way.

Contract: functions of what was seen and of the belt's travel since; nothing is changed. A parcel on a belt of known
motion is where the belt has taken it, seen or not, so its crossing is as sure as its last look. It is decided on that
only when the time left to its diverter runs out: until then the next frame may still add to the evidence.
"""

from __future__ import annotations

from typing import NamedTuple

from edge_sorter.belt import Belt, Crossing, DecisionLine
from edge_sorter.sort.path import Path
from edge_sorter.types import Parcel, TrackState

RESERVE_NS = 150_000_000
"""Time left to a deadline from which on no frame is waited for: three rounds of a main loop without one."""


class Predicted(NamedTuple):
    """A crossing that no frame has shown: where and when, and the belt's travel then."""

    crossing: Crossing
    travel_mm: float

    @property
    def met(self) -> tuple[int, float]:
        """Time and belt travel of the crossing."""
        return self.crossing.at_ns, self.travel_mm


def predicted(
    parcel: Parcel, path: Path, *, line: DecisionLine, belt: Belt, at_ns: int, travel_mm: float
) -> Predicted | None:
    """Return where a parcel crossed between its last frame and a later moment, or None where it did not.

    Args:
        parcel, path: The parcel as the last frame left it.
        line, belt: Where all of it is.
        at_ns, travel_mm: The moment, and the belt's travel then.
    """
    unsettled = path.confirmed and not (path.settled or path.began_past or path.crossing)
    if not unsettled or parcel.track.state is TrackState.ENDED or belt.map is None or path.travel_mm is None:
        return None
    moved_mm = travel_mm - path.travel_mm
    if at_ns <= path.at_ns or line.side(path.anchor_px) + moved_mm < 0.0:
        return None
    anchor = line.anchor(belt.map.shift(parcel.track.xyxy, moved_mm))
    crossing = line.crossing(path.anchor_px, path.at_ns, anchor, at_ns)
    return None if crossing is None else Predicted(crossing, path.travel_mm + crossing.fraction * moved_mm)
