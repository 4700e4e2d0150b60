"""Which parcels were in view at the start, and which of them are known again and need not go to the exception lane.

Contract: both answers err on the side of the exception lane. A parcel was in view also where the model missed it in the
first pictures and the belt's motion says that it was there. `RestartMemory.knows` is a pure question about what was
heard so far, and says no in every doubt. Known is a parcel that the PLC knows (one item lies where it lies, and is as
long), of which a code was read, and of which the runs before decided neither index nor code. Where nobody can tell what
those decided, nothing is known.
"""

from __future__ import annotations

from edge_sorter.belt import Belt
from edge_sorter.belt.items import Claim
from edge_sorter.events import DecidedBefore
from edge_sorter.types import Parcel, Track


class FirstView:
    """What lay in the picture when this run began to look.

    Attributes:
        began_mm: The belt's travel at the first picture with a known one.
    """

    def __init__(self, belt: Belt) -> None:
        self.began_mm: float | None = None
        self._belt = belt

    def held(self, track: Track, travel_mm: float | None) -> bool:
        """Tell whether a track that begins now was in view already, seen or not."""
        if track.in_view_at_start or self._belt.map is None or travel_mm is None or self.began_mm is None:
            return track.in_view_at_start
        x_mm = self._belt.map.point_mm(self._belt.line.anchor(track.xyxy))[0]
        return x_mm - (travel_mm - self.began_mm) >= self._belt.map.entry_mm


class RestartMemory:
    """What the runs before decided, as the line events tell it."""

    def __init__(self) -> None:
        self._indices: frozenset[int] | None = None
        self._codes: frozenset[str] = frozenset()

    def hear(self, event: DecidedBefore) -> None:
        """Take what was decided before this run."""
        self._indices, self._codes = frozenset(event.plc_indices), frozenset(event.codes)

    def knows(self, parcel: Parcel, claim: Claim) -> bool:
        """Tell whether a parcel in view at the start is surely one that nobody has decided yet."""
        if self._indices is None or claim.plc_index is None or claim.length_differs is not False:
            return False
        texts = {code.text for code in parcel.codes}
        undecided = claim.plc_index not in self._indices and not texts & self._codes
        return bool(texts) and "CODE_CONFLICT" not in parcel.flags and undecided
