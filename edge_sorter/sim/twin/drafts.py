"""What lies on a belt before anybody says where it should go, and what a photo-eye makes of it as it was laid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

EYE_MM = 10.0
"""A photo-eye does not see a gap smaller than this."""
FOREIGN = "foreign"
"""Class of what is no parcel."""


@dataclass(frozen=True, slots=True)
class Draft:
    """One thing on the belt.

    Attributes:
        number: From 1, in the order of the file or the generator.
        class_name, size_mm, code: What it is; length, width, height.
        lead_mm, trail_mm, lateral_mm: Its ends and its middle before the belt moved.
        weight_kg: None where nobody drew it.
    """

    number: int
    class_name: str
    size_mm: tuple[float, float, float]
    code: str | None
    lead_mm: float
    trail_mm: float
    lateral_mm: float
    weight_kg: float | None = None


@dataclass(frozen=True, slots=True)
class Stretch:
    """Belt that a photo-eye sees covered without a gap, as it was laid: one item for the PLC, whatever lies there."""

    lead_mm: float
    trail_mm: float
    parcels: tuple[int, ...]
    """Indices into the traffic."""


def stretches_of(drafts: Sequence[Draft]) -> tuple[Stretch, ...]:
    """Join what follows one another without a gap an eye could see; drafts come foremost first."""
    found: list[Stretch] = []
    for i, draft in enumerate(drafts):
        if found and draft.lead_mm > found[-1].trail_mm - EYE_MM:
            last = found[-1]
            found[-1] = Stretch(last.lead_mm, min(last.trail_mm, draft.trail_mm), (*last.parcels, i))
        else:
            found.append(Stretch(draft.lead_mm, draft.trail_mm, (i,)))
    return tuple(found)
