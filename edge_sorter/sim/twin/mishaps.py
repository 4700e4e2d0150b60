"""What goes wrong on the belt of a simulated line: parcels that slide or get stuck, things that are none, hands.

Contract: everything is drawn from generators of its own, so that the parcels of a seed lie where they lay without
mishaps; a share of nothing draws nothing. Places are belt coordinates, times are world time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from edge_sorter.sim.line import BELT_WIDTH_MM, SLIDING
from edge_sorter.sim.twin.drafts import FOREIGN, Draft, stretches_of
from edge_sorter.sim.twin.layout import SimPlcConfig, TrafficSection

BEFORE_MM = 400.0
"""Parcels slide and get stuck from so far before the photo-eye or the decision line to the end of the belt."""
FOREIGN_SIDE_MM, FOREIGN_HEIGHT_MM, FOREIGN_KG = (40.0, 150.0), (5.0, 80.0), (0.05, 1.0)
FREE_MM = 60.0
"""Belt that stays free on either side of a foreign object."""
HAND_S = (0.1, 0.5)
"""How long a hand is in the photo-eye's beam."""


@dataclass(frozen=True, slots=True)
class Slip:
    """A parcel falls behind the belt: it slides, or is stuck (`rate` 1).

    Attributes:
        parcel: Index into the traffic.
        at_mm: Where its middle is when that begins.
        by_mm: How far it falls behind.
        rate: Lost share of the belt's travel meanwhile.
    """

    parcel: int
    at_mm: float
    by_mm: float
    rate: float


@dataclass(frozen=True, slots=True)
class Hand:
    """A hand in the photo-eye's beam."""

    begin_s: float
    end_s: float


def with_foreign(drafts: Sequence[Draft], share: float, seed: int) -> list[Draft]:
    """Lay foreign objects into a share of the gaps, where they fit."""
    if not share:
        return list(drafts)
    rng = _rng(seed, 4)
    stretches, found = stretches_of(sorted(drafts, key=lambda draft: -draft.lead_mm)), list(drafts)
    for ahead, behind in pairwise(stretches):
        drawn, at, lateral, heavy = rng.random(4).tolist()
        length, width = rng.uniform(*FOREIGN_SIDE_MM, 2).round(1).tolist()
        room_mm = ahead.trail_mm - behind.lead_mm - length - 2.0 * FREE_MM
        if drawn >= share or room_mm < 0.0:
            continue
        lead_mm = ahead.trail_mm - FREE_MM - at * room_mm
        found.append(
            Draft(
                number=len(found) + 1,
                class_name=FOREIGN,
                size_mm=(length, width, round(float(rng.uniform(*FOREIGN_HEIGHT_MM)), 1)),
                code=None,
                lead_mm=lead_mm,
                trail_mm=lead_mm - length,
                lateral_mm=round(width + lateral * (BELT_WIDTH_MM - 2.0 * width), 1),
                weight_kg=round(FOREIGN_KG[0] + heavy * (FOREIGN_KG[1] - FOREIGN_KG[0]), 2),
            )
        )
    return found


def draw_slips(config: SimPlcConfig, section: TrafficSection, drafts: Sequence[Draft]) -> tuple[Slip, ...]:
    """Draw which parcels slide and which get stuck, and where; drafts come foremost first."""
    if not section.slides and not section.jams:
        return ()
    rng, count = _rng(config.seed, 5), len(drafts)
    slides, jams = rng.random(count) < section.slides, rng.random(count) < section.jams
    slid_mm, rate = rng.uniform(*section.slide_mm, count), rng.uniform(*SLIDING, count)
    stuck_mm = rng.uniform(*section.jam_mm, count)
    first_mm = min(config.photo_eye.at_mm, config.decision_line_mm) - BEFORE_MM
    at_mm = rng.uniform(first_mm, config.straight_on.at_mm, count)
    slips = []
    for stretch in stretches_of(drafts):
        i = stretch.parcels[0]
        if len(stretch.parcels) > 1 or drafts[i].class_name == FOREIGN:
            continue
        if jams[i]:
            slips.append(Slip(i, float(at_mm[i]), float(stuck_mm[i]), 1.0))
        elif slides[i]:
            slips.append(Slip(i, float(at_mm[i]), float(slid_mm[i]), float(rate[i])))
    return tuple(slips)


def draw_hands(per_hour: float, seed: int, *, until_s: float) -> tuple[Hand, ...]:
    """Draw when a hand is in the photo-eye's beam."""
    if not per_hour:
        return ()
    rng = _rng(seed, 6)
    begin = np.sort(rng.uniform(0.0, until_s, rng.poisson(per_hour * until_s / 3600.0)))
    return tuple(Hand(at, at + span) for at, span in zip(begin.tolist(), rng.uniform(*HAND_S, len(begin)), strict=True))


def _rng(seed: int, part: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, part, 5])))
