"""Boxes become identities: predict on belt motion, associate in two stages, live and end in seconds.

Contract: `update` depends on the detections given so far and on nothing else; each object keeps one id from its first
sighting until it was unseen for too long, and each track that ends is returned once more, as ENDED.

The two stages, sure detections first and then unsure ones for the tracks left over, are the idea of ByteTrack
(Zhang et al. 2022): an unsure box may continue a track, but never starts one, and counts little for
believing it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_sorter.config import TrackSection
from edge_sorter.track.associate import (
    Pairs,
    Weights,
    assign,
    by_overlap,
    by_reach,
    carried,
    ious,
    overlaps,
    weights_of,
)
from edge_sorter.track.motion import Flow, Motion
from edge_sorter.types import Box, Detections, Track, TrackState

Floats = NDArray[np.float64]
Shift = Callable[[Box, float], Box]

TWIN_IOU = 0.5
"""A detection that overlaps a track seen in the same frame more than this is that object again."""
TWIN_INSIDE = 0.9
"""The same for a detection that lies inside the track's box by this share of its area."""
TENTATIVE_WEIGHT = 0.9
"""Between a believed and a tentative track that fit a box about equally, the believed one gets it."""

UNSURE = 0.25
"""What an unsure sighting counts for believing a track: a shadow collects few, a parcel that is hard to see many."""


@dataclass(slots=True)
class _Life:
    """What a track is."""

    track_id: int
    motion: Motion
    first_seen_ns: int
    last_seen_ns: int
    in_view_at_start: bool
    xyxy: Box
    confidence: float
    class_id: int
    state: TrackState = TrackState.TENTATIVE
    hits: int = 1
    evidence: float = 1.0
    missed: int = 0
    waited_ns: int = 0
    """Time unseen that does not count, because the belt stood."""

    @property
    def believed(self) -> bool:
        return self.state is not TrackState.TENTATIVE


class Tracker:
    """Follows the objects of one camera. Ids count from 1 and are never reused.

    Args:
        section: How long tracks live and how well boxes must fit.
        high_confidence: Detections from here on may start tracks.
        shift: Moves a box by so many millimetres of belt travel (`BeltMap.shift`); None without calibration.
    """

    def __init__(self, section: TrackSection, *, high_confidence: float, shift: Shift | None = None) -> None:
        self._section = section
        self.high_confidence = high_confidence
        self._shift = shift
        self._lives: list[_Life] = []
        self._belt_known = False
        self._at_ns: int | None = None
        self._travel_mm: float | None = None
        self._next_id = 1

    def update(
        self, detections: Detections, *, travel_mm: float | None = None, standing: bool = False
    ) -> tuple[Track, ...]:
        """Take the detections of one frame.

        Args:
            detections: What was seen, sure or not.
            travel_mm: Belt travel at that time, or None where it is not known.
            standing: The belt is known to stand: what is hidden now is still there, however long.

        Returns:
            All live tracks in order of id, and those that ended in this very update.
        """
        now_ns = detections.captured_ns
        first = self._at_ns is None
        boxes = detections.xyxy.astype(np.float64)
        if standing and self._at_ns is not None:
            for life in self._lives:
                life.waited_ns += max(now_ns - self._at_ns, 0)
        dt_s = self._predict(now_ns, travel_mm)
        sure = (detections.confidence >= self.high_confidence).tolist()
        certain, doubtful = [i for i, yes in enumerate(sure) if yes], [i for i, yes in enumerate(sure) if not yes]
        pairs = self._pairs(boxes, certain, doubtful, dt_s) if self._lives and len(boxes) else []
        self._see(detections, boxes, pairs)
        taken = {i for _, i in pairs}
        self._start(detections, boxes, [i for i in certain if i not in taken], in_view=first)
        return self._finish(now_ns)

    def _predict(self, now_ns: int, travel_mm: float | None) -> float:
        """Move all tracks to `now_ns`, with the belt if its travel is known at both ends of the interval it returns."""
        dt_s = 0.0 if self._at_ns is None else max(now_ns - self._at_ns, 0) / 1e9
        delta_mm = None if travel_mm is None or self._travel_mm is None else travel_mm - self._travel_mm
        known = self._shift is not None and delta_mm is not None
        if known is not self._belt_known:
            for life in self._lives:
                (life.motion.with_belt if known else life.motion.without_belt)()
            self._belt_known = known
        if self._shift is not None and delta_mm is not None:
            for life in self._lives:
                shifted = self._shift(life.motion.xyxy, delta_mm)
                life.motion.predict_with_belt(shifted, delta_mm=delta_mm, dt_s=dt_s)
        else:
            steady = [life.motion.velocity for life in self._lives if life.state is TrackState.CONFIRMED]
            flow = Flow.of(steady) if steady else None
            for life in self._lives:
                if flow is not None and life.hits == 1:
                    life.motion.with_flow(flow)
                life.motion.predict(dt_s=dt_s)
        self._at_ns, self._travel_mm = now_ns, travel_mm
        return dt_s

    def _refine_newborn(self, boxes: Floats, pairs: Pairs, dt_s: float) -> bool:
        """Let newborn tracks that found no overlap move as those did that found one, before looking further away.

        Returns:
            Whether any moved.
        """
        found = {row for row, _ in pairs}
        newborn = [life for row, life in enumerate(self._lives) if life.hits == 1 and row not in found]
        if not pairs or not newborn or dt_s <= 0.0:
            return False
        flow = Flow.of([self._lives[row].motion.moved_px_s(_box(boxes[i]), dt_s=dt_s) for row, i in pairs])
        for life in newborn:
            life.motion.with_flow(flow, dt_s=dt_s)
        return True

    def _pairs(self, boxes: Floats, certain: list[int], doubtful: list[int], dt_s: float) -> Pairs:
        """Return the pairs (track row, detection) of all stages; see the module's docstring."""
        predicted = self._predicted()
        iou = ious(predicted, boxes)
        overlapping = self._weighed(by_overlap(iou, min_iou=self._section.min_iou), boxes)
        pairs = _chosen(overlapping, certain, [])
        if not self._belt_known and self._refine_newborn(boxes, pairs, dt_s):
            predicted = self._predicted()
            iou = ious(predicted, boxes)
            overlapping = self._weighed(by_overlap(iou, min_iou=self._section.min_iou), boxes)
        pairs += self._reached(predicted, iou, boxes, certain, pairs)
        return pairs + _chosen(overlapping, doubtful, pairs)

    def _predicted(self) -> Floats:
        return np.array([life.motion.xyxy for life in self._lives])

    def _weighed(self, weights: Weights, boxes: Floats) -> Weights:
        """Return how much speaks for pairs (track row, detection) when what is known of the tracks counts, too.

        Where the belt's motion is known, a parcel is found again where the belt took it. False boxes are not, and two
        of them must not make a track; nor must one take over the next parcel. So of a track that is not believed yet
        other pairs cannot be.
        """
        weighed = {}
        for (row, i), speaks in weights.items():
            life = self._lives[row]
            if life.believed:
                weighed[row, i] = speaks
            elif not self._belt_known or carried(
                life.motion.xyxy, _box(boxes[i]), slack_px=life.motion.slack_px(life.xyxy)
            ):
                weighed[row, i] = TENTATIVE_WEIGHT * speaks
        return weighed

    def _reached(self, predicted: Floats, iou: Floats, boxes: Floats, candidates: list[int], taken: Pairs) -> Pairs:
        """Return new pairs as `_chosen` does, where a track may also take a box that lies near it.

        Not one that repeats a box already taken, as for a label on a parcel: it says nothing of where others are.

        Args:
            predicted: Where all tracks are (m, 4).
            iou: Overlaps (m, n) of all tracks and detections.
            boxes: All detections (n, 4).
            candidates: The detections this stage is about.
            taken: Pairs of earlier stages.
        """
        taken_rows, taken_boxes = {row for row, _ in taken}, {i for _, i in taken}
        rows = [row for row in range(len(self._lives)) if row not in taken_rows]
        free = [i for i in candidates if i not in taken_boxes]
        if rows and free and taken:
            twin = _twins(boxes[[i for _, i in taken]], boxes[free]).tolist()
            free = [i for i, repeats in zip(free, twin, strict=True) if not repeats]
        if not rows or not free:
            return []
        left = [self._lives[row] for row in rows]
        weight = by_reach(
            predicted[rows],
            boxes[free],
            iou=iou[rows][:, free],
            min_iou=self._section.min_iou,
            reach_px=np.array([life.motion.reach_px(newborn=life.hits == 1) for life in left]),
            partial=self._belt_known,
        )
        near = {(rows[m], free[n]): speaks for (m, n), speaks in weights_of(weight).items()}
        return _chosen(self._weighed(near, boxes), free, taken)

    def _see(self, detections: Detections, boxes: Floats, pairs: Pairs) -> None:
        """Correct the tracks that were matched, and count a miss for the others."""
        for life in self._lives:
            life.missed += 1
        if not pairs:
            return
        measured = boxes.tolist()
        confidence, class_id = detections.confidence.tolist(), detections.class_id.tolist()
        for row, i in pairs:
            life, xyxy = self._lives[row], _box(measured[i])
            life.motion.correct(xyxy, first=life.hits == 1, belt_known=self._belt_known)
            life.hits += 1
            life.missed = 0
            life.waited_ns = 0
            life.last_seen_ns = detections.captured_ns
            life.xyxy = xyxy
            life.confidence = confidence[i]
            life.class_id = class_id[i]
            life.evidence += 1.0 if confidence[i] >= self.high_confidence else UNSURE
            if life.believed or life.evidence >= self._section.confirm_hits:
                life.state = TrackState.CONFIRMED

    def _start(self, detections: Detections, boxes: Floats, candidates: list[int], *, in_view: bool) -> None:
        """Start a track for each sure detection that is left over and is not an object already followed."""
        if not candidates:
            return
        known = [life.xyxy for life in self._lives if life.missed == 0]
        born: list[int] = []
        for i in sorted(candidates, key=lambda row: (-detections.confidence[row], row)):
            if _twins(np.array(known).reshape(-1, 4), boxes[i : i + 1]).any():
                continue
            known.append(_box(boxes[i]))
            born.append(i)
        for i in born:
            self._lives.append(
                _Life(
                    track_id=self._next_id,
                    motion=Motion.at_rest(_box(boxes[i]), belt_known=self._belt_known),
                    first_seen_ns=detections.captured_ns,
                    last_seen_ns=detections.captured_ns,
                    in_view_at_start=in_view,
                    xyxy=_box(boxes[i]),
                    confidence=float(detections.confidence[i]),
                    class_id=int(detections.class_id[i]),
                    state=TrackState.CONFIRMED if self._section.confirm_hits == 1 else TrackState.TENTATIVE,
                )
            )
            self._next_id += 1

    def _finish(self, now_ns: int) -> tuple[Track, ...]:
        """Settle every track's state, report all, and forget those that ended.

        One missed look never ends a track, however long ago the last one was: after a gap in the video, or at a very
        low frame rate, there was no earlier chance to see it.
        """
        tracks, kept = [], []
        for life in self._lives:
            limit_s = self._section.lost_s if life.believed else self._section.tentative_s
            if life.missed >= 2 and now_ns - life.last_seen_ns - life.waited_ns > limit_s * 1e9:
                life.state = TrackState.ENDED
            else:
                kept.append(life)
                if life.missed and life.believed:
                    life.state = TrackState.LOST
            tracks.append(
                Track(
                    track_id=life.track_id,
                    state=life.state,
                    captured_ns=now_ns,
                    xyxy=life.motion.xyxy,
                    velocity_px_s=life.motion.velocity,
                    measured=life.missed == 0,
                    confidence=life.confidence,
                    class_id=life.class_id,
                    hits=life.hits,
                    first_seen_ns=life.first_seen_ns,
                    last_seen_ns=life.last_seen_ns,
                    in_view_at_start=life.in_view_at_start,
                    seen_xyxy=life.xyxy,
                )
            )
        self._lives = kept
        return tuple(tracks)


def _chosen(weights: Weights, candidates: list[int], taken: Pairs) -> Pairs:
    """Return the best new pairs (track row, detection).

    Args:
        weights: How much speaks for each pair.
        candidates: The detections this stage is about.
        taken: Pairs of earlier stages; who is in one is not free.
    """
    taken_rows, taken_boxes = {row for row, _ in taken}, {i for _, i in taken}
    free = {i for i in candidates if i not in taken_boxes}
    return assign({(row, i): speaks for (row, i), speaks in weights.items() if i in free and row not in taken_rows})


def _twins(known: Floats, boxes: Floats) -> NDArray[np.bool_]:
    """Return which boxes (n,) repeat one of the known ones."""
    iou, inside = overlaps(known, boxes)
    alike: NDArray[np.bool_] = (iou > TWIN_IOU) | (inside > TWIN_INSIDE)
    return np.asarray(alike.any(axis=0))


def _box(values: Floats | list[float]) -> Box:
    x1, y1, x2, y2 = values
    return float(x1), float(y1), float(x2), float(y2)
