"""Whether the line stood while nobody saw a parcel: on a belt of assumed speed its place is not known then.

An encoder counts through a stop; a set speed goes on in the mind alone, and would carry a parcel over the decision line
that still lies before it. Decided there, it would be decided again when it is seen to cross.

Contract: `hides` is a function of what was heard so far. It only ever withholds trust, and only where the PLC reports
its stops.
"""

from __future__ import annotations

from edge_sorter.belt import BeltMotion
from edge_sorter.belt.stop_watch import STANDING
from edge_sorter.events import LineReport
from edge_sorter.types import Track


class UnseenStop:
    """Remembers when the line stood last."""

    def __init__(self, motion: BeltMotion) -> None:
        self._motion = motion
        self._stands = False
        self._stood_ns: int | None = None

    def hear(self, report: LineReport) -> None:
        """Take a state of the line."""
        stands = report.packml.upper() in STANDING
        if stands or self._stands:
            self._stood_ns = report.at_ns
        self._stands = stands

    def hides(self, track: Track, at_ns: int) -> bool:
        """Tell whether the line has stood since a track was last seen, on a belt whose speed is only assumed."""
        if self._motion.ref(at_ns) != "SPEED":
            return False
        return self._stands or (self._stood_ns is not None and track.last_seen_ns <= self._stood_ns)
