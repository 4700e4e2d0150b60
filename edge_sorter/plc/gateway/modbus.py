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
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass

from paho.mqtt.client import MQTTMessage

from edge_sorter.clock import Clock, rfc3339
from edge_sorter.errors import MessageError
from edge_sorter.events import LaneStatus
from edge_sorter.plc.connection import Identity
from edge_sorter.plc.decode import decode
from edge_sorter.plc.gateway import registers
from edge_sorter.plc.gateway.judge import Judge, is_late
from edge_sorter.plc.gateway.plc_port import PlcPort
from edge_sorter.plc.gateway.settings import GatewayConfig
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
REMEMBERED = 4096
HEARTBEAT_S = 0.1
PLC_SILENT_S = 0.5
"""A PLC whose own heartbeat stands still for longer does not run its program."""


@dataclass(slots=True)
class _Pending:
    """A decision in a slot that the PLC has not echoed yet."""

    message: DecisionMessage
    written_ns: int


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
            ),
            on_message=self._arrived,
        )
        self._inbox: queue.Queue[MQTTMessage] = queue.Queue(QUEUE)
        self._plc = PlcPort(config.modbus)
        self._lane_of = {number: lane for lane, number in config.lanes.items()}
        self._slots: list[_Pending | None] = [None] * registers.SLOTS
        self._turns: list[int] | None = None
        self._echoed_low: list[int | None] = [None] * registers.SLOTS
        self._next_slot = 0
        self._waiting: deque[DecisionMessage] = deque()
        self._recent: OrderedDict[int, DecisionMessage] = OrderedDict()
        self._confirm_turns: list[int] | None = None
        self._state = AppState.OFFLINE
        self._sorter_n: int | None = None
        self._sorter_heard_ns: int | None = None
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
        age_ms = self._sorter_age_ms()
        return (
            self._session.connection is not None
            and self._state in (AppState.RUNNING, AppState.DEGRADED)
            and age_ms is not None
            and age_ms <= self._config.hold_after_ms
        )

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
        self._fill_slots()
        self._give_up_slots()
        self._beat()

    # What the PLC says.

    def _hear_plc(self, block: registers.PlcBlock) -> None:
        now_ns = self._clock.now_ns()
        if block.heartbeat != self._plc_heartbeat:
            self._plc_heartbeat, self._plc_moved_ns = block.heartbeat, now_ns
        self._count = block.count
        if self._turns is None:
            self._turns = self._plc.read_turns()
        self._echoed_low = [None if echo is None else echo[0] for echo in block.echoes]
        echoed: list[tuple[_Pending, AckResult]] = []
        for slot, echo in enumerate(block.echoes):
            pending = self._slots[slot]
            if pending is not None and echo is not None and echo[0] == pending.message.seq & 0xFFFF:
                self._slots[slot] = None
                echoed.append((pending, echo[1]))
        # The ring's end may hold an older decision than its beginning: answer in the order they were handed over.
        for pending, result in sorted(echoed, key=lambda one: one[0].written_ns):
            self._acknowledge(pending.message, result)
        self._hear_confirms(block)
        if now_ns >= self._due["encoder"]:
            self._due["encoder"] = now_ns + round(1e9 / self._config.encoder_hz)
            message = EncoderMessage(cnt=block.count, mm_per_cnt=self._config.mm_per_count, ts=self._now())
            self._send(self._topics.plc_enc, message, qos=0)
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
            message = self._recent.get(entry.seq_low)
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
        self._turns = None  # a PLC that restarted may have cleared its ring
        for message in (*self._waiting, *(pending.message for pending in self._slots if pending is not None)):
            self.judge.forget(message)
        self._slots = [None] * registers.SLOTS
        self._waiting.clear()

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
            elif isinstance(message, HeartbeatMessage):
                self._sorter_n, self._sorter_heard_ns = message.n, self._clock.now_ns()
            elif isinstance(message, StateMessage) and message.state is not self._state:
                log.info("sorter is %s (%s)", message.state.value, message.cause)
                self._state = message.state

    def _take_decision(self, message: DecisionMessage) -> None:
        if message.lane not in self._config.lanes:
            self._acknowledge(message, AckResult.LANE_UNAVAILABLE)
            return
        result = self.judge.judge(message, now=self._clock.wall(self._clock.now_ns()), count=self._count)
        if result is AckResult.DUPLICATE and self._is_under_way(message):
            return  # the PLC's answer to the first one will do for both
        if result is not AckResult.ACCEPTED:
            self._acknowledge(message, result)
        elif not self.usable or not self._plc.connected:
            self.judge.forget(message)
            self._acknowledge(message, AckResult.REJECTED)
        else:
            self._waiting.append(message)

    def _is_under_way(self, message: DecisionMessage) -> bool:
        held = (*self._waiting, *(pending.message for pending in self._slots if pending is not None))
        return any((one.parcel_uid, one.rev) == (message.parcel_uid, message.rev) for one in held)

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

    def _fill_slots(self) -> None:
        while self._waiting and self._turns is not None and None in self._slots:
            message = self._waiting.popleft()
            now_ns = self._clock.now_ns()
            if is_late(message, now=self._clock.wall(now_ns), count=self._count):
                self._acknowledge(message, AckResult.LATE)
                continue
            slot = self._free_slot(message)
            if slot is None:
                self._waiting.appendleft(message)
                return
            content = registers.Slot(
                seq=message.seq,
                plc_index=message.plc_index or 0,
                lane=self._config.lanes[message.lane],
                action=message.action,
                lead_count=message.pos.lead_cnt or 0,
                deadline_count=message.deadline.enc_cnt or 0,
            )
            turn = registers.next_turn(self._turns[slot])
            if not self._plc.write_slot(slot, content, turn):
                self.judge.forget(message)  # nobody acknowledges it: the sorter asks again, and then says NO_ACK
                return
            self._turns[slot] = turn
            self._slots[slot] = _Pending(message, now_ns)
            self._next_slot = (slot + 1) % registers.SLOTS
            self._recent[message.seq & 0xFFFF] = message
            self._recent.move_to_end(message.seq & 0xFFFF)
            if len(self._recent) > REMEMBERED:
                self._recent.popitem(last=False)

    def _free_slot(self, message: DecisionMessage) -> int | None:
        """Return the next free slot whose answer cannot be taken for this decision's.

        A sorter that starts anew counts from 1 again, and the PLC's answer to the 1 before may still stand there.
        """
        for step in range(registers.SLOTS):
            slot = (self._next_slot + step) % registers.SLOTS
            if self._slots[slot] is None and self._echoed_low[slot] != message.seq & 0xFFFF:
                return slot
        return None

    def _give_up_slots(self) -> None:
        limit_ns = self._clock.now_ns() - round(self._config.echo_ms * 1e6)
        for slot, pending in enumerate(self._slots):
            if pending is not None and pending.written_ns < limit_ns:
                self._slots[slot] = None
                self.unanswered += 1
                self.judge.forget(pending.message)  # the PLC tells repetitions by the sequence number
                log.warning("PLC did not answer decision %s of %s", pending.message.seq, pending.message.parcel_uid)

    def _beat(self) -> None:
        now_ns = self._clock.now_ns()
        if now_ns < self._due["heartbeat"]:
            return
        self._due["heartbeat"] = now_ns + round(HEARTBEAT_S * 1e9)
        self._beats += 1
        heard = self._sorter_age_ms()
        state = self._state
        if heard is None or heard > self._config.hold_after_ms:
            state = AppState.HOLD if state is not AppState.OFFLINE else state
        elif heard > self._config.degraded_after_ms and state is AppState.RUNNING:
            state = AppState.DEGRADED
        self._plc.write_health(self._beats, registers.STATES[state], self.usable)
        if self._plc_moved_ns is not None and now_ns - self._plc_moved_ns <= PLC_SILENT_S * 1e9:
            message = PlcHeartbeatMessage(
                n=self._beats,
                peer_n=self._sorter_n,
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

    def _sorter_age_ms(self) -> float | None:
        return None if self._sorter_heard_ns is None else (self._clock.now_ns() - self._sorter_heard_ns) / 1e6

    def _now(self) -> str:
        return rfc3339(self._clock.wall(self._clock.now_ns()))
