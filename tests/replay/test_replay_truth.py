"""Decisions held against a clip's truth."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge_sorter.errors import ConfigError
from edge_sorter.replay.truth import TrueParcel, Truth, judge, load_truth, wilson
from edge_sorter.types import Action, BeltPosition, Reason, SortDecision


def decided_at(second: float, lane: str = "L01") -> SortDecision:
    at_ns = round(second * 1e9)
    position = BeltPosition("TIME", None, None, None, (0.0, 0.0))
    return SortDecision(
        "u",
        1,
        0,
        lane,
        (),
        Action.DIVERT,
        Reason.PLAN_MATCH,
        None,
        "p",
        1,
        "carton",
        1.0,
        None,
        (),
        (),
        position,
        at_ns,
        at_ns,
        at_ns,
    )


def truth_at(*seconds: float) -> Truth:
    return Truth(len(seconds), tuple(TrueParcel(i, s, "carton", (300.0, 200.0)) for i, s in enumerate(seconds)))


@pytest.mark.parametrize(
    ("truth", "decisions", "expected"),
    [
        (truth_at(1, 2, 3), [1.0, 2.1, 2.9], (3, 0, 0)),  # each its own
        (truth_at(1, 2, 3), [1.0, 3.0], (2, 1, 0)),  # one missed
        (truth_at(1, 2), [1.0, 1.05, 2.0], (2, 0, 1)),  # one decided twice
        (truth_at(1), [5.0], (0, 1, 1)),  # nothing near
        (truth_at(), [], (0, 0, 0)),
        (Truth(3), [1.0, 2.0, 3.0], (3, 0, 0)),  # only the count is known
        (Truth(3), [1.0, 2.0], (2, 1, 0)),
        (Truth(1), [1.0, 2.0], (1, 0, 1)),
    ],
)
def test_matching(truth: Truth, decisions: list[float], expected: tuple[int, int, int]) -> None:
    verdict = judge(truth, [decided_at(s) for s in decisions])
    assert (verdict.decided, verdict.missed, verdict.extra) == expected


def test_wrong_lanes_are_named() -> None:
    verdict = judge(truth_at(1, 2), [decided_at(1), decided_at(2, "L09")], lane_of=lambda parcel: "L01")
    assert (verdict.lane_right, verdict.lanes_judged) == (1, 2)
    assert verdict.wrong[0]["wanted"] == "L01"
    assert verdict.wrong[0]["got"] == "L09"
    json.dumps(verdict.as_dict())


@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"), [(0, 0, 0, 1), (29, 29, 0.8830, 1.0), (50, 100, 0.4038, 0.5962)]
)
def test_wilson_interval(hits: int, trials: int, low: float, high: float) -> None:
    assert wilson(hits, trials) == pytest.approx((low, high), abs=2e-4)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("{", "is not JSON"),
        ("{}", "lacks or garbles 'count'"),
        ("[]", "lacks or garbles"),
        ('{"schema":"edge_sorter.truth/1"}', "'parcels'"),
    ],
)
def test_bad_truth_files(tmp_path: Path, content: str, expected: str) -> None:
    path = tmp_path / "t.json"
    path.write_text(content)
    with pytest.raises(ConfigError, match=expected):
        load_truth(path)


def test_the_demo_truth_is_read(root: Path) -> None:
    truth = load_truth(root / "configs/demo/truth.json")
    assert truth.parcels is not None
    assert truth.count >= 25
    assert {p.class_name for p in truth.parcels} >= {"carton", "polybag", "mailer"}
