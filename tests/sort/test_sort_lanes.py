"""Lanes that fill up, close, fall silent or have limits: where parcels go instead, before and after deciding."""

from __future__ import annotations

import pytest
from sorting_world import CLASSES, feed, make_belt, make_router, parcel

from edge_sorter.belt import Belt, EncoderMotion
from edge_sorter.config import TimingSection
from edge_sorter.events import LaneReport, LaneStatus, WallTime
from edge_sorter.sort import check_plan
from edge_sorter.types import Action, Code, Reason

FRAME = {
    "id": "lanes",
    "lanes": [
        {"id": "L1", "plc": 1, "divert_mm": 2000},
        {"id": "L2", "plc": 2, "divert_mm": 3000},
        {"id": "L3", "plc": 3, "divert_mm": 500},
        {"id": "OVF", "plc": 80, "kind": "overflow", "divert_mm": 4000},
        {"id": "LOOP", "plc": 85, "kind": "recirc", "divert_mm": 5000},
        {"id": "DGL", "plc": 90, "divert_mm": 2500},
        {"id": "NR", "plc": 98, "kind": "default"},
        {"id": "HOSP", "plc": 99, "kind": "exception", "divert_mm": 3500},
    ],
    "default": "NR",
    "exception": "HOSP",
    "overflow": "OVF",
}
FAR = [{"id": "L1", "plc": 1}, {"id": "L2", "plc": 2}, *FRAME["lanes"][-2:]]
TO = {"id": "all", "to": ["L1", "L2"]}


def router_of(*rules, belt=None, section=None, **more):
    plan = check_plan({**FRAME, "rules": rules or [TO], **more}, source="test", classes=CLASSES)
    belt = belt or make_belt()
    return make_router(belt, plan=plan, **(section or {})), belt


def report(router, at_s, lane, status="FULL", **more):
    return router.hear(LaneReport(round(at_s * 1e9), lane, LaneStatus(status), **more))


def cross(router, belt, at_s, track_id=1, **look):
    """One parcel passes the line at `at_s`: seen 100 ms before and 20 ms after."""
    found = [*feed(router, belt, at_s - 0.1, parcel(track_id, at_s - 0.1, 1100.0, **look))]
    return [*found, *feed(router, belt, at_s + 0.02, parcel(track_id, at_s + 0.02, 1220.0, **look))]


def lane_of(decisions):
    (decision,) = decisions
    return decision.lane, decision.reason, decision.action


@pytest.mark.parametrize("status", ["FULL", "DISABLED", "FAULT", "RATE_LIMITED", "UNKNOWN"])
def test_a_lane_that_cannot_take_a_parcel_leaves_it_to_the_next(status):
    router, belt = router_of()
    report(router, 0.0, "L1", status)
    (decision,) = cross(router, belt, 1.0)
    assert (decision.lane, decision.reason, decision.alternates) == ("L2", Reason.ALT_LANE_FULL, ("OVF",))
    assert decision.rule == "all"
    # 3000 mm at 1000 mm/s less 300 ms: the deadline is that of the lane it goes to.
    assert decision.deadline_ns - decision.crossed_ns == pytest.approx(2_700_000_000, abs=1000)


@pytest.mark.parametrize("status", ["OPEN", "HALF"])
def test_an_open_lane_is_open(status):
    router, belt = router_of()
    report(router, 0.0, "L1", status)
    (decision,) = cross(router, belt, 1.0)
    assert (decision.lane, decision.reason, decision.alternates) == ("L1", Reason.PLAN_MATCH, ("L2", "OVF"))


def test_after_the_alternates_comes_overflow_and_then_the_default_lane():
    router, belt = router_of()
    for lane in ("L1", "L2"):
        report(router, 0.0, lane)
    assert lane_of(cross(router, belt, 1.0, 1)) == ("OVF", Reason.OVERFLOW, Action.DIVERT)
    report(router, 2.0, "OVF", "FAULT")
    assert lane_of(cross(router, belt, 3.0, 2)) == ("NR", Reason.OVERFLOW, Action.PASS)
    report(router, 4.0, "L2", "OPEN")
    assert lane_of(cross(router, belt, 5.0, 3)) == ("L2", Reason.ALT_LANE_FULL, Action.DIVERT)


def test_a_rule_may_have_an_overflow_of_its_own():
    router, belt = router_of({**TO, "overflow": "LOOP"})
    for lane in ("L1", "L2"):
        report(router, 0.0, lane)
    assert lane_of(cross(router, belt, 1.0)) == ("LOOP", Reason.OVERFLOW, Action.RECIRC)


@pytest.mark.parametrize("reason", ["DG", "DAMAGED", "NON_CONVEYABLE", "OVERSIZE"])
def test_what_a_person_must_handle_never_overflows_among_the_others(reason):
    router, belt = router_of({"id": "hand", "to": "DGL", "reason": reason})
    assert lane_of(cross(router, belt, 1.0, 1)) == ("DGL", Reason(reason), Action.DIVERT)
    report(router, 2.0, "DGL")
    (decision,) = cross(router, belt, 3.0, 2)
    assert (decision.lane, decision.reason, decision.alternates) == ("HOSP", Reason(reason), ())


def test_dangerous_goods_are_recognised_even_in_doubt():
    rules = ({"id": "dg", "when": {"flags": "DG"}, "to": "DGL", "reason": "DG"}, TO)
    router, belt = router_of(*rules)
    assert lane_of(cross(router, belt, 1.0, 1, hits=1)) == ("HOSP", Reason.LOW_CONF, Action.EXCEPTION)
    assert lane_of(cross(router, belt, 3.0, 2, hits=1, flags=("DG",))) == ("DGL", Reason.DG, Action.DIVERT)


def test_the_default_and_exception_lanes_take_everything():
    router, belt = router_of({"id": "none", "when": {"class": "tube"}, "to": "L1"})
    report(router, 0.0, "NR")
    report(router, 0.0, "HOSP")
    assert lane_of(cross(router, belt, 1.0, 1)) == ("NR", Reason.DEFAULT, Action.PASS)
    assert lane_of(cross(router, belt, 3.0, 2, share=0.1)) == ("HOSP", Reason.LOW_CONF, Action.EXCEPTION)


def test_with_the_plc_as_source_an_unknown_lane_is_disabled_until_it_is_seen():
    router, belt = router_of(section={"lane_states": {"source": "plc", "ttl_s": 5.0}})
    assert router.lane_status(0)["L1"] is LaneStatus.UNKNOWN
    assert lane_of(cross(router, belt, 1.0, 1)) == ("NR", Reason.OVERFLOW, Action.PASS)
    report(router, 2.0, "L1", "OPEN")
    assert lane_of(cross(router, belt, 3.0, 2))[0] == "L1"
    assert lane_of(cross(router, belt, 6.9, 3))[0] == "L1"
    assert router.lane_status(6_900_000_000)["L1"] is LaneStatus.OPEN
    assert router.lane_status(7_100_000_000)["L1"] is LaneStatus.UNKNOWN


def test_a_lane_that_falls_silent_is_left_by_those_still_upstream():
    router, belt = router_of(section={"lane_states": {"source": "plc", "ttl_s": 5.0}})
    for lane in ("L1", "L2"):
        report(router, 0.0, lane, "OPEN")
    report(router, 2.0, "L2", "OPEN")
    (first,) = cross(router, belt, 4.5)
    assert first.lane == "L1"
    assert feed(router, belt, 5.0) == ()
    (revision,) = feed(router, belt, 5.1)
    assert (revision.lane, revision.rev, revision.reason) == ("L2", 1, Reason.ALT_LANE_FULL)
    assert feed(router, belt, 5.2) == ()


def test_an_older_report_does_not_undo_a_newer_one():
    router, _ = router_of()
    report(router, 2.0, "L1", "FULL")
    report(router, 1.0, "L1", "OPEN")
    assert router.lane_status(3_000_000_000)["L1"] is LaneStatus.FULL


def test_a_lane_that_fills_up_before_the_point_of_no_return_revises_every_parcel_on_its_way_there():
    router, belt = router_of()
    (one,) = cross(router, belt, 1.0, 1, y_mm=300.0)
    (two,) = cross(router, belt, 2.0, 2, y_mm=300.0)
    revised = report(router, 2.5, "L1")
    assert [(d.parcel_uid, d.rev, d.seq, d.lane) for d in revised] == [
        (one.parcel_uid, 1, 3, "L2"),
        (two.parcel_uid, 1, 4, "L2"),
    ]
    assert all(d.reason is Reason.ALT_LANE_FULL and d.action is Action.DIVERT for d in revised)
    # A revision has to come before the way into the old lane and into the new one is passed.
    assert [d.deadline_ns for d in revised] == [one.deadline_ns, two.deadline_ns]
    assert revised[0].position == one.position and revised[0].crossed_ns == one.crossed_ns
    again = report(router, 2.6, "L2")
    assert [(d.parcel_uid, d.rev, d.seq, d.lane, d.reason) for d in again] == [
        (one.parcel_uid, 2, 5, "OVF", Reason.OVERFLOW),
        (two.parcel_uid, 2, 6, "OVF", Reason.OVERFLOW),
    ]
    assert report(router, 2.6, "L2") == ()
    (three,) = cross(router, belt, 4.0, 3, y_mm=300.0)
    assert (three.parcel_uid, three.seq, three.rev) == ("BOOT-0000003", 7, 0)
    assert (router.counts.decided, router.counts.revised) == (3, 4)


def test_after_the_deadline_nothing_is_revised():
    router, belt = router_of()
    (one,) = cross(router, belt, 1.0)
    assert one.deadline_ns == pytest.approx(2_700_000_000, abs=1000)
    assert report(router, 2.701, "L1") == ()
    router, belt = router_of()
    cross(router, belt, 1.0)
    assert len(report(router, 2.699, "L1")) == 1


def test_a_revision_never_names_a_lane_that_was_passed_already():
    router, belt = router_of({"id": "near-alternate", "to": ["L2", "L3"]})
    cross(router, belt, 1.0)
    (revision,) = report(router, 2.0, "L2")  # L3 is 500 mm after the line: passed
    assert (revision.lane, revision.reason) == ("OVF", Reason.OVERFLOW)
    router, belt = router_of({"id": "near-alternate", "to": ["L2", "L3"]})
    cross(router, belt, 1.0)
    (revision,) = report(router, 1.1, "L2")
    assert (revision.lane, revision.deadline_ns) == ("L3", pytest.approx(1_200_000_000, abs=1000))


def test_when_every_other_way_is_passed_the_parcel_goes_straight_on():
    router, belt = router_of({"id": "far", "to": ["OVF", "L1"]}, overflow="OVF")
    (one,) = cross(router, belt, 1.0)
    (revision,) = report(router, 4.0, "OVF")
    assert (revision.lane, revision.action, revision.reason) == ("NR", Action.PASS, Reason.OVERFLOW)
    assert revision.deadline_ns == one.deadline_ns


def test_a_lane_that_opens_again_changes_nothing_that_is_decided():
    router, belt = router_of()
    report(router, 0.0, "L1")
    cross(router, belt, 1.0)
    assert report(router, 1.2, "L1", "OPEN") == ()


def test_by_an_encoder_a_belt_that_stands_still_lets_a_parcel_be_revised():
    motion = EncoderMotion(mm_per_count=1.0)
    base = make_belt()
    belt = Belt(base.map, motion, base.line, base.direction)
    router, _ = router_of(belt=belt, section={"timing": TimingSection()})
    for ms in range(0, 1100, 20):
        motion.feed(ms * 1_000_000, ms)
    (decision,) = cross(router, belt, 0.5)
    assert decision.deadline_count is not None
    for ms in range(1100, 60_000, 20):  # an hour of waiting would do no harm
        motion.feed(ms * 1_000_000, 1100)
    assert len(report(router, 59.9, "L1")) == 1
    for ms in range(60_000, 63_000, 20):
        motion.feed(ms * 1_000_000, 1100 + ms - 60_000)
    assert report(router, 62.9, "L2") == ()


def test_round_robin_gives_every_lane_its_turn_and_skips_closed_ones():
    groups = [{"id": "G", "lanes": ["L1", "L2", "OVF"], "pick": "round_robin"}]
    router, belt = router_of({"id": "g", "to": ["G", "LOOP"]}, groups=groups, overflow=None)
    lanes = [lane_of(cross(router, belt, 10.0 * n, n))[0] for n in range(1, 6)]
    assert lanes == ["L1", "L2", "OVF", "L1", "L2"]
    report(router, 55.0, "OVF")
    found = [cross(router, belt, 10.0 * n, n)[0] for n in range(6, 9)]
    assert [d.lane for d in found] == ["L1", "L2", "L1"]
    assert {d.reason for d in found} == {Reason.PLAN_MATCH}
    assert found[0].alternates == ("L2", "LOOP")
    for lane in ("L1", "L2"):
        report(router, 90.0, lane)
    assert lane_of(cross(router, belt, 100.0, 9)) == ("LOOP", Reason.ALT_LANE_FULL, Action.RECIRC)


def test_in_order_fills_the_first_lane_before_the_second():
    groups = [{"id": "G", "lanes": ["L2", "L1"], "pick": "in_order"}]
    router, belt = router_of({"id": "g", "to": "G"}, groups=groups)
    assert [lane_of(cross(router, belt, 10.0 * n, n))[0] for n in (1, 2)] == ["L2", "L2"]
    report(router, 25.0, "L2")
    assert lane_of(cross(router, belt, 30.0, 3)) == ("L1", Reason.PLAN_MATCH, Action.DIVERT)


def test_least_full_goes_by_what_lanes_report():
    groups = [{"id": "G", "lanes": ["L1", "L2", "OVF"], "pick": "least_full"}]
    router, belt = router_of({"id": "g", "to": "G"}, groups=groups, overflow=None)
    assert lane_of(cross(router, belt, 1.0, 1))[0] == "L1"
    report(router, 2.0, "L1", "HALF")
    assert lane_of(cross(router, belt, 10.0, 2))[0] == "L2"
    report(router, 12.0, "L2", "OPEN", fill_percent=70.0)
    report(router, 12.0, "OVF", "OPEN", fill_percent=60.0)
    assert lane_of(cross(router, belt, 20.0, 3))[0] == "L1"


def test_a_lane_with_a_limit_of_parcels_a_minute():
    lanes = [{**lane, "max_per_minute": 2} if lane["id"] == "L1" else lane for lane in FRAME["lanes"]]
    router, belt = router_of(lanes=lanes)
    assert [lane_of(cross(router, belt, 10.0 * n, n))[0] for n in range(1, 5)] == ["L1", "L1", "L2", "L2"]
    assert router.lane_status(45_000_000_000)["L1"] is LaneStatus.RATE_LIMITED
    assert lane_of(cross(router, belt, 70.1, 5))[0] == "L1"  # the first of them is a minute ago


def test_a_lane_with_a_limit_of_length_a_second():
    lanes = [{**lane, "max_fill_mm_s": 60.0} if lane["id"] == "L1" else lane for lane in FRAME["lanes"]]
    router, belt = router_of(lanes=lanes)
    found = [cross(router, belt, 2.0 * n, n, known_size_mm=(300.0, 200.0))[0] for n in range(1, 5)]
    assert [d.lane for d in found] == ["L1", "L1", "L2", "L2"]
    assert lane_of(cross(router, belt, 12.1, 5, known_size_mm=(300.0, 200.0)))[0] == "L1"


def test_a_parcel_that_was_sent_elsewhere_after_all_does_not_count_against_a_limit():
    lanes = [{**lane, "max_per_minute": 1} if lane["id"] in ("L1", "L2") else lane for lane in FRAME["lanes"]]
    router, belt = router_of(lanes=lanes)
    assert cross(router, belt, 1.0, 1)[0].lane == "L1"
    assert report(router, 1.5, "L1")[0].lane == "L2"
    report(router, 1.6, "L1", "OPEN")
    assert cross(router, belt, 10.0, 2)[0].lane == "L1"
    assert lane_of(cross(router, belt, 20.0, 3)) == ("OVF", Reason.OVERFLOW, Action.DIVERT)


def test_a_parcel_that_comes_round_too_often_goes_to_a_person():
    router, belt = router_of(recirculate={"limit": 2, "loop_s": 60.0})
    code = {"codes": (Code("Code128", "JD014600"),)}
    found = [cross(router, belt, 50.0 * n, n, **code) for n in range(1, 5)]
    assert [decision.rounds for (decision,) in found] == [0, 1, 2, 3]
    lanes = [lane_of(decisions) for decisions in found]
    assert [lane for lane, _, _ in lanes] == ["L1", "L1", "L1", "HOSP"]
    assert lanes[3][1:] == (Reason.RECIRC_LIMIT, Action.EXCEPTION)
    assert lane_of(cross(router, belt, 265.0, 5, **code))[0] == "L1"  # longer than the loop ago: another journey
    assert lane_of(cross(router, belt, 275.0, 6, codes=(Code("Code128", "JD014601"),)))[0] == "L1"


def test_after_the_cut_off_parcels_go_where_the_rule_says():
    rule = {**TO, "cutoff": "18:30", "late_to": ["L2"]}
    router, belt = router_of(rule, day_starts="04:00")
    assert lane_of(cross(router, belt, 1.0, 1))[0] == "L1"  # nobody told the time
    router.hear(WallTime(10_000_000_000, (18 * 3600 + 29 * 60 + 50) * 10**9))
    assert lane_of(cross(router, belt, 15.0, 2))[0] == "L1"
    assert lane_of(cross(router, belt, 25.0, 3)) == ("L2", Reason.CUTOFF_PASSED, Action.DIVERT)
    router.hear(WallTime(30_000_000_000, (3 * 3600 + 59 * 60 + 59) * 10**9))
    assert lane_of(cross(router, belt, 30.5, 4))[1] is Reason.CUTOFF_PASSED
    assert lane_of(cross(router, belt, 35.0, 5)) == ("L1", Reason.PLAN_MATCH, Action.DIVERT)


def test_after_the_cut_off_without_a_place_the_default_lane_takes_it():
    router, belt = router_of({**TO, "cutoff": "18:30"})
    router.hear(WallTime(0, 19 * 3600 * 10**9))
    assert lane_of(cross(router, belt, 1.0)) == ("NR", Reason.CUTOFF_PASSED, Action.PASS)


@pytest.mark.parametrize(
    ("limits", "size", "reason"),
    [
        ({"length_mm": 299.0}, (300.0, 200.0), Reason.OVERSIZE),
        ({"width_mm": 199.0}, (300.0, 200.0), Reason.OVERSIZE),
        ({"length_mm": 300.0, "width_mm": 200.0}, (300.0, 200.0), Reason.PLAN_MATCH),
        ({"shortest_mm": 301.0}, (300.0, 200.0), Reason.NON_CONVEYABLE),
        ({"shortest_mm": 300.0}, (300.0, 200.0), Reason.PLAN_MATCH),
        ({"length_mm": 1.0, "weight_g": 1.0}, None, Reason.PLAN_MATCH),
    ],
)
def test_what_the_line_cannot_carry_goes_to_the_exception_lane(limits, size, reason):
    router, belt = router_of(section={"limits": limits})
    lane, found, _ = lane_of(cross(router, belt, 1.0, known_size_mm=size))
    assert (lane, found) == ("L1" if reason is Reason.PLAN_MATCH else "HOSP", reason)


def follow(router, belt, *, gap_mm, classes=("carton", "carton")):
    """Two parcels of 300 mm with so much belt between them pass the line; the second 100 ms later at the least."""
    decisions = []
    for index in range(40):
        at_s = index / 25
        x_mm = 700.0 + 1000.0 * at_s
        decisions += feed(
            router,
            belt,
            at_s,
            parcel(1, at_s, x_mm, class_name=classes[0]),
            parcel(2, at_s, x_mm - 300.0 - gap_mm, class_name=classes[1]),
        )
    return decisions


BY_CLASS = ({"id": "c", "when": {"class": "carton"}, "to": "L1"}, {"id": "t", "when": {"class": "tube"}, "to": "L2"})


def test_parcels_of_two_lanes_that_no_diverter_can_part_both_go_to_the_exception_lane():
    router, belt = router_of(*BY_CLASS, section={"min_gap_mm": 150.0})
    first, revised, second = follow(router, belt, gap_mm=140.0, classes=("carton", "tube"))
    assert (first.lane, first.rev) == ("L1", 0)
    assert (revised.parcel_uid, revised.rev, revised.seq) == (first.parcel_uid, 1, 2)
    assert {d.lane for d in (revised, second)} == {"HOSP"}
    assert {d.reason for d in (revised, second)} == {Reason.GAP_VIOLATION}
    assert (second.parcel_uid, second.seq) == ("BOOT-0000002", 3)


@pytest.mark.parametrize(
    ("gap_mm", "classes"), [(160.0, ("carton", "tube")), (140.0, ("carton", "carton")), (140.0, ("tube", "tube"))]
)
def test_parcels_far_enough_apart_or_of_one_lane_are_left_alone(gap_mm, classes):
    router, belt = router_of(*BY_CLASS, section={"min_gap_mm": 150.0})
    assert [d.reason for d in follow(router, belt, gap_mm=gap_mm, classes=classes)] == [Reason.PLAN_MATCH] * 2


def test_memory_of_decided_parcels_holds_those_before_their_diverter_and_is_bounded():
    router, belt = router_of()
    for number in range(1, 101):
        cross(router, belt, 0.5 * number, number)
    assert len(router._dispatch._in_flight) <= 5  # 1.7 s of belt, at two parcels a second
    router, belt = router_of(section={"timing": TimingSection(divert_mm=1e6)}, overflow=None, lanes=FAR)
    for number in range(1, 301):
        cross(router, belt, 0.5 * number, number)
    assert len(router._dispatch._in_flight) == 256
    assert len(report(router, 150.6, "L1")) == 256
