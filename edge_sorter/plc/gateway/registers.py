"""The picture of the contract in a PLC's holding registers (Modbus TCP), big-endian, as docs/plc.md draws it.

Addresses here are the zero-based ones of the protocol; 40101 in a PLC's manual is 100. Pure functions only.

The gateway writes a ring of eight slots of ten words. The last word of a slot, its turn, changes when all others are
in place, and is written in a second request: a PLC that looks at the turn first never sees half a decision. The PLC
answers by repeating the slot's low sequence word with a result, and later tells where the parcel went in the ring of
confirmations, whose turn words work the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge_sorter.plc.inbound import AckResult, ConfirmResult
from edge_sorter.plc.messages import AppState
from edge_sorter.types import Action

SLOTS = 8
SLOT_WORDS = 10
DECISIONS = 100
"""40101: eight slots of seq_hi, seq_lo, plc_index, lane, action, lead_hi, lead_lo, deadline_hi, deadline_lo, turn."""
HEALTH = 180
"""40181: gateway heartbeat, sorter state, use (1: act on decisions; 0: default lane for everything)."""
PLC_BLOCK = 289
"""40290: what the PLC writes; heartbeat, PackML state, encoder hi/lo, lane-full bits of lanes 1-64."""
PLC_WORDS = 63
ECHO = 11
"""40301, from the start of the PLC's block: eight pairs of seq_lo and result."""
CONFIRM = 31
"""40321, likewise: eight entries of seq_lo, lane, result, turn."""

ACTIONS = {Action.DIVERT: 1, Action.PASS: 2, Action.RECIRC: 3, Action.EXCEPTION: 4, Action.CANCEL: 5}
STATES = {
    AppState.OFFLINE: 0,
    AppState.STARTING: 1,
    AppState.READY: 2,
    AppState.RUNNING: 3,
    AppState.DEGRADED: 4,
    AppState.HOLD: 5,
}
RESULTS = {
    1: AckResult.ACCEPTED,
    2: AckResult.DUPLICATE,
    3: AckResult.LATE,
    4: AckResult.UNKNOWN_PARCEL,
    5: AckResult.LANE_UNAVAILABLE,
    6: AckResult.REJECTED,
}
CONFIRMS = {
    1: ConfirmResult.VERIFIED,
    2: ConfirmResult.MISSORT,
    3: ConfirmResult.ABORT_FULL,
    4: ConfirmResult.ABORT_GAP,
    5: ConfirmResult.MISSED,
    6: ConfirmResult.LOST,
    7: ConfirmResult.JAM,
    8: ConfirmResult.FLUSHED,
    9: ConfirmResult.RECIRC,
}
PACKML = {
    1: "CLEARING",
    2: "STOPPED",
    3: "STARTING",
    4: "IDLE",
    5: "SUSPENDED",
    6: "EXECUTE",
    7: "STOPPING",
    8: "ABORTING",
    9: "ABORTED",
    10: "HOLDING",
    11: "HELD",
    12: "UNHOLDING",
    13: "SUSPENDING",
    14: "UNSUSPENDING",
    15: "RESETTING",
    16: "COMPLETING",
    17: "COMPLETE",
}
"""State numbers of PackML (ANSI/ISA-TR88.00.02)."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One decision as the PLC gets it; 0 stands for an index or count that is not known."""

    seq: int
    plc_index: int
    lane: int
    action: Action
    lead_count: int
    deadline_count: int

    def words(self) -> list[int]:
        """Return the nine words that are written before the turn."""
        return [
            *_split(self.seq),
            self.plc_index & 0xFFFF,
            self.lane,
            ACTIONS[self.action],
            *_split(self.lead_count),
            *_split(self.deadline_count),
        ]


@dataclass(frozen=True, slots=True)
class Confirm:
    """Where a parcel went, as one entry of the PLC's ring says."""

    seq_low: int
    lane: int
    result: ConfirmResult
    turn: int


@dataclass(frozen=True, slots=True)
class PlcBlock:
    """Everything the PLC writes, read in one request so that it belongs together.

    Attributes:
        heartbeat: Counts up while the PLC's program runs.
        packml: PackML word, or None for a number that is none.
        count: Encoder, unsigned 32 bits.
        full: Lane numbers (1..64) whose bit is set.
        echoes: (low sequence word, result) of the slots in order; None where a slot holds no answer.
        confirms: The eight entries, None where empty.
    """

    heartbeat: int
    packml: str | None
    count: int
    full: frozenset[int]
    echoes: tuple[tuple[int, AckResult] | None, ...]
    confirms: tuple[Confirm | None, ...]


def read_block(words: Sequence[int]) -> PlcBlock:
    """Read the PLC's 63 words."""
    if len(words) != PLC_WORDS:
        raise ValueError(f"the PLC's block has {PLC_WORDS} words, got {len(words)}")
    bits = (words[7] << 48) | (words[6] << 32) | (words[5] << 16) | words[4]
    echoes = [words[ECHO + 2 * i : ECHO + 2 * i + 2] for i in range(SLOTS)]
    confirms = [words[CONFIRM + 4 * i : CONFIRM + 4 * i + 4] for i in range(SLOTS)]
    return PlcBlock(
        heartbeat=words[0],
        packml=PACKML.get(words[1]),
        count=_join(words[2], words[3]),
        full=frozenset(lane for lane in range(1, 65) if bits >> (lane - 1) & 1),
        echoes=tuple((low, RESULTS[result]) if result in RESULTS else None for low, result in echoes),
        confirms=tuple(
            Confirm(low, lane, CONFIRMS[result], turn) if result in CONFIRMS and turn else None
            for low, lane, result, turn in confirms
        ),
    )


def slot_address(slot: int) -> int:
    """Return the address of a slot's first word."""
    return DECISIONS + SLOT_WORDS * slot


def turn_address(slot: int) -> int:
    """Return the address of a slot's turn word, written last."""
    return slot_address(slot) + SLOT_WORDS - 1


def next_turn(turn: int) -> int:
    """Return the turn after this one: 1..65535, never 0, which means that the slot was never used."""
    return turn % 0xFFFF + 1


def _split(value: int) -> tuple[int, int]:
    return (value >> 16) & 0xFFFF, value & 0xFFFF


def _join(high: int, low: int) -> int:
    return (high << 16) | low
