"""What a gateway must do with a decision before the PLC may act on it: the rules, without any transport.

Contract: `Judge.judge` gives exactly one answer for every decision message; only ACCEPTED may be acted on, and it is
given at most once for each (boot, parcel, revision). Time and encoder count are handed in.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime

from edge_sorter.plc.inbound import AckResult
from edge_sorter.plc.messages import DecisionMessage

REMEMBERED = 4096
"""Parcels kept for telling duplicates; more than any line carries between camera and last lane."""
WRAP = 1 << 32


@dataclass
class JudgeCounts:
    """What arrived, for the person who asks whether messages get lost."""

    accepted: int = 0
    duplicate: int = 0
    late: int = 0
    refused: int = 0
    gaps: int = 0
    boots: int = 0


@dataclass(slots=True)
class _Known:
    rev: int
    content: bytes


class Judge:
    """Remembers what it accepted; bounded, and cheap enough for every message.

    A new boot id makes the older ones stale: nothing of an earlier run is acted on once a newer one has spoken.
    """

    def __init__(self, *, replay: bool = False) -> None:
        """Make a judge for a live line, or, for trials with recorded video only, one that takes replays."""
        self.counts = JudgeCounts()
        self._replay = replay
        self._boot: str | None = None
        self._old_boots: OrderedDict[str, None] = OrderedDict()
        self._last_seq: int | None = None
        self._known: OrderedDict[str, _Known] = OrderedDict()

    def judge(self, message: DecisionMessage, *, now: datetime, count: int | None = None) -> AckResult:
        """Return what to answer; only ACCEPTED may reach the PLC.

        Args:
            message: A decision that passed `plc.decode.decode`.
            now: UTC.
            count: The PLC's encoder count now; where the decision has a deadline in counts, that is what is compared,
                because clocks may be wrong.
        """
        result = self._judge(message, now, count)
        name = {AckResult.ACCEPTED: "accepted", AckResult.DUPLICATE: "duplicate", AckResult.LATE: "late"}
        field = name.get(result, "refused")
        setattr(self.counts, field, getattr(self.counts, field) + 1)
        return result

    def forget(self, message: DecisionMessage) -> None:
        """Take an ACCEPTED back: the PLC never got it, so a repetition may try again."""
        known = self._known.get(message.parcel_uid)
        if known is not None and known.rev == message.rev:
            del self._known[message.parcel_uid]

    def _judge(self, message: DecisionMessage, now: datetime, count: int | None) -> AckResult:
        if message.replay != self._replay:
            return AckResult.REJECTED
        if message.boot_id in self._old_boots:
            return AckResult.STALE_BOOT
        if message.boot_id != self._boot:
            self._begin_boot(message.boot_id)
        self._watch_gap(message.seq)
        content = _content(message)
        known = self._known.get(message.parcel_uid)
        if known is not None and message.rev <= known.rev:
            # The same key may come again, with the same words; other words under it are not a repetition.
            same = message.rev < known.rev or content == known.content
            return AckResult.DUPLICATE if same else AckResult.REJECTED
        if is_late(message, now=now, count=count):
            return AckResult.LATE
        self._known[message.parcel_uid] = _Known(message.rev, content)
        self._known.move_to_end(message.parcel_uid)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return AckResult.ACCEPTED

    def _begin_boot(self, boot_id: str) -> None:
        if self._boot is not None:
            self._old_boots[self._boot] = None
            if len(self._old_boots) > REMEMBERED:
                self._old_boots.popitem(last=False)
        self._boot, self._last_seq = boot_id, None
        self.counts.boots += 1

    def _watch_gap(self, seq: int) -> None:
        if self._last_seq is not None and seq > self._last_seq + 1:
            self.counts.gaps += seq - self._last_seq - 1
        self._last_seq = seq if self._last_seq is None else max(seq, self._last_seq)


def is_late(message: DecisionMessage, *, now: datetime, count: int | None) -> bool:
    """Tell whether a decision's deadline has passed: by encoder count where both sides have one, else by the clock."""
    if message.deadline.enc_cnt is not None and count is not None:
        return 0 < (count - message.deadline.enc_cnt) % WRAP < WRAP // 2
    return now > datetime.fromisoformat(message.deadline.ts.replace("Z", "+00:00"))


def _content(message: DecisionMessage) -> bytes:
    """What two messages of one key must share; when it was published may differ in a repetition."""
    plain = message.model_copy(update={"t_publish": None, "valid_ms": None, "seq": 0})
    return plain.to_json()
