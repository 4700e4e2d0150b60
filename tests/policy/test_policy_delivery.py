"""The failure policy (docs/failure-policy.md), row by row, judged by what the PLC side saw; the broker is real."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest
from mosquitto import wait_until
from plc_side import PlcSide

from edge_sorter.plc.link import MqttLink
from edge_sorter.plc.publisher import PublishResult

pytestmark = pytest.mark.broker

SENT = PublishResult.SENT


def ticking(link, clock):
    return lambda: link.tick(clock.now_ns())


def until(link, clock, condition, what: str, timeout_s: float = 20.0) -> None:
    wait_until(condition, timeout_s=timeout_s, what=what, meanwhile=ticking(link, clock))


@pytest.fixture
def line(make_link, clock, plc, broker):
    """A running link whose PLC side is there: function (settings) -> link, started and usable."""

    def start(**settings) -> MqttLink:
        link = make_link(broker.port, gateway="required", **settings)
        link.start()
        link.state("RUNNING", cause="test")
        until(link, clock, lambda: plc.usable and link.standing[0].value == "RUNNING", "both sides running")
        return link

    return start


@pytest.mark.parametrize("broker", [True], indirect=True)
def test_row_01_broker_down_nothing_is_queued_and_records_follow(line, plc, broker, make_decision, clock):
    link = line()
    assert link.publish(make_decision(1)) is SENT
    until(link, clock, lambda: plc.acted, "the first decision acted on")
    broker.stop()
    until(link, clock, lambda: not link.connected, "loss noticed")
    for number in range(2, 7):
        assert link.publish(make_decision(number, left_s=60)) is PublishResult.DROPPED_OFFLINE
    time.sleep(1.1)
    assert not plc.usable  # its watchdog has run out: everything goes to the default lane
    broker.start()
    until(link, clock, lambda: plc.usable and link.connected, "both back", 40)
    until(link, clock, lambda: link.standing[0].value == "RUNNING", "running again", 40)
    assert link.publish(make_decision(7)) is SENT
    until(link, clock, lambda: len(plc.acted) == 2, "the next decision")
    until(link, clock, lambda: len(plc.records) >= 6, "records of all")
    assert set(plc.uids) == {make_decision(1).parcel_uid, make_decision(7).parcel_uid}
    outcomes = {record["parcel_uid"][-1]: (record["outcome"], record["action"]) for record in plc.records}
    assert {outcomes[str(number)] for number in range(2, 7)} == {("NOT_SENT", "EXCEPTION")}
    assert plc.acted_late == 0
    assert max(plc.actions.values()) == 1
    until(link, clock, lambda: plc.alarms.get("BROKER_LOST"), "told that the broker was away")


HUNG = """
import sys, time
from edge_sorter.clock import SystemClock
from edge_sorter.config import LineSection, PlcSection
from edge_sorter.plc.link import MqttLink
from edge_sorter.plc.topics import Topics
clock = SystemClock()
link = MqttLink(PlcSection(port=int(sys.argv[1])), topics=Topics(LineSection()), clock=clock, boot_id="CHILD")
link.start()
link.state("RUNNING", cause="test")
while True:
    link.tick(clock.now_ns())
    time.sleep(0.02)
"""


@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL])
def test_row_02_a_hung_or_killed_program_is_not_used_after_a_second(how, broker, plc):
    child = subprocess.Popen([sys.executable, "-c", HUNG, str(broker.port)])
    try:
        wait_until(lambda: plc.usable, timeout_s=60, what="child running")
        child.send_signal(how)
        stopped = time.monotonic()
        wait_until(lambda: not plc.usable, timeout_s=20, what="the PLC stops using it")
        assert time.monotonic() - stopped < 4.0, "a second, and what a busy machine adds"
        if how == signal.SIGKILL:
            assert plc.states[-1][1]["state"] == "OFFLINE"  # the last will, long before the watchdog
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait(10)


def test_row_02_a_silent_gateway_is_degraded_then_hold_and_recovers(line, plc, make_decision, clock):
    link = line()
    plc.beats = False
    silent_since = time.monotonic()
    until(link, clock, lambda: link.standing[1] == "PLC_SILENT", "HOLD")
    assert 0.5 < time.monotonic() - silent_since < 5.0
    assert link.publish(make_decision(1)) is PublishResult.WITHHELD
    until(link, clock, lambda: plc.records, "the record of what was withheld")
    assert (plc.records[0]["outcome"], plc.records[0]["reason"]) == ("WITHHELD", "DEGRADED_MODE")
    assert plc.decisions == []
    plc.beats = True
    until(link, clock, lambda: link.standing[0].value == "RUNNING", "recovered")
    assert link.publish(make_decision(2)) is SENT
    until(link, clock, lambda: plc.acted, "used again")
    causes = [(state["state"], state["cause"]) for _, state in plc.states]
    assert ("HOLD", "PLC_SILENT") in causes
    assert causes[-1] == ("RUNNING", "recovered from PLC_SILENT")
    until(link, clock, lambda: plc.alarms["PLC_SILENT"][-1]["state"] == "CLEARED", "alarm over")


def test_row_02_a_gateway_that_does_not_hear_us_counts_as_silent(line, plc, make_decision, clock):
    link = line()
    until(link, clock, lambda: plc.heartbeats[-1][1].get("peer_n"), "our heartbeat echoes theirs")
    plc._heard_before, plc._peer_n = plc._heard, plc._peer_n
    plc._client.on_message = lambda *_: None  # still beats, hears nothing, echoes the same for ever
    until(link, clock, lambda: link.standing[1] == "PLC_SILENT", "deafness noticed")
    assert link.publish(make_decision(1)) is PublishResult.WITHHELD


def test_row_06_a_late_decision_is_a_record_and_never_a_divert(line, plc, make_decision, clock):
    link = line()
    assert link.publish(make_decision(1, left_s=-0.001)) is PublishResult.LATE
    assert link.publish(make_decision(2)) is SENT
    until(link, clock, lambda: len(plc.records) == 2 and plc.acted, "both records")
    assert plc.uids == [make_decision(2).parcel_uid]
    late = plc.records[0]
    assert (late["outcome"], late["action"], late["reason"]) == ("LATE", "EXCEPTION", "LATE")
    assert plc.gaps == 0
    until(link, clock, lambda: plc.alarms["LATE"][-1]["state"] == "ACTIVE", "alarm")


def test_row_10_and_15_a_lost_ack_leads_to_one_repetition_and_one_action(line, plc, make_decision, clock):
    link = line()
    plc.acks = False
    assert link.publish(make_decision(1)) is SENT
    until(link, clock, lambda: len(plc.decisions) == 2, "the repetition")
    (_, first), (_, second) = plc.decisions
    assert first == second  # same sequence number, same revision, same bytes
    assert plc.answers == {"ACCEPTED": 1, "DUPLICATE": 1}
    assert max(plc.actions.values()) == 1
    until(link, clock, lambda: "NO_ACK" in plc.alarms, "alarm")
    until(link, clock, lambda: plc.records, "its end")
    assert plc.records[0]["outcome"] == "NO_ACK"
    assert len(plc.decisions) == 2
    assert plc.gaps == 0


def test_row_15_the_repetition_that_is_answered_ends_well(line, plc, make_decision, clock):
    link = line()
    plc.acks = False
    link.publish(make_decision(1))
    until(link, clock, lambda: len(plc.decisions) == 1, "the first")
    plc.acks = True
    until(link, clock, lambda: plc.records, "its end")
    record = plc.records[0]
    assert (record["outcome"], record["ack"]) == ("ACCEPTED", "DUPLICATE")
    assert "NO_ACK" not in plc.alarms


def test_row_10_other_content_under_a_known_key_is_refused_and_told(line, plc, make_decision, clock):
    link = line()
    plc.acks = False
    link.publish(make_decision(1))
    until(link, clock, lambda: plc.decisions, "the decision")
    key = {name: plc.decisions[0][1][name] for name in ("boot_id", "seq", "parcel_uid", "rev")}
    plc.say("plc/ack", {**key, "result": "REJECTED"})
    until(link, clock, lambda: "KEY_CONFLICT" in plc.alarms and plc.records, "alarm and record")
    assert plc.records[0]["outcome"] == "REFUSED"


def test_row_11_messages_that_come_in_another_order_are_taken_once_each(line, plc, make_decision, clock):
    link = line()
    for number in range(1, 21):
        assert link.publish(make_decision(number)) is SENT
    until(link, clock, lambda: len(plc.acted) == 20, "all acted on")
    copies = [decision for _, decision in plc.decisions]
    for decision in reversed(copies):  # a broker that delivers again and in any order
        plc.say("decision", decision)
    until(link, clock, lambda: plc.answers["DUPLICATE"] >= 20, "all told apart")
    assert set(plc.actions.values()) == {1}
    until(link, clock, lambda: len(plc.records) == 20, "records")
    assert {record["outcome"] for record in plc.records} == {"ACCEPTED"}


def test_row_16_three_parcels_without_confirmation_are_an_alarm(line, plc, make_decision, clock):
    link = line(confirms="required", confirm_after_s={"L12": 0.5})
    for number in range(1, 4):
        link.publish(make_decision(number))
    until(link, clock, lambda: len(plc.records) == 3, "their ends")
    assert {record["outcome"] for record in plc.records} == {"UNVERIFIED"}
    until(link, clock, lambda: "UNVERIFIED" in plc.alarms, "alarm")
    assert "L12" in plc.alarms["UNVERIFIED"][-1]["text"]
    plc.confirms = True
    link.publish(make_decision(4))
    until(link, clock, lambda: plc.alarms["UNVERIFIED"][-1]["state"] == "CLEARED", "alarm over")


def test_row_17_two_missorts_in_a_row_propose_to_disable_the_lane(line, plc, make_decision, clock):
    link = line(confirms="required")
    plc.confirms, plc.wrong_lane = True, "L99"
    for number in (1, 2):
        link.publish(make_decision(number))
    until(link, clock, lambda: len(plc.records) == 2, "their ends")
    assert {(record["outcome"], record["lane_act"]) for record in plc.records} == {("MISSORT", "L99")}
    until(link, clock, lambda: "MISSORT" in plc.alarms, "alarm")
    alarm = plc.alarms["MISSORT"][-1]
    assert "L12" in alarm["text"]
    assert "Disable" in alarm["advice"]


def test_row_21_what_the_broker_kept_is_ignored_on_both_sides(broker, make_link, clock, topics, make_decision):
    with make_link(broker.port) as link:
        link.publish(make_decision(1))
        assert link.flush(20)
    stale = json.dumps({"cmd": "pause"})
    for topic, text in ((topics.cmd, stale), (topics.decision, "{}")):
        subprocess.run(
            ["mosquitto_pub", "-h", broker.host, "-p", str(broker.port), "-r", "-q", "1", "-t", topic, "-m", text],
            check=True,
            timeout=20,
        )
    with PlcSide(broker.port, topics.prefix) as plc, make_link(broker.port, gateway="required") as link:
        link.state("RUNNING", cause="test")
        until(link, clock, lambda: plc.usable and link.standing[0].value == "RUNNING", "running, not paused")
        until(link, clock, lambda: link.rejected["RETAINED"] == 1, "the old command counted")
        until(link, clock, lambda: plc.answers["RETAINED"] == 1, "the old decision seen")
        assert not plc.acted


def test_row_21_a_replay_is_refused_by_a_live_plc(line, plc, make_decision, clock):
    link = line()
    link.publish(make_decision(1))
    until(link, clock, lambda: plc.acted, "a live one")
    plc.say("decision", {**plc.decisions[0][1], "parcel_uid": "B-9", "replay": True})
    until(link, clock, lambda: plc.answers["REJECTED"] == 1, "refused")
    assert "B-9" not in plc.acted


def test_row_24_two_programs_with_one_name_end_before_anything_is_sorted_twice(broker, plc, make_link, clock):
    from edge_sorter.errors import PlcError

    links = [make_link(broker.port), make_link(broker.port, boot_id="01JD5Z9999")]
    for link in links:
        link.start()
    ended = 0
    until_s = time.monotonic() + 60
    words = iter(range(100_000))
    while not ended and time.monotonic() < until_s:
        for link in links:
            try:
                link.tick(clock.now_ns())
                link.state("RUNNING", cause=f"{next(words)}")
            except PlcError as error:
                assert "another program" in str(error)
                ended += 1
        time.sleep(0.05)
    assert ended
    boots = {state["boot_id"] for _, state in plc.states}
    assert boots == {"01JD5Z8Q3M", "01JD5Z9999"}


def test_pause_and_resume_by_command_with_an_answer_to_whoever_asked(line, plc, make_decision, clock):
    link = line()
    plc.command("pause", key=b"abc")
    until(link, clock, lambda: plc.replies, "an answer")
    assert plc.replies[0]["ok"] is True
    assert (plc.replies[0]["id"], plc.replies[0]["correlation"]) == ("7", b"abc")
    assert link.publish(make_decision(1)) is PublishResult.WITHHELD
    plc.command("resume")
    until(link, clock, lambda: link.standing[0].value == "RUNNING", "running again")
    assert link.publish(make_decision(2)) is SENT
    plc.command("selftest")
    until(link, clock, lambda: len(plc.replies) == 3, "an answer to what nobody can do")
    assert plc.replies[2]["ok"] is False
    plc.command("ack_alarm", code="PLC_SILENT")
    until(link, clock, lambda: len(plc.replies) == 4, "an answer")
    assert plc.replies[3]["ok"] is False  # it is not active


def test_an_alarm_of_a_run_that_died_is_cleared_by_the_next(broker, plc, make_link, clock):
    link = make_link(broker.port)
    link.start()
    link.state("DEGRADED", cause="CAM_LOST")
    until(link, clock, lambda: plc.alarms.get("CAM_LOST"), "alarm")
    assert plc.alarms["CAM_LOST"][-1]["state"] == "ACTIVE"
    link._wire._session.cut("killed")
    second = make_link(broker.port, boot_id="01JD5Z9999")
    second.start()
    until(second, clock, lambda: plc.alarms["CAM_LOST"][-1]["state"] == "CLEARED", "cleared")
    second.state("DEGRADED", cause="CAM_DARK")
    second.state("RUNNING", cause="recovered")
    until(second, clock, lambda: plc.alarms.get("CAM_DARK", [{}])[-1].get("state") == "CLEARED", "its own as well")


def test_kpi_counts_what_was_refused_and_how_parcels_ended(line, plc, make_decision, clock):
    link = line(kpi_s=0.1)
    plc.say("plc/ack", {"nonsense": 1})
    link.publish(make_decision(1))
    until(link, clock, lambda: plc.kpis and plc.kpis[-1].get("outcomes") == {"ACCEPTED": 1}, "kpi")
    kpi = plc.kpis[-1]
    assert kpi["rejected"] == {"BAD_FIELDS": 1}
    assert kpi["answers"] == {"ACCEPTED": 1}
    assert kpi["by_lane"] == {"L12": 1}
    assert kpi["plc_ack_ms"]["p50"] > 0
    assert kpi["per_minute"] == 1
