"""The other side of the contract for tests: a PLC with its gateway, as an MQTT client of its own.

It does what docs/plc.md asks of a PLC: keeps a session, beats, acknowledges, tells repetitions, refuses what is late or
replayed, falls back to its default lane when the sorter is silent, and remembers what it did with every parcel: that is
what tests judge. Each duty can be switched off to play a broken one, its gateway restarted, and the way to it made bad.
It shares no code with the link.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import Counter
from datetime import datetime, timezone

from bad_network import BadNetwork
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties


class PlcSide:
    """One PLC.

    Attributes:
        acted: Parcel to the lane it was diverted to; at most one action per parcel revision ever happens.
        actions: How often each (parcel, revision) was acted on.
        answers: Results given, by word.
        decisions: Every decision message seen, as parsed, with the moment of arrival (monotonic seconds).
        states: Every state message seen: (monotonic seconds, parsed).
        records: Parcel records seen.
        alarms: Alarm code to the states it went through.
        replies: Answers to commands.
        plans: What was said about sort plans.
        asked: Questions to the host.
        gaps: Sequence numbers that never came, or came after a higher one.
        way_in, way_out: What happens to decisions on their way here, and to answers from here.
    """

    def __init__(self, port: int, prefix: str, *, client_id: str = "plc-side", replay: bool = False) -> None:
        self.prefix, self._replay = prefix, replay
        self.beats, self.acks, self.confirms = True, True, False
        self.echoes = True
        self.way_in: BadNetwork[MQTTMessage] | None = None
        self.way_out: BadNetwork[dict] | None = None
        self.ack_delay_s = 0.0
        self.wrong_lane: str | None = None
        self.acted: dict[str, str] = {}
        self.actions: Counter[tuple[str, int]] = Counter()
        self.answers: Counter[str] = Counter()
        self.decisions: list[tuple[float, dict]] = []
        self.states: list[tuple[float, dict]] = []
        self.records: list[dict] = []
        self.alarms: dict[str, list[dict]] = {}
        self.replies: list[dict] = []
        self.kpis: list[dict] = []
        self.plans: list[dict] = []
        self.asked: list[dict] = []
        self.acted_late = self.gaps = self.malformed = 0
        self.heartbeats: list[tuple[float, dict]] = []
        self._revs: dict[str, int] = {}
        self._boot: str | None = None
        self._seq: int | None = None
        self._n = 0
        self._peer_n: int | None = None
        self._closing = threading.Event()
        self._port, self._client_id = port, client_id
        self._client = self._connect()
        self._beater = threading.Thread(target=self._beat, daemon=True)
        self._beater.start()

    @property
    def usable(self) -> bool:
        """Whether this PLC would act on a decision now."""
        fresh = bool(self.heartbeats) and time.monotonic() - self.heartbeats[-1][0] <= 1.0
        return fresh and bool(self.states) and self.states[-1][1]["state"] in ("RUNNING", "DEGRADED")

    @property
    def uids(self) -> list[str]:
        """Parcels whose decisions arrived, in order, repetitions included."""
        return [decision["parcel_uid"] for _, decision in self.decisions]

    def say(self, below: str, message: dict, *, retain: bool = False, qos: int = 1) -> None:
        self._client.publish(f"{self.prefix}/{below}", json.dumps(message), qos=qos, retain=retain)

    def command(self, cmd: str, *, key: bytes = b"k", **args) -> None:
        properties = Properties(PacketTypes.PUBLISH)
        properties.ResponseTopic = f"{self.prefix}/reply/plc-side"
        properties.CorrelationData = key
        payload = json.dumps({"cmd": cmd, "id": "7", "args": args})
        self._client.publish(f"{self.prefix}/cmd", payload, qos=1, properties=properties)

    def confirm(self, uid: str, result: str = "VERIFIED", **fields) -> None:
        self.say("plc/confirm", {"parcel_uid": uid, "result": result, **fields})

    def stop_gateway(self) -> None:
        """The gateway goes away without a word; the PLC behind it keeps its tracking table."""
        self.beats = False
        self._client.disconnect()
        self._client.loop_stop()

    def start_gateway(self) -> None:
        """It comes back, with the same session at the broker."""
        self._client = self._connect()
        self.beats = True

    def close(self) -> None:
        self._closing.set()
        self._beater.join(5)
        self._client.disconnect()
        self._client.loop_stop()

    def _connect(self) -> Client:
        client = Client(CallbackAPIVersion.VERSION2, client_id=self._client_id, protocol=MQTTProtocolVersion.MQTTv5)
        client.reconnect_delay_set(1, 1)
        client.on_socket_open = _at_once
        client.on_connect = self._connected
        client.on_message = self._heard
        subscribed = threading.Event()
        client.on_subscribe = lambda *_: subscribed.set()
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = 3600
        client.connect("127.0.0.1", self._port, keepalive=5, clean_start=False, properties=properties)
        client.loop_start()
        assert subscribed.wait(30), "PLC side could not subscribe"
        return client

    def __enter__(self) -> PlcSide:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def _connected(self, client: Client, *_) -> None:
        client.subscribe([(f"{self.prefix}/#", 1)])

    def _beat(self) -> None:
        while not self._closing.wait(0.1):
            if self.beats:
                self._n += 1
                echo = {"peer_n": self._peer_n} if self.echoes and self._peer_n is not None else {}
                self.say("plc/hb", {"n": self._n, **echo}, qos=0)

    def _heard(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        now = time.monotonic()
        below = message.topic[len(self.prefix) + 1 :]
        if below.split("/")[0] in ("plc", "scan", "wcs", "cmd"):
            return
        try:
            data = json.loads(message.payload)
        except ValueError:
            self.malformed += 1
            return
        if below == "decision":
            for arrived in [message] if self.way_in is None else self.way_in.deliver(message):
                self._decide(arrived, json.loads(arrived.payload), now)
        elif below == "hb":
            self.heartbeats.append((now, data))
            self._peer_n = data["n"]
        elif below == "state":
            self.states.append((now, data))
        elif below == "parcel":
            self.records.append(data)
        elif below == "plan/status":
            self.plans.append(data)
        elif below == "route/ask":
            self.asked.append(data)
        elif below == "kpi":
            self.kpis.append(data)
        elif below.startswith("alarm/"):
            self.alarms.setdefault(below[6:], []).append(data)
        elif below.startswith("reply/"):
            self.replies.append({**data, "correlation": getattr(message.properties, "CorrelationData", None)})

    def _decide(self, message: MQTTMessage, data: dict, now: float) -> None:
        if message.retain:
            self.answers["RETAINED"] += 1  # an old one; not worth an answer
            return
        self.decisions.append((now, data))
        result = self._judge(data)
        self.answers[result] += 1
        if result == "ACCEPTED":
            self.actions[data["parcel_uid"], data["rev"]] += 1
            self.acted[data["parcel_uid"]] = data["lane"]
            self.acted_late += _utc(data["deadline"]["ts"]) < datetime.now(timezone.utc)
        if not self.acks:
            return
        if self.ack_delay_s:
            time.sleep(self.ack_delay_s)
        key = {name: data[name] for name in ("boot_id", "seq", "parcel_uid", "rev")}
        self._answer({"schema": "edge_sorter.ack/1", **key, "result": result})
        if self.confirms and result == "ACCEPTED":
            lane = self.wrong_lane or data["lane"]
            went = "VERIFIED" if lane == data["lane"] else "MISSORT"
            self._answer({"parcel_uid": data["parcel_uid"], "result": went, "lane_cmd": data["lane"], "lane_act": lane})

    def _answer(self, message: dict) -> None:
        for arriving in [message] if self.way_out is None else self.way_out.deliver(message):
            self.say("plc/ack" if "seq" in arriving else "plc/confirm", arriving)

    def _judge(self, data: dict) -> str:
        if data["replay"] != self._replay:
            return "REJECTED"
        if data["boot_id"] != self._boot:
            if self._boot is not None and data["boot_id"] < self._boot:
                return "STALE_BOOT"
            self._boot, self._seq = data["boot_id"], None
        if self._seq is not None and data["seq"] > self._seq + 1:
            self.gaps += data["seq"] - self._seq - 1
        self._seq = max(data["seq"], self._seq or 0)
        known = self._revs.get(data["parcel_uid"])
        if known is not None and data["rev"] <= known:
            return "DUPLICATE"
        if _utc(data["deadline"]["ts"]) < datetime.now(timezone.utc):
            return "LATE"
        if not self.usable:
            return "REJECTED"
        self._revs[data["parcel_uid"]] = data["rev"]
        return "ACCEPTED"


def _utc(timestamp: str) -> datetime:
    return datetime.fromisoformat(timestamp.replace("Z", "+00:00"))


def _at_once(_client: Client, _userdata: object, sock: socket.socket) -> None:
    """Send what there is: TCP would hold an answer back until the message before is acknowledged."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
