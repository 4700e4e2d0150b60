"""A sorter played by hand, for the examination of a gateway: says what edge_sorter says, and what it never would.

Contract: nothing is said but what `send` and its kin are asked for, except the heartbeat, which goes out whenever it
waits; everything the gateway answers is kept with the moment it came.
"""

from __future__ import annotations

import queue
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from paho.mqtt.client import MQTTMessage

from edge_sorter.clock import Clock, rfc3339, stopwatch_ns
from edge_sorter.errors import MessageError, PlcError
from edge_sorter.plc.connection import Identity
from edge_sorter.plc.decode import decode_inbound
from edge_sorter.plc.gateway.settings import GatewayConfig
from edge_sorter.plc.inbound import AckMessage, AckResult, EncoderMessage, PlcHeartbeatMessage
from edge_sorter.plc.messages import (
    AppState,
    Deadline,
    DecisionMessage,
    HeartbeatMessage,
    Message,
    Position,
    StateMessage,
)
from edge_sorter.plc.session import Session
from edge_sorter.plc.topics import Topics
from edge_sorter.types import Action

ACK_S = 1.0
"""How long we wait for an answer; 0.1 s is what a line wants, and is told beside the finding."""
BEAT_S = 0.1


class PlayedSorter:
    """A sorter's side of the topics, driven by hand; it beats whenever it waits."""

    def __init__(self, config: GatewayConfig, clock: Clock) -> None:
        self.clock = clock
        self.topics = Topics(config.line)
        self.boot = "CONFORM1"
        self.seq = 0
        self.beating = True
        self.acks: list[tuple[AckMessage, int]] = []
        self.heartbeats: list[tuple[PlcHeartbeatMessage, int]] = []
        self.count: int | None = None
        self.bad: list[str] = []
        self.n = 0
        self._next_beat_ns = 0
        self._inbox: queue.Queue[MQTTMessage] = queue.Queue()
        prefix = self.topics.prefix
        self.session = Session(
            config.mqtt,
            Identity(
                f"edge-sorter-conformance-{config.line.line}",
                subscriptions=(f"{prefix}/plc/#", self.topics.hb),
                key="mqtt",
            ),
            on_message=self._inbox.put,
        )
        self.foreign_beats = 0

    def send(self, topic: str, message: Message | bytes, *, qos: int = 1, retain: bool = False) -> None:
        """Publish a message, or bytes that are none."""
        connection = self.session.connection
        if connection is None:
            raise PlcError("the broker was lost in the middle of the examination; begin again")
        payload = message if isinstance(message, bytes) else message.to_json()
        connection.publish(topic, payload, qos=qos, retain=retain)

    def say(self, state: AppState) -> None:
        """Publish our state, retained."""
        message = StateMessage(boot_id=self.boot, state=state, cause="conformance", ts=self.now())
        self.send(self.topics.state, message, retain=True)

    def decision(
        self, *, lane: str, in_s: float = 5.0, deadline_count: int | None = None, **more: Any
    ) -> DecisionMessage:
        """Make the next decision: its deadline is `in_s` seconds ahead; `more` replaces fields."""
        self.seq += 1
        now = self.clock.wall(self.clock.now_ns())
        fields = {
            "boot_id": self.boot,
            "seq": self.seq,
            "parcel_uid": f"{self.boot}-{self.seq}",
            "rev": 0,
            "lane": lane,
            "action": Action.DIVERT,
            "reason": "PLAN_MATCH",
            "pos": Position(ref="SPEED"),
            "t_capture": rfc3339(now),
            "t_publish": rfc3339(now),
            "deadline": Deadline(ts=rfc3339(now + timedelta(seconds=in_s)), enc_cnt=deadline_count),
            "replay": False,
        }
        return DecisionMessage.model_validate(fields | more)

    def decide(self, message: DecisionMessage) -> DecisionMessage:
        """Send a decision."""
        self.send(self.topics.decision, message)
        return message

    def wait(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        """Work for so long, or until something is true; tell whether it is."""
        end_ns = stopwatch_ns() + round(seconds * 1e9)
        while not until():
            if stopwatch_ns() >= end_ns:
                return False
            self.session.poll()
            now_ns = self.clock.now_ns()
            if self.beating and now_ns >= self._next_beat_ns:
                self._next_beat_ns = now_ns + round(BEAT_S * 1e9)
                self.n += 1
                beat = HeartbeatMessage(boot_id=self.boot, n=self.n, ts=self.now(), state=AppState.RUNNING)
                self.send(self.topics.hb, beat, qos=0)
            self._hear()
        return True

    def answer(self, message: DecisionMessage, *, nth: int = 1, seconds: float = ACK_S) -> AckResult | None:
        """Wait for the nth answer to a message of this sequence number and boot."""

        def found() -> list[AckMessage]:
            key = (message.boot_id, message.seq)
            return [ack for ack, _ in self.acks if (ack.boot_id, ack.seq) == key]

        self.wait(seconds, lambda: len(found()) >= nth)
        return found()[nth - 1].result if len(found()) >= nth else None

    def now(self) -> str:
        """Return the present as messages write it."""
        return rfc3339(self.clock.wall(self.clock.now_ns()))

    def _hear(self) -> None:
        try:
            received = self._inbox.get(timeout=0.005)
        except queue.Empty:
            return
        if received.topic == self.topics.hb:
            self.foreign_beats += b'"CONFORM' not in received.payload
            return
        try:
            _, message = decode_inbound(
                bytes(received.payload), topic=received.topic, prefix=self.topics.prefix, retained=received.retain
            )
        except MessageError as error:
            self.bad.append(str(error))
            return
        if isinstance(message, AckMessage):
            self.acks.append((message, stopwatch_ns()))
        elif isinstance(message, PlcHeartbeatMessage):
            self.heartbeats.append((message, stopwatch_ns()))
        elif isinstance(message, EncoderMessage):
            self.count = message.cnt
