"""HOTA, MOTA and IDF1: small sequences by hand, published figures, and the authors' own program where it is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edge_sorter.errors import ConfigError
from edge_sorter.lifecycle.evaluation.hota import Moment, hota
from edge_sorter.lifecycle.evaluation.tracks import Rows, every, read_mot, score_tracks
from edge_sorter.types import Box


def boxes(count: int, identity: int, start: int = 1) -> Rows:
    return {frame: [(identity, (0.0, 0.0, 10.0, 10.0))] for frame in range(start, start + count)}


def test_perfect_tracks_score_one() -> None:
    score = score_tracks(boxes(4, 7), boxes(4, 3))
    assert (score["hota"], score["mota"], score["idf1"]) == pytest.approx((1.0, 1.0, 1.0))
    assert score["identity_switches"] == 0
    assert score["frames"] == 4


def test_an_identity_that_changes_halfway() -> None:
    """One parcel, four frames, two tracks of two: every box is found, each track has half of the parcel's life."""
    score = score_tracks(boxes(4, 1), boxes(2, 1) | boxes(2, 2, start=3))
    assert score["det_a"] == pytest.approx(1.0)
    assert score["ass_a"] == pytest.approx(0.5)  # two boxes together, four in the union
    assert score["hota"] == pytest.approx(np.sqrt(0.5))
    assert score["mota"] == pytest.approx(0.75)  # one switch in four boxes
    assert score["idf1"] == pytest.approx(0.5)  # two boxes under the one right name, of four and four


def test_a_loose_box_counts_up_to_its_overlap() -> None:
    truth: Rows = {1: [(1, (0.0, 0.0, 10.0, 10.0))]}
    found: Rows = {1: [(1, (0.0, 0.0, 10.0, 6.2))]}
    assert score_tracks(truth, found)["hota"] == pytest.approx(12 / 19)  # 0.05 to 0.60 of 0.05 to 0.95


def test_what_is_not_there_and_what_is_not_seen() -> None:
    score = score_tracks(boxes(4, 1), boxes(2, 1) | {3: [(2, (50.0, 50.0, 60.0, 60.0))]})
    assert (score["missed_boxes"], score["false_boxes"], score["true_boxes"]) == (2, 1, 4)
    assert score["mota"] == pytest.approx(1 - 3 / 4)
    assert score["det_a"] == pytest.approx(2 / (2 + 2 + 1))
    assert score_tracks(boxes(2, 1), {})["hota"] == 0.0


@pytest.mark.parametrize("name", ["TUD-Campus", "TUD-Stadtmitte"])
def test_published_figures(footage: Path, name: str) -> None:
    folder = footage / "mot" / "mot15_tud"
    score = score_tracks(read_mot(folder / name / "gt.txt"), read_mot(folder / name / "test.txt"))
    wanted = json.loads((folder / "motmetrics_output.json").read_text())[name]
    assert score["mota"] == pytest.approx(wanted["mota"], abs=1e-9)
    assert score["idf1"] == pytest.approx(wanted["idf1"], abs=1e-9)
    assert score["identity_switches"] == wanted["num_switches"]


def random_moments(seed: int) -> list[Moment]:
    rng = np.random.default_rng(seed)
    moments = []
    for _ in range(40):
        true = rng.permutation(6)[: rng.integers(0, 7)]
        found = rng.permutation(9)[: rng.integers(0, 10)]
        overlap = rng.random((len(true), len(found))) * (rng.random((len(true), len(found))) < 0.4)
        moments.append(Moment(true, found, overlap))
    return moments


@pytest.mark.parametrize("seed", range(3))
def test_hota_is_that_of_the_authors_program(seed: int) -> None:
    trackeval = pytest.importorskip("trackeval", reason="TrackEval is not installed: pip install --no-deps trackeval")
    moments = random_moments(seed)
    true_ids, track_ids = 6, 9
    data = {
        "num_tracker_dets": sum(len(m.track_ids) for m in moments),
        "num_gt_dets": sum(len(m.true_ids) for m in moments),
        "num_gt_ids": true_ids,
        "num_tracker_ids": track_ids,
        "gt_ids": [m.true_ids for m in moments],
        "tracker_ids": [m.track_ids for m in moments],
        "similarity_scores": [m.overlap for m in moments],
    }
    wanted = trackeval.metrics.HOTA().eval_sequence(data)
    ours = hota(moments)
    for name, value in (("HOTA", ours.hota), ("DetA", ours.det_a), ("AssA", ours.ass_a), ("LocA", ours.loc_a)):
        assert value == pytest.approx(float(np.mean(wanted[name])), abs=1e-9), name


def test_every_second_frame() -> None:
    box: Box = (0.0, 0.0, 1.0, 1.0)
    assert every({1: [(1, box)], 2: [(2, box)], 3: [(3, box)]}, 2) == {1: [(1, box)], 2: [(3, box)]}


def test_mot_files(tmp_path: Path) -> None:
    path = tmp_path / "gt.txt"
    path.write_text("1,4,10,20,30,40,1,1,1\n2,4,10,20,30,40,0\n\n3,5,0,0,1,1\n")
    assert read_mot(path) == {1: [(4, (10.0, 20.0, 40.0, 60.0))], 3: [(5, (0.0, 0.0, 1.0, 1.0))]}
    path.write_text("1,4,10,20,30,40,1\nfoo\n")
    with pytest.raises(ConfigError, match="line 2"):
        read_mot(path)
    path.write_text("\n")
    with pytest.raises(ConfigError, match="holds no box"):
        read_mot(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_mot(tmp_path / "none.txt")
