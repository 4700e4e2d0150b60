"""What the line sends us, on its way from the network thread to the main loop: stamped, bounded, then checked.

Contract: `hear` is called in the network thread, never raises, never blocks and keeps a bounded amount; `take` is
called on the main loop and returns checked messages in the order of arrival. Whatever is refused is counted once, by
code. Encoder samples and acknowledgements wait apart from the rest: a flood of one never pushes out another.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from dataclasses import dataclass

from paho.mqtt.client import MQTTMessage

from edge_sorter.clock import Clock
from edge_sorter.errors import MessageError
from edge_sorter.plc.decode import MAX_PLAN_BYTES, decode_inbound
from edge_sorter.plc.messages import Message
from edge_sorter.plc.topics import Topics

log = logging.getLogger(__name__)

SAMPLES = 256
"""Encoder samples that may wait, five seconds of them at 50 Hz; the newest is worth most, so the oldest goes."""
ANSWERS = 8192
"""Acknowledgements and confirmations that may wait: more than a line holds parcels, many times over."""
OTHERS = 1024
BYTES = 16 * 1024 * 1024
AT_ONCE = 128
"""Messages checked in one go; the rest waits for the next, so that a flood cannot hold up a frame for long."""
_ANSWER_KINDS = ("plc/ack", "plc/confirm", "plc/hb")


@dataclass(frozen=True, slots=True)
class Heard:
    """One message that passed the border.

    Attributes:
        at_ns: When it arrived, on the axis of `captured_ns`.
        kind: A key of `INBOUND`.
        message: What it says.
        response_topic: Where an MQTT 5 sender wants its answer, or None.
        correlation: What that sender wants repeated in it, or None.
    """

    at_ns: int
    kind: str
    message: Message
    response_topic: str | None = None
    correlation: bytes | None = None


@dataclass(frozen=True, slots=True)
class _Arrived:
    number: int
    at_ns: int
    topic: str
    message: MQTTMessage


class Inbox:
    """Three bounded queues that are read as one.

    Attributes:
        rejected: Messages refused or dropped, by code; ENCODER_OVERFLOW and OVERFLOW came faster than they were read.
    """

    def __init__(self, topics: Topics, *, clock: Clock) -> None:
        self.rejected: Counter[str] = Counter()
        self._prefix, self._clock = topics.prefix, clock
        self._encoder_topic = topics.plc_enc
        self._answer_topics = frozenset(f"{topics.prefix}/{kind}" for kind in _ANSWER_KINDS)
        self._samples: deque[_Arrived] = deque()
        self._answers: deque[_Arrived] = deque()
        self._others: deque[_Arrived] = deque()
        self._bytes = self._arrivals = 0
        self._lock = threading.Lock()

    def hear(self, message: MQTTMessage) -> None:
        """Take a message from the network thread."""
        at_ns = self._clock.now_ns()
        try:
            topic = message.topic
        except UnicodeDecodeError:
            with self._lock:
                self.rejected["NOT_UTF8"] += 1
            return
        size = len(message.payload)
        with self._lock:
            self._arrivals += 1
            queue, limit = self._queue_of(topic)
            if size > MAX_PLAN_BYTES:
                self.rejected["TOO_LARGE"] += 1
                return
            if queue is self._samples and len(queue) >= limit:
                self._bytes -= len(queue.popleft().message.payload)
                self.rejected["ENCODER_OVERFLOW"] += 1
            elif len(queue) >= limit or self._bytes + size > BYTES:
                self.rejected["OVERFLOW"] += 1
                return
            self._bytes += size
            queue.append(_Arrived(self._arrivals, at_ns, topic, message))

    def take(self) -> list[Heard]:
        """Return messages that arrived and pass the border, in order of arrival; at most `AT_ONCE` are looked at."""
        heard = []
        for arrived in self._next():
            message = arrived.message
            try:
                kind, decoded = decode_inbound(
                    bytes(message.payload), topic=arrived.topic, prefix=self._prefix, retained=message.retain
                )
            except MessageError as error:
                self._reject(error)
                continue
            properties = message.properties
            heard.append(
                Heard(
                    arrived.at_ns,
                    kind,
                    decoded,
                    getattr(properties, "ResponseTopic", None),
                    getattr(properties, "CorrelationData", None),
                )
            )
        return heard

    def _queue_of(self, topic: str) -> tuple[deque[_Arrived], int]:
        if topic == self._encoder_topic:
            return self._samples, SAMPLES
        if topic in self._answer_topics:
            return self._answers, ANSWERS
        return self._others, OTHERS

    def _next(self) -> list[_Arrived]:
        taken: list[_Arrived] = []
        with self._lock:
            while len(taken) < AT_ONCE:
                waiting = [queue for queue in (self._samples, self._answers, self._others) if queue]
                if not waiting:
                    break
                taken.append(min(waiting, key=lambda queue: queue[0].number).popleft())
                self._bytes -= len(taken[-1].message.payload)
        return taken

    def _reject(self, error: MessageError) -> None:
        with self._lock:
            self.rejected[error.code] += 1
            first = self.rejected[error.code] == 1
        if first:
            log.warning("refused a message: %s; more with %s are only counted", error, error.code)


def inbound_filters(topics: Topics) -> tuple[str, ...]:
    """Return what to subscribe to; all of `plc/`, so that a misspelled topic is counted rather than unheard."""
    return f"{topics.prefix}/plc/#", topics.scan_read, topics.wcs_plan, topics.wcs_route, topics.cmd
