"""The twin in real time: world and program on one side, the broker on the other, one loop.

Contract: the world is moved in whole cycles of the PLC, however late the loop comes; a message takes effect in the
cycle in which it arrived. Nothing is published on a line where another PLC already speaks.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable

from paho.mqtt.client import MQTTMessage

from edge_sorter.clock import Clock
from edge_sorter.errors import MessageError, PlcError
from edge_sorter.plc.connection import Identity
from edge_sorter.plc.decode import decode
from edge_sorter.plc.inbound import AckResult
from edge_sorter.plc.messages import AppState, DecisionMessage, HeartbeatMessage, StateMessage
from edge_sorter.plc.session import Session
from edge_sorter.plc.topics import Topics
from edge_sorter.sim.twin.layout import SimPlcConfig
from edge_sorter.sim.twin.line_clock import LineClock
from edge_sorter.sim.twin.plant import Plant
from edge_sorter.sim.twin.traffic import Traffic
from edge_sorter.sim.twin.voice import Voice

log = logging.getLogger(__name__)

LISTEN_FIRST_NS = 400_000_000
QUEUE = 10_000
RUNS = (AppState.RUNNING, AppState.DEGRADED)


class TwinServer:
    """One simulated line behind one broker.

    Attributes:
        world, program: The two halves, for the report.
        rejected: Messages that did not pass the border, by code.
        boots: Runs of the sorter that were heard.
    """

    def __init__(self, config: SimPlcConfig, traffic: Traffic, *, clock: Clock) -> None:
        self._plant = Plant(config, traffic)
        self.world, self.program = self._plant.world, self._plant.program
        self.rejected: Counter[str] = Counter()
        self.boots: list[str] = []
        self._config, self._clock = config, clock
        self._line_clock = LineClock()
        self._topics = topics = Topics(config.line, replay=config.replays)
        self._session = Session(
            config.mqtt,
            Identity(
                config.mqtt.client_id or f"edge-sorter-sim-plc-{config.line.line}-{config.line.cell}",
                subscriptions=(topics.decision, topics.state, topics.hb),
                not_own=(topics.plc_hb,),
                key="mqtt",
            ),
            on_message=self._arrived,
        )
        self._voice = Voice(config, self.world, self.program, session=self._session, topics=topics, clock=clock)
        self._inbox: deque[tuple[int, MQTTMessage]] = deque(maxlen=QUEUE)
        self._cycle_ns = round(config.program.scan_ms * 1e6)
        self._cycles = 0
        self._state = AppState.OFFLINE
        self._heard_ns: int | None = None

    @property
    def started(self) -> bool:
        """Whether the belt runs."""
        return self._line_clock.started

    def run(self, stopped: Callable[[], bool], on_turn: Callable[[], None] = lambda: None) -> None:
        """Work until every parcel has landed, or until `stopped()`.

        Args:
            stopped: Asked once in every turn.
            on_turn: Called once in every turn.

        Raises:
            PlcError: The broker cannot be reached, another PLC speaks here, or somebody uses our client id.
        """
        self._session.start()
        try:
            self._listen_first()
            if self._config.starts == "at_once" and not self._config.replays:
                self._line_clock.start(self._clock.now_ns())
            while not stopped() and not self.world.over:
                self.step()
                on_turn()
                self._clock.sleep_until(self._clock.now_ns() + self._cycle_ns // 2)
            self._voice.goodbye()
        finally:
            self._session.close(0.5)

    def step(self) -> None:
        """Do everything that is due."""
        self._session.poll()
        now_ns = self._clock.now_ns()
        world_ns = self._line_clock.world_ns(now_ns)
        while self.started and (self._cycles + 1) * self._cycle_ns <= world_ns:
            self._cycles += 1
            self._cycle(now_ns - world_ns + self._cycles * self._cycle_ns)
        if not self.started:
            self._cycle(now_ns)
        self._watch_sorter(now_ns)
        since_ns = max(0, world_ns - self._cycles * self._cycle_ns) if self.started else 0
        self._voice.speak(now_ns, cycle_ns=now_ns - since_ns)

    def _cycle(self, at_ns: int) -> None:
        """Do one cycle of the PLC, which began at `at_ns` of our own time."""
        self._take_messages(at_ns)
        edges, arrivals, overdue = self._plant.cycle(self._cycles * self._cycle_ns / 1e9)
        for edge in edges:
            self._voice.item(edge)
        self._voice.weights()
        for arrival in arrivals:
            self._voice.confirm(arrival)
        for item in overdue:
            self._voice.missing(item)

    def _arrived(self, message: MQTTMessage) -> None:
        self._inbox.append((self._clock.now_ns(), message))  # paho's thread; a full inbox loses its oldest

    def _take_messages(self, until_ns: int) -> None:
        while self._inbox and self._inbox[0][0] <= until_ns:
            at_ns, received = self._inbox.popleft()
            payload, topic = bytes(received.payload), received.topic
            try:
                message = decode(payload, topic=topic, retained=received.retain, replay=self._config.replays)
            except MessageError as error:
                self.rejected[error.code] += 1
                if topic == self._topics.decision:
                    refusal = AckResult.REJECTED if error.code == "REPLAY" else AckResult.BAD_SCHEMA
                    self._voice.refuse(payload, refusal)
                continue
            if isinstance(message, DecisionMessage):
                self._hear_boot(message.boot_id)
                now = self._clock.wall(at_ns)
                self._voice.acknowledge(message, self.program.decide(message, now=now, count=self.world.count))
            elif isinstance(message, HeartbeatMessage):
                self._hear_beat(message, at_ns)
            elif isinstance(message, StateMessage) and message.state is not self._state:
                log.info("sorter is %s (%s)", message.state.value, message.cause)
                self._state = message.state

    def _hear_boot(self, boot_id: str) -> None:
        if boot_id not in self.boots:
            self.boots.append(boot_id)
            if len(self.boots) > 1:
                self._voice.items_again()

    def _hear_beat(self, message: HeartbeatMessage, at_ns: int) -> None:
        self._hear_boot(message.boot_id)
        self._heard_ns, self._voice.sorter_n = at_ns, message.n
        if message.state not in RUNS:
            return
        self._state, self.program.usable = message.state, True
        if not self._config.replays:
            self._line_clock.start(at_ns)
        elif message.mono_ns is not None and message.boot_id == self.boots[0]:
            self._line_clock.align(at_ns, message.mono_ns)

    def _watch_sorter(self, now_ns: int) -> None:
        """Believe a sorter that is heard and says that it runs."""
        patience_ns = self._config.program.hold_after_ms * 1e6
        alive = self._heard_ns is not None and now_ns - self._heard_ns <= patience_ns
        usable = alive and self._state in RUNS
        if self.program.usable and not usable:
            log.warning("sorter is not heard or does not run: default lane")
            if not self._config.program.keeps_accepted:
                self.program.drop_accepted()
        self.program.usable = usable

    def _listen_first(self) -> None:
        """Make sure that nobody else plays the PLC here.

        Raises:
            PlcError: Somebody does.
        """
        until_ns = self._clock.now_ns() + LISTEN_FIRST_NS
        while self._clock.now_ns() < until_ns:
            self._clock.sleep_until(self._clock.now_ns() + 20_000_000)
            if any(message.topic == self._topics.plc_hb for _, message in list(self._inbox)):
                raise PlcError(
                    f"another PLC or gateway speaks on {self._topics.plc_hb}; sim-plc is not for a line that has one"
                )
