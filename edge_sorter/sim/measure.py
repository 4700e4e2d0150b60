"""What a detector would say about the simulated line: boxes with all the faults of real ones, and no pixels.

Contract: `measure` turns a line into detections frame by frame and says of every box whose it is, and of every parcel
what went wrong with it; everything is drawn from one generator, column by column.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edge_sorter.sim.box_faults import add_false_boxes, add_second_boxes, merge, split
from edge_sorter.sim.boxes import HIGH_CONFIDENCE, Rows, count_by_parcel, draw_confidence
from edge_sorter.sim.goods import show_goods
from edge_sorter.sim.kinds import CLASS_OF, look_at
from edge_sorter.sim.levels import CameraKnobs, DetectorKnobs, Level
from edge_sorter.sim.line import DOUBLE, SIDE_BY_SIDE, STACKED, Floats, Ints, Parcels, Ride
from edge_sorter.sim.looks import IMAGE_PX, Bools, Looks, look
from edge_sorter.sim.scenario import CLASSES

_SOFT = {"polybag": "mailer", "mailer": "polybag"}
OTHER_SOFT = np.array([CLASSES.index(_SOFT.get(name, name)) for name in CLASSES])
"""Class that each class is taken for where polybags and mailers are confused."""
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
    looks = look(parcels, travel)
    causes = {name: np.zeros(len(parcels), bool) for name in CAUSES}
    for name, group in (("double", DOUBLE), ("side_by_side", SIDE_BY_SIDE), ("stacked", STACKED)):
        causes[name] = parcels.group == group
    stuck = parcels.slip_mm[:, 1] <= parcels.slip_mm[:, 2]  # it fell behind by all that the belt travelled
    causes["slid"], causes["jammed"] = (parcels.slip_mm[:, 2] > 0.0) & ~stuck, stuck
    causes["no_class"] = CLASS_OF[parcels.kind] < 0
    seen = _seen(rng, knobs, looks, arrived, parcels)
    before_line = looks.place_mm[seen.index] < line_mm
    causes["few_looks"] = count_by_parcel(seen.source[seen.sure & before_line & seen.whole], parcels) < FEW_LOOKS
    causes["hidden"] = _hidden(looks, seen.index, parcels)
    causes["confused"] = count_by_parcel(seen.source[seen.wrong], parcels) * 4 >= np.maximum(
        count_by_parcel(seen.source, parcels), 1
    )
    standing = np.concatenate(([False], np.diff(travel) < 1e-6))
    causes["stop"] = count_by_parcel(looks.source[standing[looks.frame]], parcels) > 0
    rows = Rows(seen.frame, seen.source, seen.xyxy, seen.confidence, seen.class_id)
    if causes["no_class"].any():
        rows = show_goods(rng, rows, parcels, threshold=HIGH_CONFIDENCE)
    rows, causes["split"] = split(rng, knobs, rows, looks, parcels)
    rows, causes["merge"] = merge(rng, knobs, rows, looks, parcels)
    rows, causes["second_box"] = add_second_boxes(rng, knobs, rows, parcels)
    rows, causes["false_box"] = add_false_boxes(rng, knobs, rows, np.flatnonzero(arrived), parcels)
    captured, delivered, late = _stamps(rng, level.camera, at_s, arrived)
    causes["late_frame"] = count_by_parcel(rows.source[late[rows.frame]], parcels) > 0
    return _by_frame(rows, arrived, captured, delivered, np.stack([causes[name] for name in CAUSES], axis=1))


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


def _seen(rng: np.random.Generator, knobs: DetectorKnobs, looks: Looks, arrived: Bools, parcels: Parcels) -> _Seen:
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
    confidence = draw_confidence(rng, sure)
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


def _hidden(looks: Looks, seen: Ints, parcels: Parcels) -> Bools:
    """Return which parcels were unseen for `HIDDEN_FRAMES` in a row between two looks that gave a box."""
    frame, source = looks.frame[seen], looks.source[seen]
    gap = (np.diff(frame) > HIDDEN_FRAMES) & (source[1:] == source[:-1])
    return count_by_parcel(source[1:][gap], parcels) > 0


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
