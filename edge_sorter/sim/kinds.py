"""The kinds of parcel on a simulated line: sizes, how common they are, and what the model calls those it does not know.

Contract: `KINDS` are drawn by share; `OTHERS` lie on the line only where a level or a layout asks for them, and draw
numbers only then. A kind is the truth; `class_id` of a parcel of `OTHERS` is what the detector takes it for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_sorter.sim.scenario import CLASSES

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Kind:
    """One sort of parcel.

    Attributes:
        class_name: Its class, or for `OTHERS` the name of the kind.
        share: How common it is among `KINDS`, or among `OTHERS` of its name.
        length_mm, width_mm, height_mm: Ranges.
        skew: It lies askew by so much of what others do.
        called: What a model without a class for it calls such a thing, and how often.
        wavers: Share of looks at which it is called anything of that anew, instead of what it was called at first.
        unsure: Share of looks at it below the detector's threshold.
        missed: Share of looks at which it is not found.
        opens: Share of such things of which a detector never sees the whole, but what lies in it (`goods`).
    """

    class_name: str
    share: float
    length_mm: Range
    width_mm: Range
    height_mm: Range
    skew: float = 1.0
    called: tuple[tuple[str, float], ...] = ()
    wavers: float = 0.0
    unsure: float = 0.0
    missed: float = 0.0
    opens: float = 0.0


KINDS = (  # ranges of the demo line; small and large cartons lie safely on either side of its plan's 400 mm
    Kind("carton", 0.30, (190, 280), (130, 180), (80, 140)),
    Kind("carton", 0.20, (470, 550), (290, 390), (190, 280)),
    Kind("polybag", 0.25, (290, 360), (200, 300), (50, 80)),
    Kind("mailer", 0.20, (270, 340), (200, 240), (19, 35)),
    Kind("tube", 0.05, (410, 460), (70, 110), (70, 110)),
)
SMALL = (0, 2, 3)
"""Kinds of which two fit beside one another on the belt."""

TOTE_CALLED = (("carton", 0.9), ("sack", 0.1))
IRREGULAR_CALLED = (("carton", 0.5), ("polybag", 0.4), ("sack", 0.1))
OTHERS = (  # looks as of the demo line's detector at rendered ones, docs/simulation.md
    Kind("tote", 0.6, (596, 604), (396, 404), (215, 325), 1.0, TOTE_CALLED, 0.1, 0.3, 0.1, 0.7),
    Kind("tote", 0.4, (396, 404), (296, 304), (165, 225), 1.0, TOTE_CALLED, 0.1, 0.3, 0.1, 0.7),
    Kind("irregular", 0.3, (550, 600), (550, 600), (185, 225), 0.2, IRREGULAR_CALLED, 0.4, 0.12, 0.01),
    Kind("irregular", 0.2, (280, 320), (280, 320), (280, 360), 0.2, IRREGULAR_CALLED, 0.4, 0.12, 0.01),
    Kind("irregular", 0.5, (420, 720), (240, 380), (150, 300), 1.0, IRREGULAR_CALLED, 0.4, 0.12, 0.01),
)
ALL = (*KINDS, *OTHERS)
CLASS_OF = np.array([CLASSES.index(k.class_name) if k.class_name in CLASSES else -1 for k in ALL])
SKEW_OF = np.array([k.skew for k in ALL])
RANGES_OF = np.array([[k.length_mm, k.width_mm, k.height_mm] for k in ALL])
OPENS_OF = np.array([k.opens for k in ALL])
_LOOKS_OF = np.array([(k.wavers, k.unsure, k.missed) for k in ALL])


def indices(class_name: str) -> Ints:
    """Return where in `ALL` the kinds of a name are."""
    return np.array([i for i, kind in enumerate(ALL) if kind.class_name == class_name])


def with_others(rng: np.random.Generator, kind: Ints, free: Bools, shares: dict[str, float]) -> Ints:
    """Put totes and irregular things in the place of other parcels.

    Args:
        rng: Source of numbers.
        kind: (n,) index into `ALL`.
        free: (n,) which may be replaced.
        shares: Share of all parcels by name.
    """
    drawn, of, after = rng.random(len(kind)), kind.copy(), 0.0
    for name, share in shares.items():
        rows = indices(name)
        which = rng.choice(rows, len(kind), p=[ALL[i].share for i in rows])
        of = np.where(free & (after <= drawn) & (drawn < after + share), which, of)
        after += share
    return of


def called_at_first(rng: np.random.Generator, kind: Ints) -> Ints:
    """Return what the model takes each parcel for (n,), index into `CLASSES`; known kinds are known."""
    known = CLASS_OF[kind]
    others = np.flatnonzero(known < 0)
    known[others] = _called(rng, kind[others])
    return known


def _called(rng: np.random.Generator, kind: Ints) -> Ints:
    drawn, called = rng.random(len(kind)), np.empty(len(kind), np.int64)
    for i in np.unique(kind).tolist():
        names, shares = zip(*ALL[i].called, strict=True)
        mine = kind == i
        row = np.searchsorted(np.cumsum(shares) / sum(shares), drawn[mine], side="right")
        called[mine] = np.array([CLASSES.index(name) for name in names])[np.minimum(row, len(names) - 1)]
    return called


def look_at(rng: np.random.Generator, kind: Ints, class_id: Ints) -> tuple[Bools, Bools, Ints]:
    """Return of looks (k,) which find nothing, which are unsure, and the class each gives.

    Args:
        rng: Source of numbers.
        kind: (k,) what is looked at, index into `ALL`; ordinary parcels stay as they are.
        class_id: (k,) what it would be called.
    """
    wavers, unsure, missed = _LOOKS_OF[kind].T
    again = rng.random(len(kind)) < wavers
    class_id = class_id.copy()
    class_id[again] = _called(rng, kind[again])
    return rng.random(len(kind)) < missed, rng.random(len(kind)) < unsure, class_id
