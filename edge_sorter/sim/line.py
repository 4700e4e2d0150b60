"""The simulated line itself: a belt that runs, ramps and stops, and the parcels on it, in millimetres.

Contract: `lay` and `drive` draw everything from the generator they are given, so that one seed is one line on any
machine; nothing here knows a pixel or a clock.

World as everywhere in `sim`: x along travel, y across the belt from its near edge, z up; a parcel is at
`start_mm + travel` along the belt, and "travel" is what a perfect encoder would have counted since time 0.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edge_sorter.sim.kinds import CLASS_OF, KINDS, RANGES_OF, SKEW_OF, SMALL, called_at_first, with_others
from edge_sorter.sim.levels import BeltKnobs, ParcelKnobs

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BELT_WIDTH_MM = 800.0
FIRST_START_MM = -800.0
"""Centre of the first parcel at time 0: out of the picture, upstream."""
SINGLE, DOUBLE, SIDE_BY_SIDE, JAMMED, STACKED = 0, 1, 2, 3, 4
SLIDE_FROM_MM, JAM_AT_MM = (100.0, 750.0), (200.0, 850.0)
"""Where parcels begin to slide, and where they get stuck: in view, and on the belt again well before the line."""
SLIDING = (0.4, 0.8)
"""What slides falls behind by this share of the belt's travel; what is stuck, by all of it."""
FEW_MM = 20.0
"""Least distance between parcels side by side, and from the belt's edge."""


@dataclass(frozen=True, slots=True)
class Parcels:
    """n parcels as columns, in the order they come.

    Attributes:
        kind: (n,) index into `kinds.ALL`: what it is.
        class_id: (n,) index into `CLASSES`: what it is called; of a kind without a class, what it is taken for.
        size_mm: (n, 3) length, width, height.
        skew_rad: (n,) turn of the length against travel.
        start_mm: (n,) centre along the belt at travel 0.
        lateral_mm: (n,) centre across the belt.
        reach_mm: (n, 2) half the extent along and across the belt.
        group: (n,) SINGLE, DOUBLE, SIDE_BY_SIDE, STACKED, or JAMMED: stuck and now touching another.
        partner: (n,) the other parcel of its double, pair or stack, or -1; of a stack the upper one has the next row.
        base_mm: (n,) how high its bottom lies.
        slip_mm: (n, 3) belt travel at which it begins to fall behind the belt, over which it does, and by how much.
    """

    kind: Ints
    class_id: Ints
    size_mm: Floats
    skew_rad: Floats
    start_mm: Floats
    lateral_mm: Floats
    reach_mm: Floats
    group: Ints
    partner: Ints
    base_mm: Floats
    slip_mm: Floats

    def __len__(self) -> int:
        return len(self.kind)

    def corners_mm(self) -> Floats:
        """Return the eight corners (n, 8, 3) of each parcel at travel 0."""
        signs = np.array([[i, j] for i in (-0.5, 0.5) for j in (-0.5, 0.5)])
        flat = self.size_mm[:, None, :2] * signs
        cos, sin = np.cos(self.skew_rad)[:, None], np.sin(self.skew_rad)[:, None]
        x = cos * flat[..., 0] - sin * flat[..., 1] + self.start_mm[:, None]
        y = sin * flat[..., 0] + cos * flat[..., 1] + self.lateral_mm[:, None]
        base = np.broadcast_to(self.base_mm[:, None], x.shape)
        low = np.stack((x, y, base), axis=2)
        high = np.stack((x, y, base + self.size_mm[:, 2:]), axis=2)
        return np.concatenate((low, high), axis=1)

    def slipped_mm(self, index: Ints, travel_mm: Floats) -> Floats:
        """Return how far parcels (k,) have fallen behind the belt when it has travelled so far (k,)."""
        begin, over, most = self.slip_mm[index].T
        return np.clip((travel_mm - begin) / over, 0.0, 1.0) * most


def lay(rng: np.random.Generator, knobs: ParcelKnobs, count: int) -> Parcels:
    """Lay parcels on the belt one behind the other, some of them touching or beside the one before."""
    group = np.zeros(count, np.int64)
    partner = np.full(count, -1, np.int64)
    drawn = rng.random(count)
    for i in range(1, count):
        if partner[i - 1] < 0 and drawn[i] < knobs.doubles + knobs.side_by_side:
            group[i - 1] = group[i] = DOUBLE if drawn[i] < knobs.doubles else SIDE_BY_SIDE
            partner[i - 1], partner[i] = i, i - 1
    kind = rng.choice(len(KINDS), count, p=[kind.share for kind in KINDS])
    small = rng.choice(SMALL, count)
    beside = group == SIDE_BY_SIDE
    kind = np.where(beside, small, kind)
    class_id = CLASS_OF[kind]
    if knobs.totes or knobs.irregular:
        kind = with_others(rng, kind, ~beside, {"tote": knobs.totes, "irregular": knobs.irregular})
        class_id = called_at_first(rng, kind)
    ranges = RANGES_OF[kind]
    size = ranges[..., 0] + rng.random((count, 3)) * (ranges[..., 1] - ranges[..., 0])
    skew = np.deg2rad(knobs.skew_deg) * rng.uniform(-1.0, 1.0, count) * np.where(beside, 0.2, SKEW_OF[kind])
    cos, sin = np.abs(np.cos(skew)), np.abs(np.sin(skew))
    reach = np.stack((cos * size[:, 0] + sin * size[:, 1], sin * size[:, 0] + cos * size[:, 1]), axis=1) / 2.0
    parcels = Parcels(
        kind=kind,
        class_id=class_id,
        size_mm=size.round(2),
        skew_rad=skew,
        start_mm=_starts(rng, knobs, reach[:, 0], group, partner).round(2),
        lateral_mm=_laterals(rng, reach[:, 1], group, partner).round(2),
        reach_mm=reach.round(2),
        group=group,
        partner=partner,
        base_mm=np.zeros(count),
        slip_mm=np.tile((0.0, 1.0, 0.0), (count, 1)),
    )
    parcels = _stacked(rng, knobs.stacked, parcels) if knobs.stacked else parcels
    return _disturbed(rng, knobs, parcels) if knobs.slides or knobs.jams else parcels


def _stacked(rng: np.random.Generator, share: float, parcels: Parcels) -> Parcels:
    """Lift some parcels onto the one before them, where that is the larger one; what does not fit stays."""
    group, partner, base = parcels.group.copy(), parcels.partner.copy(), parcels.base_mm.copy()
    start, lateral = parcels.start_mm.copy(), parcels.lateral_mm.copy()
    drawn, off = rng.random(len(parcels)), rng.uniform(-1.0, 1.0, (len(parcels), 2))
    for upper in range(1, len(parcels)):
        lower = upper - 1
        room = parcels.reach_mm[lower] - parcels.reach_mm[upper]
        if drawn[upper] >= share or group[lower] != SINGLE or group[upper] != SINGLE or room.min() < 0.0:
            continue
        start[upper], lateral[upper] = start[lower] + off[upper, 0] * room[0], lateral[lower] + off[upper, 1] * room[1]
        base[upper], group[lower], group[upper] = parcels.size_mm[lower, 2], STACKED, STACKED
        partner[lower], partner[upper] = upper, lower
    return replace(
        parcels, group=group, partner=partner, base_mm=base, start_mm=start.round(2), lateral_mm=lateral.round(2)
    )


def _disturbed(rng: np.random.Generator, knobs: ParcelKnobs, parcels: Parcels) -> Parcels:
    """Let some parcels slide and some get stuck; nobody slides into the one behind it, who is stuck is run into."""
    count, group, slip = len(parcels), parcels.group.copy(), parcels.slip_mm.copy()
    front, rear = parcels.start_mm + parcels.reach_mm[:, 0], parcels.start_mm - parcels.reach_mm[:, 0]
    jams, slides = rng.random(count) < knobs.jams, rng.random(count) < knobs.slides
    slid, share = rng.uniform(*knobs.slide_mm, count), rng.uniform(*SLIDING, count)
    begin_mm = rng.uniform(*SLIDE_FROM_MM, count)
    stuck_mm, at_mm = rng.uniform(*knobs.jam_mm, count), rng.uniform(*JAM_AT_MM, count)
    free = 0  # the first parcel that no jam ahead reaches
    for i in range(count):
        room = rear[i] - front[i + 1] if i + 1 < count else np.inf
        if i >= free and jams[i]:
            free = _jam(parcels, group, slip, i, stuck_mm=stuck_mm[i], at_mm=at_mm[i])
        elif i >= free and slides[i] and group[i] == SINGLE and room - FEW_MM > knobs.slide_mm[0]:
            most = min(slid[i], room - FEW_MM)
            slip[i] = begin_mm[i] - parcels.start_mm[i], most / share[i], most
    return replace(parcels, group=group, slip_mm=slip.round(2))


def _jam(parcels: Parcels, group: Ints, slip: Floats, head: int, *, stuck_mm: float, at_mm: float) -> int:
    """Hold a parcel, and all that run up to it, until the belt has run on; return the first that is not held.

    Each stands from the moment it touches the one ahead, so it falls behind by as much less as the gaps were wide.
    """
    front, rear = parcels.start_mm + parcels.reach_mm[:, 0], parcels.start_mm - parcels.reach_mm[:, 0]
    begin, i, gaps = at_mm - parcels.start_mm[head], head, 0.0
    while i < len(parcels) and gaps < stuck_mm and parcels.group[i] == SINGLE:
        slip[i] = begin + gaps, stuck_mm - gaps, stuck_mm - gaps
        i += 1
        gaps += rear[i - 1] - front[i] if i < len(parcels) else np.inf
    if i - head > 1:
        group[head:i] = JAMMED
    return i


def _starts(rng: np.random.Generator, knobs: ParcelKnobs, reach: Floats, group: Ints, partner: Ints) -> Floats:
    gaps = rng.uniform(*knobs.gap_mm, len(reach))
    touching = rng.uniform(*knobs.touching_mm, len(reach))
    beside = rng.uniform(-0.5, 0.5, len(reach))
    starts = np.empty(len(reach))
    rear = FIRST_START_MM + reach[0] + gaps[0]
    for i in range(len(reach)):
        second = partner[i] == i - 1 and i > 0
        if second and group[i] == SIDE_BY_SIDE:
            starts[i] = starts[i - 1] + beside[i] * min(reach[i], reach[i - 1])
            rear = min(rear, starts[i] - reach[i])
            continue
        gap = touching[i] if second else gaps[i]
        starts[i] = rear - gap - reach[i]
        rear = starts[i] - reach[i]
    return starts


def _laterals(rng: np.random.Generator, reach: Floats, group: Ints, partner: Ints) -> Floats:
    drawn = rng.random(len(reach))
    lowest, highest = reach + FEW_MM, BELT_WIDTH_MM - reach - FEW_MM
    lateral = lowest + drawn * (highest - lowest)
    for i in range(1, len(reach)):
        if partner[i] != i - 1:
            continue
        if group[i] == DOUBLE:  # touching along the belt: one close behind the other
            lateral[i] = min(max(lateral[i - 1] + 80.0 * (drawn[i] - 0.5), lowest[i]), highest[i])
        else:  # beside: one in the near half, one in the far half of what is free
            spare = BELT_WIDTH_MM - 2.0 * (reach[i - 1] + reach[i]) - 3.0 * FEW_MM
            near, far = (i - 1, i) if drawn[i] < 0.5 else (i, i - 1)
            lateral[near] = lowest[near] + drawn[near] * spare / 2.0
            lateral[far] = highest[far] - drawn[far] * spare / 2.0
    return lateral


@dataclass(frozen=True, slots=True)
class Ride:
    """How the belt moves: speed at knots in time, linear in between.

    Attributes:
        at_s, speed_mm_s, travelled_mm: (k,) knots; after the last one the speed stays.
    """

    at_s: Floats
    speed_mm_s: Floats
    travelled_mm: Floats

    def travel_mm(self, at_s: Floats) -> Floats:
        """Return the belt's travel at times (n,)."""
        knot = np.clip(np.searchsorted(self.at_s, at_s, side="right") - 1, 0, len(self.at_s) - 2)
        since, span = at_s - self.at_s[knot], self.at_s[knot + 1] - self.at_s[knot]
        gain = (self.speed_mm_s[knot + 1] - self.speed_mm_s[knot]) / span
        moved: Floats = self.travelled_mm[knot] + since * (self.speed_mm_s[knot] + 0.5 * gain * since)
        return moved

    @property
    def end_s(self) -> float:
        """Time of the last knot."""
        return float(self.at_s[-1])


def drive(rng: np.random.Generator, knobs: BeltKnobs, *, travel_mm: float) -> Ride:
    """Return a ride that covers at least so much belt."""
    full = knobs.speed_mm_s
    at, speed, travelled = [0.0], [full], [0.0]

    def go(target: float, *, over_s: float) -> None:
        travelled.append(travelled[-1] + 0.5 * (speed[-1] + target) * over_s)
        at.append(at[-1] + over_s)
        speed.append(target)

    while travelled[-1] < travel_mm:
        if knobs.profile == "constant":
            go(full, over_s=(travel_mm + 1.0) / full)
            continue
        go(speed[-1], over_s=rng.uniform(*knobs.run_mm) / speed[-1])
        stops = knobs.profile == "stop-and-go"
        target = 0.0 if stops else full * rng.uniform(knobs.slowest, 1.0)
        go(target, over_s=max(abs(target - speed[-1]) / knobs.acceleration_mm_s2, 1e-3))
        if stops:
            go(0.0, over_s=rng.uniform(*knobs.stand_s))
            go(full, over_s=full / knobs.acceleration_mm_s2)
    return Ride(np.array(at), np.array(speed), np.array(travelled))


def travel_needed_mm(parcels: Parcels) -> float:
    """Return how far the belt has to travel until the last parcel is well out of the picture."""
    return 3500.0 - float((parcels.start_mm - parcels.slip_mm[:, 2]).min())
