"""The reference gateway between a real broker and a real Modbus server: what the PLC gets, and what is said back."""

from __future__ import annotations

import time

import mosquitto as real
import pytest
from hand_sorter import P, Sorter, stamp

from edge_sorter.plc.inbound import AckResult

pytestmark = [
    pytest.mark.broker,
    pytest.mark.skipif(not real.INSTALLED, reason="mosquitto is not installed (apt-get install mosquitto)"),
]


def answered(sorter: Sorter, seq: int, count: int = 1) -> list[str]:
    real.wait_until(lambda: len(sorter.results(seq)) >= count, timeout_s=20, what=f"ack of {seq}")
    return sorter.results(seq)


def test_a_decision_reaches_the_plc_once_and_is_acknowledged(sorter, plc, gateway):
    sorter.decide(70000)
    assert answered(sorter, 70000) == ["ACCEPTED"]
    assert [(seq, lane) for seq, lane, _ in plc.fired] == [(70000, 2)]
    assert sorter.acks[0] | {"ts": None, "enc_cnt": None} == {
        "schema": "edge_sorter.ack/1",
        "boot_id": "B1",
        "seq": 70000,
        "parcel_uid": "B1-70000",
        "rev": 0,
        "result": "ACCEPTED",
        "ts": None,
        "enc_cnt": None,
    }


def test_a_repetition_fires_nothing_and_other_words_under_the_same_key_are_refused(sorter, plc, gateway):
    first = sorter.decide(1)
    assert answered(sorter, 1) == ["ACCEPTED"]
    sorter.decide(1, deadline=first["deadline"])
    assert answered(sorter, 1, 2) == ["ACCEPTED", "DUPLICATE"]
    sorter.decide(1, deadline=first["deadline"], lane="L01")
    assert answered(sorter, 1, 3)[2] == "REJECTED"
    sorter.decide(2, parcel_uid="B1-1", rev=1, lane="L01")
    assert answered(sorter, 2) == ["ACCEPTED"]
    assert [lane for _, lane, _ in plc.fired] == [2, 1]


def test_late_by_the_clock_and_late_by_the_encoder(sorter, plc, gateway):
    sorter.decide(1, late_s=-0.5)
    assert answered(sorter, 1) == ["LATE"]
    # By the clock this one is in time, but the belt has been there already: the count decides.
    sorter.decide(2, deadline={"ts": stamp(60), "enc_cnt": max(0, plc.count - 2000)})
    assert answered(sorter, 2) == ["LATE"]
    sorter.decide(3, deadline={"ts": stamp(-60), "enc_cnt": plc.count + 20000})
    assert answered(sorter, 3) == ["ACCEPTED"]
    assert [seq for seq, _, _ in plc.fired] == [3]


def test_replayed_retained_foreign_and_stale_decisions_never_reach_the_plc(sorter, plc, gateway):
    sorter.decide(1, replay=True)
    assert answered(sorter, 1) == ["REJECTED"]
    sorter.decide(2, schema="edge_sorter.decision/2")
    assert answered(sorter, 2) == ["BAD_SCHEMA"]
    sorter.decide(3, lane="L77")
    assert answered(sorter, 3) == ["LANE_UNAVAILABLE"]
    sorter.decide(4)
    assert answered(sorter, 4) == ["ACCEPTED"]
    sorter.decide(1, boot_id="B2")
    assert answered(sorter, 1, 2)[1] == "ACCEPTED"
    sorter.decide(5)  # of boot B1
    assert answered(sorter, 5) == ["STALE_BOOT"]
    sorter.client.publish(f"{P}/decision", b"\xff{", qos=1)
    real.wait_until(lambda: gateway.rejected["NOT_UTF8"] == 1, what="garbage is counted")
    assert [seq for seq, _, _ in plc.fired] == [4, 1]


def test_a_retained_decision_is_ignored_by_a_gateway_that_comes_later(sorter, plc, request):
    sorter.decide(9, retain=True)
    gateway = request.getfixturevalue("running")
    real.wait_until(lambda: gateway.rejected["RETAINED"] == 1, timeout_s=20, what="refused")
    assert plc.fired == []


def test_more_decisions_at_once_than_slots(sorter, plc, gateway):
    for seq in range(1, 51):
        sorter.decide(seq, late_s=30)
    real.wait_until(lambda: len(sorter.acks) >= 50, timeout_s=30, what="all acknowledged")
    assert [ack["seq"] for ack in sorter.acks] == list(range(1, 51))
    assert {ack["result"] for ack in sorter.acks} == {"ACCEPTED"}
    assert [seq for seq, _, _ in plc.fired] == list(range(1, 51))


@pytest.mark.parametrize("echo_ms", [20_000])
def test_a_plc_that_answers_around_the_end_of_the_ring_is_heard_in_order(sorter, plc, gateway):
    for seq in range(1, 6):
        sorter.decide(seq, late_s=60)
    real.wait_until(lambda: len(sorter.acks) == 5, timeout_s=20, what="five are acknowledged")
    plc.running = False  # a long cycle: six decisions fall into it, from the sixth slot on around to the third
    for seq in range(6, 12):
        sorter.decide(seq, late_s=60)
    real.wait_until(lambda: plc.memory[121] == 11, timeout_s=20, what="the third slot holds the last one")
    plc.running = True
    real.wait_until(lambda: len(sorter.acks) >= 11, timeout_s=20, what="all acknowledged")
    assert [ack["seq"] for ack in sorter.acks] == list(range(1, 12))


@pytest.mark.parametrize("echo_ms", [20_000])
def test_an_answer_to_the_boot_before_is_none_to_the_same_number_of_this_one(sorter, plc, gateway):
    plc.remember_s = 0.0  # the boot before is long ago
    for seq in range(1, 9):
        sorter.decide(seq, late_s=60)
    real.wait_until(lambda: len(sorter.acks) == 8, timeout_s=20, what="a full round of the ring")
    plc.running = False  # a long cycle
    sorter.decide(1, boot_id="B2", late_s=60)
    real.wait_until(lambda: plc.memory[119] == 2, timeout_s=20, what="the second slot, as the first still shows a 1")
    beats = plc.memory[180]
    real.wait_until(lambda: plc.memory[180] >= beats + 3, timeout_s=20, what="the gateway has read on")
    assert len(sorter.acks) == 8
    plc.running = True
    assert answered(sorter, 1, 2) == ["ACCEPTED", "ACCEPTED"]
    assert [seq for seq, _, _ in plc.fired] == [1, 2, 3, 4, 5, 6, 7, 8, 1]


def test_a_silent_sorter_puts_the_plc_on_its_default_within_a_second_and_a_half(sorter, plc, gateway):
    began = time.monotonic()
    sorter.alive = False
    real.wait_until(lambda: not plc.in_use, timeout_s=10, what="default")
    took = time.monotonic() - began
    assert 0.8 < took < 3.0  # a second after the last heartbeat, on a machine that may be busy
    sorter.decide(1)
    assert answered(sorter, 1) == ["REJECTED"]
    sorter.alive = True
    real.wait_until(lambda: plc.in_use, timeout_s=10, what="in use again")
    sorter.decide(2)
    assert answered(sorter, 2) == ["ACCEPTED"]
    assert [seq for seq, _, _ in plc.fired] == [2]


@pytest.mark.parametrize("state", ["HOLD", "OFFLINE", "STARTING"])
def test_a_sorter_that_says_so_is_not_used(sorter, plc, gateway, state):
    sorter.state(state)
    real.wait_until(lambda: not plc.in_use, timeout_s=10, what="default")
    sorter.state("DEGRADED")
    real.wait_until(lambda: plc.in_use, timeout_s=10, what="in use again")


def test_a_plc_whose_program_stands_still_silences_the_gateway(sorter, plc, gateway):
    real.wait_until(lambda: sorter.told.get("plc/hb", {}).get("peer_n", 0) > 0, timeout_s=10, what="echo of our n")
    plc.running = False
    real.wait_until(lambda: time.monotonic() - sorter.beats[-1] > 1.5, timeout_s=15, what="silence")
    plc.running = True
    real.wait_until(lambda: time.monotonic() - sorter.beats[-1] < 0.3, timeout_s=10, what="heartbeat is back")


def test_a_plc_that_restarts_is_found_again(sorter, plc, gateway):
    plc.stop()
    real.wait_until(lambda: not gateway._plc.connected, timeout_s=15, what="loss is noticed")
    sorter.decide(1)
    assert answered(sorter, 1) == ["REJECTED"]
    plc.start()
    real.wait_until(lambda: gateway._plc.connected and plc.in_use, timeout_s=20, what="back")
    sorter.decide(2)
    assert answered(sorter, 2) == ["ACCEPTED"]
    assert [seq for seq, _, _ in plc.fired] == [2]


def test_a_plc_that_does_not_answer_a_slot_gets_the_repetition(sorter, plc, gateway):
    plc.answers = False
    first = sorter.decide(1, late_s=60)
    real.wait_until(lambda: gateway.unanswered == 1, timeout_s=15, what="given up")
    assert sorter.results(1) == []
    plc.answers = True
    sorter.decide(1, deadline=first["deadline"])
    # The PLC had acted on the first, and tells the repetition by its sequence number.
    assert answered(sorter, 1) == ["DUPLICATE"]
    assert [seq for seq, _, _ in plc.fired] == [1]


def test_encoder_lanes_and_line_are_told(sorter, plc, gateway):
    real.wait_until(lambda: "plc/enc" in sorter.told, timeout_s=10, what="encoder")
    first = sorter.told["plc/enc"]["cnt"]
    real.wait_until(lambda: sorter.told["plc/enc"]["cnt"] > first, timeout_s=10, what="encoder moves")
    plc.full = 1 << 1
    plc.packml = 11
    real.wait_until(
        lambda: (
            sorter.told["plc/lane/L02/state"]["state"] == "FULL" and sorter.told["plc/line/state"]["packml"] == "HELD"
        ),
        timeout_s=10,
        what="told",
    )
    assert sorter.told["plc/lane/L01/state"]["state"] == "OPEN"
    assert sorter.told["plc/lane/HOSP/state"]["state"] == "OPEN"


def test_confirmations_name_the_parcel(sorter, plc, gateway):
    for seq in range(1, 13):
        sorter.decide(seq, late_s=30)
    real.wait_until(lambda: len(sorter.acks) == 12, timeout_s=20, what="acks")
    for seq in range(1, 13):
        plc.confirm(seq, lane=2 if seq != 3 else 1, result=1 if seq != 3 else 2)
        real.wait_until(lambda seq=seq: len(sorter.confirms) >= seq, timeout_s=10, what=f"confirm {seq}")
    assert [confirm["parcel_uid"] for confirm in sorter.confirms] == [f"B1-{seq}" for seq in range(1, 13)]
    assert sorter.confirms[2]["result"] == "MISSORT"
    assert (sorter.confirms[2]["lane_cmd"], sorter.confirms[2]["lane_act"]) == ("L02", "L01")
    assert {confirm["result"] for i, confirm in enumerate(sorter.confirms) if i != 2} == {"VERIFIED"}


def test_what_waited_out_a_broker_outage_is_answered_late_and_not_acted_on(broker, sorter, plc, gateway):
    sorter.decide(1)
    answered(sorter, 1)
    broker.stop()
    sorter.decide(2, late_s=0.3)  # paho keeps it until the broker is back; edge_sorter's own link would not
    time.sleep(0.8)
    broker.start()
    real.wait_until(lambda: gateway.answered[AckResult.LATE] == 1, timeout_s=20, what="answered late")
    assert [seq for seq, _, _ in plc.fired] == [1]
