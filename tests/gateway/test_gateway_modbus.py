"""The reference gateway between a real broker and a real Modbus server: what the PLC gets, and what is said back."""

from __future__ import annotations

import json
import threading
import time
from datetime import datetime, timedelta, timezone

import mosquitto as real
import paho.mqtt.client as mqtt
import pytest

pytest.importorskip("pymodbus", reason="pymodbus is not installed: the Modbus gateway was not run")

from modbus_plc import ModbusPlc

from edge_sorter.clock import SystemClock
from edge_sorter.config import LineSection, PlcSection
from edge_sorter.plc.gateway.modbus import ModbusGateway
from edge_sorter.plc.gateway.settings import GatewayConfig, ModbusSection
from edge_sorter.plc.inbound import AckResult

pytestmark = [
    pytest.mark.broker,
    pytest.mark.skipif(not real.INSTALLED, reason="mosquitto is not installed (apt-get install mosquitto)"),
]

P = "acme/hub7/sort/line03/vis01/edge_sorter/v1"
LINE = LineSection(enterprise="acme", site="hub7", area="sort", line="line03", cell="vis01")


def stamp(seconds: float) -> str:
    moment = datetime.now(timezone.utc) + timedelta(seconds=seconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Sorter:
    """Speaks as edge_sorter does, by hand, so that it can also say what edge_sorter never would."""

    def __init__(self, broker: real.Mosquitto) -> None:
        self.acks: list[dict] = []
        self.told: dict[str, dict] = {}
        self.confirms: list[dict] = []
        self.beats: list[float] = []
        self.alive = True
        self.n = 0
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="sorter", protocol=mqtt.MQTTv5)
        self.client.on_connect = lambda client, *_: client.subscribe(f"{P}/plc/#", qos=1)
        self.client.on_message = self._heard
        self.client.reconnect_delay_set(0.1, 0.2)
        self.client.connect(broker.host, broker.port)
        self.client.loop_start()
        self._stop = threading.Event()
        self._beater = threading.Thread(target=self._beat)
        self._beater.start()
        self.state("RUNNING")

    def close(self) -> None:
        self._stop.set()
        self._beater.join()
        self.client.disconnect()
        self.client.loop_stop()

    def state(self, state: str) -> None:
        message = {"schema": "edge_sorter.state/1", "boot_id": "B1", "state": state, "ts": stamp(0)}
        self.client.publish(f"{P}/state", json.dumps(message), qos=1, retain=True)

    def decide(self, seq: int, *, late_s: float = 5.0, retain: bool = False, **changes) -> dict:
        message = {
            "schema": "edge_sorter.decision/1",
            "boot_id": "B1",
            "seq": seq,
            "parcel_uid": f"{changes.get('boot_id', 'B1')}-{seq}",
            "rev": 0,
            "lane": "L02",
            "action": "DIVERT",
            "reason": "PLAN_MATCH",
            "pos": {"ref": "SPEED", "lead_mm": 1.0},
            "t_capture": "2026-11-21T18:03:11.541902Z",
            "t_publish": stamp(0),
            "deadline": {"ts": stamp(late_s)},
            "replay": False,
        } | changes
        self.client.publish(f"{P}/decision", json.dumps(message), qos=1, retain=retain)
        return message

    def results(self, seq: int) -> list[str]:
        return [ack["result"] for ack in self.acks if ack["seq"] == seq]

    def _heard(self, _client, _userdata, message) -> None:
        data = json.loads(message.payload)
        name = message.topic[len(P) + 1 :]
        if name == "plc/ack":
            self.acks.append(data)
        elif name == "plc/confirm":
            self.confirms.append(data)
        elif name == "plc/hb":
            self.beats.append(time.monotonic())
            self.told[name] = data
        else:
            self.told[name] = data

    def _beat(self) -> None:
        while not self._stop.wait(0.1):
            if self.alive:
                self.n += 1
                message = {"schema": "edge_sorter.hb/1", "boot_id": "B1", "n": self.n, "ts": stamp(0)}
                self.client.publish(f"{P}/hb", json.dumps(message | {"state": "RUNNING"}), qos=0)


@pytest.fixture
def broker(tmp_path):
    one = real.Mosquitto(tmp_path, persistence=True).start()
    yield one
    one.stop()


@pytest.fixture
def plc():
    one = ModbusPlc(real.free_port()).start()
    yield one
    one.stop()


@pytest.fixture
def sorter(broker):
    one = Sorter(broker)
    yield one
    one.close()


@pytest.fixture
def gateway(broker, plc, sorter):
    config = GatewayConfig(
        line=LINE,
        mqtt=PlcSection(host=broker.host, port=broker.port),
        modbus=ModbusSection(port=plc.port, cycle_ms=5, timeout_ms=1000),
        lanes={"L01": 1, "L02": 2, "HOSP": 99},
        echo_ms=1000,
    )
    one = ModbusGateway(config, clock=SystemClock())
    stop = threading.Event()
    thread = threading.Thread(target=one.run, args=(stop.is_set,))
    thread.start()
    real.wait_until(lambda: one.usable and plc.in_use, timeout_s=20, what="the gateway is in use")
    yield one
    stop.set()
    thread.join(10)
    assert not thread.is_alive()
    assert not plc.in_use  # it leaves the PLC on its default


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


def test_a_retained_decision_is_ignored_by_a_gateway_that_comes_later(broker, sorter, plc):
    sorter.decide(9, retain=True)
    config = GatewayConfig(
        line=LINE,
        mqtt=PlcSection(host=broker.host, port=broker.port),
        modbus=ModbusSection(port=plc.port, timeout_ms=1000),
        lanes={"L02": 2},
    )
    gateway, stop = ModbusGateway(config, clock=SystemClock()), threading.Event()
    thread = threading.Thread(target=gateway.run, args=(stop.is_set,))
    thread.start()
    try:
        real.wait_until(lambda: gateway.rejected["RETAINED"] == 1, timeout_s=20, what="refused")
    finally:
        stop.set()
        thread.join(10)
    assert plc.fired == []


def test_more_decisions_at_once_than_slots(sorter, plc, gateway):
    for seq in range(1, 51):
        sorter.decide(seq, late_s=30)
    real.wait_until(lambda: len(sorter.acks) >= 50, timeout_s=30, what="all acknowledged")
    assert [ack["seq"] for ack in sorter.acks] == list(range(1, 51))
    assert {ack["result"] for ack in sorter.acks} == {"ACCEPTED"}
    assert [seq for seq, _, _ in plc.fired] == list(range(1, 51))


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
