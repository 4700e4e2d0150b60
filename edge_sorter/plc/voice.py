"""What the link says of itself: state, heartbeat, alarms, figures, what is running; and what silence of the PLC means.

All of it is retained except the heartbeat, and all of it is told again on a new connection. Runs on the main loop; when
that hangs, the heartbeat stops, as it must.
"""

from __future__ import annotations

import logging
from datetime import timedelta

from edge_sorter.clock import Clock, rfc3339
from edge_sorter.config import PlcSection
from edge_sorter.plc.alarm_table import ALARMS
from edge_sorter.plc.alarms import AlarmBoard, alarm_message
from edge_sorter.plc.certificate import ends_at
from edge_sorter.plc.connection import Will
from edge_sorter.plc.inbound import PlcHeartbeatMessage
from edge_sorter.plc.kept import Kept
from edge_sorter.plc.messages import Ages, AppState, HeartbeatMessage, Message, StateMessage
from edge_sorter.plc.peer import Contact, PeerWatch
from edge_sorter.plc.publisher import Vitals
from edge_sorter.plc.standing import Standing
from edge_sorter.plc.topics import Topics
from edge_sorter.plc.wire import Wire

log = logging.getLogger(__name__)

CERTIFICATE_DAYS = 30
HOUR_NS = 3_600_000_000_000


class Voice:
    """Tells how this sorter is.

    Attributes:
        standing: What it can do right now.
        kept: What the broker keeps in its name.
        alarms: What is wrong.
    """

    def __init__(
        self,
        wire: Wire,
        section: PlcSection,
        *,
        topics: Topics,
        clock: Clock,
        boot_id: str,
        alarms: AlarmBoard,
        needs_peer: bool,
    ) -> None:
        self.standing = Standing()
        self.kept = Kept(wire, topics, boot_id=boot_id)
        self.alarms = alarms
        self._wire, self._section, self._topics = wire, section, topics
        self._clock, self._boot_id = clock, boot_id
        self._needs_peer = needs_peer
        self._peer = PeerWatch()
        self._told: tuple[AppState, str] | None = None
        self._alarmed = ""
        self._beats = 0
        self._beat_period_ns = round(1e9 / section.heartbeat_hz)
        self._next_beat_ns: int | None = None
        self._next_certificate_ns: int | None = None

    def state(self, state: AppState, cause: str) -> None:
        """Take what the program says of itself, and tell what follows from it."""
        self.standing.tell(state, cause)
        now_ns = self._clock.now_ns()
        if self._alarmed and self._alarmed != cause:
            self.alarms.set(self._alarmed, active=False, at_ns=now_ns)
            self._alarmed = ""
        if cause in ALARMS and state in (AppState.DEGRADED, AppState.HOLD):
            self.alarms.set(cause, active=True, at_ns=now_ns)
            self._alarmed = cause
        self.stand()

    def stand(self) -> None:
        """Tell the state if it is another one."""
        now = self.standing.now
        if now != self._told:
            if self._told is not None:
                log.info("state %s (%s)", now[0].value, now[1])
            self._told = now
            self._tell_state(now[1])

    def tell(self, topic: str, message: Message) -> None:
        """Publish something that the broker keeps."""
        self.kept.tell(topic, message.to_json())

    def connected(self, *, reconnects: int) -> None:
        """Tell everything on a new connection."""
        if reconnects:
            self.alarms.pulse("BROKER_LOST", at_ns=self._clock.now_ns(), detail=f"{reconnects} times")
        self._told = self.standing.now
        self._tell_state("broker reconnect" if reconnects else self._told[1])
        self.kept.again()

    def overwritten(self) -> None:
        """Tell the state again: another program's last word lies over it."""
        self._tell_state(self.standing.now[1])

    def hear(self, message: PlcHeartbeatMessage, *, at_ns: int) -> None:
        """Take a heartbeat of the PLC's gateway."""
        self._peer.hear(message.n, peer_n=message.peer_n, at_ns=at_ns)

    def tick(self, now_ns: int, *, vitals: Vitals) -> None:
        """Judge the PLC's silence, tell alarms that changed, beat when it is time."""
        if self._needs_peer and self.standing.at_work:
            contact = self._peer.contact(now_ns)
            for code in (Contact.STALE, Contact.SILENT):
                self.standing.lay_over(code.value, contact.allows if contact is code else None)
                self.alarms.set(code.value, active=contact is code, at_ns=now_ns)
            self.stand()
        self._look_at_certificate(now_ns)
        self.alarms.tick(now_ns)
        self.tell_alarms(now_ns)
        if self._next_beat_ns is None or now_ns >= self._next_beat_ns:
            # After a pause the missed beats stay missing: a burst would hide the pause.
            due_ns = self._next_beat_ns or now_ns
            self._next_beat_ns = max(due_ns, now_ns - self._beat_period_ns) + self._beat_period_ns
            self._beat(now_ns, vitals)

    def tell_alarms(self, now_ns: int) -> None:
        """Tell alarms that changed, and clear those that an earlier run left."""
        self.kept.clear_old(ts=self._wall(now_ns))
        for alarm in self.alarms.changed():
            message = alarm_message(
                alarm,
                boot_id=self._boot_id,
                since=self._wall(alarm.since_ns),
                ts=self._wall(now_ns),
                replay=self._topics.replay,
            )
            self.tell(self._topics.alarm(alarm.code), message)

    def will(self) -> Will:
        """Return what the broker shall say when the connection breaks."""
        return Will(self._topics.state, self._state_message(AppState.OFFLINE, "connection lost").to_json())

    def _beat(self, now_ns: int, vitals: Vitals) -> None:
        self._beats += 1
        self._peer.beat(self._beats, at_ns=now_ns)
        age_ms = self._peer.age_ms(now_ns)
        message = HeartbeatMessage(
            boot_id=self._boot_id,
            n=self._beats,
            ts=self._wall(now_ns),
            state=self.standing.now[0],
            fps=vitals.fps,
            age_ms=Ages(
                frame=vitals.frame_age_ms,
                infer=vitals.infer_age_ms,
                plc_hb=None if age_ms is None else round(max(0.0, age_ms), 1),
            ),
            queue=self._wire.waiting,
            lat_p99_ms=vitals.latency_p99_ms,
            temp_c=vitals.temperature_c,
            peer_n=self._peer.last_n,
            mono_ns=now_ns,
        )
        self._wire.send(self._topics.hb, message.to_json(), qos=0)

    def _look_at_certificate(self, now_ns: int) -> None:
        tls = self._section.tls
        if tls is None or (self._next_certificate_ns is not None and now_ns < self._next_certificate_ns):
            return
        self._next_certificate_ns = now_ns + HOUR_NS
        now = self._clock.wall(now_ns)
        ends = {name: ends_at(path) for name in ("cert_file", "ca_file") if (path := getattr(tls, name)) is not None}
        soon = {
            f"{name} until {end:%Y-%m-%d}"
            for name, end in ends.items()
            if end is not None and end - now < timedelta(days=CERTIFICATE_DAYS)
        }
        self.alarms.only("CERT_EXPIRES", frozenset(soon), at_ns=now_ns)

    def _tell_state(self, cause: str) -> None:
        message = self._state_message(self.standing.now[0], cause)
        self._wire.send(self._topics.state, message.to_json(), retain=True)

    def _state_message(self, state: AppState, cause: str) -> StateMessage:
        return StateMessage(
            boot_id=self._boot_id,
            state=state,
            cause=cause[:256],
            ts=self._wall(self._clock.now_ns()),
            reconnects=max(0, self._wire.connects - 1),
            replay=self._topics.replay,
        )

    def _wall(self, at_ns: int) -> str:
        return rfc3339(self._clock.wall(at_ns))
