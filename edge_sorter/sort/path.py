"""What the router remembers of one live track on its way to the decision line.

Contract: plain state; the router writes it, `parts` reads it.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge_sorter.belt import Crossing
from edge_sorter.sort.footprint import Trail
from edge_sorter.types import Reason


@dataclass(slots=True)
class Path:
    """The last believed anchor of a track, and what has become of it.

    Attributes:
        anchor_px, at_ns, travel_mm: Where the centre was last believed to be, when, and the belt's travel then.
        trail: Its measured boxes.
        began_past: First seen past the line.
        confirmed: Believed by the tracker at least once.
        settled: Decided, or never to be.
        crossing, crossing_travel_mm: Where it crossed, and the belt's travel then.
        guess: A crossing that only a prediction speaks for.
        part_of: Ids of the tracks whose parcel this may be a part of.
        stray: The same track, once it was seen where the decided parcel is not; see `Router._stray`.
        flushed: Why it is not trusted any more.
        at_start: It was in view when this run began to look, so that a run before may have decided it.
        taken_over: The track followed another parcel before, whose evidence it still carries.
    """

    anchor_px: tuple[float, float]
    at_ns: int
    travel_mm: float | None
    trail: Trail
    began_past: bool
    confirmed: bool = False
    settled: bool = False
    crossing: Crossing | None = None
    crossing_travel_mm: float | None = None
    guess: Crossing | None = None
    part_of: tuple[int, ...] = ()
    stray: Path | None = None
    flushed: Reason | None = None
    at_start: bool = False
    taken_over: bool = False
