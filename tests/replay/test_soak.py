"""The soak run: what creeps is seen to creep, every round of the clip is judged, and the command leaves its report."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from mosquitto import free_port

from edge_sorter.replay.drift import drift


def samples(
    per_h: float, *, hours: float = 2.0, noise: float = 0.5, alike: float = 0.0
) -> tuple[list[float], list[float]]:
    """A figure every ten seconds that grows `per_h` an hour, with noise of which a part is handed on to the next."""
    dice, at_s, values, mood = random.Random(7), [], [], 0.0
    for number in range(int(hours * 360)):
        mood = alike * mood + dice.gauss(0, noise)
        at_s.append(10.0 * number)
        values.append(100 + per_h * number / 360 + mood)
    return at_s, values


@pytest.mark.parametrize(("per_h", "verdict"), [(0.0, "yes"), (3.0, "no"), (1.0, "too short to say")])
def test_two_hours_tell_a_leak_from_noise(per_h, verdict):
    found = drift(*samples(per_h))
    assert found is not None
    assert found.low < per_h < found.high
    assert found.below(1.0) == verdict


def test_ten_minutes_promise_nothing():
    found = drift(*samples(0.0, hours=1 / 6, alike=0.9))
    assert found is not None and found.below(1.0) == "too short to say"
    assert drift([0, 10], [1, 1]) is None


def test_samples_that_are_alike_are_not_taken_for_many():
    alone, alike = drift(*samples(0.0)), drift(*samples(0.0, alike=0.95))
    assert alone is not None and alike is not None
    assert alike.high - alike.low > 5 * (alone.high - alone.low)


@pytest.mark.slow
def test_the_command_plays_the_demo_line_and_leaves_figures_and_picture(tmp_path: Path):
    words = ["soak", "--minutes", "0.2", "--out", str(tmp_path), "--http", f"127.0.0.1:{free_port()}"]
    done = subprocess.run([sys.executable, "-m", "edge_sorter", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "soak.json").read_text())
    assert report["frames"] > 0 and report["samples"]
    sample = report["samples"][-1]
    assert sample["memory_mb"] > 50 and sample["threads"] > 3 and sample["files"] > 3 and sample["cpu_ms"] > 0
    assert report["memory_mb_h"] is None and report["rounds"]["played"] == 0, "twelve seconds are no round of 31"
    assert set(report["promises"].values()) == {"too short to say"}
    assert cv2.imread(str(tmp_path / "soak.png")).std() > 5


def test_a_line_without_truth_is_refused(root: Path):
    words = [sys.executable, "-m", "edge_sorter", "soak", "-c", str(root / "configs/demo/line.yaml")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 78 and "--truth" in done.stderr
