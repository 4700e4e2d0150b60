"""What a detector gets wrong about boxes: one parcel in two, two in one, a box on a box, a box where nothing is.

Contract: each function takes the boxes so far and returns them with its fault, and which parcels it befell.
"""

from __future__ import annotations

import numpy as np

from edge_sorter.sim.boxes import (
    HIGH_CONFIDENCE,
    LOW_CONFIDENCE,
    NOBODY,
    SEVERAL,
    Rows,
    count_by_parcel,
    draw_confidence,
)
from edge_sorter.sim.levels import DetectorKnobs
from edge_sorter.sim.line import JAMMED, Floats, Ints, Parcels
from edge_sorter.sim.looks import IMAGE_PX, Bools, Looks
from edge_sorter.sim.scenario import CLASSES


def _episodes(rng: np.random.Generator, looks: Looks, who: Ints, *, mean_frames: float) -> tuple[Ints, Ints]:
    """Return first and last frame (inclusive) of one episode for each parcel of `who`, somewhere in its view."""
    first, after = looks.first[who], looks.first[who + 1]
    begin = looks.frame[np.minimum(first + (rng.random(len(who)) * (after - first)).astype(np.int64), after - 1)]
    return begin, begin + rng.geometric(1.0 / mean_frames, len(who)) - 1


def split(
    rng: np.random.Generator, knobs: DetectorKnobs, rows: Rows, looks: Looks, parcels: Parcels
) -> tuple[Rows, Bools]:
    """Cut the boxes of some parcels in two for a while."""
    who = np.flatnonzero(rng.random(len(parcels)) < knobs.splits_per_parcel)
    begin, end = np.full(len(parcels), 1), np.zeros(len(parcels), np.int64)
    begin[who], end[who] = _episodes(rng, looks, who, mean_frames=knobs.episode_frames)
    cut_at = 0.3 + 0.4 * rng.random(len(parcels))
    hit = np.flatnonzero((rows.frame >= begin[rows.source]) & (rows.frame <= end[rows.source]))
    one, other = rows.where(hit), rows.where(hit)
    sides = one.xyxy[:, 2:] - one.xyxy[:, :2]
    upright = (sides[:, 1] > sides[:, 0]).astype(np.int64)
    at = np.arange(len(hit))
    middle = one.xyxy[at, upright] + cut_at[one.source] * sides[at, upright]
    one.xyxy[at, 2 + upright], other.xyxy[at, upright] = middle, middle
    other.confidence[:] = np.clip(other.confidence - 0.03, LOW_CONFIDENCE, 1.0)
    kept = np.ones(len(rows.frame), bool)
    kept[hit] = False
    return rows.where(kept).joined(one).joined(other), count_by_parcel(one.source, parcels) > 0


def merge(
    rng: np.random.Generator, knobs: DetectorKnobs, rows: Rows, looks: Looks, parcels: Parcels
) -> tuple[Rows, Bools]:
    """Melt the boxes of some neighbours into one for a while."""
    behind = np.arange(1, len(parcels))
    gap = parcels.start_mm[:-1] - parcels.reach_mm[:-1, 0] - parcels.start_mm[1:] - parcels.reach_mm[1:, 0]
    together = (parcels.partner[behind] == behind - 1) | (
        (parcels.group[:-1] == JAMMED) & (parcels.group[1:] == JAMMED)
    )
    near = (np.abs(parcels.lateral_mm[:-1] - parcels.lateral_mm[1:]) < 300.0) & (gap < knobs.merge_gap_mm)
    chance = np.where(together, knobs.double_merges, np.where(near, knobs.merges_per_pair, 0.0))
    melted = np.zeros(len(parcels), bool)
    who = behind[rng.random(len(behind)) < chance]
    lasting = knobs.episode_frames * np.where(together[who - 1], 3.0, 1.0)
    begin, end = _episodes(rng, looks, who, mean_frames=knobs.episode_frames)
    end = begin + np.round((end - begin + 1) * lasting / knobs.episode_frames).astype(np.int64) - 1
    place = {(s, f): i for i, (s, f) in enumerate(zip(rows.source.tolist(), rows.frame.tolist(), strict=True))}
    gone: list[int] = []
    for b, first, last in zip(who.tolist(), begin.tolist(), end.tolist(), strict=True):
        for frame in range(first, last + 1):
            one, other = place.get((b - 1, frame)), place.get((b, frame))
            if one is None or other is None or SEVERAL in (rows.source[one], rows.source[other]):
                continue
            rows.xyxy[one] = (
                *np.minimum(rows.xyxy[one, :2], rows.xyxy[other, :2]),
                *np.maximum(rows.xyxy[one, 2:], rows.xyxy[other, 2:]),
            )
            rows.source[one] = SEVERAL
            gone.append(other)
            melted[[b - 1, b]] = True
    kept = np.ones(len(rows.frame), bool)
    kept[gone] = False
    return rows.where(kept), melted


def add_second_boxes(
    rng: np.random.Generator, knobs: DetectorKnobs, rows: Rows, parcels: Parcels
) -> tuple[Rows, Bools]:
    """Add a smaller box on some parcels, as a detector gives for a label or a lid."""
    hit = np.flatnonzero((rng.random(len(rows.frame)) < knobs.doubled) & (rows.source >= 0))
    second = rows.where(hit)
    sides = second.xyxy[:, 2:] - second.xyxy[:, :2]
    share = 0.4 + 0.5 * rng.random((len(hit), 2))
    second.xyxy[:, :2] += rng.random((len(hit), 2)) * (1.0 - share) * sides
    second.xyxy[:, 2:] = second.xyxy[:, :2] + share * sides
    second.confidence[:] = draw_confidence(rng, rng.random(len(hit)) < knobs.doubled_sure)
    return rows.joined(second), count_by_parcel(second.source, parcels) > 0


def add_false_boxes(
    rng: np.random.Generator, knobs: DetectorKnobs, rows: Rows, frames: Ints, parcels: Parcels
) -> tuple[Rows, Bools]:
    """Add boxes where nothing is; a parcel under a sure one was hit by it."""
    count = int(rng.poisson(knobs.false_per_frame * len(frames)))
    centre = rng.random((count, 2)) * IMAGE_PX
    half = (30.0 + 90.0 * rng.random((count, 2))) / 2.0
    xyxy = np.clip(np.concatenate((centre - half, centre + half), axis=1), 0.0, (*IMAGE_PX, *IMAGE_PX))
    sure = rng.random(count) < knobs.false_sure
    confidence = np.where(sure, HIGH_CONFIDENCE + 0.2 * rng.random(count), LOW_CONFIDENCE + 0.35 * rng.random(count))
    frame = frames[rng.integers(0, len(frames), count)]
    false = Rows(frame, np.full(count, NOBODY), xyxy, confidence, rng.integers(0, len(CLASSES), count))
    hit = np.zeros(len(parcels), bool)
    order = np.argsort(rows.frame, kind="stable")
    for i in np.flatnonzero(sure).tolist():
        low, high = np.searchsorted(rows.frame[order], (frame[i], frame[i] + 1))
        for j in order[low:high].tolist():
            if rows.source[j] >= 0 and _touch(rows.xyxy[j], xyxy[i]):
                hit[rows.source[j]] = True
    return rows.joined(false), hit


def _touch(a: Floats, b: Floats) -> bool:
    return bool((np.minimum(a[2:], b[2:]) > np.maximum(a[:2], b[:2])).all())
