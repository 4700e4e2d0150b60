"""Messages of the line as tags: every kind of message, and what must not grow."""

from __future__ import annotations

from datetime import datetime, timezone

from edge_sorter.plc.alarm_table import ALARMS
from edge_sorter.plc.gateway.tags import MOST, Kind, Tags
from edge_sorter.plc.inbound import LaneMessage, LineMessage
from edge_sorter.plc.messages import (
    AlarmMessage,
    HeartbeatMessage,
    InfoMessage,
    KpiMessage,
    PlanStatusMessage,
    StateMessage,
)

AT = datetime(2026, 11, 21, 18, 3, 11, 500_000, tzinfo=timezone.utc)
TS = "2026-11-21T18:03:11.5Z"


def told(*messages) -> dict:
    tags = Tags(AT)
    for message in messages:
        tags.take(message, heard=AT)
    return {path: tag.value for path, tag in tags.table.items()}


def alarm(code="CAM_LOST", state="ACTIVE", severity=2) -> AlarmMessage:
    return AlarmMessage(boot_id="B", code=code, severity=severity, state=state, since=TS, ts=TS, text="words")


def test_before_anything_is_heard_every_alarm_is_there_and_quiet():
    values = told()
    assert values["State/Name"] == "OFFLINE"
    assert {code: values[f"Alarms/{code}/Active"] for code in ALARMS} == dict.fromkeys(ALARMS, False)
    assert (values["Alarms/Active Count"], values["Alarms/Worst Severity"]) == (0, 0)


def test_every_message_of_the_line_is_told():
    values = told(
        StateMessage(boot_id="B", state="DEGRADED", cause="CAM_LOST", ts=TS),
        InfoMessage(boot_id="B", ts=TS, version="1.2", model="m", lanes=("L01", "L02")),
        PlanStatusMessage(boot_id="B", ts=TS, active="p#1", offered="q#2", result="REJECTED", errors=("one", "two")),
        HeartbeatMessage(boot_id="B", n=1, ts=TS, state="RUNNING", fps=30.0, temp_c=51.5),
        LaneMessage(lane="L01", state="FULL"),
        LineMessage(packml="EXECUTE"),
    )
    assert (values["State/Name"], values["State/Sorting"], values["State/Cause"]) == ("DEGRADED", True, "CAM_LOST")
    assert (values["Info/Version"], values["Info/Model"], values["Info/Engine"]) == ("1.2", "m", "")
    assert (values["Plan/Active"], values["Plan/Result"], values["Plan/Mistakes"]) == ("p#1", "REJECTED", 2)
    assert (values["Health/Frames Per Second"], values["Health/Temperature C"]) == (30.0, 51.5)
    assert (values["Lanes/L01/State"], values["Lanes/L02/Sorted"]) == ("FULL", 0)
    assert values["Line/PackML"] == "EXECUTE"


def test_alarms_are_counted_and_the_worst_is_named():
    plan = PlanStatusMessage(boot_id="B", ts=TS, active="p#1", result="ACTIVE")  # Plan/Active is no alarm
    values = told(plan, alarm(), alarm("MISSORT", severity=1), alarm("LATE", "ACKED"))
    assert (values["Alarms/Active Count"], values["Alarms/Worst Severity"]) == (3, 1)
    assert values["Alarms/LATE/Acknowledged"] is True
    values = told(alarm(), alarm("MISSORT", severity=1), alarm("MISSORT", "CLEARED", severity=1))
    assert (values["Alarms/Active Count"], values["Alarms/Worst Severity"]) == (1, 2)


def test_an_alarm_of_a_newer_version_is_told_as_well():
    values = told(alarm("NEW_IN_1_1", severity=4))
    assert values["Alarms/NEW_IN_1_1/Active"] is True
    assert values["Alarms/NEW_IN_1_1/Text"] == "words"


def test_a_new_run_counts_from_nothing():
    first = KpiMessage(boot_id="A", ts=TS, decisions=9, by_lane={"L01": 9}, by_reason={"NO_READ": 9}, rejected={"X": 1})
    second = KpiMessage(boot_id="B", ts=TS, decisions=1, by_lane={"L02": 1}, latency_ms={"p50": 20.0})
    values = told(first, second)
    assert (values["Lanes/L01/Sorted"], values["Lanes/L02/Sorted"]) == (0, 1)
    assert (values["KPI/Reasons/NO_READ"], values["KPI/Rejected/X"], values["KPI/Decisions"]) == (0, 0, 1)
    assert (values["KPI/Capture To Publish ms/p50"], values["KPI/Capture To Publish ms/p99"]) == (20.0, None)


def test_a_value_carries_the_moment_at_which_the_sorter_said_it_first():
    tags = Tags(AT)
    tags.take(StateMessage(boot_id="B", state="RUNNING", ts="2026-11-21T18:03:11.123456789Z"), heard=AT)
    assert tags.table["State/Name"].at == AT.replace(microsecond=123456)
    tags.take(StateMessage(boot_id="B", state="RUNNING", ts="2026-11-21T18:05:00Z"), heard=AT)
    assert tags.table["State/Name"].at == AT.replace(microsecond=123456)
    tags.take(StateMessage(boot_id="B", state="HOLD", ts="2026-02-31T18:05:00Z"), heard=AT)  # no such day
    assert tags.table["State/Name"].at == AT
    assert {tag.kind for tag in tags.table.values()} <= set(Kind)


def test_somebody_who_invents_lanes_does_not_fill_the_memory():
    tags = Tags(AT)
    for number in range(3 * MOST):
        tags.take(LaneMessage(lane=f"X{number}", state="OPEN"), heard=AT)
    assert len(tags.table) == MOST
    assert tags.left_out >= 2 * MOST
    tags.take(StateMessage(boot_id="B", state="RUNNING", ts=TS), heard=AT)
    assert tags.table["State/Name"].value == "RUNNING"
