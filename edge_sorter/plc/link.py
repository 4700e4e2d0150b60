"""The link to the PLC: decisions out over MQTT now or never, health always, and no queue that could deliver late.

Whatever is not sent at once becomes a record and nothing else. The parts: `wire` moves bytes, `sender` sends decisions,
`voice` tells how we are, `ears` hears the line, `delivery` follows every decision to its end.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

from paho.mqtt.client import MQTTMessage

from edge_sorter.clock import Clock, rfc3339
from edge_sorter.config import PlcSection
from edge_sorter.errors import PlcError
from edge_sorter.events import LineEvent
from edge_sorter.plc.alarms import Alarm, AlarmBoard
from edge_sorter.plc.book import Expects, Story
from edge_sorter.plc.connection import Identity, Will
from edge_sorter.plc.delivery import Delivery
from edge_sorter.plc.desk import Handler
from edge_sorter.plc.ears import Ears
from edge_sorter.plc.inbox import inbound_filters
from edge_sorter.plc.messages import AppState, InfoMessage, PlanStatusMessage, RouteAskMessage
from edge_sorter.plc.outbox import open_outbox
from edge_sorter.plc.publisher import NO_VITALS, PublishResult, Vitals
from edge_sorter.plc.record import decided_before
from edge_sorter.plc.sender import Sender
from edge_sorter.plc.topics import Topics
from edge_sorter.plc.voice import Voice
from edge_sorter.plc.wire import Wire
from edge_sorter.types import SortDecision

log = logging.getLogger(__name__)

FLUSH_S, GOODBYE_S = 0.5, 0.2
ASK_EXPIRY_S = 5
"""A host that comes back after this need not answer: the parcel is gone."""


class MqttLink:
    """Publishes decisions, state, heartbeat, alarms, records and figures of one sorter, and hears its line."""

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
        """Prepare a link; nothing is opened before `start`, except the outbox.

        Args:
            section: The broker and how to reach it, and what the PLC side is expected to say.
            topics: Where to publish; `topics.replay` marks every message as a replay.
            clock: The pipeline's clock, for deadlines and for times in messages.
            boot_id: Id of this run.
            model: "<name>#<hash>" of the detector, written into decisions.
            patience_s: How long `publish` may wait for the broker to keep up. 0 for live video; a file can wait.
            hears: Whether to listen to the line. A recording played faster than real time has nobody to listen to, and
                a replay listens below its own root only, where no live line speaks.

        Raises:
            PlcError: The outbox cannot be used.
        """
        self._topics, self._clock, self._boot_id = topics, clock, boot_id
        self._kpi_period_ns = round(section.kpi_s * 1e9)
        self._next_kpi_ns: int | None = None
        self._frames = 0
        self._warned_refused = False
        self._outbox = open_outbox(section.outbox, replay=topics.replay)
        identity = Identity(
            _client_id(section, topics, boot_id),
            subscriptions=(topics.state, *((topics.alarm_all,) if hears else ())),
            not_own=inbound_filters(topics) if hears else (),
        )
        self._wire = Wire(section, identity, make_will=self._will, on_message=self._received)
        alarms, needs_peer = AlarmBoard(), hears and section.gateway == "required"
        self._voice = Voice(
            self._wire, section, topics=topics, clock=clock, boot_id=boot_id, alarms=alarms, needs_peer=needs_peer
        )
        self._delivery = Delivery(
            self._wire,
            topics=topics,
            clock=clock,
            boot_id=boot_id,
            model=model,
            expects=Expects(needs_peer, hears and section.confirms == "required", section.confirm_after_s),
            alarms=alarms,
            outbox=self._outbox,
        )
        self._ears = Ears(
            self._wire, topics=topics, clock=clock, boot_id=boot_id, voice=self._voice, delivery=self._delivery
        )
        self._sender = Sender(
            self._wire,
            topics=topics,
            clock=clock,
            boot_id=boot_id,
            voice=self._voice,
            delivery=self._delivery,
            patience_s=patience_s,
        )

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
    def standing(self) -> tuple[AppState, str]:
        """The state that is published, and its cause."""
        return self._voice.standing.now

    @property
    def alarms(self) -> list[Alarm]:
        """What is wrong right now, the most urgent first."""
        return self._voice.alarms.active()

    @property
    def counts(self) -> Counter[PublishResult]:
        """How many decisions ended in each result."""
        return self._delivery.figures.results

    @property
    def outcomes(self) -> Counter[str]:
        """How many parcels' stories ended how."""
        return Counter({outcome.value: count for outcome, count in self._delivery.figures.outcomes.items()})

    @property
    def acked(self) -> int:
        """Decisions the broker acknowledged."""
        return self._delivery.broker_acked

    @property
    def ack_ns(self) -> deque[int]:
        """Newest times from publish to the broker's acknowledgement."""
        return self._delivery.figures.broker_ns

    @property
    def refused(self) -> int:
        """Messages the broker answered with an error (no right to publish there)."""
        return self._delivery.refused

    @property
    def unacked_lost(self) -> int:
        """Decisions whose connection broke before the broker acknowledged them: they arrived or did not."""
        return self._delivery.unacked_lost

    @property
    def rejected(self) -> Counter[str]:
        """Incoming messages that were refused or dropped, by code."""
        return self._ears.inbox.rejected

    def start(self) -> None:
        """Connect and announce STARTING.

        Raises:
            PlcError: Not connected; says where, why and what to do.
        """
        before = decided_before(self._outbox.before, at_ns=self._clock.now_ns())
        if before is not None:
            self._ears.tell(before)
        self._wire.start()
        self._catch_up()

    def publish(self, decision: SortDecision) -> PublishResult:
        """Send a decision now, or report why not; it is never kept for later."""
        self._catch_up()
        return self._sender.send(decision)

    def state(self, state: AppState | str, *, cause: str | None = None) -> None:
        """Tell what this program can do from now on; the broker keeps it, and hears it again after an outage."""
        state = AppState(state)
        self._catch_up()
        self._voice.state(state, cause or state.value.lower())

    def info(self, message: InfoMessage) -> None:
        """Publish what is running; the broker keeps it, and hears it again after an outage."""
        self._catch_up()
        self._voice.tell(self._topics.info, message)

    def sees_with(self, model: str) -> None:
        """Write this model, "<name>#<hash>", into every decision from now on."""
        self._delivery.model = model

    def on_end(self, ended: Callable[[Story], None]) -> None:
        """Say who is told every parcel's story that is over; called on the main loop."""
        self._delivery.ended = ended

    def plan_status(self, message: PlanStatusMessage) -> None:
        """Publish what became of a sort plan; one that was refused is an alarm until the next is taken."""
        rejected = message.result == "REJECTED"
        self._voice.alarms.set("PLAN_REJECTED", active=rejected, at_ns=self._clock.now_ns())
        self._voice.tell(self._topics.plan_status, message)

    def alarm(self, code: str, *, active: bool, about: str = "", detail: str = "") -> None:
        """Say that something is wrong, or that it is over; codes and words are in `alarm_table`."""
        self._voice.alarms.set(code, active=active, at_ns=self._clock.now_ns(), about=about, detail=detail)

    def ask_host(self, message: RouteAskMessage) -> bool:
        """Ask the host about a parcel now or not at all; its answer is heard as an event."""
        return self._wire.send(self._topics.route_ask, message.to_json(), expiry_s=ASK_EXPIRY_S)

    def on_command(self, command: str, handler: Handler) -> None:
        """Say who does a command; one that nobody does is answered with ok: false."""
        self._ears.desk.on(command, handler)

    def tick(self, now_ns: int, *, vitals: Vitals = NO_VITALS) -> None:
        """Do what is due: take what arrived, notice a dead connection, reconnect, send the heartbeat.

        Args:
            now_ns: The present on the axis of `captured_ns`; heartbeats are spaced by it.
            vitals: Figures for the heartbeat.

        Raises:
            PlcError: Another program speaks as this sorter.
        """
        self._catch_up()
        self._frames = vitals.frames
        self._ears.listen(now_ns)
        self._delivery.tick(now_ns)
        self._voice.tick(now_ns, vitals=vitals)
        if self._next_kpi_ns is None:
            self._next_kpi_ns = now_ns + self._kpi_period_ns
        elif now_ns >= self._next_kpi_ns:
            self._next_kpi_ns = now_ns + self._kpi_period_ns
            self._tell_kpi(now_ns)

    def take_events(self, now_ns: int) -> list[LineEvent]:
        """Return what the line told since the last call, in order of arrival; never waits.

        Args:
            now_ns: The present on the axis of `captured_ns`; no event is later than this.
        """
        self._ears.listen(now_ns)
        return self._ears.take_events(now_ns)

    def flush(self, timeout_s: float) -> bool:
        """Wait until the broker acknowledged everything; False when it did not, or the connection is gone."""
        done = self._wire.flush(timeout_s)
        self._settle()
        return done

    def close(self) -> None:
        """Tell HOLD, then OFFLINE, and disconnect cleanly; takes about a second whatever the broker does."""
        with suppress(PlcError):  # a rival is no reason not to stop
            if self.connected:
                self.state(AppState.HOLD, cause="stopping")
                self._voice.tell_alarms(self._clock.now_ns())
                self._delivery.close(timeout_s=FLUSH_S)
                self._tell_kpi(self._clock.now_ns())
                self.flush(FLUSH_S)
                self.state(AppState.OFFLINE, cause="stopped")
                self.flush(GOODBYE_S)
        self._delivery.close(timeout_s=0)
        self._wire.close(GOODBYE_S)
        self._settle()
        self._outbox.close()

    def __enter__(self) -> MqttLink:
        try:
            self.start()
        except BaseException:
            self._outbox.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _received(self, message: MQTTMessage) -> None:
        self._ears.received(message)

    def _will(self) -> Will:
        return self._voice.will()

    def _catch_up(self) -> None:
        """Take what the network thread noted; after a reconnect tell again everything that the broker should keep."""
        is_new = self._wire.poll()
        self._settle()
        overwritten = self._ears.rivals.check(connects=self._wire.connects)
        if is_new:
            self._voice.connected(reconnects=self.reconnects)
        elif overwritten:
            self._voice.overwritten()

    def _settle(self) -> None:
        while self._wire.settled:
            self._delivery.settle(self._wire.settled.popleft())
        if self.refused and not self._warned_refused:
            self._warned_refused = True
            log.error("MQTT broker %s does not let us publish below %s", self._wire.address, self._topics.prefix)

    def _tell_kpi(self, now_ns: int) -> None:
        message = self._delivery.figures.message(
            boot_id=self._boot_id,
            ts=rfc3339(self._clock.wall(now_ns)),
            now_ns=now_ns,
            frames=self._frames,
            answers=self._delivery.answers,
            rejected=self.rejected,
            replay=self._topics.replay,
        )
        self._wire.send(self._topics.kpi, message.to_json(), qos=0, retain=True)


def _client_id(section: PlcSection, topics: Topics, boot_id: str) -> str:
    """A fixed id makes a second live instance visible (it takes the session over); replays may run side by side."""
    line = topics.line
    if topics.replay:
        return f"edge-sorter-replay-{line.line}-{line.cell}-{boot_id}"
    return section.client_id or f"edge-sorter-{line.line}-{line.cell}"
