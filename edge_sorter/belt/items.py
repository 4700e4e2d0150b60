"""The PLC's items: which of its indices is which place on the belt, by the counts of its photo-eye.

A place that rides with the belt is `x - travel`: it stays the same as long as a parcel stands still on the belt, for
the photo-eye, for the scanner and for the camera alike. All matching is done in it.

Contract: `claim` gives an item to one parcel only, and to nobody where two would fit. What nobody claimed comes out of
`overdue` once, after its parcel must have crossed the decision line. Memory is bounded by `KEPT`.
"""

from __future__ import annotations

from collections import OrderedDict
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
    """One parcel of the PLC: index and place; its trailing end is not known before it has passed the eye."""

    plc_index: int
    lead_mm: float
    trail_mm: float | None
    settled: bool = False
    missed: bool = False

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
        at_mm: Belt coordinate of the eye.
        tolerance_mm: How far eye and camera may differ about one parcel.
        eye: Its name; items of others are not heard.
    """

    def __init__(self, motion: EncoderMotion, *, at_mm: float, tolerance_mm: float, eye: str) -> None:
        self._motion = motion
        self._at_mm = at_mm
        self._tolerance_mm = tolerance_mm
        self._eye = eye
        self._items: OrderedDict[int, Item] = OrderedDict()

    def hear(self, heard: PlcItem) -> None:
        """Take an item, or the second edge of one. An index that comes again elsewhere is another parcel's."""
        lead_mm = self._place(heard.lead_count)
        if heard.eye != self._eye or lead_mm is None:
            return
        trail_mm = None if heard.trail_count is None else self._place(heard.trail_count)
        if trail_mm is not None and trail_mm >= lead_mm:
            trail_mm = None
        item = self._items.get(heard.plc_index)
        if item is not None and abs(item.lead_mm - lead_mm) <= self._tolerance_mm:
            item.trail_mm = item.trail_mm if trail_mm is None else trail_mm
            return
        self._items.pop(heard.plc_index, None)
        self._items[heard.plc_index] = Item(heard.plc_index, lead_mm, trail_mm)
        if len(self._items) > KEPT:
            self._items.popitem(last=False)

    def claim(self, span: Span, *, travel_mm: float, speed_mm_s: float) -> Claim:
        """Find the item of a parcel that is being decided, and settle every item that lies within it.

        Args:
            span: Where the parcel rides.
            travel_mm, speed_mm_s: The present travel and speed of the belt.
        """
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
        item = self._items.get(plc_index)
        return None if item is None else item.span

    def overdue(self, *, line_mm: float, travel_mm: float) -> list[Item]:
        """Return items nobody claimed although they are past the decision line and as much again as the tolerance."""
        found = []
        for item in self._items.values():
            end_mm = item.lead_mm if item.trail_mm is None else item.trail_mm
            if not item.settled and end_mm + travel_mm > line_mm + 2.0 * self._tolerance_mm:
                item.settled = item.missed = True
                found.append(item)
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
