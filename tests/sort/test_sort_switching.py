"""Plans that change while parcels move, and moments after which nothing in view is trusted."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sorting_world import CLASSES, feed, make_belt, make_router, parcel

from edge_sorter.events import Flush, LaneReport, LaneStatus, LineReport, PlanOffer
from edge_sorter.sort import check_plan
from edge_sorter.types import Action, Reason

LANES = [
    {"id": "L1", "plc": 1},
    {"id": "L2", "plc": 2},
    {"id": "NR", "plc": 98, "kind": "default"},
    {"id": "HOSP", "plc": 99, "kind": "exception"},
]


def document(plan_id="day", lane="L1", **more):
    rules = [{"id": f"to-{lane}", "to": [lane]}]
    return {"id": plan_id, "lanes": LANES, "rules": rules, "default": "NR", "exception": "HOSP", **more}


def router_of(*, belt=None, flush_at_start=False, **section):
    belt = belt or make_belt()
    plan = check_plan(document(rev=3), source="test", classes=CLASSES)
    return make_router(belt, plan=plan, classes=CLASSES, flush_at_start=flush_at_start, **section), belt


def offer(router, doc, at_s=1.0, **more):
    return router.hear(PlanOffer(round(at_s * 1e9), doc, **more))


def cross(router, belt, at_s, track_id=1, **look):
    found = [*feed(router, belt, at_s - 0.1, parcel(track_id, at_s - 0.1, 1100.0, **look))]
    return [*found, *feed(router, belt, at_s + 0.02, parcel(track_id, at_s + 0.02, 1220.0, **look))]


def test_a_good_plan_takes_over_at_once_and_every_decision_names_its_plan():
    router, belt = router_of()
    old = router.plan.name
    assert router.plan_status.result == "ACTIVE" and router.plan_status.offered is None
    (before,) = cross(router, belt, 1.0)
    assert offer(router, document("night", "L2"), 2.0) == ()
    (after,) = cross(router, belt, 3.0, 2)
    assert (before.lane, before.plan) == ("L1", old)
    assert (after.lane, after.plan) == ("L2", router.plan.name)
    status = router.plan_status
    assert (status.result, status.active, status.offered) == ("ACTIVE", router.plan.name, router.plan.name)
    assert (status.at_ns, router.plan.id) == (2_000_000_000, "night")


@pytest.mark.parametrize(
    ("doc", "more", "says"),
    [
        (document(lane="L9"), {}, "rules.0.to.0: lane 'L9' does not exist"),
        (document(default="X", overflow="Y"), {}, "default: lane 'X' does not exist"),
        (document(rules=[{"id": "c", "when": {"class": "dragon"}, "to": "L1"}]), {}, "the model has no class 'dragon'"),
        ({}, {}, "id: required key is missing"),
        ({"lanes": None, "rules": 7}, {}, "lanes: Input should be a valid tuple"),
        (document(rev=2), {}, "rev: 2 is older than the active 3"),
        (document(), {"activate": "SOON"}, "activate: 'SOON' is none of"),
        (document(), {"activate": "AT"}, "AT needs a time"),
        (document(), {"sha256": "0" * 64}, "sha256: this plan is"),
        (document(lanes=[{**LANES[0], "plc": 7}, *LANES[1:]]), {}, "'L1' is number 1"),
        (document(lanes=[{**LANES[0], "divert_mm": 9}, *LANES[1:]]), {}, "change that in the plan file"),
        (document(lanes=[*LANES[:3], {"id": "HOSP", "plc": 2}, {"id": "L3", "plc": 99}]), {}, "already taken"),
        (document("n", "L4", lanes=[{"id": "L4", "plc": 1}, *LANES[2:]]), {}, "1 is lane 'L1' on this machine"),
    ],
)
def test_a_bad_plan_changes_nothing_and_is_explained(doc, more, says):
    router, belt = router_of()
    old = router.plan
    assert offer(router, doc, **more) == ()
    status = router.plan_status
    assert router.plan is old and (status.result, status.active) == ("REJECTED", old.name)
    assert any(says in error for error in status.errors), status.errors or status
    assert cross(router, belt, 3.0)[0].plan == old.name


def test_all_mistakes_of_an_offer_are_told_but_not_without_end():
    router, _ = router_of()
    offer(router, document(rules=[{"id": f"r{n}", "priority": n, "to": f"X{n}"} for n in range(100)]))
    assert len(router.plan_status.errors) == 20


def test_sizes_are_refused_where_the_belt_has_no_millimetres():
    router, _ = router_of(belt=make_belt(calibrated=False))
    offer(router, document(rules=[{"id": "r", "when": {"length_mm": [1, 2]}, "to": "L1"}]))
    assert "belt.calibration" in router.plan_status.errors[0]


def test_a_file_may_move_lanes_for_a_person_stands_behind_it():
    router, _ = router_of()
    offer(router, document(lanes=[{**LANES[0], "divert_mm": 2500}, *LANES[1:]]) | {"rev": 4}, source="plan.yaml")
    assert router.plan_status.result == "ACTIVE"


def test_a_plan_without_lanes_takes_over_those_of_the_machine():
    router, belt = router_of()
    doc = document("night", "L2")
    del doc["lanes"]
    offer(router, doc)
    assert [lane.model_dump() for lane in router.plan.lanes] == [
        lane.model_dump() for lane in check_plan(document(), source="test", classes=None).lanes
    ]
    assert cross(router, belt, 3.0)[0].lane == "L2"


def test_at_the_next_gap_means_when_no_undecided_parcel_is_in_view():
    router, belt = router_of()
    feed(router, belt, 0.9, parcel(1, 0.9, 1000.0))
    offer(router, document("night", "L2"), 0.95, activate="NEXT_GAP")
    assert (router.plan_status.result, router.plan.id) == ("WAITING", "day")
    # Parcel 1 is decided in this frame, by the old plan; parcel 2 is still undecided.
    (first,) = feed(router, belt, 1.2, parcel(1, 1.2, 1300.0), parcel(2, 1.2, 700.0))
    assert first.plan.startswith("day#")
    assert router.plan.id == "day"
    (second,) = feed(router, belt, 1.8, parcel(2, 1.8, 1300.0))
    assert second.plan.startswith("day#")
    feed(router, belt, 1.9, parcel(2, 1.9, 1400.0))
    assert (router.plan.id, router.plan_status.result) == ("night", "ACTIVE")
    assert cross(router, belt, 4.0, 3)[0].lane == "L2"


def test_at_a_time_means_with_the_first_frame_from_then_on():
    router, belt = router_of()
    offer(router, document("night", "L2"), 1.0, activate="AT", valid_from_ns=5_000_000_000)
    assert cross(router, belt, 4.0)[0].plan.startswith("day#")
    assert cross(router, belt, 5.1, 2)[0].plan.startswith("night#")
    assert router.plan_status.at_ns == 5_000_000_000


def test_a_later_offer_replaces_one_that_waits_and_a_bad_one_does_not():
    router, belt = router_of()
    offer(router, document("one", "L2"), 1.0, activate="AT", valid_from_ns=5_000_000_000)
    offer(router, document("two", "L2"), 2.0, activate="AT", valid_from_ns=6_000_000_000)
    offer(router, document("bad", "L9"), 3.0)
    feed(router, belt, 5.5)
    assert router.plan.id == "day"
    feed(router, belt, 6.0)
    assert router.plan.id == "two"


def test_an_offer_may_say_which_plan_it_means():
    router, _ = router_of()
    other = document("night", "L2")
    digest = check_plan(other, source="test", classes=CLASSES).sha256
    offer(router, other, sha256=digest)
    assert (router.plan.id, router.plan_status.result) == ("night", "ACTIVE")


def test_the_same_plan_again_changes_nothing():
    router, _ = router_of()
    old = router.plan.name
    offer(router, document(rev=3))
    assert (router.plan.name, router.plan_status.result) == (old, "ACTIVE")


def test_a_parcel_decided_by_the_old_plan_is_revised_by_the_old_plan():
    router, belt = router_of()
    (before,) = cross(router, belt, 1.0)
    other = [{"id": "X1", "plc": 11}, {"id": "NR", "plc": 98, "kind": "default"}, *LANES[3:]]
    offer(router, document("night", "X1", lanes=other), 1.2)
    (revision,) = router.hear(LaneReport(1_300_000_000, "L1", LaneStatus.FULL))
    assert (revision.parcel_uid, revision.plan, revision.lane) == (before.parcel_uid, before.plan, "NR")


STOPS = ["STOPPED", "STOPPING", "ABORTED", "ABORTING", "stopped"]


@pytest.mark.parametrize("packml", STOPS)
def test_a_stop_sends_all_that_was_in_view_to_the_exception_lane(packml):
    router, belt = router_of()
    (decided,) = cross(router, belt, 1.0, 1)
    feed(router, belt, 1.1, parcel(1, 1.1, 1300.0), parcel(2, 1.1, 700.0))
    (revision,) = router.hear(LineReport(1_150_000_000, packml))
    assert (revision.parcel_uid, revision.rev) == (decided.parcel_uid, 1)
    assert (revision.lane, revision.action, revision.reason) == ("HOSP", Action.EXCEPTION, Reason.STOP_FLUSH)
    # The one that was in view undecided, and one that comes after.
    (second,) = feed(router, belt, 1.7, parcel(2, 1.7, 1300.0), parcel(3, 1.7, 400.0))
    assert (second.lane, second.action, second.reason) == ("HOSP", Action.EXCEPTION, Reason.STOP_FLUSH)
    (third,) = feed(router, belt, 2.6, parcel(3, 2.6, 1300.0))
    assert (third.lane, third.reason) == ("L1", Reason.PLAN_MATCH)


def test_one_stop_flushes_once_however_often_it_is_told():
    router, belt = router_of()
    router.hear(LineReport(100_000_000, "STOPPED"))
    feed(router, belt, 0.9, parcel(1, 0.9, 900.0))
    router.hear(LineReport(950_000_000, "ABORTED"))
    assert [d.reason for d in feed(router, belt, 1.3, parcel(1, 1.3, 1300.0))] == [Reason.PLAN_MATCH]
    router.hear(LineReport(1_400_000_000, "EXECUTE"))
    (revision,) = router.hear(LineReport(1_500_000_000, "STOPPED"))
    assert revision.reason is Reason.STOP_FLUSH


@pytest.mark.parametrize("packml", ["EXECUTE", "HELD", "SUSPENDED", "IDLE", "COMPLETE", "whatever"])
def test_a_line_that_runs_or_stands_in_order_is_trusted(packml):
    router, belt = router_of()
    cross(router, belt, 1.0, 1)
    assert router.hear(LineReport(1_150_000_000, packml)) == ()


def test_with_verify_only_a_slip_flushes():
    router, belt = router_of(on_stop="verify")
    cross(router, belt, 1.0, 1)
    assert router.hear(LineReport(1_150_000_000, "STOPPED")) == ()
    assert len(router.hear(Flush(1_200_000_000, "STOP_FLUSH"))) == 1


@pytest.mark.parametrize(
    ("word", "reason"),
    [("DEGRADED_MODE", Reason.DEGRADED_MODE), ("MANUAL", Reason.MANUAL), ("no such word", Reason.DEGRADED_MODE)],
)
def test_a_flush_says_why(word, reason):
    router, belt = router_of()
    (decided,) = cross(router, belt, 1.0, 1)
    (revision,) = router.hear(Flush(1_150_000_000, word))
    assert (revision.parcel_uid, revision.reason, revision.rule) == (decided.parcel_uid, reason, None)
    assert router.hear(Flush(1_160_000_000, word)) == ()  # nothing new to say
    assert router.hear(LaneReport(1_170_000_000, "L1", LaneStatus.FULL)) == ()  # nor is it sent back by a lane


def test_a_flush_reaches_the_track_that_takes_over_inside_a_flushed_one():
    router, belt = router_of()
    for at_s in (0.5, 0.6, 0.7):
        feed(router, belt, at_s, parcel(1, at_s, 200.0 + 1000.0 * at_s))
    router.hear(Flush(720_000_000, "STOP_FLUSH"))
    lost = {"state": parcel(1, 0.0, 0.0).track.state.LOST, "measured": False}
    feed(router, belt, 0.8, parcel(1, 0.8, 1000.0, **lost), parcel(2, 0.8, 1000.0))
    feed(router, belt, 0.9, parcel(1, 0.9, 1100.0, **lost), parcel(2, 0.9, 1100.0))
    decisions = feed(router, belt, 1.1, parcel(1, 1.1, 1300.0, **lost), parcel(2, 1.1, 1300.0))
    assert [d.reason for d in decisions] == [Reason.STOP_FLUSH]


@pytest.mark.parametrize("flush", [True, False])
def test_parcels_in_view_at_start_are_flushed_where_configured(flush):
    router, belt = router_of(flush_at_start=flush)
    first = parcel(1, 0.0, 1100.0)
    feed(router, belt, 0.0, replace(first, track=replace(first.track, in_view_at_start=True)))
    later = parcel(1, 0.2, 1300.0)
    (decision,) = feed(router, belt, 0.2, replace(later, track=replace(later.track, in_view_at_start=True)))
    wanted = ("HOSP", Reason.RESTART_FLUSH, Action.EXCEPTION) if flush else ("L1", Reason.PLAN_MATCH, Action.DIVERT)
    assert (decision.lane, decision.reason, decision.action) == wanted
    assert cross(router, belt, 2.0, 2)[0].lane == "L1"
