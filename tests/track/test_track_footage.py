"""Tracking quality on given detections of real footage; nothing here depends on our own detector.

TUD-Campus and TUD-Stadtmitte (MOT15) show people, who unlike parcels stop, turn and hide each other: the belt's motion
is unknown. The chocolates lie on a wide belt in perspective, about 32 in view.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from mot_scoring import as_rows, read_mot, rows_of, score, track_mot

from edge_sorter.belt import DecisionLine
from edge_sorter.config import DecisionLineSection, TrackSection
from edge_sorter.track import Tracker
from edge_sorter.types import Detections

WIDTH, HEIGHT = 1280, 720


@pytest.mark.parametrize(
    ("sequence", "mota", "switches", "idf1"),
    [
        ("TUD-Campus", 0.627, 6, 0.606),  # SORT's published figures
        ("TUD-Stadtmitte", 0.717, 10, 0.734),  # those of its reference output
    ],
)
def test_at_least_as_good_as_sort(footage: Path, sequence: str, mota: float, switches: int, idf1: float) -> None:
    mot = footage / "mot"
    truth = rows_of(read_mot(mot / "mot15_tud" / sequence / "gt.txt"))
    detections = read_mot(mot / "sort_mot15" / "data" / "train" / sequence / "det" / "det.txt")
    result = score(truth, track_mot(detections, frames=max(truth), fps=25))
    print(sequence, result)
    assert round(result["mota"], 3) >= mota
    assert result["num_switches"] <= switches
    assert result["idf1"] >= idf1


def chocolates(folder: Path, *, step: int, dropped: float, seed: int) -> list[tuple[int, Detections]]:
    """The given labels of every `step`th frame as sure detections, some of them dropped at random."""
    rng = np.random.default_rng(seed)
    frames = []
    for index in range(0, 50, step):
        xywh = np.loadtxt(folder / "labels_yolo" / f"video2-{index:05d}.txt", ndmin=2)[:, 1:]
        xywh = xywh[rng.random(len(xywh)) >= dropped] * (WIDTH, HEIGHT, WIDTH, HEIGHT)
        xyxy = np.concatenate((xywh[:, :2] - xywh[:, 2:] / 2, xywh[:, :2] + xywh[:, 2:] / 2), axis=1)
        count = len(xyxy)
        frames.append((index + 1, Detections(round(index / 12.5 * 1e9), xyxy, np.full(count, 0.9), np.zeros(count))))
    return frames


@pytest.mark.parametrize(
    ("step", "dropped", "seeds"),
    [(1, 0.0, 1), (2, 0.0, 1), (3, 0.0, 1), (4, 0.0, 1), (1, 0.1, 5), (2, 0.1, 5)],
    ids=["12.5fps", "6.25fps", "4.2fps", "3.1fps", "12.5fps-dropped", "6.25fps-dropped"],
)
def test_chocolates_are_counted_and_keep_their_identity(footage: Path, step: int, dropped: float, seeds: int) -> None:
    folder = footage / "clips" / "chocolates"
    counts: dict[str, int] = json.loads((folder / "truth.json").read_text())["line_counts"]
    truth = rows_of(read_mot(folder / "gt_mot.txt"))
    for seed in range(seeds):
        tracker = Tracker(TrackSection(), high_confidence=0.5)
        lines = {
            name: DecisionLine(
                DecisionLineSection(points=((0, float(name[2:])), (1, float(name[2:])))),
                belt_map=None,
                image_size_px=(WIDTH, HEIGHT),
                direction=(0, 1),
            )
            for name in counts
        }
        crossed: dict[str, set[int]] = {name: set() for name in counts}
        before: dict[int, tuple[int, tuple[float, float]]] = {}
        found = {}
        for frame, detections in chocolates(folder, step=step, dropped=dropped, seed=seed):
            tracks = tracker.update(detections)
            found[frame] = as_rows(track for track in tracks if track.measured)
            for track in tracks:
                for name, line in lines.items():
                    here = line.anchor(track.xyxy)
                    at_ns, there = before.get(track.track_id, (track.captured_ns, here))
                    if line.crossing(there, at_ns, here, track.captured_ns):
                        crossed[name].add(track.track_id)
                before[track.track_id] = (track.captured_ns, here)
        for name, count in counts.items():
            assert abs(len(crossed[name]) - count) <= 1, f"{name}: {len(crossed[name])}, truth {count}"
        below = {frame: [row for row in truth[frame] if row[2] + row[4] / 2 > 0.25 * HEIGHT] for frame in found}
        result = score(below, found)
        print(step, dropped, seed, {name: len(ids) for name, ids in crossed.items()}, result["num_switches"])
        assert result["num_switches"] == 0
