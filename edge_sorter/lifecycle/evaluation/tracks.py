"""Tracks held against a clip's true boxes: HOTA, MOTA, IDF1, and how often an identity changed.

Contract: `read_mot` reads a MOT Challenge text file; `score_tracks` compares two of them. CLEAR MOT and identity
figures come from motmetrics at overlap 0.5, HOTA from `hota`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edge_sorter.errors import ConfigError, ModelError
from edge_sorter.journal import JournalStep
from edge_sorter.lifecycle.evaluation.hota import Moment, hota
from edge_sorter.lifecycle.evaluation.match import SAME, overlaps
from edge_sorter.types import Box, FloatArray, TrackState

Rows = dict[int, list[tuple[int, Box]]]
"""Frame number, from 1, to (identity, xyxy) rows."""

CLEAR = {
    "mota": "mota",
    "idf1": "idf1",
    "num_switches": "identity_switches",
    "num_fragmentations": "fragmentations",
    "num_false_positives": "false_boxes",
    "num_misses": "missed_boxes",
    "num_objects": "true_boxes",
    "num_unique_objects": "identities",
    "mostly_tracked": "mostly_tracked",
    "mostly_lost": "mostly_lost",
}


def read_mot(path: Path) -> Rows:
    """Read frame, id, left, top, width, height [, counts, ...] rows; rows with `counts` 0 are left out.

    Raises:
        ConfigError: The file cannot be read, or a line is no such row.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"tracks {path} cannot be read: {error}") from None
    rows: Rows = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            frame, identity, x, y, w, h, *more = (float(part) for part in line.split(","))
        except ValueError:
            raise ConfigError(
                f"tracks {path}, line {number}: expected 'frame,id,left,top,width,height,...', found '{line[:60]}'"
            ) from None
        if not more or more[0] != 0:
            rows.setdefault(int(frame), []).append((int(identity), (x, y, x + w, y + h)))
    if not rows:
        raise ConfigError(f"tracks {path} holds no box")
    return rows


def tracks_of(steps: Iterable[JournalStep]) -> Rows:
    """Return what a journal's tracks were in each frame: the confirmed ones, which decisions are made from."""
    rows: Rows = {}
    for step in steps:
        confirmed = [row for row in step.tracks if row[1] == TrackState.CONFIRMED.value]
        rows[step.index + 1] = [(int(row[0]), (row[2], row[3], row[4], row[5])) for row in confirmed]
    return rows


def every(rows: Rows, step: int) -> Rows:
    """Keep frames 1, 1 + step, ... and number them 1, 2, ...: for a truth that was made of every `step`-th frame."""
    return {(frame - 1) // step + 1: boxes for frame, boxes in rows.items() if (frame - 1) % step == 0}


def score_tracks(truth: Rows, found: Rows) -> dict[str, Any]:
    """Score tracks in the frames from the truth's first to its last.

    Raises:
        ModelError: motmetrics is not installed.
    """
    frames = range(min(truth), max(truth) + 1)
    clear = _clear(truth, found, frames)
    return {**_hota(truth, found, frames), **clear, "frames": len(frames)}


def _clear(truth: Rows, found: Rows, frames: range) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pandas, in a library that is not ours
        try:
            import motmetrics
        except ImportError as error:
            raise ModelError("Scoring tracks needs motmetrics: pip install 'edge-sorter[evaluate]'.") from error
        accumulator = motmetrics.MOTAccumulator(auto_id=False)
        for frame in frames:
            true, guess = truth.get(frame, []), found.get(frame, [])
            overlap = overlaps(_boxes(true), _boxes(guess))
            distance = np.where(overlap >= SAME, 1.0 - overlap, np.nan)
            accumulator.update([i for i, _ in true], [i for i, _ in guess], distance, frameid=frame)
        summary = motmetrics.metrics.create().compute(accumulator, metrics=list(CLEAR), name="clip")
    values = {ours: float(summary[theirs].iloc[0]) for theirs, ours in CLEAR.items()}
    return {name: value if name in {"mota", "idf1"} else int(value) for name, value in values.items()}


def _hota(truth: Rows, found: Rows, frames: range) -> dict[str, float]:
    true_number, track_number = _numbers(truth, frames), _numbers(found, frames)
    moments = []
    for frame in frames:
        true, guess = truth.get(frame, []), found.get(frame, [])
        moments.append(
            Moment(
                np.array([true_number[i] for i, _ in true], np.int64),
                np.array([track_number[i] for i, _ in guess], np.int64),
                overlaps(_boxes(true), _boxes(guess)),
            )
        )
    return vars(hota(moments))


def _numbers(rows: Mapping[int, list[tuple[int, Box]]], frames: range) -> dict[int, int]:
    known = dict.fromkeys(identity for frame in frames for identity, _ in rows.get(frame, []))
    return {identity: number for number, identity in enumerate(known)}


def _boxes(rows: list[tuple[int, Box]]) -> FloatArray:
    return np.array([box for _, box in rows], np.float32).reshape(-1, 4)
