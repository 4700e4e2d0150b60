"""What happens to a decision after it was made: sent or not, answered, repeated once, confirmed, recorded.

The rules are in pure parts (`book`, `lane_trust`, `alarms`); here they are connected to the wire and the outbox. All of
it runs on the main loop.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable

from edge_sorter.clock import Clock
from edge_sorter.plc.alarms import AlarmBoard
from edge_sorter.plc.book import DeliveryBook, Expects, Outcome, Story
from edge_sorter.plc.boot import first_seq
from edge_sorter.plc.figures import Figures
from edge_sorter.plc.inbound import AckMessage, ConfirmMessage, LineMessage
from edge_sorter.plc.lane_trust import LaneTrust
from edge_sorter.plc.messages import Message
from edge_sorter.plc.outbox import MemoryOutbox, Outbox
from edge_sorter.plc.publisher import PublishResult
from edge_sorter.plc.record import parcel_message
from edge_sorter.plc.topics import Topics
from edge_sorter.plc.wire import WINDOW, Fate, Settled, Tag, Wire
from edge_sorter.types import SortDecision

log = logging.getLogger(__name__)

RECORDS_PER_S = 100
"""Records forwarded a second at most, so that the backlog of an outage never crowds decisions out."""
STANDING = frozenset({"STOPPED", "STOPPING", "HELD", "HOLDING", "SUSPENDED", "ABORTED", "ABORTING", "IDLE"})
_OUTCOME = {
    PublishResult.LATE: Outcome.LATE,
    PublishResult.WITHHELD: Outcome.WITHHELD,
    PublishResult.DROPPED_OFFLINE: Outcome.NOT_SENT,
    PublishResult.DROPPED_STALLED: Outcome.NOT_SENT,
}


class Delivery:
    """Follows every decision of this run to its end.

    Attributes:
        figures: Counts and times, for kpi.
        broker_acked: Decisions the broker acknowledged.
        refused: Messages the broker answered with an error.
        unacked_lost: Decisions whose connection broke before the broker had acknowledged them.
        model: "<name>#<hash>" of the detector that sees the parcels from now on.
        ended: Told every story that is over.
    """

    def __init__(
        self,
        wire: Wire,
        *,
        topics: Topics,
        clock: Clock,
        boot_id: str,
        model: str | None,
        expects: Expects,
        alarms: AlarmBoard,
        outbox: Outbox | MemoryOutbox,
    ) -> None:
        self.figures = Figures()
        self.broker_acked = self.refused = self.unacked_lost = 0
        self._wire, self._topics, self._clock = wire, topics, clock
        self._boot_id, self.model = boot_id, model
        self.ended: Callable[[Story], None] = lambda _: None
        self._book = DeliveryBook(expects)
        self._trust = LaneTrust()
        self._alarms, self._outbox = alarms, outbox
        self._last_tick_ns: int | None = None
        self._allowance = 0.0
        self._stands = False
        self._seq, self._dropped = first_seq(clock) - 1, 0

    @property
    def answers(self) -> Counter[str]:
        """Acknowledgements and confirmations of the PLC side, by result."""
        return self._book.counts

    def next_seq(self) -> int:
        """Return the number of the next message: one more than the last that was sent, so that a gap means loss."""
        return self._seq + 1

    def about_to_send(self, decision: SortDecision, payload: bytes) -> None:
        """Write down that a decision goes out, before it does: a crash must not make its parcel unheard of."""
        self._outbox.begin(decision.parcel_uid, payload)

    def published(self, decision: SortDecision, result: PublishResult, *, payload: bytes, at_ns: int) -> None:
        """Note what became of a decision."""
        self.figures.published(decision, result, at_ns=at_ns)
        if result is PublishResult.SENT:
            self._seq += 1
            self._book.sent(decision, payload, seq=self._seq, at_ns=at_ns, model=self.model)
        elif result in _OUTCOME:
            self._book.unsent(decision, _OUTCOME[result], model=self.model)
            if result is PublishResult.LATE:
                self._alarms.pulse("LATE", at_ns=at_ns)
        self._write_down()

    def hear(self, message: Message, *, at_ns: int) -> None:
        """Take what the PLC side says about parcels, and whether the belt moves."""
        if isinstance(message, AckMessage):
            if message.boot_id != self._boot_id:
                self._book.counts["OTHER_BOOT"] += 1
            else:
                self._book.ack(message, at_ns=at_ns)
        elif isinstance(message, ConfirmMessage):
            self._book.confirm(message, at_ns=at_ns)
        elif isinstance(message, LineMessage):
            self._stands = message.packml in STANDING

    def settle(self, settled: Settled) -> None:
        """Take what became of a message at the broker."""
        kind = settled.tag.kind if settled.tag is not None else ""
        if settled.fate is Fate.REFUSED:
            self.refused += 1
        if kind == "record" and settled.tag is not None:
            # A broker that refuses records would refuse them for ever; they stay in the outbox as history.
            self._outbox.forwarded(settled.tag.number, gone=settled.fate is not Fate.LOST)
        elif kind == "decision" and settled.fate is Fate.TAKEN:
            self.broker_acked += 1
            self.figures.broker_ns.append(settled.took_ns)
        elif kind == "decision" and settled.fate is Fate.LOST:
            self.unacked_lost += 1

    def tick(self, now_ns: int) -> None:
        """Repeat what stayed unanswered, end what waited long enough, forward records."""
        since_ns = 0 if self._last_tick_ns is None else max(0, now_ns - self._last_tick_ns)
        self._last_tick_ns = now_ns
        if self._stands:
            self._book.stand(since_ns)
        for story in self._book.due(now_ns):
            log.info("decision %s for %s unanswered: sent again", story.seq, story.uid)
            self._wire.send(self._topics.decision, story.payload, expiry_s=1)
        self._complain(now_ns)
        self._write_down()
        self._forward(since_ns)

    def close(self, *, timeout_s: float) -> None:
        """End every story, store it, and forward what can be forwarded in a moment."""
        self._book.close()
        self._write_down()
        self._forward(round(timeout_s * 1e9))

    def _complain(self, now_ns: int) -> None:
        for code, stories in (("NO_ACK", self._book.missing), ("KEY_CONFLICT", self._book.conflicts)):
            while stories:
                story = stories.popleft()
                log.warning("%s: decision %s for %s", code, story.seq, story.uid)
                self._alarms.pulse(code, at_ns=now_ns, detail=story.uid)
        self._alarms.only("UNVERIFIED", self._trust.unverified, at_ns=now_ns)
        self._alarms.only("MISSORT", self._trust.missorting, at_ns=now_ns)
        dropped, trouble = self._outbox.dropped, self._outbox.trouble
        if dropped > self._dropped:
            self._dropped = dropped
            self._alarms.pulse("OUTBOX_FULL", at_ns=now_ns, detail=f"{dropped} so far")
        self._alarms.set("OUTBOX_FAILED", active=bool(trouble), at_ns=now_ns, detail=trouble)

    def _write_down(self) -> None:
        while self._book.finished:
            story = self._book.finished.popleft()
            self.figures.ended(story)
            self._trust.note(story)
            self.ended(story)
            self._outbox.end(story.uid, self._record(story))

    def _forward(self, since_ns: int) -> None:
        self._allowance = min(RECORDS_PER_S / 4, self._allowance + since_ns * RECORDS_PER_S / 1e9)
        while self._allowance >= 1 and self._wire.connected and self._wire.waiting < WINDOW // 2:
            record = self._outbox.next()
            if record is None:
                return
            number, payload = record
            self._allowance -= 1
            if not self._wire.send(self._topics.parcel, payload, tag=Tag("record", number)):
                self._outbox.forwarded(number, gone=False)
                return

    def _record(self, story: Story) -> bytes:
        message = parcel_message(
            story, clock=self._clock, boot_id=self._boot_id, model=story.model, replay=self._topics.replay
        )
        return message.to_json()
