"""A parcel whose next frame does not come in time is decided all the same, on what was seen, where the belt took it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sorting_world import feed, make_belt, make_router, parcel

from edge_sorter.events import LineReport
from edge_sorter.sort.overdue import RESERVE_NS
from edge_sorter.types import Reason, TrackState

STEP_S = 0.04
IDLE_NS = 50_000_000


def ride(router, belt, *, until_s, state=TrackState.CONFIRMED):
    """A parcel at 300 mm that rides at 1 m/s, seen until then; the line is at 1200 mm."""
    decisions = []
    for index in range(round(until_s / STEP_S)):
        at_s = index * STEP_S
        decisions += feed(router, belt, at_s, parcel(1, at_s, 300.0 + 1000.0 * at_s, state=state))
    return decisions


def idle(router, belt, *, from_s, until_s):
    """The loop goes round without a frame."""
    decisions = []
    for at_ns in range(round(from_s * 1e9), round(until_s * 1e9), IDLE_NS):
        decisions += router.decide_overdue(at_ns, belt.motion.travel_mm(at_ns), degraded=False)
    return decisions


def test_a_parcel_that_no_frame_comes_for_is_decided_in_time_and_in_place():
    belt = make_belt()
    (usual,) = ride(make_router(belt), belt, until_s=1.4)
    router = make_router(belt)
    assert ride(router, belt, until_s=0.6) == []
    (decision,) = idle(router, belt, from_s=0.6, until_s=4.0)
    assert 0 <= decision.deadline_ns - decision.captured_ns < RESERVE_NS, "as late as it may be, but in time"
    assert decision.crossed_ns == pytest.approx(usual.crossed_ns, abs=2e6)
    assert decision.position.lead_mm == pytest.approx(usual.position.lead_mm, abs=1.0)
    assert decision.position.trail_mm == pytest.approx(usual.position.trail_mm, abs=1.0)
    assert (decision.lane, decision.reason) == (usual.lane, Reason.PLAN_MATCH)
    assert (usual.flags, decision.flags) == ((), ("NO_PICTURE",)), "whoever reads it knows that nobody saw it cross"
    late = parcel(1, decision.captured_ns / 1e9 - 0.02, 300.0 + decision.captured_ns / 1e6 - 20.0)
    assert feed(router, belt, late.track.captured_ns / 1e9, late) == (), "a frame that comes after all changes nothing"


def test_as_long_as_frames_come_they_decide():
    belt = make_belt()
    router = make_router(belt)
    for index in range(40):
        at_s = index * STEP_S
        at_ns = round((at_s + STEP_S) * 1e9)
        feed(router, belt, at_s, parcel(1, at_s, 300.0 + 1000.0 * at_s))
        assert router.overdue(at_ns, belt.motion.travel_mm(at_ns)) == []


@pytest.mark.parametrize(
    ("speed_mm_s", "state"), [(None, TrackState.CONFIRMED), (1000.0, TrackState.TENTATIVE)], ids=["no travel", "unsure"]
)
def test_what_may_lie_elsewhere_or_be_nothing_is_not_decided_unseen(speed_mm_s, state):
    belt = make_belt(speed_mm_s=speed_mm_s)
    router = make_router(belt)
    ride(router, belt, until_s=0.6, state=state)
    assert idle(router, belt, from_s=0.6, until_s=4.0) == []


def test_on_a_degraded_line_it_goes_to_the_exception_lane():
    belt = make_belt()
    router = make_router(belt)
    ride(router, belt, until_s=0.6)
    at_ns = next(ns for ns in range(600_000_000, 4_000_000_000, IDLE_NS) if router.overdue(ns, ns / 1e6))
    (decision,) = router.decide_overdue(at_ns, belt.motion.travel_mm(at_ns), degraded=True)
    assert (decision.lane, decision.reason) == ("HOSP", Reason.DEGRADED_MODE)


@pytest.mark.parametrize("packml", ["HELD", "STOPPED"])
def test_what_a_set_speed_belt_did_in_a_stop_that_nobody_saw_is_not_assumed(packml):
    """The track that is not seen again dies; the parcel, found anew where it stood, is decided once, as it crosses."""
    belt = make_belt()
    router = make_router(belt, on_stop="verify")
    ride(router, belt, until_s=0.6)
    router.hear(LineReport(650_000_000, packml))
    assert idle(router, belt, from_s=0.65, until_s=4.0) == []
    decisions = []
    for step in range(50):
        at_s, moving_s = 4.0 + step * STEP_S, max(0, step - 25) * STEP_S
        if step == 25:
            router.hear(LineReport(round(at_s * 1e9), "EXECUTE"))
        state = TrackState.LOST if step < 40 else TrackState.ENDED
        ghost = parcel(1, at_s, 300.0 + 1000.0 * at_s, state=state, measured=False)
        ghost = replace(ghost, track=replace(ghost.track, last_seen_ns=560_000_000))
        decisions += feed(router, belt, at_s, ghost, parcel(2, at_s, 950.0 + 1000.0 * moving_s))
    assert [(d.track_id, d.reason, d.flags) for d in decisions] == [(2, Reason.PLAN_MATCH, ())]


def test_a_stop_before_a_parcel_was_last_seen_takes_nothing_from_it():
    belt = make_belt()
    router = make_router(belt, on_stop="verify")
    router.hear(LineReport(0, "HELD"))
    router.hear(LineReport(100_000_000, "EXECUTE"))
    ride(router, belt, until_s=0.6)
    (decision,) = idle(router, belt, from_s=0.6, until_s=4.0)
    assert decision.flags == ("NO_PICTURE",)
