"""Decisions held against a clip's truth."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from edge_sorter.errors import ConfigError
from edge_sorter.replay.truth import TrueForeign, TrueParcel, Truth, judge, lane_by_plan, load_truth, wilson
from edge_sorter.sort import check_plan, load_plan
from edge_sorter.types import Action, BeltPosition, Reason, SortDecision

NUMBERS = itertools.count(1)


def decided_at(
    second: float,
    lane: str = "L01",
    reason: Reason = Reason.PLAN_MATCH,
    *,
    uid: str | None = None,
    rev: int = 0,
) -> SortDecision:
    at_ns = round(second * 1e9)
    position = BeltPosition("TIME", None, None, None, (0.0, 0.0))
    return SortDecision(
        uid or f"B-{next(NUMBERS)}",
        1,
        rev,
        lane,
        (),
        Action.DIVERT,
        reason,
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


def pair_at(first: float, second: float) -> Truth:
    rows = [TrueParcel(i, s, "carton", (300.0, 200.0), "DOUBLE", (1, 2)) for i, s in ((1, first), (2, second))]
    return Truth(2, tuple(rows))


@pytest.mark.parametrize(
    ("decisions", "expected"),
    [
        ([decided_at(1.0, "HOSP", Reason.DOUBLE)], (2, 1, 0, 0, 2)),  # one for both, as a photo-eye counts them
        ([decided_at(1.0, "HOSP"), decided_at(1.2, "HOSP")], (2, 0, 0, 0, 2)),  # each its own
        ([decided_at(1.0)], (1, 0, 1, 0, 0)),  # one parcel decided, the other forgotten
        ([decided_at(t, "HOSP", Reason.DOUBLE) for t in (1.0, 1.1, 1.2)], (2, 0, 0, 1, 2)),  # one too many
    ],
)
def test_a_group_may_share_a_decision(decisions: list[SortDecision], expected: tuple[int, ...]) -> None:
    verdict = judge(pair_at(1.0, 1.2), decisions, lane_of=lambda parcel: "HOSP")
    assert (verdict.decided, verdict.shared, verdict.missed, verdict.extra, verdict.lane_right) == expected


@pytest.mark.parametrize(
    ("decisions", "expected", "got"),
    [
        ([1.0, 2.0], (2, 0, 0), [None]),  # let pass, as it should be
        ([1.0, 1.4, 2.0], (2, 0, 0), ["L01"]),  # taken for a parcel: its own row, not one too many
        ([1.1, 1.4], (1, 1, 0), ["L01"]),  # its decision does not stand for the parcel that got none
        ([1.0, 1.4, 1.5, 2.0], (2, 0, 1), ["L01"]),  # two for one thing
    ],
)
def test_a_foreign_object_has_a_row_of_its_own(
    decisions: list[float], expected: tuple[int, int, int], got: list[str | None]
) -> None:
    truth = Truth(2, (TrueParcel(1, 1.0), TrueParcel(2, 2.0)), (TrueForeign(3, "bottle", 1.4),))
    verdict = judge(truth, [decided_at(second) for second in decisions])
    assert (verdict.decided, verdict.missed, verdict.extra) == expected
    assert [row["got"] for row in verdict.as_dict()["foreign"]] == got
    assert "foreign" not in judge(truth_at(1), []).as_dict()


def test_foreign_objects_are_read_from_the_truth_beside_a_clip(tmp_path: Path) -> None:
    things = [{"id": 8 + n, "kind": "paper", "crosses": n < 1, "cross_s": 2.5 if n < 1 else None} for n in range(2)]
    (tmp_path / "t.json").write_text(json.dumps({"schema": "edge_sorter.truth/1", "parcels": [], "foreign": things}))
    assert load_truth(tmp_path / "t.json").foreign == (TrueForeign(8, "paper", 2.5),)


def test_a_group_belongs_into_the_exception_lane_where_the_line_says_so(root: Path) -> None:
    plan = load_plan(root / "configs/demo/plan.yaml", classes=("carton", "polybag", "mailer", "tube", "sack"))
    parcel = TrueParcel(1, 1.0, "carton", (300.0, 200.0), "DOUBLE", (1, 2))
    assert lane_by_plan(plan, groups_to_exception=True)(parcel) == plan.exception
    assert lane_by_plan(plan)(parcel) == "L01"


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


def test_a_revised_parcel_counts_once_and_with_its_newest_lane() -> None:
    revised = [decided_at(1, "L09", uid="one"), decided_at(2), decided_at(1, "L01", uid="one", rev=1)]
    verdict = judge(truth_at(1, 2), revised, lane_of=lambda parcel: "L01")
    assert (verdict.decided, verdict.missed, verdict.extra, verdict.lane_right) == (2, 0, 0, 2)


def test_a_plan_that_wants_a_group_of_lanes_names_none() -> None:
    frame = {"id": "p", "lanes": [{"id": "A", "plc": 1}, {"id": "B", "plc": 2}], "default": "B", "exception": "B"}
    groups = [{"id": "G", "lanes": ["A", "B"]}]
    parcel = TrueParcel(1, 1.0, "carton", (300.0, 200.0))
    for target, wanted in (("A", "A"), ("G", None)):
        document = {**frame, "groups": groups, "rules": [{"id": "r", "to": target}]}
        assert lane_by_plan(check_plan(document, source="test", classes=None))(parcel) == wanted
