"""Boxes as a detector of the simulated line gives them: columns, whose each is, and how sure it is.

Contract: all columns of `Rows` are of one length; box after box, in no order of frames until `measure` has sorted them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from edge_sorter.sim.line import Floats, Ints, Parcels
from edge_sorter.sim.looks import Bools

HIGH_CONFIDENCE = 0.5
LOW_CONFIDENCE = 0.1
NOBODY, SEVERAL = -1, -2
"""Source of a false box, and of one around two parcels."""


@dataclass(frozen=True, slots=True)
class Rows:
    """m boxes as columns: frame number, whose it is, xyxy px, confidence, class."""

    frame: Ints
    source: Ints
    xyxy: Floats
    confidence: Floats
    class_id: Ints

    def where(self, index: Bools | Ints) -> Rows:
        """Return the rows picked."""
        return Rows(*(getattr(self, f.name)[index] for f in fields(self)))

    def joined(self, other: Rows) -> Rows:
        """Return these rows followed by those of `other`."""
        return Rows(*(np.concatenate((getattr(self, f.name), getattr(other, f.name))) for f in fields(self)))


def draw_confidence(rng: np.random.Generator, sure: Bools) -> Floats:
    """Draw a confidence for each box, high for the sure ones."""
    drawn = rng.random(len(sure))
    return np.where(
        sure, HIGH_CONFIDENCE + 0.02 + (0.97 - HIGH_CONFIDENCE) * np.sqrt(drawn), LOW_CONFIDENCE + 0.38 * drawn
    )


def count_by_parcel(source: Ints, parcels: Parcels) -> Ints:
    """Return how many boxes or looks each parcel has; those of nobody are left out."""
    return np.bincount(source[source >= 0], minlength=len(parcels))
