from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sorting_world import CLASSES, LINE_MM, feed, make_belt, make_router, parcel

from edge_sorter.config import TimingSection
from edge_sorter.sort import load_plan
from edge_sorter.types import Action, Code, Reason, TrackState

CODE_PLAN = """\
id: codes
lanes: [{id: L01, plc: 1}, {id: NR, plc: 2, kind: default}, {id: HOSP, plc: 3, kind: exception}]
rules: [{id: jd, priority: 1, when: {code: {prefix: JD}}, to: [L01, NR]}]
default: NR
exception: HOSP
"""


def ride(router, belt, *, fps=25.0, start_mm=600.0, until_mm=1700.0, speed_mm_s=1000.0, drop=(), track_id=1, **look):
    """Let one parcel ride through and return every decision."""
    decisions = []
    frames = int((until_mm - start_mm) / speed_mm_s * fps) + 1
    for index in range(frames):
        if index in drop:
            continue
        at_s = index / fps
        x_mm = start_mm + speed_mm_s * at_s
        decisions += feed(router, belt, at_s, parcel(track_id, at_s, x_mm, speed_mm_s=speed_mm_s, **look))
    return decisions


def codes_plan(tmp_path):
    path = tmp_path / "plan.yaml"
    path.write_text(CODE_PLAN, encoding="utf-8")
    return load_plan(path, classes=CLASSES)


@pytest.mark.parametrize("calibrated", [True, False])
@pytest.mark.parametrize("fps", [3.0, 5.0, 25.0, 60.0, 240.0])
def test_one_decision_at_the_same_time_and_place_at_any_frame_rate(fps, calibrated):
    belt = make_belt(calibrated=calibrated)
    (decision,) = ride(make_router(belt), belt, fps=fps)
    assert decision.crossed_ns == pytest.approx(600_000_000, abs=1000)
    assert decision.position.center_px == pytest.approx((LINE_MM / 2, 250.0))
    assert 0 <= decision.captured_ns - decision.crossed_ns <= 1e9 / fps
    assert (decision.lane, decision.rule, decision.reason) == ("L01", "small-carton", Reason.PLAN_MATCH)


def test_a_decision_carries_its_evidence():
    belt = make_belt()
    router = make_router(belt)
    (decision,) = ride(router, belt, y_mm=560.0)
    assert decision.parcel_uid == "BOOT-0000001" and decision.seq == 1 and decision.rev == 0
    assert decision.alternates == ("L02",)
    assert decision.action is Action.DIVERT
    assert decision.plan.startswith("demo#")
    assert (decision.class_name, decision.confidence, decision.size_mm) == ("carton", 1.0, (300.0, 200.0))
    # The centre reaches the line after 600 mm of travel, its edges 150 mm before and after.
    assert decision.position.ref == "SPEED"
    assert (decision.position.lead_mm, decision.position.trail_mm) == pytest.approx((450.0, 750.0), abs=0.2)
    assert decision.position.lateral_mm == pytest.approx(60.0, abs=0.2)
    # 2000 mm at 1000 mm/s less 300 ms.
    assert decision.deadline_ns - decision.crossed_ns == 1_700_000_000
    assert router.counts.decided == 1 and router.counts.by_reason == {"PLAN_MATCH": 1}


def test_position_says_time_where_the_belt_is_not_known():
    uncalibrated = make_belt(calibrated=False)
    (decision,) = ride(make_router(uncalibrated), uncalibrated)
    assert (decision.position.ref, decision.position.lead_mm, decision.position.lateral_mm) == ("TIME", None, None)
    unknown_speed = make_belt(speed_mm_s=None)
    (decision,) = ride(make_router(unknown_speed), unknown_speed)
    assert (decision.position.ref, decision.position.lead_mm) == ("TIME", None)
    assert decision.position.lateral_mm == pytest.approx(0.0, abs=0.2)
    # With a calibration the speed of the parcel itself gives the deadline.
    assert decision.deadline_ns - decision.crossed_ns == pytest.approx(1_700_000_000, rel=1e-3)


def test_without_any_motion_the_deadline_assumes_the_fastest_belt_or_takes_the_given_time():
    belt = make_belt(calibrated=False)
    (decision,) = ride(make_router(belt), belt)
    assert decision.deadline_ns - decision.crossed_ns == pytest.approx(366_666_667, abs=1)
    (decision,) = ride(make_router(belt, timing=TimingSection(travel_s=2.0)), belt)
    assert decision.deadline_ns - decision.crossed_ns == 1_700_000_000


@pytest.mark.parametrize(
    ("look", "lane", "reason", "action"),
    [
        ({}, "L01", Reason.PLAN_MATCH, Action.DIVERT),
        ({"known_size_mm": (500.0, 200.0)}, "L02", Reason.PLAN_MATCH, Action.DIVERT),
        ({"known_size_mm": None}, "NR", Reason.DEFAULT, Action.PASS),
        ({"class_name": "tube"}, "NC", Reason.NON_CONVEYABLE, Action.EXCEPTION),
        ({"hits": 2}, "HOSP", Reason.LOW_CONF, Action.EXCEPTION),
        ({"share": 0.45}, "HOSP", Reason.LOW_CONF, Action.EXCEPTION),
        ({"share": 0.5}, "L01", Reason.PLAN_MATCH, Action.DIVERT),
        ({"flags": ("CODE_CONFLICT",)}, "L01", Reason.PLAN_MATCH, Action.DIVERT),
    ],
)
def test_lane_and_reason(look, lane, reason, action):
    belt = make_belt()
    (decision,) = ride(make_router(belt), belt, **look)
    assert (decision.lane, decision.reason, decision.action) == (lane, reason, action)


@pytest.mark.parametrize(
    ("look", "lane", "reason"),
    [
        ({"codes": (Code("Code128", "JD1"),)}, "L01", Reason.PLAN_MATCH),
        ({"codes": (Code("Code128", "XX1"),)}, "NR", Reason.DEFAULT),
        ({}, "NR", Reason.NO_READ),
        ({"codes": (Code("Code128", "JD1"),), "flags": ("CODE_CONFLICT",)}, "HOSP", Reason.MULTI_LABEL_CONFLICT),
        ({"codes": (Code("Code128", "JD1"),), "share": 0.3}, "L01", Reason.PLAN_MATCH),
    ],
    ids=["match", "other code", "no read", "conflict", "class does not matter to this plan"],
)
def test_lane_and_reason_of_a_plan_by_code(tmp_path, look, lane, reason):
    belt = make_belt()
    (decision,) = ride(make_router(belt, plan=codes_plan(tmp_path)), belt, **look)
    assert (decision.lane, decision.reason) == (lane, reason)


def test_a_late_decision_goes_to_the_default_lane_and_keeps_its_deadline():
    belt = make_belt()
    router = make_router(belt, timing=TimingSection(divert_mm=310.0))
    (decision,) = ride(router, belt, fps=10.0, start_mm=660.0)  # seen 40 ms before and 60 ms after the line
    assert decision.deadline_ns - decision.crossed_ns == 10_000_000
    assert (decision.lane, decision.alternates) == ("NR", ())
    assert (decision.action, decision.reason, decision.rule) == (Action.EXCEPTION, Reason.LATE, None)
    assert router.counts.late == 1


def test_a_lane_of_its_own_distance_has_its_own_deadline(tmp_path):
    path = tmp_path / "plan.yaml"
    path.write_text(CODE_PLAN.replace("plc: 1}", "plc: 1, divert_mm: 5000}"), encoding="utf-8")
    belt = make_belt()
    router = make_router(belt, plan=load_plan(path, classes=CLASSES))
    (far,) = ride(router, belt, codes=(Code("Code128", "JD1"),))
    (near,) = ride(router, belt, track_id=2, y_mm=200.0)
    assert far.deadline_ns - far.crossed_ns == 4_700_000_000
    assert near.deadline_ns - near.crossed_ns == 1_700_000_000


def test_dropped_frames_change_neither_lane_nor_time():
    belt = make_belt()
    (whole,) = ride(make_router(belt), belt)
    (gaps,) = ride(make_router(belt), belt, drop=set(range(10, 20)))
    assert gaps.lane == whole.lane
    assert gaps.crossed_ns == pytest.approx(whole.crossed_ns, abs=1000)
    assert gaps.captured_ns > whole.captured_ns


def test_a_track_confirmed_only_past_the_line_is_decided_with_the_time_of_its_crossing():
    belt = make_belt()
    router = make_router(belt)
    decisions = []
    for index, x_mm in enumerate((1000.0, 1150.0, 1300.0, 1450.0)):
        state = TrackState.CONFIRMED if index == 3 else TrackState.TENTATIVE
        at_s = x_mm / 1000.0
        decisions += feed(router, belt, at_s, parcel(1, at_s, x_mm, state=state, hits=index + 1))
    (decision,) = decisions
    assert decision.crossed_ns == pytest.approx(1_200_000_000, abs=1000)
    assert decision.captured_ns == 1_450_000_000
    assert decision.position.lead_mm == pytest.approx(1200 - 150, abs=0.2)


def test_an_unconfirmed_track_is_never_decided_but_counted():
    belt = make_belt()
    router = make_router(belt)
    assert ride(router, belt, state=TrackState.TENTATIVE, hits=1) == []
    assert feed(router, belt, 9.0) == ()
    assert router.counts.unconfirmed == 1 and router.counts.decided == 0


def test_a_track_first_seen_past_the_line_is_counted_not_decided():
    belt = make_belt()
    router = make_router(belt)
    assert ride(router, belt, start_mm=1210.0) == []
    assert router.counts.unseen == 1


def test_a_parcel_past_the_line_in_the_first_picture_is_nobodys_miss():
    belt = make_belt()
    router = make_router(belt)
    first = parcel(1, 0.0, 1300.0)
    first = replace(first, track=replace(first.track, in_view_at_start=True))
    assert feed(router, belt, 0.0, first) == ()
    assert router.counts.unseen == 0


def test_a_parcel_in_view_at_start_is_decided_when_it_crosses():
    belt = make_belt()
    first = parcel(1, 0.0, 1100.0)
    first = replace(first, track=replace(first.track, in_view_at_start=True))
    router = make_router(belt)
    assert feed(router, belt, 0.0, first) == ()
    assert len(feed(router, belt, 0.2, parcel(1, 0.2, 1300.0))) == 1


@pytest.mark.parametrize("calibrated", [True, False])
def test_a_lost_track_is_swept_while_the_belt_is_known_else_believed_when_seen_again(calibrated):
    belt = make_belt(calibrated=calibrated)
    router = make_router(belt)
    decisions = list(feed(router, belt, 0.0, parcel(1, 0.0, 1000.0)))
    decisions += feed(router, belt, 0.1, parcel(1, 0.1, 1100.0))
    lost = {"state": TrackState.LOST, "measured": False}
    decisions += feed(router, belt, 0.3, parcel(1, 0.3, 1300.0, **lost))
    assert len(decisions) == (1 if calibrated else 0)
    decisions += feed(router, belt, 0.5, parcel(1, 0.5, 1500.0))
    (decision,) = decisions
    assert decision.crossed_ns == pytest.approx(200_000_000, abs=1000)
    assert decision.reason is Reason.PLAN_MATCH


def test_a_track_lost_before_the_line_that_never_comes_back_is_an_exception():
    belt = make_belt(calibrated=False)
    router = make_router(belt, timing=TimingSection(travel_s=2.0))
    assert feed(router, belt, 0.1, parcel(1, 0.1, 1100.0)) == ()
    assert feed(router, belt, 0.3, parcel(1, 0.3, 1300.0, state=TrackState.LOST, measured=False)) == ()
    (decision,) = feed(router, belt, 0.8, parcel(1, 0.8, 1800.0, state=TrackState.ENDED, measured=False))
    assert (decision.lane, decision.action, decision.reason) == ("HOSP", Action.EXCEPTION, Reason.TRACK_LOST)
    assert decision.crossed_ns == pytest.approx(200_000_000, abs=1000)


def test_a_track_lost_well_before_the_line_ends_quietly():
    belt = make_belt(calibrated=False)
    router = make_router(belt)
    feed(router, belt, 0.1, parcel(1, 0.1, 300.0))
    assert feed(router, belt, 0.3, parcel(1, 0.3, 500.0, state=TrackState.LOST, measured=False)) == ()
    assert feed(router, belt, 0.8, parcel(1, 0.8, 1000.0, state=TrackState.ENDED, measured=False)) == ()


def test_a_lost_guess_is_dropped_when_the_track_turns_up_before_the_line():
    belt = make_belt(calibrated=False)
    router = make_router(belt)
    feed(router, belt, 0.1, parcel(1, 0.1, 1100.0))
    feed(router, belt, 0.2, parcel(1, 0.2, 1250.0, state=TrackState.LOST, measured=False))
    assert feed(router, belt, 0.3, parcel(1, 0.3, 1110.0)) == ()
    (decision,) = feed(router, belt, 0.5, parcel(1, 0.5, 1290.0))
    assert decision.crossed_ns == pytest.approx(400_000_000, abs=1000)


def test_a_track_that_turned_up_before_the_line_and_ended_there_is_not_decided():
    belt = make_belt(calibrated=False)
    router = make_router(belt)
    feed(router, belt, 0.1, parcel(1, 0.1, 1100.0))
    feed(router, belt, 0.2, parcel(1, 0.2, 1250.0, state=TrackState.LOST, measured=False))
    feed(router, belt, 0.3, parcel(1, 0.3, 1110.0))
    assert feed(router, belt, 0.9, parcel(1, 0.9, 1110.0, state=TrackState.ENDED, measured=False)) == ()


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(st.floats(-60.0, 60.0), min_size=5, max_size=80),
    calibrated=st.booleans(),
    tentative=st.integers(0, 4),
    data=st.data(),
)
def test_any_jitter_over_the_line_gives_exactly_one_decision(steps, calibrated, tentative, data):
    belt = make_belt(calibrated=calibrated, speed_mm_s=0.001)
    router = make_router(belt)
    positions = [1000.0, 1050.0, 1100.0, 1150.0, *(1200.0 + step for step in steps), 1250.0, 1300.0]
    decisions = []
    for index, x_mm in enumerate(positions):
        state = TrackState.TENTATIVE if index < tentative else TrackState.CONFIRMED
        inner = 4 <= index < len(positions) - 2
        if inner and data.draw(st.booleans(), label="unseen"):
            state = TrackState.LOST
        seen = state is not TrackState.LOST
        at_s = index / 25
        decisions += feed(router, belt, at_s, parcel(1, at_s, x_mm, state=state, measured=seen, speed_mm_s=0.0))
    assert len(decisions) == 1


def test_the_same_parcels_give_the_same_decisions():
    belt = make_belt()
    first, second = (ride(make_router(belt), belt, fps=17.0, y_mm=431.7) for _ in range(2))
    assert first == second and repr(first) == repr(second)


@pytest.mark.slow
def test_memory_stays_small_over_a_hundred_thousand_parcels():
    belt = make_belt(calibrated=False)
    router = make_router(belt)
    decided = 0
    for number in range(1, 100_001):
        at_s = float(number)
        before = parcel(number, at_s, 1190.0)
        after = parcel(number, at_s + 0.1, 1290.0)
        feed(router, belt, at_s, before)
        decided += len(feed(router, belt, at_s + 0.1, after))
    assert decided == 100_000
    assert len(router._paths) <= 1 and len(router._taken) <= 64


def test_memory_of_decided_places_is_bounded_on_a_known_belt():
    belt = make_belt()
    router = make_router(belt)
    for number in range(1, 301):
        at_s = float(number)
        feed(router, belt, at_s, parcel(number, at_s, 1190.0))
        assert len(feed(router, belt, at_s + 0.1, parcel(number, at_s + 0.1, 1290.0))) == 1
    assert len(router._taken) == 64
