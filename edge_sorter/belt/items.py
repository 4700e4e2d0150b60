"""The PLC's items: which of its indices is which place on the belt, by the counts of its photo-eye.

A place that rides with the belt is `x - travel`: it stays the same as long as a parcel stands still on the belt, for
the photo-eye, for the scanner and for the camera alike. All matching is done in it.

Contract: `claim` gives an item to one parcel only, and to nobody where two would fit. What nobody claimed comes out of
`overdue` once, after its parcel must have crossed the decision line. Memory is bounded by `KEPT`.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import NamedTuple

from edge_sorter.belt.motion import EncoderMotion
from edge_sorter.events import PlcItem

KEPT = 256
"""More parcels than lie between a photo-eye and the last diverter."""
MISMATCH_SHARE, MISMATCH_MM = 0.15, 50.0
"""Lengths differ that differ by more than both."""
LATENCY_S = 0.2
"""An item may come so long after its parcel passed the eye."""


class Span(NamedTuple):
    """Where a parcel's two ends ride on the belt, mm."""

    trail_mm: float
    lead_mm: float

    @property
    def middle_mm(self) -> float:
        """The place of its middle."""
        return (self.trail_mm + self.lead_mm) / 2.0

    @property
    def length_mm(self) -> float:
        """Its length along travel."""
        return self.lead_mm - self.trail_mm


@dataclass(slots=True)
class Item:
    """One parcel of the PLC: index and place; its trailing end is not known before it has passed the eye.

    Attributes:
        plc_index, lead_mm, trail_mm: What the PLC told.
        settled: Claimed, or given up.
        missed: Given up as one that no camera saw.
        late: Told when it was past the decision line already, so that nobody can say whether a camera saw it.
    """

    plc_index: int
    lead_mm: float
    trail_mm: float | None
    settled: bool = False
    missed: bool = False
    late: bool = False

    @property
    def end_mm(self) -> float:
        """Its last edge, as far as that is known."""
        return self.lead_mm if self.trail_mm is None else self.trail_mm

    @property
    def span(self) -> Span | None:
        """Both ends, once they are known."""
        return None if self.trail_mm is None else Span(self.trail_mm, self.lead_mm)


class Claim(NamedTuple):
    """What the PLC knows of a parcel.

    Attributes:
        plc_index: Its index, or None.
        unexpected: The eye must have seen it and the PLC knows nothing of it.
        missed: It came out of `overdue` before, so it was taken care of as an item that no camera saw.
        length_differs: The eye's length is not the camera's; None where one of them is not known.
    """

    plc_index: int | None = None
    unexpected: bool = False
    length_differs: bool | None = None
    missed: bool = False


class ItemBook:
    """Items of one photo-eye on a belt with an encoder.

    Args:
        motion: Translates counts into travel.
        at_mm, line_mm: Belt coordinates of the eye and of the decision line.
        tolerance_mm: How far eye and camera may differ about one parcel.
        eye: Its name; items of others are not heard.
    """

    def __init__(self, motion: EncoderMotion, *, at_mm: float, line_mm: float, tolerance_mm: float, eye: str) -> None:
        self._motion = motion
        self._at_mm, self._line_mm = at_mm, line_mm
        self._tolerance_mm = tolerance_mm
        self._eye = eye
        self._items: OrderedDict[int, Item] = OrderedDict()
        self._early: deque[PlcItem] = deque(maxlen=KEPT)

    def hear(self, heard: PlcItem) -> None:
        """Take an item, or the second edge of one. An index that comes again elsewhere is another parcel's.

        One that comes before the first sample of the encoder, as after a start, waits for that.
        """
        if heard.eye != self._eye:
            return
        self._early.append(heard)
        self._catch_up()

    def _catch_up(self) -> None:
        while self._early and self._motion.newest_ns is not None:
            self._take(self._early.popleft())

    def _take(self, heard: PlcItem) -> None:
        lead_mm, now_mm = self._place(heard.lead_count), self._motion.travel_mm(self._motion.newest_ns or 0)
        if lead_mm is None or now_mm is None:
            return
        trail_mm = None if heard.trail_count is None else self._place(heard.trail_count)
        if trail_mm is not None and trail_mm >= lead_mm:
            trail_mm = None
        item = self._items.get(heard.plc_index)
        if item is not None and abs(item.lead_mm - lead_mm) <= self._tolerance_mm:
            item.trail_mm = item.trail_mm if trail_mm is None else trail_mm
            return
        self._items.pop(heard.plc_index, None)
        item = self._items[heard.plc_index] = Item(heard.plc_index, lead_mm, trail_mm)
        item.late = item.end_mm + now_mm > self._line_mm
        if len(self._items) > KEPT:
            self._items.popitem(last=False)

    def claim(self, span: Span, *, travel_mm: float, speed_mm_s: float) -> Claim:
        """Find the item of a parcel that is being decided, and settle every item that lies within it.

        Args:
            span: Where the parcel rides.
            travel_mm, speed_mm_s: The present travel and speed of the belt.
        """
        self._catch_up()
        near = [item for item in self._items.values() if not item.settled and self._fits(item, span)]
        late = [item for item in self._items.values() if item.missed and self._fits(item, span)]
        if late and not near:
            late[0].missed = False
            return Claim(late[0].plc_index, missed=True)
        for item in self._items.values():
            middle_mm = item.lead_mm if item.span is None else item.span.middle_mm
            if item in near or span.trail_mm <= middle_mm <= span.lead_mm:
                item.settled = True
        if len(near) == 1:
            return Claim(near[0].plc_index, length_differs=_differs(near[0].span, span))
        seen_mm = self._at_mm - span.trail_mm + self._tolerance_mm + LATENCY_S * max(speed_mm_s, 0.0)
        return Claim(unexpected=not near and travel_mm > seen_mm)

    def span_of(self, plc_index: int) -> Span | None:
        """Return where an item rides, or None where that is not known (yet)."""
        self._catch_up()
        item = self._items.get(plc_index)
        return None if item is None else item.span

    def overdue(self, travel_mm: float) -> list[Item]:
        """Return items nobody claimed although they are past the decision line and as much again as the tolerance."""
        self._catch_up()
        past_mm = self._line_mm + 2.0 * self._tolerance_mm - travel_mm
        found = [item for item in self._items.values() if not (item.settled or item.late) and item.end_mm > past_mm]
        for item in found:
            item.settled = item.missed = True
        return found

    def _place(self, count: int) -> float | None:
        travel_mm = self._motion.travel_of(count)
        return None if travel_mm is None else self._at_mm - travel_mm

    def _fits(self, item: Item, span: Span) -> bool:
        own = item.span
        apart_mm = item.lead_mm - span.lead_mm if own is None else own.middle_mm - span.middle_mm
        return abs(apart_mm) <= self._tolerance_mm


def _differs(eye: Span | None, camera: Span) -> bool | None:
    if eye is None:
        return None
    apart_mm = abs(eye.length_mm - camera.length_mm)
    return apart_mm > MISMATCH_MM and apart_mm > MISMATCH_SHARE * eye.length_mm
