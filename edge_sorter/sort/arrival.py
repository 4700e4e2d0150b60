"""What the geometry of tracks hands to the sort plan: a parcel at the decision line."""

from __future__ import annotations

from typing import NamedTuple

from edge_sorter.sort.verdict import Evidence
from edge_sorter.types import BeltPosition


class Arrival(NamedTuple):
    """A parcel at the decision line.

    Attributes:
        evidence: What is known of it.
        crossed_ns: When it crossed.
        captured_ns: Time of the frame that made it due.
        speed_mm_s: How fast it goes, or None when unknown.
        position: Where it is.
        crossed_mm: Belt travel when it crossed, or None without an encoder.
        plc_index: The PLC's number of it, or None.
        hangs_on: Parcels by uid that were decided before, and cannot be sorted apart from it.
    """

    evidence: Evidence
    crossed_ns: int
    captured_ns: int
    speed_mm_s: float | None
    position: BeltPosition
    crossed_mm: float | None = None
    plc_index: int | None = None
    hangs_on: tuple[str, ...] = ()
