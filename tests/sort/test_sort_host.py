"""What the host tells about parcels: in time, too late, never, unknown, and against what the label says."""

from __future__ import annotations

import pytest
from sorting_world import CLASSES, feed, make_belt, make_router, parcel

from edge_sorter.errors import ConfigError
from edge_sorter.event_record import event_from, event_record
from edge_sorter.events import HostData, ScannerRead
from edge_sorter.sort import check_plan
from edge_sorter.types import Action, Code, Reason

PLAN = {
    "id": "host",
    "lanes": [
        {"id": "L1", "plc": 1, "divert_mm": 2000},
        {"id": "L2", "plc": 2, "divert_mm": 3000},
        {"id": "DGL", "plc": 90, "divert_mm": 2500},
        {"id": "NR", "plc": 98, "kind": "default"},
        {"id": "HOSP", "plc": 99, "kind": "exception", "divert_mm": 3500},
    ],
    "codes": [{"id": "label", "regex": "JD(?P<postcode>[0-9]{5}).*"}],
    "rules": [
        {"id": "dg", "when": {"flags": "DG"}, "to": "DGL", "reason": "DG"},
        {"id": "depot", "priority": 10, "when": {"depot": "01*"}, "to": "L1"},
        {"id": "near", "priority": 20, "when": {"postcode": "70*"}, "to": "L2"},
    ],
    "default": "NR",
    "exception": "HOSP",
}
LABEL = "JD70173-0001"


def router_of(without: str = "default", **more):
    document = PLAN | {"host": {"gives": ["depot", "postcode"], "without": without}} | more
    belt = make_belt()
    return make_router(belt, plan=check_plan(document, source="test", classes=CLASSES)), belt


def told(at_s: float, code: str = LABEL, *, known: bool = True, flags: tuple[str, ...] = (), **keys: str) -> HostData:
    return HostData(round(at_s * 1e9), code, known, tuple(keys.items()), flags)


def cross(router, belt, at_s: float = 1.0, *, codes: tuple[Code, ...] = (Code("Code128", LABEL),), **look):
    found = [*feed(router, belt, at_s - 0.1, parcel(1, at_s - 0.1, 1100.0, codes=codes, **look))]
    return [*found, *feed(router, belt, at_s + 0.02, parcel(1, at_s + 0.02, 1220.0, codes=codes, **look))]


def test_what_was_told_in_time_decides():
    router, belt = router_of()
    assert router.hear(told(0.5, depot="0176")) == ()
    (decision,) = cross(router, belt)
    assert (decision.lane, decision.reason, decision.rule) == ("L1", Reason.PLAN_MATCH, "depot")


def test_what_is_told_after_the_line_leads_to_a_revision_while_there_is_time():
    router, belt = router_of()
    (first,) = cross(router, belt)
    assert (first.lane, first.reason, first.action) == ("NR", Reason.NO_DATA, Action.PASS)
    (second,) = router.hear(told(1.3, depot="0176", flags=("WET",)))
    assert (second.rev, second.lane, second.reason, second.flags) == (1, "L1", Reason.PLAN_MATCH, ("WET",))
    assert router.hear(told(1.4, depot="0999")) == (), "asked once, answered once"


def test_what_is_told_too_late_changes_nothing():
    router, belt = router_of()
    cross(router, belt)
    assert router.hear(told(60.0, depot="0176")) == ()


@pytest.mark.parametrize(
    ("without", "lane", "reason"), [("default", "NR", Reason.NO_DATA), ("rules", "L2", Reason.PLAN_MATCH)]
)
def test_a_silent_host_leaves_the_default_lane_or_the_label(without, lane, reason):
    router, belt = router_of(without)
    (decision,) = cross(router, belt)
    assert (decision.lane, decision.reason) == (lane, reason)


@pytest.mark.parametrize("answer", [told(0.5, known=False), told(0.5, "JD70173-0002", depot="0176")])
def test_a_host_that_does_not_know_the_parcel_told_nothing(answer):
    router, belt = router_of()
    router.hear(answer)
    (decision,) = cross(router, belt)
    assert (decision.lane, decision.reason) == ("NR", Reason.NO_DATA)


def test_without_a_rule_for_a_label_that_the_host_does_not_know_it_is_no_data_too():
    router, belt = router_of("rules")
    (decision,) = cross(router, belt, codes=(Code("Code128", "JD10115-0001"),))
    assert (decision.lane, decision.reason) == ("NR", Reason.NO_DATA)


def test_a_parcel_without_a_code_cannot_be_asked_about():
    router, belt = router_of()
    (decision,) = cross(router, belt, codes=())
    assert (decision.lane, decision.reason) == ("NR", Reason.NO_READ)
    router, belt = router_of()
    (decision,) = cross(router, belt, codes=(), flags=("CHECK_FAIL",))
    assert (decision.lane, decision.reason) == ("NR", Reason.CHECK_FAIL)


def test_the_host_overrules_the_label_and_its_dangerous_goods_come_first():
    router, belt = router_of()
    router.hear(told(0.5, postcode="10115"))
    (decision,) = cross(router, belt)
    assert (decision.lane, decision.reason) == ("NR", Reason.UNKNOWN_DEST)
    router, belt = router_of()
    router.hear(told(0.5, depot="0176", flags=("DG",)))
    (decision,) = cross(router, belt)
    assert (decision.lane, decision.reason, decision.flags) == ("DGL", Reason.DG, ("DG",))


def test_a_key_that_the_plan_does_not_expect_of_the_host_is_not_taken():
    router, belt = router_of()
    router.hear(told(0.5, carrier="X"))
    (decision,) = cross(router, belt)
    assert decision.reason is Reason.PLAN_MATCH  # the label's postcode: the host knows the parcel


def test_a_plan_without_a_host_waits_for_nobody():
    router, belt = router_of(host=None, rules=PLAN["rules"][2:])
    (decision,) = cross(router, belt)
    assert (decision.lane, decision.reason) == ("L2", Reason.PLAN_MATCH)


@pytest.mark.parametrize(
    ("host", "message"),
    [({"gives": ["depto"]}, "'depto': route keys are carrier"), ({"gives": ["service"]}, "nor does the host")],
)
def test_mistakes_in_a_plan_are_named(host, message):
    with pytest.raises(ConfigError, match=message):
        check_plan(PLAN | {"host": host}, source="test", classes=CLASSES)


@pytest.mark.parametrize(
    "event",
    [
        told(1.0, depot="0176", flags=("DG", "WET")),
        told(1.0, known=False),
        ScannerRead(5, "top1", None, 7, (("]C1", "x"),), None, None, ("OPEN",)),
    ],
)
def test_what_was_told_comes_back_from_the_journal_as_it_was(event):
    assert event_from(event_record(event)) == event
