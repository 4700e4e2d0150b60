"""Measuring a detector's faults: each fault is counted as what it is, and bad arguments are told apart."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_sorter.errors import ConfigError
from edge_sorter.sim.detector_faults import Faults, Truth
from edge_sorter.types import Detections

CLASSES = ("carton", "polybag")
OBJECTS = np.array([[100.0, 100.0, 300.0, 200.0], [400.0, 100.0, 600.0, 200.0]])


def truth(*, visible=(1.0, 1.0)):
    return Truth(OBJECTS, np.array([1, 2]), np.array([0, 1]), np.array(visible))


def seen(*rows):
    """Detections of rows x1, y1, x2, y2, confidence, class."""
    table = np.array(rows, float).reshape(-1, 6)
    return Detections(0, table[:, :4], table[:, 4], table[:, 5].astype(int))


def report(*frames, visible=(1.0, 1.0)):
    faults = Faults(threshold=0.5, classes=CLASSES, identified=True)
    for frame in frames:
        faults.see(seen(*frame), truth(visible=visible))
    return faults.report()


GOOD = ((*OBJECTS[0], 0.9, 0), (*OBJECTS[1], 0.9, 1))


def test_a_perfect_detector_has_no_faults():
    result = report(GOOD, GOOD)
    faults = ("misses", "low", "false_per_frame", "doubled", "split_looks", "merged_looks", "confused", "wild")
    assert {name: result[name] for name in faults} == dict.fromkeys(faults, 0.0)
    assert result["edge_noise_px"] == [0.0] * 4
    assert (result["pictures"], result["looks"]) == (2, 4)


@pytest.mark.parametrize(
    ("row", "counted"),
    [
        ((150.0, 110.0, 250.0, 190.0, 0.3, 0), {"doubled": 1 / 2}),
        ((700.0, 300.0, 800.0, 400.0, 0.3, 0), {"false_per_frame": 1.0, "false_sure": 0.0}),
        ((700.0, 300.0, 800.0, 400.0, 0.7, 0), {"false_per_frame": 1.0, "false_sure": 1.0}),
        ((95.0, 95.0, 605.0, 205.0, 0.7, 0), {"merged_looks": 1 / 2, "false_per_frame": 0.0}),
    ],
    ids=["second box", "unsure false box", "sure false box", "melted"],
)
def test_a_spare_box_is_counted_as_what_it_is(row, counted):
    result = report((*GOOD, row))
    assert {name: result[name] for name in counted} == counted
    assert result["misses"] == 0.0


def test_an_object_seen_as_two_halves_is_cut():
    left, right = (100.0, 100.0, 205.0, 200.0, 0.9, 0), (205.0, 100.0, 300.0, 200.0, 0.8, 0)
    result = report((left, right, GOOD[1]))
    assert (result["split_looks"], result["misses"], result["doubled"]) == (1 / 2, 0.0, 0.0)


def test_misses_come_in_runs_and_objects_cut_off_by_the_edge_are_not_missed():
    result = report(GOOD, (GOOD[0],), (GOOD[0],), GOOD, (GOOD[1],), GOOD)
    assert result["misses"] == pytest.approx(3 / 12)
    assert (result["longest_miss"], result["mean_miss"]) == (2, 1.5)
    assert report((GOOD[0],), visible=(1.0, 0.5))["misses"] == 0.0


def test_confusion_low_confidence_and_noise_are_measured():
    rng = np.random.default_rng(1)
    own = rng.normal(0.0, 2.0, 4)
    frames = []
    for k in range(400):
        box = OBJECTS[0] + own + rng.normal(0.0, 1.0, 4)
        frames.append(((*box, 0.3 if k % 4 == 0 else 0.9, 1 if k % 10 == 0 else 0),))
    result = report(*frames, visible=(1.0, 0.5))
    assert (result["low"], result["confused"]) == (0.25, 0.1)
    assert result["confusions"] == {"carton seen as polybag": 40}
    assert result["edge_noise_px_within_object"] == pytest.approx([1.0] * 4, abs=0.15)
    assert result["edge_mean_px"] == pytest.approx(own.tolist(), abs=0.2)


def run(*arguments):
    command = [sys.executable, "-m", "edge_sorter.sim.detector_levels", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give either --clip and --truth, or --images and --labels"),
        (("--clip", "a.mp4"), "give either"),
        (("--images", "nowhere", "--labels", "nowhere"), "nowhere does not exist"),
    ],
)
def test_bad_arguments_are_explained(arguments, message, tmp_path):
    result = run(*arguments)
    assert result.returncode == ConfigError.exit_code
    assert message in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.slow
def test_the_shipped_model_is_measured_on_pictures(tmp_path: Path, root: Path):
    """Ten frames of the demo clip, as pictures with labels."""
    images, labels = tmp_path / "images", tmp_path / "labels"
    images.mkdir()
    labels.mkdir()
    rows = np.loadtxt(root / "configs/demo/truth_mot.txt", delimiter=",")
    video = cv2.VideoCapture(str(root / "configs/demo/demo.mp4"))
    for index in range(200):
        _, picture = video.read()
        if index % 20 == 0:
            cv2.imwrite(str(images / f"{index}.png"), picture)
            mine = rows[rows[:, 0] == index + 1]
            lines = [
                f"{int(r[7]) - 1} {(r[2] + r[4] / 2) / 960} {(r[3] + r[5] / 2) / 540} {r[4] / 960} {r[5] / 540}"
                for r in mine
            ]
            (labels / f"{index}.txt").write_text("\n".join(lines))
    video.release()
    done = run("--images", images, "--labels", labels, "--classes", "carton,polybag,mailer,tube,sack", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["pictures"], result["looks"] > 10) == (10, True)
    assert result["misses"] < 0.2
    assert result["edge_noise_px"][0] < 20.0
    assert "no class 'crate'" in run("--images", images, "--labels", labels, "--classes", "crate").stderr
