"""What the PLC's photo-eye says of the parcels that are decided: its index for them, and what does not add up.

Contract: a pure book-keeper beside `Dispatch`: it says what is known, deciding stays there. A parcel that the eye has
not seen is UNEXPECTED, an item that no camera saw is missed, and lengths that differ on two parcels in a row mean that
eye and camera do not speak of the same parcels any more.
"""

from __future__ import annotations

from typing import NamedTuple

from edge_sorter.belt import Belt, EncoderMotion
from edge_sorter.belt.items import Claim, Item, ItemBook, Span
from edge_sorter.config import PhotoEyeSection
from edge_sorter.events import PlcItem
from edge_sorter.types import BeltPosition, Parcel, Track, TrackState

IN_A_ROW = 2
"""So many differing lengths one after another are no accident."""


class Missed(NamedTuple):
    """An item that no camera saw, as what little is known of it."""

    plc_index: int
    parcel: Parcel
    position: BeltPosition
    crossed_mm: float


class PlcItems:
    """The items of one line, and what became of them.

    Attributes:
        book: Where they are.
        section: What to do about those that do not match.
        matched, unexpected, missed: How many parcels have an index, how many the PLC did not know, and how many items
            no camera saw.
        mismatched: Whether lengths differed, and have not agreed since.
    """

    def __init__(self, section: PhotoEyeSection, *, belt: Belt, book: ItemBook) -> None:
        self.book = book
        self.section = section
        self.matched = self.unexpected = self.missed = 0
        self._belt = belt
        self._line_mm = _line_mm(belt)
        self._differing = 0
        self.mismatched = False

    def hear(self, item: PlcItem) -> None:
        """Take an item."""
        self.book.hear(item)

    def claim(self, position: BeltPosition, *, at_ns: int) -> Claim:
        """Return what the PLC knows of a parcel at the line; nothing where its place is not known by counts."""
        travel_mm, speed_mm_s = self._belt.motion.travel_mm(at_ns), self._belt.motion.speed_mm_s(at_ns)
        if position.lead_count is None or position.lead_mm is None or position.trail_mm is None or travel_mm is None:
            return Claim()
        line_mm = _x_mm(self._belt, position.center_px)
        span = Span(line_mm - position.trail_mm, line_mm - position.lead_mm)
        claim = self.book.claim(span, travel_mm=travel_mm, speed_mm_s=speed_mm_s or 0.0)
        self.matched += claim.plc_index is not None
        self.unexpected += claim.unexpected
        if claim.length_differs is not None:
            self._differing = self._differing + 1 if claim.length_differs else 0
            self.mismatched &= claim.length_differs
        return claim

    def take_mismatch(self) -> bool:
        """Tell, once, that lengths differed on too many parcels in a row."""
        if self._differing < IN_A_ROW:
            return False
        self._differing, self.mismatched = 0, True
        return True

    def take_missed(self, at_ns: int) -> list[Missed]:
        """Return, once each, the items that no camera saw."""
        travel_mm = self._belt.motion.travel_mm(at_ns)
        if travel_mm is None:
            return []
        found = self.book.overdue(travel_mm)
        self.missed += len(found)
        return [self._missed(item, at_ns) for item in found]

    def _missed(self, item: Item, at_ns: int) -> Missed:
        motion = self._belt.motion
        lead_at_mm, trail_at_mm = round(self._line_mm - item.lead_mm, 1), round(self._line_mm - item.end_mm, 1)
        (ax, ay), (bx, by) = self._belt.line.ends_px
        position = BeltPosition(
            motion.ref(at_ns),
            lead_at_mm,
            trail_at_mm,
            None,
            (round((ax + bx) / 2.0, 2), round((ay + by) / 2.0, 2)),
            motion.count_at(lead_at_mm),
            motion.count_at(trail_at_mm),
        )
        track = Track(0, TrackState.ENDED, at_ns, (0.0, 0.0, 0.0, 0.0), (0.0, 0.0), False, 0.0, -1, 0, at_ns, at_ns)
        return Missed(item.plc_index, Parcel(track, "", 0.0), position, (lead_at_mm + trail_at_mm) / 2.0)


def _x_mm(belt: Belt, point_px: tuple[float, float]) -> float:
    assert belt.map is not None  # a photo-eye needs an encoder, and that a calibration
    return belt.map.point_mm(point_px)[0]


def _line_mm(belt: Belt) -> float:
    (ax, ay), (bx, by) = belt.line.ends_px
    return _x_mm(belt, ((ax + bx) / 2.0, (ay + by) / 2.0))


def open_items(section: PhotoEyeSection | None, *, belt: Belt) -> PlcItems | None:
    """Return the items of the configured photo-eye, or None without one."""
    if section is None or not isinstance(belt.motion, EncoderMotion):
        return None
    book = ItemBook(
        belt.motion,
        at_mm=section.at_mm,
        line_mm=_line_mm(belt),
        tolerance_mm=section.tolerance_mm,
        eye=section.eye,
    )
    return PlcItems(section, belt=belt, book=book)
