"""Scoring of tracks against ground truth in MOT format, shared by the tracking tests."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from edge_sorter.config import TrackSection
from edge_sorter.track import Tracker
from edge_sorter.track.associate import overlaps
from edge_sorter.types import Detections, Track, TrackState

HIGH = 0.7
"""The given detections score 0.5 to 1; from here on one may start a track."""

Rows = dict[int, list[tuple[int, float, float, float, float]]]
"""Frame number -> (identity, x, y, width, height) rows."""


def read_mot(path: Path) -> np.ndarray:
    """Read a MOT file: columns frame, id, x, y, w, h, score, ..."""
    return np.loadtxt(path, delimiter=",", ndmin=2)


def rows_of(table: np.ndarray) -> Rows:
    rows: Rows = {}
    for line in table:
        rows.setdefault(int(line[0]), []).append((int(line[1]), *map(float, line[2:6])))
    return rows


def believed(tracks: Iterable[Track]) -> list[Track]:
    """What a user of the tracker acts on: confirmed and seen in this very frame."""
    return [track for track in tracks if track.state is TrackState.CONFIRMED and track.measured]


def as_rows(tracks: Iterable[Track]) -> list[tuple[int, float, float, float, float]]:
    return [(t.track_id, t.xyxy[0], t.xyxy[1], t.xyxy[2] - t.xyxy[0], t.xyxy[3] - t.xyxy[1]) for t in tracks]


def track_mot(detections: np.ndarray, *, frames: int, fps: float, section: TrackSection | None = None) -> Rows:
    """Run the tracker over MOT detections of 25 fps video with unknown motion.

    SORT reports a box if it was matched in this frame and its track is confirmed, or if the sequence has only just
    begun; the same is reported here.
    """
    section = section or TrackSection()
    tracker = Tracker(section, high_confidence=HIGH)
    found: Rows = {}
    for frame in range(1, frames + 1):
        now = detections[detections[:, 0] == frame]
        xyxy = np.concatenate((now[:, 2:4], now[:, 2:4] + now[:, 4:6]), axis=1)
        tracks = tracker.update(Detections(round(frame / fps * 1e9), xyxy, now[:, 6], np.zeros(len(now))))
        shown = believed(tracks)
        if frame <= section.confirm_hits:
            shown = [track for track in tracks if track.measured]
        found[frame] = as_rows(shown)
    return found


def _xyxy(rows: list[tuple[int, float, float, float, float]]) -> np.ndarray:
    xywh = np.array([row[1:] for row in rows]).reshape(-1, 4)
    return np.concatenate((xywh[:, :2], xywh[:, :2] + xywh[:, 2:]), axis=1)


def score(truth: Rows, found: Rows) -> dict[str, float]:
    """CLEAR MOT and identity measures at an overlap of 0.5."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import motmetrics

        accumulator = motmetrics.MOTAccumulator(auto_id=False)
        for frame in sorted(truth):
            true, guess = truth[frame], found.get(frame, [])
            iou, _ = overlaps(_xyxy(true), _xyxy(guess))
            distance = np.where(iou >= 0.5, 1.0 - iou, np.nan)
            accumulator.update([row[0] for row in true], [row[0] for row in guess], distance, frameid=frame)
        names = ["mota", "motp", "idf1", "num_switches", "num_fragmentations", "num_false_positives", "num_misses"]
        summary = motmetrics.metrics.create().compute(accumulator, metrics=names, name="x")
    return {name: float(summary[name].iloc[0]) for name in names}
