"""The reference gateway: MQTT decisions into a PLC's registers, and what the PLC says back onto MQTT.

One loop, one thread besides paho's: read the PLC's block, hand decisions over, tell health. It keeps the rules of
`judge`, acknowledges a decision when the PLC has echoed it and not before, and lets the PLC fall back to its default
lane when the sorter falls silent. Its own heartbeat goes out only while the PLC's program runs, so that a silent PLC is
a silent gateway.
"""

from __future__ import annotations

import json
import logging
import queue
from collections import Counter
from collections.abc import Callable

from paho.mqtt.client import MQTTMessage

from edge_sorter.clock import Clock, rfc3339
from edge_sorter.errors import MessageError
from edge_sorter.events import LaneStatus
from edge_sorter.plc.connection import Identity
from edge_sorter.plc.decode import decode
from edge_sorter.plc.gateway import registers
from edge_sorter.plc.gateway.judge import Judge, is_late
from edge_sorter.plc.gateway.plc_port import PlcPort
from edge_sorter.plc.gateway.ring import Ring
from edge_sorter.plc.gateway.settings import GatewayConfig
from edge_sorter.plc.gateway.sorter_health import SorterHealth
from edge_sorter.plc.inbound import (
    AckMessage,
    AckResult,
    ConfirmMessage,
    EncoderMessage,
    LaneMessage,
    LineMessage,
    PlcHeartbeatMessage,
)
from edge_sorter.plc.messages import AppState, DecisionMessage, HeartbeatMessage, Message, StateMessage
from edge_sorter.plc.session import Session
from edge_sorter.plc.topics import Topics

log = logging.getLogger(__name__)

SESSION_S = 3600
QUEUE = 1000
HEARTBEAT_S = 0.1
PLC_SILENT_S = 0.5
"""A PLC whose own heartbeat stands still for longer does not run its program."""


class ModbusGateway:
    """Moves decisions from one sorter to one PLC.

    Attributes:
        judge: The rules, and the counts of what arrived.
        rejected: Messages that did not pass the border, by code.
        answered: Acknowledgements sent, by result.
        unanswered: Decisions that the PLC never echoed.
    """

    def __init__(self, config: GatewayConfig, *, clock: Clock) -> None:
        """Prepare; nothing is opened before `run` or `step`."""
        self.judge = Judge()
        self.rejected: Counter[str] = Counter()
        self.answered: Counter[AckResult] = Counter()
        self.unanswered = 0
        self._config, self._clock = config, clock
        self._topics = Topics(config.line)
        topics = self._topics
        self._session = Session(
            config.mqtt,
            Identity(
                config.mqtt.client_id or f"edge-sorter-gateway-{config.line.line}-{config.line.cell}",
                persistent_s=SESSION_S,
                subscriptions=(topics.decision, topics.state, topics.hb),
                key="mqtt",
            ),
            on_message=self._arrived,
        )
        self._inbox: queue.Queue[MQTTMessage] = queue.Queue(QUEUE)
        self._plc = PlcPort(config.modbus)
        self._lane_of = {number: lane for lane, number in config.lanes.items()}
        self._ring = Ring(self._plc, lanes=config.lanes, clock=clock)
        self._confirm_turns: list[int] | None = None
        self._sorter = SorterHealth(degraded_after_ms=config.degraded_after_ms, hold_after_ms=config.hold_after_ms)
        self._plc_heartbeat: int | None = None
        self._plc_moved_ns: int | None = None
        self._count: int | None = None
        self._told: dict[str, bytes] = {}
        self._connects = 0
        self._beats = 0
        self._due = {"heartbeat": 0, "encoder": 0}

    def run(self, stopped: Callable[[], bool]) -> None:
        """Work until `stopped()`.

        Raises:
            PlcError: The broker cannot be reached at the start, or another program uses our client id. A PLC that does
                not answer is waited for.
        """
        self._session.start()
        period_ns = round(self._config.modbus.cycle_ms * 1e6)
        due_ns = self._clock.now_ns()
        try:
            while not stopped():
                self.step()
                due_ns = max(due_ns + period_ns, self._clock.now_ns())
                self._clock.sleep_until(due_ns)
        finally:
            self._plc.write_health(self._beats, registers.STATES[AppState.OFFLINE], use=False)
            self._plc.close()
            self._session.close(0.2)

    @property
    def usable(self) -> bool:
        """Whether the PLC may act on decisions: the sorter lives, says so, and we hear it."""
        return self._session.connection is not None and self._sorter.usable(self._clock.now_ns())

    def step(self) -> None:
        """Do one cycle."""
        self._session.poll()
        if self._session.connects != self._connects:
            self._connects = self._session.connects
            self._told.clear()  # a broker may have forgotten what it kept
        block = self._plc.read_block()
        if block is None:
            self._plc_gone()
        else:
            self._hear_plc(block)
        self._take_messages()
        self._hand_over()
        self._give_up()
        self._beat()

    # What the PLC says.

    def _hear_plc(self, block: registers.PlcBlock) -> None:
        now_ns = self._clock.now_ns()
        if block.heartbeat != self._plc_heartbeat:
            self._plc_heartbeat, self._plc_moved_ns = block.heartbeat, now_ns
        self._count = block.count
        for message, result in self._ring.hear(block):
            self._acknowledge(message, result)
        self._hear_confirms(block)
        if now_ns >= self._due["encoder"]:
            self._due["encoder"] = now_ns + round(1e9 / self._config.encoder_hz)
            encoder = EncoderMessage(cnt=block.count, mm_per_cnt=self._config.mm_per_count, ts=self._now())
            self._send(self._topics.plc_enc, encoder, qos=0)
        if block.packml is not None:
            self._tell(self._topics.plc_line_state, LineMessage(packml=block.packml))
        for lane, number in self._config.lanes.items():
            status = LaneStatus.FULL if number in block.full else LaneStatus.OPEN
            self._tell(self._topics.plc_lane_state(lane), LaneMessage(lane=lane, state=status))

    def _hear_confirms(self, block: registers.PlcBlock) -> None:
        turns = [0 if entry is None else entry.turn for entry in block.confirms]
        if self._confirm_turns is None:  # what stood there before we came is an old story
            self._confirm_turns = turns
        for place, entry in enumerate(block.confirms):
            if entry is None or entry.turn == self._confirm_turns[place]:
                continue
            self._confirm_turns[place] = entry.turn
            message = self._ring.handed(entry.seq_low)
            if message is None:
                self.rejected["CONFIRM_OF_NOBODY"] += 1
                continue
            confirm = ConfirmMessage(
                parcel_uid=message.parcel_uid,
                plc_index=message.plc_index,
                lane_cmd=message.lane,
                lane_act=self._lane_of.get(entry.lane),
                result=entry.result,
                enc_cnt=block.count,
                ts=self._now(),
            )
            self._send(self._topics.plc_confirm, confirm)

    def _plc_gone(self) -> None:
        self._count = None
        for message in self._ring.clear():
            self.judge.forget(message)

    # What the sorter says.

    def _arrived(self, message: MQTTMessage) -> None:
        try:
            self._inbox.put_nowait(message)
        except queue.Full:
            self.rejected["OVERFLOW"] += 1  # only paho's thread writes this one

    def _take_messages(self) -> None:
        while True:
            try:
                received = self._inbox.get_nowait()
            except queue.Empty:
                return
            payload = bytes(received.payload)
            try:
                message = decode(payload, topic=received.topic, retained=received.retain)
            except MessageError as error:
                self.rejected[error.code] += 1
                if received.topic == self._topics.decision:
                    self._refuse(payload, AckResult.REJECTED if error.code == "REPLAY" else AckResult.BAD_SCHEMA)
                continue
            if isinstance(message, DecisionMessage):
                self._take_decision(message)
            elif isinstance(message, (StateMessage, HeartbeatMessage)):
                self._sorter.hear(message, at_ns=self._clock.now_ns())

    def _take_decision(self, message: DecisionMessage) -> None:
        if message.lane not in self._config.lanes:
            self._acknowledge(message, AckResult.LANE_UNAVAILABLE)
            return
        result = self.judge.judge(message, now=self._clock.wall(self._clock.now_ns()), count=self._count)
        if result is AckResult.DUPLICATE and self._ring.holds(message):
            return  # the PLC's answer to the first one will do for both
        if result is not AckResult.ACCEPTED:
            self._acknowledge(message, result)
        elif not self.usable or not self._plc.connected:
            self.judge.forget(message)
            self._acknowledge(message, AckResult.REJECTED)
        else:
            self._ring.add(message)

    def _refuse(self, payload: bytes, result: AckResult) -> None:
        """Answer a decision that we cannot read, as far as it says which one it is."""
        try:
            data = json.loads(payload)
            answer = AckMessage(result=result, **{key: data[key] for key in ("boot_id", "seq", "parcel_uid", "rev")})
        except (ValueError, TypeError, KeyError, RecursionError):
            return
        self.answered[result] += 1
        self._send(self._topics.plc_ack, answer)

    # Into the PLC.

    def _hand_over(self) -> None:
        unfilled = self._ring.fill(self._is_late)
        for message in unfilled.late:
            self._acknowledge(message, AckResult.LATE)
        for message in unfilled.undelivered:
            self.judge.forget(message)  # nobody acknowledges it: the sorter asks again, and then says NO_ACK

    def _give_up(self) -> None:
        for message in self._ring.give_up(older_than_ns=self._clock.now_ns() - round(self._config.echo_ms * 1e6)):
            self.unanswered += 1
            self.judge.forget(message)  # the PLC tells repetitions by the sequence number
            log.warning("PLC did not answer decision %s of %s", message.seq, message.parcel_uid)

    def _is_late(self, message: DecisionMessage) -> bool:
        return is_late(message, now=self._clock.wall(self._clock.now_ns()), count=self._count)

    def _beat(self) -> None:
        now_ns = self._clock.now_ns()
        if now_ns < self._due["heartbeat"]:
            return
        self._due["heartbeat"] = now_ns + round(HEARTBEAT_S * 1e9)
        self._beats += 1
        self._plc.write_health(self._beats, registers.STATES[self._sorter.shown(now_ns)], self.usable)
        if self._plc_moved_ns is not None and now_ns - self._plc_moved_ns <= PLC_SILENT_S * 1e9:
            message = PlcHeartbeatMessage(
                n=self._beats,
                peer_n=self._sorter.n,
                plc_cycle_ms=self._config.modbus.cycle_ms,
                mode="PRODUCTION" if self.usable else "HOLD",
                ts=self._now(),
            )
            self._send(self._topics.plc_hb, message, qos=0)

    # Onto MQTT.

    def _acknowledge(self, message: DecisionMessage, result: AckResult) -> None:
        self.answered[result] += 1
        answer = AckMessage(
            boot_id=message.boot_id,
            seq=message.seq,
            parcel_uid=message.parcel_uid,
            rev=message.rev,
            result=result,
            plc_index=message.plc_index,
            enc_cnt=self._count,
            ts=self._now(),
        )
        self._send(self._topics.plc_ack, answer)

    def _tell(self, topic: str, message: Message) -> None:
        """Publish a retained message when it says something new."""
        payload = message.to_json()
        if self._told.get(topic) != payload and self._send(topic, message, retain=True):
            self._told[topic] = payload

    def _send(self, topic: str, message: Message, *, qos: int = 1, retain: bool = False) -> bool:
        connection = self._session.connection
        return (
            connection is not None and connection.publish(topic, message.to_json(), qos=qos, retain=retain) is not None
        )

    def _now(self) -> str:
        return rfc3339(self._clock.wall(self._clock.now_ns()))
