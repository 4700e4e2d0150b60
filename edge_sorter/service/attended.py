"""A publisher with somebody looking on: what the main loop tells the PLC, status and service manager hear too.

Contract: every call goes to the publisher inside, first and unchanged; `tick` is a sign of life of the loop itself, so
whatever hangs it (a stage, the camera, the broker) is seen as silence here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from edge_sorter.plc.link import MqttLink
from edge_sorter.plc.messages import AppState
from edge_sorter.plc.publisher import NO_VITALS, PublishResult, Vitals
from edge_sorter.service.alarm_log import AlarmLog
from edge_sorter.service.notify import Notify
from edge_sorter.service.overload import OverloadWatch
from edge_sorter.service.status import LineStatus, Peers
from edge_sorter.types import SortDecision
from edge_sorter.video import FrameSource

PEERS_PERIOD_NS = 500_000_000


class AttendedLink:
    """The MQTT link of a live line, with its status kept.

    Args:
        link: Carries everything to the broker.
        status: Hears it.
        notify: Hears it too; its watchdog is fed by `tick`, and it is told READY by the first one with a broker.
        source: Asked now and then what it dropped.

    Attributes:
        holds: From pictures a second to the belt speed in mm/s that is still safe, once the belt is known.
    """

    def __init__(self, link: MqttLink, *, status: LineStatus, source: FrameSource, notify: Notify) -> None:
        self._link, self._status, self._source, self._notify = link, status, source, notify
        self._ready = False
        self._said: tuple[AppState, str | None] = AppState.STARTING, None
        self._shown: tuple[AppState, str] | None = None
        self._limit: str | None = None
        self._next_peers_ns: int | None = None
        self._p99_ms: float | None = None
        self._overload = OverloadWatch()
        self._alarm_log = AlarmLog()
        self.holds: Callable[[float], float | None] = lambda _: None

    def publish(self, decision: SortDecision) -> PublishResult:
        """Send a decision now or not at all."""
        return self._link.publish(decision)

    def state(self, state: AppState | str, *, cause: str | None = None) -> None:
        """Tell what this program can do from now on; while it is limited, RUNNING becomes DEGRADED with the limit."""
        self._said = AppState(state), cause
        if self._limit is not None and self._said[0] is AppState.RUNNING:
            state, cause = AppState.DEGRADED, self._limit
        self._link.state(state, cause=cause)
        self._show()

    def _show(self) -> None:
        """Pass on what the link tells, which may be worse than what it was told: paused, or the PLC is silent."""
        standing = self._link.standing
        if standing != self._shown:
            self._shown = standing
            state, cause = standing
            self._status.told(state, cause=cause)
            self._notify.status(state.value if cause == state.value.lower() else f"{state.value}: {cause}")

    def limit(self, cause: str) -> None:
        """From now on the line runs, but not as well as it should; `cause` begins with the alarm's code."""
        self._limit = cause
        self._link.alarm(cause.split(maxsplit=1)[0], active=True, detail=cause)
        self.state(self._said[0], cause=self._said[1])

    def remark(self, cause: str) -> None:
        """Tell something without a change of state: the same state again with a new cause."""
        self.state(self._said[0], cause=cause)

    def journal(self, *, writes: bool, why: str) -> None:
        """Tell that the journal stopped, or that it goes on."""
        self._link.alarm("JOURNAL_STOPPED", active=not writes, detail=why)
        self.remark(why)

    def tick(self, now_ns: int, *, vitals: Vitals = NO_VITALS) -> None:
        """Do what is due on the link, and note that the loop is alive."""
        self._link.tick(now_ns, vitals=replace(vitals, latency_p99_ms=self._p99_ms))
        self._show()
        self._status.came_round(now_ns, vitals=vitals)
        self._notify.alive(now_ns)
        if not self._ready and self._link.connected:
            self._ready = True
            self._notify.ready()
        if self._next_peers_ns is None or now_ns >= self._next_peers_ns:
            self._next_peers_ns = now_ns + PEERS_PERIOD_NS
            link, source = self._link, self._source
            self._look_at_load(now_ns, looked_at=vitals.frames)
            p99_ms = self._status.recent_p99_ms()
            self._p99_ms = None if p99_ms is None else round(p99_ms, 1)
            alarms = tuple(link.alarms)
            self._alarm_log.look(alarms)
            self._status.met(
                Peers(
                    camera_drops=dict(source.drops),
                    camera_reconnects=source.reconnects,
                    broker_connected=link.connected,
                    broker_reconnects=link.reconnects,
                    acked=link.acked,
                    outcomes=dict(link.outcomes),
                    rejected=dict(link.rejected),
                    alarms=alarms,
                )
            )

    def _look_at_load(self, now_ns: int, *, looked_at: int) -> None:
        watch = self._overload
        if watch.look(now_ns, looked_at=looked_at, replaced=self._source.drops.get("replaced", 0)):
            fps = watch.fps or 0.0
            speed_mm_s = self.holds(fps)
            belt = "" if speed_mm_s is None else f", belt up to {speed_mm_s:.0f} mm/s"
            self._link.alarm("OVERLOAD", active=watch.active, detail=f"{fps:.0f} frames/s{belt}")

    def close(self) -> None:
        """Nothing of its own to close; the link belongs to whoever opened it."""
