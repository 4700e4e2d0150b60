"""What a detector sees of an open tote: mostly not the tote, but the things that lie in it.

Contract: which totes these are, what lies in them and where is drawn once for each parcel; which of it is found, and
how surely, for every look.
"""

from __future__ import annotations

import numpy as np

from edge_sorter.sim.boxes import Rows
from edge_sorter.sim.kinds import OPENS_OF
from edge_sorter.sim.line import Parcels
from edge_sorter.sim.scenario import CLASSES

MOST = 4
"""So many things in a tote are seen at most."""
SIDE = (0.3, 0.7)
"""Side of a thing as a share of the tote's box."""
FOUND, SURE = 0.75, 0.6
"""Share of looks at which a thing in a tote is found, and of these the share above the threshold."""
CALLED = {"carton": 0.65, "sack": 0.16, "mailer": 0.13, "tube": 0.06}
HIGH, LOW = (0.25, 0.45), (0.10, 0.24)
"""Confidences of sure and of other finds, as shares of the way from the threshold to 1, and of 1."""


def show_goods(rng: np.random.Generator, rows: Rows, parcels: Parcels, *, threshold: float) -> Rows:
    """Put boxes of the goods in the place of boxes around some totes.

    Args:
        rng: Source of numbers.
        rows: The looks, each with a box around its whole parcel.
        parcels: What is looked at.
        threshold: Confidence from which on a box is sure.
    """
    count = len(parcels)
    opened = rng.random(count) < OPENS_OF[parcels.kind]
    things = rng.integers(1, MOST + 1, count)
    side = rng.uniform(*SIDE, (count, MOST, 2))
    corner = rng.random((count, MOST, 2)) * (1.0 - side)
    class_id = rng.choice([CLASSES.index(name) for name in CALLED], (count, MOST), p=list(CALLED.values()))
    hit = np.flatnonzero((rows.source >= 0) & opened[rows.source])
    kept = np.ones(len(rows.frame), bool)
    kept[hit] = False
    shown = rows.where(kept)
    for number in range(MOST):
        found = hit[(things[rows.source[hit]] > number) & (rng.random(len(hit)) < FOUND)]
        one = rows.where(found)
        whose, sides = one.source, one.xyxy[:, 2:] - one.xyxy[:, :2]
        one.xyxy[:, :2] += corner[whose, number] * sides
        one.xyxy[:, 2:] = one.xyxy[:, :2] + side[whose, number] * sides
        one.class_id[:] = class_id[whose, number]
        sure = rng.random(len(found)) < SURE
        way, low = rng.uniform(*HIGH, len(found)), rng.uniform(*LOW, len(found))
        one.confidence[:] = np.where(sure, threshold + way * (1.0 - threshold), low)
        shown = shown.joined(one)
    return shown
