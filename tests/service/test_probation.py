"""Whether a new model counts as worse: pure, on made-up boxes and times."""

from __future__ import annotations

import numpy as np
import pytest

from edge_sorter.service.probation import Tally, compare, p99_ns, slower, verdict
from edge_sorter.types import Detections

BOX, OTHER_BOX = (10.0, 10.0, 60.0, 50.0), (200.0, 10.0, 260.0, 50.0)


def seen(*boxes: tuple[tuple[float, ...], float, int]) -> Detections:
    return Detections(
        0,
        np.array([box for box, _, _ in boxes], np.float32).reshape(-1, 4),
        np.array([score for _, score, _ in boxes], np.float32),
        np.array([cls for _, _, cls in boxes], np.int64),
    )


def tally(old: Detections, new: Detections) -> Tally:
    return compare(Tally(), old, new, old_confidence=0.5, confidence=0.4)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (seen((BOX, 0.9, 1)), seen((BOX, 0.9, 1)), Tally(1, 1, 0, 1, 0, 1, 0)),
        (seen((BOX, 0.9, 1)), seen((BOX, 0.41, 1)), Tally(1, 1, 0, 0, 0, 1, 0)),
        (seen((BOX, 0.9, 1)), seen((BOX, 0.39, 1)), Tally(1, 1, 1, 0, 0, 0, 0)),
        (seen((BOX, 0.55, 1)), seen(), Tally(1, 0, 0, 0, 0, 0, 0)),
        (seen((BOX, 0.9, 1)), seen(), Tally(1, 1, 1, 0, 0, 0, 0)),
        (seen((BOX, 0.9, 1)), seen((OTHER_BOX, 0.9, 1)), Tally(1, 1, 1, 1, 1, 0, 0)),
        (seen((BOX, 0.11, 1)), seen((BOX, 0.9, 1)), Tally(1, 0, 0, 1, 0, 0, 0)),
        (seen(), seen((BOX, 0.9, 1)), Tally(1, 0, 0, 1, 1, 0, 0)),
        (seen((BOX, 0.9, 1)), seen((BOX, 0.9, 2)), Tally(1, 1, 0, 1, 0, 1, 1)),
        (seen((BOX, 0.9, 1)), seen((BOX, 0.3, 2), (BOX, 0.8, 1)), Tally(1, 1, 0, 1, 0, 1, 0)),
        (seen(), seen(), Tally(1)),
    ],
)
def test_boxes_of_one_picture(old, new, expected):
    assert tally(old, new) == expected


@pytest.mark.parametrize(
    ("counted", "said"),
    [
        (Tally(9, wanted=9, missed=9), None),
        (Tally(10, wanted=10, missed=10), "misses 10 of 10"),
        (Tally(30, wanted=30, missed=3), None),
        (Tally(60, wanted=60, missed=12), "misses 12 of 60"),
        (Tally(60, wanted=60, missed=9), None),
        (Tally(60, found=60, invented=20), "sees 20 of 60"),
        (Tally(60, both=60, other_class=20), "gives 20 of 60"),
        (Tally(), None),
    ],
)
def test_worse_only_when_it_is_certain(counted, said):
    found = verdict(counted, most_different=0.1)
    assert (found is None) if said is None else (found is not None and found.startswith(said))


def test_a_model_that_is_meant_to_differ_can_be_let_through():
    assert verdict(Tally(100, wanted=100, missed=100), most_different=1.0) is None


@pytest.mark.parametrize(
    ("old_ms", "new_ms", "period_ms", "bad"),
    [
        (10, 12, 40, False),
        (10, 31, 40, False),
        (10, 33, 40, True),
        (10, 33, None, True),
        (10, 19, None, False),
        (30, 45, 40, False),
        (None, 45, 40, False),
        (10, None, 40, False),
    ],
)
def test_too_slow_is_slower_and_behind_the_camera(old_ms, new_ms, period_ms, bad):
    def ns(ms):
        return None if ms is None else ms * 1_000_000

    assert (slower(ns(old_ms), ns(new_ms), period_ns=ns(period_ms)) is not None) is bad


def test_a_share_of_few_times_is_not_told():
    assert p99_ns(list(range(99))) is None
    assert p99_ns(list(range(1, 101))) == 99
