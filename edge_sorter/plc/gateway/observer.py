"""Looks on at one sorter for a mirror: its retained topics and its heartbeat, as tags, and whether it is there at all.

Contract: it only subscribes, and never to decisions; a message that breaks the rules of the wire is counted and
dropped.
"""

from __future__ import annotations

import queue
from collections import Counter
from datetime import datetime

from paho.mqtt.client import MQTTMessage

from edge_sorter.clock import Clock
from edge_sorter.errors import MessageError
from edge_sorter.plc.connection import Identity
from edge_sorter.plc.decode import decode, decode_inbound
from edge_sorter.plc.gateway.settings import MirrorConfig
from edge_sorter.plc.gateway.sorter_health import SorterHealth
from edge_sorter.plc.gateway.tags import Tags
from edge_sorter.plc.messages import AppState, HeartbeatMessage, Message, StateMessage
from edge_sorter.plc.session import Session
from edge_sorter.plc.topics import Topics

QUEUE = 1000


class Observer:
    """What a mirror knows of its sorter.

    Attributes:
        tags: The line as a table.
        rejected: Messages that did not pass the border, by code.
    """

    def __init__(self, config: MirrorConfig, *, kind: str, clock: Clock, replay: bool = False) -> None:
        """Prepare; nothing is opened before `start`.

        Args:
            config: Line and broker.
            kind: Word for the client id, so that mirrors of several kinds can run.
            clock: The present.
            replay: Look on at a replay instead of the line.
        """
        self.rejected: Counter[str] = Counter()
        self._clock, self._replay = clock, replay
        self.tags = Tags(self.now())
        self._silent_after_ms = config.silent_after_ms
        self._health = SorterHealth(degraded_after_ms=config.silent_after_ms, hold_after_ms=config.silent_after_ms)
        self._topics = topics = Topics(config.line, replay)
        self._inbox: queue.Queue[MQTTMessage] = queue.Queue(QUEUE)
        lanes = f"{topics.prefix}/plc/lane/+/state"
        subscriptions = (topics.state, topics.hb, topics.kpi, topics.info, topics.plan_status, topics.alarm_all)
        line = config.line
        self._session = Session(
            config.mqtt,
            Identity(
                config.mqtt.client_id or f"edge-sorter-{kind}-{line.line}-{line.cell}",
                subscriptions=(*subscriptions, lanes, topics.plc_line_state),
                key="mqtt",
            ),
            on_message=self._arrived,
        )

    def start(self) -> None:
        """Connect.

        Raises:
            PlcError: The broker cannot be reached.
        """
        self._session.start()

    def close(self) -> None:
        """Disconnect."""
        self._session.close(0.5)

    def poll(self) -> None:
        """Take what has arrived.

        Raises:
            PlcError: Another program uses our client id.
        """
        self._session.poll()
        for _ in range(self._inbox.qsize()):
            received = self._inbox.get_nowait()
            try:
                message = self._read(received)
            except MessageError as error:
                self.rejected[error.code] += 1
                continue
            if isinstance(message, (StateMessage, HeartbeatMessage)):
                self._health.hear(message, at_ns=self._clock.now_ns())
            self.tags.take(message, heard=self.now())

    @property
    def connected(self) -> bool:
        """Whether we hear the broker."""
        return self._session.connection is not None

    @property
    def present(self) -> bool:
        """Whether the sorter is there: heard, not long ago, and not saying the opposite."""
        age_ms = self.age_ms
        return (
            self.connected
            and self._health.state is not AppState.OFFLINE
            and age_ms is not None
            and age_ms <= self._silent_after_ms
        )

    @property
    def age_ms(self) -> float | None:
        """Age of its newest heartbeat; None before the first."""
        return self._health.age_ms(self._clock.now_ns())

    def now(self) -> datetime:
        """Return the present in UTC."""
        return self._clock.wall(self._clock.now_ns())

    def _read(self, received: MQTTMessage) -> Message:
        payload, topic = bytes(received.payload), received.topic
        if topic.startswith(f"{self._topics.prefix}/plc/"):
            return decode_inbound(payload, topic=topic, prefix=self._topics.prefix, retained=received.retain)[1]
        return decode(payload, topic=topic, retained=received.retain, replay=self._replay)

    def _arrived(self, message: MQTTMessage) -> None:
        try:
            self._inbox.put_nowait(message)
        except queue.Full:
            self.rejected["OVERFLOW"] += 1  # only paho's thread writes this one
