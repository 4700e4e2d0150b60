"""Positions and deadlines by an encoder: counts that wrap, and a belt that stops."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sorting_world import LINE_MM, feed, make_belt, make_router, parcel

from edge_sorter.belt import EncoderMotion
from edge_sorter.clock import ReplayClock
from edge_sorter.events import LaneReport, LaneStatus
from edge_sorter.journal import decision_record
from edge_sorter.plc.encode import decision_message
from edge_sorter.types import Action, Reason, TrackState

START = 2**32 - 1000
"""Count at travel 0; 1 count is 0.5 mm, so it wraps at 500 mm of travel."""


class Line:
    """A belt with an encoder of 100 Hz, driven step by step."""

    def __init__(self, *, set_speed_mm_s: float | None = None) -> None:
        self.motion = EncoderMotion(mm_per_count=0.5, fallback_mm_s=set_speed_mm_s)
        self.belt = replace(make_belt(), motion=self.motion)
        self.at_s, self.travel_mm = 0.0, 0.0
        self.motion.feed(0, START)

    def run(self, seconds: float, speed_mm_s: float) -> None:
        for _ in range(round(seconds * 100)):
            self.at_s = round(self.at_s + 0.01, 2)
            self.travel_mm += speed_mm_s / 100
            self.motion.feed(round(self.at_s * 1e9), (START + round(self.travel_mm / 0.5)) % 2**32)


def test_a_decision_names_the_counts_of_both_ends_and_of_its_deadline():
    line = Line()
    router = make_router(line.belt)
    decisions = []
    for _ in range(40):  # its centre starts 200 mm before the line and crosses it at travel 200
        line.run(0.02, 1000.0)
        decisions += feed(router, line.belt, line.at_s, parcel(1, line.at_s, LINE_MM - 200 + line.travel_mm))
    (decision,) = decisions
    assert decision.position.ref == "ENC1"
    assert (decision.position.lead_mm, decision.position.trail_mm) == (pytest.approx(50.0), pytest.approx(350.0))
    assert decision.position.lead_count == START + 100
    assert decision.position.trail_count == START + 700
    assert decision.deadline_count == (START + round((200 + 2000 - 300) / 0.5)) % 2**32 == 2800
    message = decision_message(
        decision, clock=ReplayClock(), published_ns=decision.captured_ns, boot_id="B", model=None, replay=True
    )
    assert (message.pos.lead_cnt, message.pos.trail_cnt) == (START + 100, START + 700)
    assert message.deadline.enc_cnt == 2800
    record = decision_record(decision)
    assert (record["lead_cnt"], record["trail_cnt"], record["deadline_cnt"]) == (START + 100, START + 700, 2800)


def test_without_an_encoder_nothing_is_counted():
    belt = make_belt()
    router = make_router(belt)
    decisions = [d for i in range(40) for d in feed(router, belt, i / 50, parcel(1, i / 50, LINE_MM - 200 + 20 * i))]
    (decision,) = decisions
    assert (decision.position.lead_count, decision.deadline_count) == (None, None)
    assert not {"lead_cnt", "trail_cnt", "deadline_cnt"} & set(decision_record(decision))


@pytest.mark.parametrize(
    ("further_mm", "reason"),
    [(0.0, Reason.PLAN_MATCH), (1600.0, Reason.PLAN_MATCH), (1750.0, Reason.LATE)],
)
def test_only_travel_makes_a_decision_late(further_mm: float, reason: Reason):
    """It crosses unconfirmed, the belt stands for a minute, runs on for some way, and only then it is confirmed."""
    line = Line()
    router = make_router(line.belt)
    for _ in range(12):
        line.run(0.02, 1000.0)
        place = LINE_MM - 200 + line.travel_mm
        assert not feed(router, line.belt, line.at_s, parcel(1, line.at_s, place, state=TrackState.TENTATIVE))
    line.run(60.0, 0.0)
    line.run(further_mm / 1000.0, 1000.0)
    place = LINE_MM - 200 + line.travel_mm
    (decision,) = feed(router, line.belt, line.at_s, parcel(1, line.at_s, place))
    assert decision.reason is reason
    assert (decision.action is Action.EXCEPTION) == (reason is Reason.LATE)
    assert (decision.deadline_ns > decision.captured_ns) == (reason is not Reason.LATE)


def test_while_the_encoder_is_silent_the_position_says_speed():
    line = Line(set_speed_mm_s=1000.0)
    router = make_router(line.belt)
    line.run(0.1, 1000.0)
    decisions = [
        decision
        for i in range(20, 60)
        for decision in feed(router, line.belt, i / 50, parcel(1, i / 50, LINE_MM - 600 + 20 * i))
    ]
    (decision,) = decisions
    assert decision.position.ref == "SPEED"
    assert decision.position.lead_mm == pytest.approx(450.0, abs=1.0)
    assert (decision.position.lead_count, decision.deadline_count) == (None, None)


def test_a_lane_that_fills_up_while_the_belt_stands_is_left_in_time():
    """The stop outlasts the first deadline as a time; by travel the parcel has not got there."""
    line = Line(set_speed_mm_s=1000.0)
    router = make_router(line.belt)
    decisions = []
    for _ in range(20):
        line.run(0.02, 1000.0)
        decisions += feed(router, line.belt, line.at_s, parcel(1, line.at_s, LINE_MM - 200 + line.travel_mm))
    (first,) = decisions
    line.run(30.0, 0.0)
    now_ns = round(line.at_s * 1e9)
    assert first.deadline_ns < now_ns
    (second,) = router.hear(LaneReport(now_ns, first.lane, LaneStatus.FULL))
    assert (second.parcel_uid, second.rev, second.reason) == (first.parcel_uid, 1, Reason.ALT_LANE_FULL)
    assert second.lane != first.lane
    assert (second.deadline_count, second.position) == (first.deadline_count, first.position)
    assert second.deadline_ns == now_ns + 1_500_000_000, "1.9 m beyond the crossing less 300 mm, and 200 mm are run"
    line.run(2.0, 1000.0)
    assert router.hear(LaneReport(round(line.at_s * 1e9), second.lane, LaneStatus.FULL)) == ()
