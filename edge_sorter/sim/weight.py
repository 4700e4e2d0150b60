"""What parcels weigh: from their kind and size, within what conveyors take.

Contract: a pure function of what is drawn elsewhere; whoever draws uses a generator of its own, so that a line has the
same parcels in the same places with or without weights.
"""

from __future__ import annotations

LEAST_KG, MOST_KG = 0.05, 31.5
"""A letter-like mailer, and the heaviest parcel of the common carriers."""
DENSITY_KG_L = {
    "carton": (0.06, 0.45),
    "polybag": (0.05, 0.25),
    "mailer": (0.08, 0.50),
    "tube": (0.08, 0.35),
    "sack": (0.06, 0.30),
    "tote": (0.06, 0.30),
    "irregular": (0.08, 0.35),
}
"""Mass over the volume of the box around a parcel: chosen so that carriers' 0.2 kg/l (5000 cm3 for a kilogram) lies in
each; not measured."""


def weight_kg(kind: str, size_mm: tuple[float, float, float], share: float) -> float:
    """Return the weight of a parcel, to 10 g.

    Args:
        kind: Its class, or the name of its kind.
        size_mm: Length, width and height.
        share: Where in its kind's range of densities it lies, 0 to 1; even shares make light ones common.
    """
    low, high = DENSITY_KG_L[kind]
    litres = size_mm[0] * size_mm[1] * size_mm[2] / 1e6
    density: float = low * (high / low) ** share
    return round(min(max(litres * density, LEAST_KG), MOST_KG), 2)
