"""The link to the PLC: decisions out over MQTT now or never, health always, and no queue that could deliver late.

`publish` sends a decision only while connected, only before its deadline and only once; whatever is not sent at once is
reported and forgotten. Everything here runs on the main loop: when that hangs, the heartbeat stops, as it must.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from contextlib import suppress
from dataclasses import replace
from types import TracebackType

from paho.mqtt.client import MQTTMessage

from edge_sorter.clock import Clock, rfc3339
from edge_sorter.config import PlcSection
from edge_sorter.errors import PlcError
from edge_sorter.events import LineEvent
from edge_sorter.plc.connection import Identity, Will
from edge_sorter.plc.encode import decision_message
from edge_sorter.plc.inbound import EncoderMessage
from edge_sorter.plc.inbox import Inbox, inbound_filters
from edge_sorter.plc.line_events import line_event, sent_ns
from edge_sorter.plc.messages import Ages, AppState, HeartbeatMessage, InfoMessage, KpiMessage, StateMessage
from edge_sorter.plc.publisher import NO_VITALS, Gate, PublishResult, Vitals
from edge_sorter.plc.rivals import RivalWatch
from edge_sorter.plc.sample_times import SampleTimes
from edge_sorter.plc.topics import Topics
from edge_sorter.plc.wire import Fate, Tag, Wire
from edge_sorter.types import SortDecision

log = logging.getLogger(__name__)

FLUSH_S, GOODBYE_S = 0.5, 0.2
SAMPLES = 10_000
EVENTS = 4096
"""Events that may wait for a main loop that does not take them; the oldest goes first."""


class MqttLink:
    """Publishes decisions, state, heartbeat, info and figures of one sorter.

    Attributes:
        counts: How many decisions ended in each result.
        acked: Decisions the broker acknowledged.
        refused: Messages the broker answered with an error (no right to publish there).
        unacked_lost: Decisions whose connection broke before the acknowledgement: they arrived or did not.
        ack_ns: Newest times from publish to acknowledgement, at most `SAMPLES`.
        events_dropped: Line events that nobody took in time.
    """

    def __init__(
        self,
        section: PlcSection,
        *,
        topics: Topics,
        clock: Clock,
        boot_id: str,
        model: str | None = None,
        patience_s: float = 0.0,
        hears: bool = True,
    ) -> None:
        """Prepare a link; nothing is opened before `start`.

        Args:
            section: The broker and how to reach it.
            topics: Where to publish; `topics.replay` marks every message as a replay.
            clock: The pipeline's clock, for deadlines and for times in messages.
            boot_id: Id of this run.
            model: "<name>#<hash>" of the detector, written into decisions.
            patience_s: How long `publish` may wait for the broker to keep up. 0 for live video; a file can wait.
            hears: Whether to listen to the line. A recording played faster than real time has nobody to listen to, and
                a replay listens below its own root only, where no live line speaks.
        """
        self.counts: Counter[PublishResult] = Counter()
        self.acked = self.refused = self.unacked_lost = self.events_dropped = 0
        self.ack_ns: deque[int] = deque(maxlen=SAMPLES)
        self._topics, self._clock, self._boot_id, self._model = topics, clock, boot_id, model
        self._patience_s = patience_s
        self._sample_times = SampleTimes()
        self._rivals = RivalWatch(boot_id=boot_id)
        self._inbox = Inbox(topics, clock=clock)
        identity = Identity(
            _client_id(section, topics, boot_id),
            subscriptions=(topics.state,),
            not_own=inbound_filters(topics) if hears else (),
        )
        self._wire = Wire(section, identity, make_will=self._will, on_message=self._received)
        self._gate = Gate()
        self._events: deque[LineEvent] = deque()
        self._state, self._cause = AppState.STARTING, "start"
        self._info: InfoMessage | None = None
        self._beats = 0
        self._beat_period_ns = round(1e9 / section.heartbeat_hz)
        self._next_beat_ns: int | None = None
        self._warned_refused = False

    @property
    def connected(self) -> bool:
        """Whether a decision handed over now would be sent."""
        return self._wire.connected

    @property
    def reconnects(self) -> int:
        """How often the broker was lost and came back."""
        return max(0, self._wire.connects - 1)

    @property
    def version(self) -> str | None:
        """MQTT version in use."""
        return self._wire.version

    @property
    def rejected(self) -> Counter[str]:
        """Incoming messages that were refused or dropped, by code."""
        return self._inbox.rejected

    def start(self) -> None:
        """Connect and announce STARTING.

        Raises:
            PlcError: Not connected; says where, why and what to do.
        """
        self._wire.start()
        self._catch_up()

    def publish(self, decision: SortDecision) -> PublishResult:
        """Send a decision now, or report why not; it is never kept for later."""
        self._catch_up()
        result = self._publish(decision)
        self.counts[result] += 1
        if result is not PublishResult.SENT:
            log.warning("decision %s for %s not sent: %s", decision.seq, decision.parcel_uid, result.value)
        return result

    def state(self, state: AppState | str, *, cause: str | None = None) -> None:
        """Tell what this program can do from now on; the broker keeps it, and hears it again after an outage."""
        state = AppState(state)
        cause = cause or state.value.lower()
        if (state, cause) == (self._state, self._cause):
            return
        log.info("state %s (%s)", state.value, cause)
        self._catch_up()
        self._state, self._cause = state, cause
        self._tell_state(self._cause)

    def info(self, message: InfoMessage) -> None:
        """Publish what is running; the broker keeps it, and hears it again after an outage."""
        self._info = message
        self._catch_up()
        self._wire.send(self._topics.info, message.to_json(), retain=True)

    def kpi(self, message: KpiMessage) -> None:
        """Publish figures of this run."""
        self._wire.send(self._topics.kpi, message.to_json(), qos=0, retain=True)

    def tick(self, now_ns: int, *, vitals: Vitals = NO_VITALS) -> None:
        """Do what is due: take what arrived, notice a dead connection, reconnect, send the heartbeat.

        Args:
            now_ns: The present on the axis of `captured_ns`; heartbeats are spaced by it.
            vitals: Figures for the heartbeat.

        Raises:
            PlcError: Another program speaks as this sorter.
        """
        self._catch_up()
        self._hear()
        if self._next_beat_ns is None or now_ns >= self._next_beat_ns:
            # After a pause the missed beats stay missing: a burst would hide the pause.
            due_ns = self._next_beat_ns or now_ns
            self._next_beat_ns = max(due_ns, now_ns - self._beat_period_ns) + self._beat_period_ns
            self._beat(now_ns, vitals)

    def take_events(self, now_ns: int) -> list[LineEvent]:
        """Return what the line told since the last call, in order of arrival; never waits.

        Args:
            now_ns: The present on the axis of `captured_ns`; no event is later than this.
        """
        self._hear()
        events = [event if event.at_ns <= now_ns else replace(event, at_ns=now_ns) for event in self._events]
        self._events.clear()
        return events

    def flush(self, timeout_s: float) -> bool:
        """Wait until the broker acknowledged everything; False when it did not, or the connection is gone."""
        done = self._wire.flush(timeout_s)
        self._settle()
        return done

    def close(self) -> None:
        """Tell HOLD, then OFFLINE, and disconnect cleanly; takes less than a second whatever the broker does."""
        with suppress(PlcError):  # a rival is no reason not to stop
            if self.connected:
                self.state(AppState.HOLD, cause="stopping")
                self.flush(FLUSH_S)
                self.state(AppState.OFFLINE, cause="stopped")
                self.flush(GOODBYE_S)
        self._wire.close(GOODBYE_S)

    def __enter__(self) -> MqttLink:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _publish(self, decision: SortDecision) -> PublishResult:
        if refusal := self._gate.refusal(decision, now_ns=self._clock.now_ns()):
            return refusal
        if not self.connected:
            return PublishResult.DROPPED_OFFLINE
        if not self._wire.wait_room(self._patience_s):
            return PublishResult.DROPPED_STALLED
        # Waiting for room took time, so the deadline is asked again with the very time that the message will carry.
        now_ns = self._clock.now_ns()
        if now_ns > decision.deadline_ns:
            return PublishResult.LATE
        message = decision_message(
            decision,
            clock=self._clock,
            published_ns=now_ns,
            boot_id=self._boot_id,
            model=self._model,
            replay=self._topics.replay,
        )
        # The broker counts whole seconds, and only its own; the gateway must still look at the deadline.
        expiry_s = -((now_ns - decision.deadline_ns) // 1_000_000_000) or 1
        tag = Tag("decision", message.seq)
        if not self._wire.send(self._topics.decision, message.to_json(), expiry_s=expiry_s, tag=tag):
            return PublishResult.DROPPED_OFFLINE
        self._gate.passed(decision)
        return PublishResult.SENT

    def _received(self, message: MQTTMessage) -> None:
        """Called in the network thread."""
        try:
            is_state = message.topic == self._topics.state
        except UnicodeDecodeError:
            is_state = False
        if is_state:
            self._rivals.hear(message)
        else:
            self._inbox.hear(message)

    def _hear(self) -> None:
        for heard in self._inbox.take():
            at_ns = heard.at_ns
            if isinstance(heard.message, EncoderMessage):
                at_ns = self._sample_times.taken_ns(at_ns, sent_ns(heard.message, at_ns=at_ns, clock=self._clock))
            event = line_event(heard.message, at_ns=at_ns, clock=self._clock)
            if event is not None:
                if len(self._events) == EVENTS:
                    self._events.popleft()
                    self.events_dropped += 1
                self._events.append(event)

    def _catch_up(self) -> None:
        """Take what the network thread noted; after a reconnect tell again everything that the broker should keep."""
        is_new = self._wire.poll()
        self._settle()
        overwritten = self._rivals.check(connects=self._wire.connects)
        if is_new or overwritten:
            self._tell_state("broker reconnect" if is_new and self.reconnects else self._cause)
        if is_new and self._info is not None:
            self._wire.send(self._topics.info, self._info.to_json(), retain=True)

    def _settle(self) -> None:
        while self._wire.settled:
            settled = self._wire.settled.popleft()
            is_decision = settled.tag is not None and settled.tag.kind == "decision"
            if settled.fate is Fate.REFUSED:
                self._refused()
            elif is_decision and settled.fate is Fate.TAKEN:
                self.acked += 1
                self.ack_ns.append(settled.took_ns)
            elif is_decision:
                self.unacked_lost += 1

    def _refused(self) -> None:
        self.refused += 1
        if not self._warned_refused:
            self._warned_refused = True
            log.error("MQTT broker %s does not let us publish below %s", self._wire.address, self._topics.prefix)

    def _tell_state(self, cause: str) -> None:
        self._wire.send(self._topics.state, self._state_message(self._state, cause).to_json(), retain=True)

    def _will(self) -> Will:
        return Will(self._topics.state, self._state_message(AppState.OFFLINE, "connection lost").to_json())

    def _state_message(self, state: AppState, cause: str) -> StateMessage:
        return StateMessage(
            boot_id=self._boot_id,
            state=state,
            cause=cause,
            ts=rfc3339(self._clock.wall(self._clock.now_ns())),
            reconnects=self.reconnects,
            replay=self._topics.replay,
        )

    def _beat(self, now_ns: int, vitals: Vitals) -> None:
        self._beats += 1
        message = HeartbeatMessage(
            boot_id=self._boot_id,
            n=self._beats,
            ts=rfc3339(self._clock.wall(now_ns)),
            state=self._state,
            fps=vitals.fps,
            age_ms=Ages(frame=vitals.frame_age_ms, infer=vitals.infer_age_ms),
            queue=self._wire.waiting,
            lat_p99_ms=vitals.latency_p99_ms,
            temp_c=vitals.temperature_c,
        )
        self._wire.send(self._topics.hb, message.to_json(), qos=0)


def _client_id(section: PlcSection, topics: Topics, boot_id: str) -> str:
    """A fixed id makes a second live instance visible (it takes the session over); replays may run side by side."""
    line = topics.line
    if topics.replay:
        return f"edge-sorter-replay-{line.line}-{line.cell}-{boot_id}"
    return section.client_id or f"edge-sorter-{line.line}-{line.cell}"
