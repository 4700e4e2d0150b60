"""What the link does with what it hears: acknowledgements to the book, heartbeats to the watch, commands to the desk,
and everything else to the main loop as line events. Runs on the main loop; `received` alone in the network thread.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import Any

from paho.mqtt.client import MQTTMessage

from edge_sorter.clock import Clock, rfc3339
from edge_sorter.errors import PlcError
from edge_sorter.events import Flush, LineEvent
from edge_sorter.plc.delivery import Delivery
from edge_sorter.plc.desk import CommandDesk
from edge_sorter.plc.inbound import CommandMessage, EncoderMessage, PlcHeartbeatMessage
from edge_sorter.plc.inbox import Heard, Inbox
from edge_sorter.plc.line_events import line_event, sent_ns
from edge_sorter.plc.messages import AppState
from edge_sorter.plc.rivals import RivalWatch
from edge_sorter.plc.sample_times import SampleTimes
from edge_sorter.plc.topics import Topics
from edge_sorter.plc.voice import Voice
from edge_sorter.plc.wire import Wire

EVENTS = 4096
"""Events that may wait for a main loop that does not take them; the oldest goes first."""


class Ears:
    """Hears the line.

    Attributes:
        inbox: What arrived and was not looked at yet, and what was refused.
        rivals: Notices another program that speaks as this sorter.
        desk: Who does which command.
        dropped: Line events that nobody took in time.
    """

    def __init__(
        self, wire: Wire, *, topics: Topics, clock: Clock, boot_id: str, voice: Voice, delivery: Delivery
    ) -> None:
        self.inbox = Inbox(topics, clock=clock)
        self.rivals = RivalWatch(boot_id=boot_id)
        self.desk = CommandDesk(prefix=topics.prefix, boot_id=boot_id)
        self.dropped = 0
        self._wire, self._topics, self._clock = wire, topics, clock
        self._voice, self._delivery = voice, delivery
        self._alarms_prefix = topics.alarm("X")[:-1]
        self._sample_times = SampleTimes()
        self._events: deque[LineEvent] = deque()
        self._seen_rejected = 0
        for command, handler in (
            ("pause", self._pause),
            ("resume", self._resume),
            ("rebirth", self._rebirth),
            ("ack_alarm", self._ack_alarm),
            ("flush", self._flush),
        ):
            self.desk.on(command, handler)

    def received(self, message: MQTTMessage) -> None:
        """Take a message; called in the network thread."""
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = ""
        if topic == self._topics.state:
            self.rivals.hear(message)
        elif topic.startswith(self._alarms_prefix):
            self._voice.kept.hear(message)
        else:
            self.inbox.hear(message)

    def listen(self, now_ns: int) -> None:
        """Look at what arrived."""
        for heard in self.inbox.take():
            self._take(heard)
        rejected = self.inbox.rejected.total()
        if rejected > self._seen_rejected:
            self._seen_rejected = rejected
            self._voice.alarms.pulse("BAD_INPUT", at_ns=now_ns, detail=f"{rejected} so far")

    def take_events(self, now_ns: int) -> list[LineEvent]:
        """Return what the line told since the last call, in order of arrival, none later than `now_ns`."""
        events = [event if event.at_ns <= now_ns else replace(event, at_ns=now_ns) for event in self._events]
        self._events.clear()
        return events

    def _take(self, heard: Heard) -> None:
        message = heard.message
        if isinstance(message, PlcHeartbeatMessage):
            self._voice.hear(message, at_ns=heard.at_ns)
        elif isinstance(message, CommandMessage):
            self._obey(heard)
        else:
            self._delivery.hear(message, at_ns=heard.at_ns)
            at_ns = heard.at_ns
            if isinstance(message, EncoderMessage):
                at_ns = self._sample_times.taken_ns(at_ns, sent_ns(message, at_ns=at_ns, clock=self._clock))
            event = line_event(message, at_ns=at_ns, clock=self._clock)
            if event is not None:
                self.tell(event)

    def tell(self, event: LineEvent) -> None:
        """Let the main loop hear an event, after those that wait."""
        if len(self._events) == EVENTS:
            self._events.popleft()
            self.dropped += 1
        self._events.append(event)

    def _obey(self, heard: Heard) -> None:
        answer = self.desk.answer(heard, ts=rfc3339(self._clock.wall(self._clock.now_ns())))
        if answer is not None:
            self._wire.send(answer.topic, answer.message.to_json(), correlation=answer.correlation)

    def _pause(self, _: dict[str, Any]) -> str:
        self._voice.standing.lay_over("PAUSED", AppState.HOLD)
        self._voice.stand()
        return "nothing is sent until resume; the PLC sorts to its default lane"

    def _resume(self, _: dict[str, Any]) -> str:
        self._voice.standing.lay_over("PAUSED", None)
        self._voice.stand()
        return f"state {self._voice.standing.now[0].value}"

    def _rebirth(self, _: dict[str, Any]) -> str:
        self._voice.overwritten()
        self._voice.kept.again()
        return "told everything again"

    def _ack_alarm(self, args: dict[str, Any]) -> str:
        code = str(args.get("code", ""))
        if not self._voice.alarms.acknowledge(code):
            raise PlcError(f"no active alarm {code[:64]!r}; say which in args.code")
        return f"alarm {code} is known to a person"

    def _flush(self, _: dict[str, Any]) -> str:
        self.tell(Flush(self._clock.now_ns(), "MANUAL"))
        return "parcels in view go to the exception lane"
