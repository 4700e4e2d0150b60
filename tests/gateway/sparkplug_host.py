"""A Sparkplug host for tests that shares no code with the mirror: reads the wire format by hand, and counts along.

Field numbers and rules: Eclipse Sparkplug 3.0, chapters 4 to 6.
"""

from __future__ import annotations

import struct
import threading
from dataclasses import dataclass

import mosquitto as real
import paho.mqtt.client as mqtt


def fields(data: bytes) -> list[tuple[int, int | bytes]]:
    """Field numbers and raw values of one Protocol Buffers message."""
    found: list[tuple[int, int | bytes]] = []
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return value

    while at < len(data):
        key = varint()
        kind = key & 7
        if kind == 0:
            found.append((key >> 3, varint()))
        else:
            length = {1: 8, 5: 4}.get(kind) or varint()
            assert at + length <= len(data), "truncated"
            found.append((key >> 3, data[at : at + length]))
            at += length
    return found


def metric(data: bytes) -> tuple[str, object]:
    """Name and value; the value is read as the data type says, and must lie in the field that belongs to it."""
    read = dict(fields(data))
    name, datatype = read[1].decode(), read[4]
    if read.get(7):
        return name, None
    if datatype in (4, 8, 13):
        value = read[11]
        return name, value - 2**64 if datatype == 4 and value >= 2**63 else value
    if datatype == 10:
        return name, struct.unpack("<d", read[13])[0]
    if datatype == 11:
        return name, bool(read[14])
    assert datatype == 12, f"{name}: data type {datatype}"
    return name, read[15].decode()


@dataclass
class Message:
    verb: str
    path: str
    seq: int | None
    metrics: dict[str, object]


class Host:
    """Follows one edge node; every breach of the rules is an assertion in `faults`."""

    def __init__(self, broker: real.Mosquitto, group: str) -> None:
        self.heard: list[Message] = []
        self.values: dict[str, object] = {}
        self.online: dict[str, bool] = {}
        self.faults: list[str] = []
        self.bd_seq: int | None = None
        self._expected: int | None = None
        self._group = group
        subscribed = threading.Event()
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="scada", protocol=mqtt.MQTTv5)
        self.client.on_connect = lambda client, *_: client.subscribe("spBv1.0/#", qos=1)
        self.client.on_subscribe = lambda *_: subscribed.set()
        self.client.on_message = lambda _client, _data, message: self._take(message)
        self.client.reconnect_delay_set(0.1, 0.2)
        self.client.connect(broker.host, broker.port)
        self.client.loop_start()
        assert subscribed.wait(30)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def count(self, verb: str) -> int:
        return sum(one.verb == verb for one in self.heard)

    def wait(self, verb: str, count: int = 1) -> Message:
        real.wait_until(lambda: self.count(verb) >= count, timeout_s=60, what=f"{count} {verb}")
        return [one for one in self.heard if one.verb == verb][count - 1]

    def ask_rebirth(self, node: str) -> None:
        # As another library (npm sparkplug-payload 1.0.3) encodes it.
        payload = "0880d095ffbc31121a0a144e6f646520436f6e74726f6c2f52656269727468200b7001"
        self.client.publish(f"spBv1.0/{self._group}/NCMD/{node}", bytes.fromhex(payload))

    def _take(self, message: mqtt.MQTTMessage) -> None:
        try:
            self._follow(message)
        except Exception as error:  # a callback of paho must not lose it
            self.faults.append(f"{message.topic}: {error!r}")

    def _follow(self, message: mqtt.MQTTMessage) -> None:
        _, group, verb, *path = message.topic.split("/")
        if verb == "NCMD":
            return
        assert group == self._group
        read = fields(message.payload)
        seq = next((value for number, value in read if number == 3), None)
        assert not message.retain, "nothing is retained"
        assert any(number == 1 for number, _ in read), "every payload has a timestamp"
        metrics = dict(metric(value) for number, value in read if number == 2)
        name = "/".join(path)
        self.heard.append(Message(verb, name, seq, metrics))
        if verb == "NDEATH":
            assert seq is None, "a death of the node has no sequence number"
            if metrics["bdSeq"] == self.bd_seq:
                self.online = dict.fromkeys(self.online, False)
            return
        assert message.qos == 0, "births and data are QoS 0"
        if verb == "NBIRTH":
            assert seq == 0, "a birth begins the count"
            assert metrics["Node Control/Rebirth"] is False
            self.bd_seq = metrics["bdSeq"]
        else:
            assert seq == self._expected, f"sequence {seq}, expected {self._expected}"
        self._expected = (seq + 1) % 256
        if verb.endswith("DATA"):
            unknown = {f"{name}:{key}" for key in metrics} - self.values.keys()
            assert not unknown, f"data that was never born: {unknown}"
            assert self.online[name], "data of somebody who is not there"
        self.online[name] = verb != "DDEATH"
        self.values |= {f"{name}:{key}": value for key, value in metrics.items()}
