"""What the line says reaches the main loop: over a real broker, and through an inbox that is flooded."""

from __future__ import annotations

import json
import subprocess
import threading

import pytest
from mosquitto import wait_until
from paho.mqtt.client import MQTTMessage

from edge_sorter.clock import ReplayClock, SystemClock
from edge_sorter.config import LineSection, PlcSection
from edge_sorter.events import (
    EncoderCount,
    LaneReport,
    LaneStatus,
    LineReport,
    PlanOffer,
    PlcItem,
    ScannerRead,
)
from edge_sorter.plc import inbox as inbox_module
from edge_sorter.plc.inbox import ANSWERS, OTHERS, SAMPLES, Inbox
from edge_sorter.plc.link import MqttLink
from edge_sorter.plc.topics import Topics


def say(broker, topic: str, payload: dict | str, *, retain: bool = False, version: str = "mqttv5") -> None:
    text = payload if isinstance(payload, str) else json.dumps(payload)
    command = ["mosquitto_pub", "-h", broker.host, "-p", str(broker.port), "-V", version, "-q", "1", "-t", topic]
    subprocess.run([*command, "-m", text, *(["-r"] if retain else [])], check=True, timeout=20)


def heard(link, clock, count: int):
    events = []

    def listen() -> None:
        link.tick(clock.now_ns())
        events.extend(link.take_events(clock.now_ns()))

    wait_until(lambda: len(events) >= count, timeout_s=20, what=f"{count} events", meanwhile=listen)
    return events


@pytest.mark.broker
@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_everything_the_line_says_becomes_an_event_in_order(protocol, broker, make_link, clock, topics):
    with make_link(broker.port, protocol=protocol) as link:
        before_ns = clock.now_ns()
        say(broker, topics.plc_enc, {"cnt": 918231144, "mm_per_cnt": 0.5})
        say(broker, topics.plc_item, {"plc_index": 17, "lead_cnt": 5, "trail_cnt": 9, "eye": "PE2"})
        say(broker, topics.plc_lane_state("L12"), {"lane": "L12", "state": "FULL", "fill_pct": 82})
        say(broker, topics.plc_line_state, {"packml": "HELD", "v_set_mm_s": 2000, "cause": "jam"})
        say(broker, topics.scan_read, {"scanner": "top1", "codes": [{"aim": "]C1", "text": "0034"}], "weight_g": 9})
        say(
            broker,
            topics.wcs_plan,
            {"id": "p", "activate": "AT", "valid_from": "2030-01-01T00:00:00.5Z", "plan": {"a": 1}},
        )
        events = heard(link, clock, 6)
        after_ns = clock.now_ns()
    times = [event.at_ns for event in events]
    assert times == sorted(times)
    assert before_ns < times[0]
    assert times[-1] < after_ns
    encoder, item, lane, line, read, offer = events
    assert encoder == EncoderCount(times[0], 918231144, 0.5)
    assert item == PlcItem(times[1], 17, 5, 9, "PE2")
    assert lane == LaneReport(times[2], "L12", LaneStatus.FULL, 82)
    assert line == LineReport(times[3], "HELD", "PRODUCTION", 2000, None, "jam")
    assert read == ScannerRead(times[4], "top1", codes=(("]C1", "0034"),), weight_g=9)
    assert isinstance(offer, PlanOffer)
    assert (offer.document, offer.activate, offer.source) == ({"id": "p", "rev": 0, "a": 1}, "AT", "mqtt")
    assert offer.valid_from_ns is not None
    assert clock.wall(offer.valid_from_ns).isoformat() == "2030-01-01T00:00:00.500000+00:00"
    assert not link.rejected


@pytest.mark.broker
@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_kept_lane_states_are_heard_and_old_acks_are_refused(protocol, broker, make_link, clock, topics):
    say(broker, topics.plc_lane_state("L12"), {"lane": "L12", "state": "OPEN"}, retain=True)
    say(broker, topics.plc_ack, {"boot_id": "b", "seq": 1, "parcel_uid": "p", "rev": 0, "result": "LATE"}, retain=True)
    say(broker, topics.cmd, {"cmd": "pause"}, retain=True)
    with make_link(broker.port, protocol=protocol) as link:
        (lane,) = heard(link, clock, 1)
        assert isinstance(lane, LaneReport)
        wait_until(lambda: link.rejected == {"RETAINED": 2}, meanwhile=lambda: link.tick(clock.now_ns()))


@pytest.mark.broker
def test_each_bad_message_is_counted_once_by_its_reason(broker, make_link, clock, topics):
    with make_link(broker.port) as link:
        say(broker, topics.plc_ack, "not json")
        say(broker, topics.plc_ack.replace("ack", "akc"), {"seq": 1})
        say(broker, topics.plc_lane_state("L12"), {"lane": "L13", "state": "FULL"})
        say(broker, topics.plc_item, {"schema": "edge_sorter.item/2", "plc_index": 1, "lead_cnt": 1})
        say(broker, topics.wcs_plan, {"id": "p", "activate": "AT", "plan": {}})
        say(broker, topics.wcs_plan, {"id": "p", "valid_from": "2026-02-31T00:00:00Z", "plan": {}})
        say(broker, topics.plc_hb, '{"n": ' + "1" * 17_000 + "}")
        wait_until(lambda: link.rejected.total() >= 7, meanwhile=lambda: link.tick(clock.now_ns()))
        assert link.take_events(clock.now_ns()) == []
        assert link.rejected == {
            "NOT_JSON": 1,
            "UNKNOWN_TOPIC": 1,
            "WRONG_TOPIC": 1,
            "UNKNOWN_MAJOR": 1,
            "BAD_FIELDS": 2,
            "TOO_LARGE": 1,
        }


@pytest.mark.broker
def test_a_replay_hears_nothing_live(broker, clock, topics):
    replayed = Topics(LineSection(), replay=True)
    with (
        MqttLink(PlcSection(port=broker.port), topics=replayed, clock=clock, boot_id="R") as paced,
        MqttLink(
            PlcSection(port=broker.port), topics=replayed, clock=ReplayClock(), boot_id="S", hears=False
        ) as unpaced,
    ):
        say(broker, topics.plc_enc, {"cnt": 1})
        say(broker, replayed.plc_enc, {"cnt": 2})
        (event,) = heard(paced, clock, 1)
        assert isinstance(event, EncoderCount)
        assert event.count == 2
        unpaced.tick(clock.now_ns())
        assert unpaced.take_events(clock.now_ns()) == []
        assert not paced.rejected
        assert not unpaced.rejected


def arrives(inbox: Inbox, topic: str, payload: bytes) -> None:
    message = MQTTMessage(topic=topic.encode())
    message.payload = payload
    inbox.hear(message)


@pytest.fixture
def flooded(topics):
    return Inbox(topics, clock=SystemClock())


def everything(inbox: Inbox):
    found = []
    while batch := inbox.take():
        assert len(batch) <= inbox_module.AT_ONCE
        found += batch
    return found


def test_a_flood_of_samples_drops_the_oldest_samples_and_no_ack(flooded, topics):
    ack = json.dumps({"boot_id": "b", "seq": 1, "parcel_uid": "p", "rev": 0, "result": "ACCEPTED"}).encode()
    for count in range(1000):
        arrives(flooded, topics.plc_enc, b'{"cnt": %d}' % count)
        arrives(flooded, topics.plc_ack, ack)
    found = everything(flooded)
    samples = [one.message.cnt for one in found if one.kind == "plc/enc"]
    assert samples == list(range(1000 - SAMPLES, 1000))
    assert sum(one.kind == "plc/ack" for one in found) == 1000
    assert flooded.rejected == {"ENCODER_OVERFLOW": 1000 - SAMPLES}
    assert [one.at_ns for one in found] == sorted(one.at_ns for one in found)


def test_memory_is_bounded_whatever_arrives(flooded, topics):
    large = b'"' + b"x" * 200_000 + b'"'
    for _ in range(200):
        arrives(flooded, topics.wcs_plan, large)
    for _ in range(ANSWERS + 10):
        arrives(flooded, topics.plc_hb, b'{"n": 1}')
    for _ in range(OTHERS + 10):
        arrives(flooded, topics.plc_item, b'{"plc_index": 1, "lead_cnt": 1}')
    arrives(flooded, topics.cmd, b"x" * (inbox_module.MAX_PLAN_BYTES + 1))
    waiting = flooded._samples, flooded._answers, flooded._others
    assert sum(len(one.message.payload) for queue in waiting for one in queue) <= inbox_module.BYTES
    assert flooded.rejected["TOO_LARGE"] == 1
    assert flooded.rejected["OVERFLOW"] > 100
    everything(flooded)
    assert flooded._bytes == 0


def test_a_topic_that_is_no_text_is_counted_and_kills_no_thread(flooded):
    message = MQTTMessage(topic=b"\xff\xfe")
    message.payload = b"{}"
    flooded.hear(message)
    assert flooded.rejected == {"NOT_UTF8": 1}


def test_two_threads_lose_nothing(flooded, topics):
    def speak() -> None:
        for number in range(2000):
            arrives(flooded, topics.plc_hb, b'{"n": %d}' % number)

    network = threading.Thread(target=speak)
    network.start()
    numbers = []
    while network.is_alive() or (flooded._answers):
        numbers += [one.message.n for one in flooded.take()]
    network.join()
    assert numbers == list(range(2000))
