"""What a detector would say about the simulated line: boxes with all the faults of real ones, and no pixels.

Contract: `measure` turns a line into detections frame by frame and says of every box whose it is, and of every parcel
what went wrong with it; everything is drawn from one generator, column by column.

A box is the upright hull of the parcel's eight corners in the picture, so a tall parcel leans away from the camera's
foot point as a real one does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from edge_sorter.sim.camera import PinholeCamera
from edge_sorter.sim.goods import show_goods
from edge_sorter.sim.kinds import CLASS_OF, look_at
from edge_sorter.sim.levels import CameraKnobs, DetectorKnobs, Level
from edge_sorter.sim.line import DOUBLE, JAMMED, SIDE_BY_SIDE, STACKED, Floats, Ints, Parcels, Ride
from edge_sorter.sim.scenario import CLASSES

Bools = NDArray[np.bool_]

IMAGE_PX = (960, 540)
CAMERA = PinholeCamera(  # as on the demo line
    (950.0, -420.0, 2560.0), (950.0, 385.0, 0.0), 480.0 / math.tan(math.radians(39.5) / 2.0), IMAGE_PX
)
HIGH_CONFIDENCE = 0.5
LOW_CONFIDENCE = 0.1
VIEW_MM = (-250.0, 2150.0)
"""Belt beyond which nothing can be in the picture."""
_SOFT = {"polybag": "mailer", "mailer": "polybag"}
OTHER_SOFT = np.array([CLASSES.index(_SOFT.get(name, name)) for name in CLASSES])
"""Class that each class is taken for where polybags and mailers are confused."""
LEAST_SHARE = 0.3
"""A parcel of which less is in the picture is not seen."""
NOBODY, SEVERAL = -1, -2
"""Source of a false box, and of one around two parcels."""

CAUSES = (
    "double",
    "side_by_side",
    "split",
    "merge",
    "second_box",
    "false_box",
    "few_looks",
    "hidden",
    "confused",
    "stop",
    "late_frame",
    "slid",
    "jammed",
    "no_class",
    "stacked",
)
FEW_LOOKS = 4
"""Fewer sure looks at a whole parcel than this, before the line, are a cause."""
HIDDEN_FRAMES = 4
"""A parcel unseen for so many frames in a row, lost ones included, was hidden."""


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


@dataclass(frozen=True, slots=True)
class Measured:
    """A line as the detector gave it.

    Attributes:
        rows: All boxes in the order of frames.
        first_row: (f + 1,) where each arrived frame's rows begin.
        captured_ns: (f,) stamps of the frames that arrived, growing.
        delivered_ns: (f,) when each was ready to be decided upon.
        causes: (n, len(CAUSES)) what befell each parcel.
    """

    rows: Rows
    first_row: Ints
    captured_ns: Ints
    delivered_ns: Ints
    causes: Bools


def measure(rng: np.random.Generator, level: Level, parcels: Parcels, ride: Ride, *, line_mm: float) -> Measured:
    """Let the level's camera and detector look at all parcels, from the first to the last."""
    knobs = level.detector
    at_s = np.arange(math.ceil(ride.end_s * level.camera.fps)) / level.camera.fps
    travel = ride.travel_mm(at_s)
    arrived = ~_lost(rng, level.camera, len(at_s))
    looks = _looks(parcels, travel)
    causes = {name: np.zeros(len(parcels), bool) for name in CAUSES}
    for name, group in (("double", DOUBLE), ("side_by_side", SIDE_BY_SIDE), ("stacked", STACKED)):
        causes[name] = parcels.group == group
    stuck = parcels.slip_mm[:, 1] <= parcels.slip_mm[:, 2]  # it fell behind by all that the belt travelled
    causes["slid"], causes["jammed"] = (parcels.slip_mm[:, 2] > 0.0) & ~stuck, stuck
    causes["no_class"] = CLASS_OF[parcels.kind] < 0
    seen = _seen(rng, knobs, looks, arrived, parcels)
    before_line = looks.place_mm[seen.index] < line_mm
    causes["few_looks"] = _count(seen.source[seen.sure & before_line & seen.whole], parcels) < FEW_LOOKS
    causes["hidden"] = _hidden(looks, seen.index, parcels)
    causes["confused"] = _count(seen.source[seen.wrong], parcels) * 4 >= np.maximum(_count(seen.source, parcels), 1)
    standing = np.concatenate(([False], np.diff(travel) < 1e-6))
    causes["stop"] = _count(looks.source[standing[looks.frame]], parcels) > 0
    rows = Rows(seen.frame, seen.source, seen.xyxy, seen.confidence, seen.class_id)
    if causes["no_class"].any():
        rows = show_goods(rng, rows, parcels, threshold=HIGH_CONFIDENCE)
    rows, causes["split"] = _split(rng, knobs, rows, looks, parcels)
    rows, causes["merge"] = _merge(rng, knobs, rows, looks, parcels)
    rows, causes["second_box"] = _second_boxes(rng, knobs, rows, parcels)
    rows, causes["false_box"] = _false_boxes(rng, knobs, rows, np.flatnonzero(arrived), parcels)
    captured, delivered, late = _stamps(rng, level.camera, at_s, arrived)
    causes["late_frame"] = _count(rows.source[late[rows.frame]], parcels) > 0
    return _by_frame(rows, arrived, captured, delivered, np.stack([causes[name] for name in CAUSES], axis=1))


@dataclass(frozen=True, slots=True)
class _Looks:
    """Every parcel in every frame that was taken, arrived or not: k looks."""

    frame: Ints
    source: Ints
    place_mm: Floats
    xyxy: Floats
    whole: Bools
    first: Ints
    """(n + 1,) where each parcel's looks begin."""


def _looks(parcels: Parcels, travel: Floats) -> _Looks:
    low = np.searchsorted(travel, VIEW_MM[0] - parcels.start_mm - parcels.reach_mm[:, 0])
    high = np.searchsorted(travel, VIEW_MM[1] - parcels.start_mm + parcels.reach_mm[:, 0] + parcels.slip_mm[:, 2])
    counts = high - low
    source = np.repeat(np.arange(len(parcels)), counts)
    frame = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(low, counts)
    moved = travel[frame] - parcels.slipped_mm(source, travel[frame])
    corners = parcels.corners_mm()[source]
    corners[..., 0] += moved[:, None]
    pixels = CAMERA.project(corners.reshape(-1, 3)).reshape(-1, 8, 2)
    hull = np.concatenate((pixels.min(axis=1), pixels.max(axis=1)), axis=1)
    clipped = np.clip(hull, 0.0, (*IMAGE_PX, *IMAGE_PX))
    sides, whole_sides = clipped[:, 2:] - clipped[:, :2], hull[:, 2:] - hull[:, :2]
    visible = (sides > 8.0).all(axis=1) & (sides.prod(axis=1) > LEAST_SHARE * whole_sides.prod(axis=1))
    source, frame, moved = source[visible], frame[visible], moved[visible]
    return _Looks(
        frame=frame,
        source=source,
        place_mm=parcels.start_mm[source] + moved,
        xyxy=clipped[visible],
        whole=(clipped == hull).all(axis=1)[visible],
        first=np.searchsorted(source, np.arange(len(parcels) + 1)),
    )


@dataclass(frozen=True, slots=True)
class _Seen:
    """Looks that gave a box, with what the detector made of them; `index` is their row among the looks."""

    index: Ints
    frame: Ints
    source: Ints
    xyxy: Floats
    whole: Bools
    sure: Bools
    wrong: Bools
    confidence: Floats
    class_id: Ints


def _seen(rng: np.random.Generator, knobs: DetectorKnobs, looks: _Looks, arrived: Bools, parcels: Parcels) -> _Seen:
    count = len(looks.frame)
    kept = (rng.random(count) >= knobs.misses) & arrived[looks.frame]
    sides = looks.xyxy[:, 2:] - looks.xyxy[:, :2]
    sigma = knobs.noise_px + knobs.noise_share * np.concatenate((sides, sides), axis=1)
    sigma *= np.where(rng.random(count) < knobs.wild, 4.0, 1.0)[:, None]
    own = knobs.bias_px * rng.standard_normal((len(parcels), 4))[looks.source]
    xyxy = np.clip(looks.xyxy + own + sigma * rng.standard_normal((count, 4)), 0.0, (*IMAGE_PX, *IMAGE_PX))
    sure = rng.random(count) >= np.where(looks.whole, 1.0, 3.0) * knobs.low  # what is cut off is less sure
    wrong = rng.random(count) < knobs.confused
    mistake = np.where(wrong, rng.integers(1, len(CLASSES), count), 0)
    class_id = (parcels.class_id[looks.source] + mistake) % len(CLASSES)
    class_id = np.where(~wrong & (rng.random(count) < knobs.confused_soft), OTHER_SOFT[class_id], class_id)
    if (CLASS_OF[parcels.kind] < 0).any():
        lost, unsure, class_id = look_at(rng, parcels.kind[looks.source], class_id)
        kept, sure = kept & ~lost, sure & ~unsure
    lower = (parcels.group == STACKED) & (parcels.partner > np.arange(len(parcels)))
    if lower.any():
        kept &= ~(lower & (rng.random(len(parcels)) < knobs.covers))[looks.source]
    confidence = _confidence(rng, sure)
    index = np.flatnonzero(kept & (xyxy[:, 2:] - xyxy[:, :2] > 4.0).all(axis=1))
    return _Seen(
        index=index,
        frame=looks.frame[index],
        source=looks.source[index],
        xyxy=xyxy[index],
        whole=looks.whole[index],
        sure=sure[index],
        wrong=wrong[index],
        confidence=confidence[index],
        class_id=class_id[index],
    )


def _confidence(rng: np.random.Generator, sure: Bools) -> Floats:
    drawn = rng.random(len(sure))
    return np.where(
        sure, HIGH_CONFIDENCE + 0.02 + (0.97 - HIGH_CONFIDENCE) * np.sqrt(drawn), LOW_CONFIDENCE + 0.38 * drawn
    )


def _lost(rng: np.random.Generator, knobs: CameraKnobs, count: int) -> Bools:
    """Return which frames (count,) never arrive: losses begin at random and last for a geometric number of frames."""
    lasts = 1.0 / knobs.lost_in_a_row
    begins = min(knobs.lost * lasts / max(1.0 - knobs.lost, 1e-9), 1.0)
    drawn = rng.random(count).tolist()
    lost, gone = np.zeros(count, bool), False
    for k, u in enumerate(drawn):
        gone = u >= lasts if gone else u < begins
        lost[k] = gone
    return lost


def _stamps(rng: np.random.Generator, knobs: CameraKnobs, at_s: Floats, arrived: Bools) -> tuple[Ints, Ints, Bools]:
    """Return stamps and delivery times in ns, and which frames were late; of all frames."""
    stamps_s = at_s + knobs.stamp_jitter_ms * 1e-3 * np.clip(rng.standard_normal(len(at_s)), -4.0, 4.0)
    latency_s = rng.uniform(*knobs.latency_ms, len(at_s)) * 1e-3
    late = (rng.random(len(at_s)) < knobs.late) & arrived
    latency_s = np.where(late, rng.uniform(*knobs.late_ms, len(at_s)) * 1e-3, latency_s)
    captured = np.maximum.accumulate(np.maximum(np.round(stamps_s * 1e6).astype(np.int64) * 1000, 0))
    return captured, captured + np.round(latency_s * 1e9).astype(np.int64), late


def _episodes(rng: np.random.Generator, looks: _Looks, who: Ints, *, mean_frames: float) -> tuple[Ints, Ints]:
    """Return first and last frame (inclusive) of one episode for each parcel of `who`, somewhere in its view."""
    first, after = looks.first[who], looks.first[who + 1]
    begin = looks.frame[np.minimum(first + (rng.random(len(who)) * (after - first)).astype(np.int64), after - 1)]
    return begin, begin + rng.geometric(1.0 / mean_frames, len(who)) - 1


def _split(
    rng: np.random.Generator, knobs: DetectorKnobs, rows: Rows, looks: _Looks, parcels: Parcels
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
    return rows.where(kept).joined(one).joined(other), _count(one.source, parcels) > 0


def _merge(
    rng: np.random.Generator, knobs: DetectorKnobs, rows: Rows, looks: _Looks, parcels: Parcels
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


def _second_boxes(rng: np.random.Generator, knobs: DetectorKnobs, rows: Rows, parcels: Parcels) -> tuple[Rows, Bools]:
    """Add a smaller box on some parcels, as a detector gives for a label or a lid."""
    hit = np.flatnonzero((rng.random(len(rows.frame)) < knobs.doubled) & (rows.source >= 0))
    second = rows.where(hit)
    sides = second.xyxy[:, 2:] - second.xyxy[:, :2]
    share = 0.4 + 0.5 * rng.random((len(hit), 2))
    second.xyxy[:, :2] += rng.random((len(hit), 2)) * (1.0 - share) * sides
    second.xyxy[:, 2:] = second.xyxy[:, :2] + share * sides
    second.confidence[:] = _confidence(rng, rng.random(len(hit)) < knobs.doubled_sure)
    return rows.joined(second), _count(second.source, parcels) > 0


def _false_boxes(
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


def _hidden(looks: _Looks, seen: Ints, parcels: Parcels) -> Bools:
    """Return which parcels were unseen for `HIDDEN_FRAMES` in a row between two looks that gave a box."""
    frame, source = looks.frame[seen], looks.source[seen]
    gap = (np.diff(frame) > HIDDEN_FRAMES) & (source[1:] == source[:-1])
    return _count(source[1:][gap], parcels) > 0


def _count(source: Ints, parcels: Parcels) -> Ints:
    return np.bincount(source[source >= 0], minlength=len(parcels))


def _by_frame(rows: Rows, arrived: Bools, captured: Ints, delivered: Ints, causes: Bools) -> Measured:
    number = np.cumsum(arrived) - 1
    order = np.argsort(rows.frame, kind="stable")
    rows = rows.where(order)
    xyxy = np.round(rows.xyxy * 16.0) / 16.0  # what differs in the last bit between machines is gone
    rows = Rows(number[rows.frame], rows.source, xyxy, rows.confidence.round(6), rows.class_id)
    count = int(arrived.sum())
    stamps = captured[arrived] + np.arange(count)  # strictly growing, whatever the jitter did
    return Measured(
        rows, np.searchsorted(rows.frame, np.arange(count + 1)), stamps, np.maximum(delivered[arrived], stamps), causes
    )
