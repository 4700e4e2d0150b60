"""Decisions on their way into the PLC: those that wait, those in the eight slots, those it may still confirm.

Contract: a decision that was added ends in exactly one way: answered by the PLC (`hear`), late or not deliverable
(`fill`), given up (`give_up`) or dropped with the PLC (`clear`). Nothing here talks to anybody but the PLC's port.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edge_sorter.clock import Clock
from edge_sorter.plc.gateway import registers
from edge_sorter.plc.gateway.plc_port import PlcPort
from edge_sorter.plc.inbound import AckResult
from edge_sorter.plc.messages import DecisionMessage

REMEMBERED = 4096


@dataclass(slots=True)
class _Pending:
    """A decision in a slot that the PLC has not echoed yet."""

    message: DecisionMessage
    written_ns: int


@dataclass(frozen=True, slots=True)
class Unfilled:
    """Decisions that did not get into a slot: too late, or the PLC could not be written to."""

    late: tuple[DecisionMessage, ...]
    undelivered: tuple[DecisionMessage, ...]


class Ring:
    """The slots of one PLC, and the queue before them."""

    def __init__(self, plc: PlcPort, *, lanes: Mapping[str, int], clock: Clock) -> None:
        """Make an empty ring; `lanes` are the PLC's numbers of the lanes."""
        self._plc, self._lanes, self._clock = plc, lanes, clock
        self._slots: list[_Pending | None] = [None] * registers.SLOTS
        self._turns: list[int] | None = None
        self._echoed_low: list[int | None] = [None] * registers.SLOTS
        self._next_slot = 0
        self._waiting: deque[DecisionMessage] = deque()
        self._recent: OrderedDict[int, DecisionMessage] = OrderedDict()

    def add(self, message: DecisionMessage) -> None:
        """Let a decision wait for a free slot."""
        self._waiting.append(message)

    def holds(self, message: DecisionMessage) -> bool:
        """Tell whether this revision of this parcel is under way already."""
        return any((one.parcel_uid, one.rev) == (message.parcel_uid, message.rev) for one in self._under_way())

    def handed(self, seq_low: int) -> DecisionMessage | None:
        """Return the newest decision with this low sequence word that the PLC got."""
        return self._recent.get(seq_low)

    def clear(self) -> list[DecisionMessage]:
        """Drop everything, because the PLC is gone; returns what had not ended."""
        dropped = self._under_way()
        self._turns = None  # a PLC that restarted may have cleared its ring
        self._slots = [None] * registers.SLOTS
        self._waiting.clear()
        return dropped

    def hear(self, block: registers.PlcBlock) -> list[tuple[DecisionMessage, AckResult]]:
        """Take the PLC's answers; returns the decisions they end, in the order these were handed over."""
        if self._turns is None:
            self._turns = self._plc.read_turns()
        self._echoed_low = [None if echo is None else echo[0] for echo in block.echoes]
        echoed: list[tuple[_Pending, AckResult]] = []
        for slot, echo in enumerate(block.echoes):
            pending = self._slots[slot]
            if pending is not None and echo is not None and echo[0] == pending.message.seq & 0xFFFF:
                self._slots[slot] = None
                echoed.append((pending, echo[1]))
        # The ring's end may hold an older decision than its beginning.
        echoed.sort(key=lambda one: one[0].written_ns)
        return [(pending.message, result) for pending, result in echoed]

    def fill(self, is_late: Callable[[DecisionMessage], bool]) -> Unfilled:
        """Hand over what waits, as far as slots are free.

        Args:
            is_late: Asked at the moment a decision would be written.
        """
        late: list[DecisionMessage] = []
        while self._waiting and self._turns is not None and None in self._slots:
            message = self._waiting.popleft()
            now_ns = self._clock.now_ns()
            if is_late(message):
                late.append(message)
                continue
            slot = self._free_slot(message)
            if slot is None:
                self._waiting.appendleft(message)
                break
            turn = registers.next_turn(self._turns[slot])
            if not self._plc.write_slot(slot, self._content(message), turn):
                return Unfilled(tuple(late), (message,))
            self._turns[slot] = turn
            self._slots[slot] = _Pending(message, now_ns)
            self._next_slot = (slot + 1) % registers.SLOTS
            self._remember(message)
        return Unfilled(tuple(late), ())

    def give_up(self, *, older_than_ns: int) -> list[DecisionMessage]:
        """Free slots that were written before this moment and never answered; returns their decisions."""
        given_up: list[DecisionMessage] = []
        for slot, pending in enumerate(self._slots):
            if pending is not None and pending.written_ns < older_than_ns:
                self._slots[slot] = None
                given_up.append(pending.message)
        return given_up

    def _under_way(self) -> list[DecisionMessage]:
        return [*self._waiting, *(pending.message for pending in self._slots if pending is not None)]

    def _content(self, message: DecisionMessage) -> registers.Slot:
        return registers.Slot(
            seq=message.seq,
            plc_index=message.plc_index or 0,
            lane=self._lanes[message.lane],
            action=message.action,
            lead_count=message.pos.lead_cnt or 0,
            deadline_count=message.deadline.enc_cnt or 0,
        )

    def _remember(self, message: DecisionMessage) -> None:
        self._recent[message.seq & 0xFFFF] = message
        self._recent.move_to_end(message.seq & 0xFFFF)
        if len(self._recent) > REMEMBERED:
            self._recent.popitem(last=False)

    def _free_slot(self, message: DecisionMessage) -> int | None:
        """Return the next free slot whose answer cannot be taken for this decision's.

        The clock of a sorter that starts anew may have gone back: it then counts over old numbers, and answers to those
        may still stand there.
        """
        for step in range(registers.SLOTS):
            slot = (self._next_slot + step) % registers.SLOTS
            if self._slots[slot] is None and self._echoed_low[slot] != message.seq & 0xFFFF:
                return slot
        return None
