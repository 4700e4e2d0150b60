"""The story of every parcel between our decision and its lane: sent, answered, seen in the lane, and how it ended.

Pure: times are handed in, nothing is sent from here. Contract: every parcel that is told to the book ends in exactly
one `Story` with exactly one outcome, whatever answers come, come twice, come late or never come.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum

from edge_sorter.plc.inbound import AckMessage, AckResult, ConfirmMessage
from edge_sorter.types import SortDecision

ACK_S, LEAST_ACK_S, ACK_SHARE = 0.1, 0.03, 0.2
"""An answer is missing after a tenth of a second or a fifth of the time to the deadline, whichever is less."""
CONFIRM_SLACK, LANE_EYE_S = 1.2, 1.0
"""Where no time is configured: the travel to the diverter and a fifth, and a second from there to the lane's eye."""
LAST_WORD_S = 1.0
"""How long after the deadline an answer may still come where no lane confirms."""
OPEN = 4096
"""Parcels whose story is not over; more than any line holds. The oldest ends when another comes."""


class Outcome(str, Enum):
    """How the story of a parcel ended."""

    VERIFIED = "VERIFIED"
    MISSORT = "MISSORT"
    ABORT_FULL = "ABORT_FULL"
    ABORT_GAP = "ABORT_GAP"
    MISSED = "MISSED"
    LOST = "LOST"
    JAM = "JAM"
    FLUSHED = "FLUSHED"
    RECIRC = "RECIRC"
    UNVERIFIED = "UNVERIFIED"
    ACCEPTED = "ACCEPTED"
    REFUSED = "REFUSED"
    NO_ACK = "NO_ACK"
    SENT = "SENT"
    LATE = "LATE"
    NOT_SENT = "NOT_SENT"
    WITHHELD = "WITHHELD"
    UNFINISHED = "UNFINISHED"


@dataclass(frozen=True, slots=True)
class Expects:
    """What the PLC side is asked to say.

    Attributes:
        acks: Whether somebody acknowledges decisions.
        confirms: Whether lanes confirm what arrived in them.
        confirm_after_s: Lane to the time from decision line to its eye, margin included; other lanes: worked out.
    """

    acks: bool = False
    confirms: bool = False
    confirm_after_s: Mapping[str, float] | None = None


@dataclass(frozen=True, slots=True)
class Story:
    """What is known of one parcel's decision. Times are on the axis of `captured_ns`.

    Attributes:
        decision: Its newest revision.
        payload: The message as it went out, for sending it again byte for byte.
        seq: Number of that message.
        sent_ns: When it was sent first, or None: it never was.
        asked_ns: When it was sent last.
        asks: How often it was sent.
        ack, ack_ns: The PLC's first answer.
        lane_act: Where the parcel went, as far as somebody saw it.
        confirm_ns: When that was told.
        missed: Whether its missing answer was reported.
        before: The story of the revision before, which goes on if the PLC refuses this one.
        stood_ns: How long the belt had stood when it was sent.
        outcome: How it ended, or None.
        model: "<name>#<hash>" of the detector that saw the parcel.
    """

    decision: SortDecision
    payload: bytes = b""
    seq: int | None = None
    sent_ns: int | None = None
    asked_ns: int = 0
    asks: int = 0
    ack: AckResult | None = None
    ack_ns: int | None = None
    lane_act: str | None = None
    confirm_ns: int | None = None
    missed: bool = False
    before: Story | None = None
    stood_ns: int = 0
    outcome: Outcome | None = None
    model: str | None = None

    @property
    def uid(self) -> str:
        """The parcel's name."""
        return self.decision.parcel_uid


class DeliveryBook:
    """All stories that are not over.

    Attributes:
        finished: Stories that ended, for the owner to take.
        missing: Stories whose repetition stayed unanswered as well, for the owner to take; they go on.
        conflicts: Stories refused because the PLC knew other content under the same key, for the owner to take.
        counts: Answers by result; UNKNOWN belong to nothing we sent, AFTER_END came when the story was over.
    """

    def __init__(self, expects: Expects) -> None:
        self.finished: deque[Story] = deque()
        self.missing: deque[Story] = deque()
        self.conflicts: deque[Story] = deque()
        self.counts: Counter[str] = Counter()
        self._expects = expects
        self._open: dict[str, Story] = {}
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._stood_ns = 0

    def __len__(self) -> int:
        return len(self._open)

    def sent(self, decision: SortDecision, payload: bytes, *, seq: int, at_ns: int, model: str | None = None) -> None:
        """Note that a decision, or a new revision of one, was handed to the broker."""
        uid = decision.parcel_uid
        if uid in self._ended:
            self.counts["AFTER_END"] += 1
            return
        before = self._open.pop(uid, None)
        self._open[uid] = Story(
            decision,
            payload,
            seq,
            at_ns,
            asked_ns=at_ns,
            asks=1,
            before=before,
            stood_ns=self._stood_ns,
            model=model,
        )
        if len(self._open) > OPEN:
            self._end(next(iter(self._open.values())))

    def unsent(self, decision: SortDecision, outcome: Outcome, *, model: str | None = None) -> None:
        """Note that a decision could not be sent; a revision that could not leaves the story of the one before."""
        if decision.parcel_uid in self._ended:
            self.counts["AFTER_END"] += 1
        elif decision.parcel_uid not in self._open:
            self._finish(Story(decision, model=model), outcome)

    def ack(self, message: AckMessage, *, at_ns: int) -> None:
        """Take the PLC's answer to a decision."""
        story = self._story(message.parcel_uid)
        if story is None:
            return
        if (story.decision.rev, story.seq) != (message.rev, message.seq):
            self.counts["UNKNOWN"] += 1
            return
        result = message.result
        self.counts[result.value] += 1
        if story.ack is not None:
            return  # only the first answer counts; DUPLICATE after it is the answer to our repetition
        story = replace(story, ack=result, ack_ns=at_ns)
        if result in (AckResult.ACCEPTED, AckResult.DUPLICATE):
            self._open[story.uid] = story
            if not self._expects.confirms:
                self._finish(story, Outcome.ACCEPTED)
            return
        if result is AckResult.REJECTED:
            self.conflicts.append(story)
        if story.before is not None:
            self._open[story.uid] = story.before  # the PLC still holds what it took before
        else:
            self._finish(story, Outcome.LATE if result is AckResult.LATE else Outcome.REFUSED)

    def confirm(self, message: ConfirmMessage, *, at_ns: int) -> None:
        """Take what the lane's eye saw; it also proves that the decision had arrived."""
        story = self._story(message.parcel_uid)
        if story is None:
            return
        outcome = Outcome(message.result.value)
        if outcome is Outcome.VERIFIED and not _went_right(story, message):
            outcome = Outcome.MISSORT
        self.counts[outcome.value] += 1
        self._finish(replace(story, lane_act=message.lane_act, confirm_ns=at_ns), outcome)

    def stand(self, for_ns: int) -> None:
        """Note that the belt stood: nothing arrives anywhere meanwhile, so confirmations have that much longer."""
        self._stood_ns += for_ns

    def due(self, now_ns: int) -> list[Story]:
        """End what waited long enough, and return what should be sent once more, byte for byte."""
        again: list[Story] = []
        for story in list(self._open.values()):
            if now_ns > self._until_ns(story):
                self._end(story)
            elif self._expects.acks and story.ack is None and not story.missed and now_ns > _answer_due_ns(story):
                repeats = story.asks == 1 and now_ns <= story.decision.deadline_ns
                asked = replace(story, asks=2, asked_ns=now_ns) if repeats else replace(story, missed=True)
                (again if repeats else self.missing).append(asked)
                self._open[story.uid] = asked
        return again

    def close(self) -> None:
        """End every story that is not over: nobody will hear the rest of it."""
        for story in list(self._open.values()):
            self._finish(story, Outcome.UNFINISHED if self._listens else Outcome.SENT)

    @property
    def _listens(self) -> bool:
        return self._expects.acks or self._expects.confirms

    def _story(self, uid: str) -> Story | None:
        story = self._open.get(uid)
        if story is None:
            self.counts["AFTER_END" if uid in self._ended else "UNKNOWN"] += 1
        return story

    def _until_ns(self, story: Story) -> int:
        decision = story.decision
        if not self._expects.confirms:
            return decision.deadline_ns + (round(LAST_WORD_S * 1e9) if self._expects.acks else 0)
        after_s = (self._expects.confirm_after_s or {}).get(decision.lane)
        if after_s is None:
            travel_s = max(0, decision.deadline_ns - decision.crossed_ns) / 1e9
            after_s = CONFIRM_SLACK * travel_s + LANE_EYE_S
        return decision.crossed_ns + round(after_s * 1e9) + self._stood_ns - story.stood_ns

    def _end(self, story: Story) -> None:
        """End a story that waited long enough."""
        if not self._listens:
            self._finish(story, Outcome.SENT)
        elif self._expects.acks and story.ack is None:
            self._finish(story, Outcome.NO_ACK)
        else:
            self._finish(story, Outcome.UNVERIFIED if self._expects.confirms else Outcome.ACCEPTED)

    def _finish(self, story: Story, outcome: Outcome) -> None:
        self._open.pop(story.uid, None)
        self._ended[story.uid] = None
        if len(self._ended) > OPEN:
            self._ended.popitem(last=False)
        self.finished.append(replace(story, outcome=outcome, before=None))


def _answer_due_ns(story: Story) -> int:
    """When an answer to the newest sending is missing."""
    left_ns = story.decision.deadline_ns - story.asked_ns
    return story.asked_ns + min(round(ACK_S * 1e9), max(round(LEAST_ACK_S * 1e9), round(ACK_SHARE * left_ns)))


def _went_right(story: Story, message: ConfirmMessage) -> bool:
    """Tell whether a confirmation that says VERIFIED names lanes that we decided."""
    decided = {story.decision.lane, *story.decision.alternates}
    if story.before is not None:  # the PLC may not have taken the newest revision
        decided |= {story.before.decision.lane, *story.before.decision.alternates}
    commanded = message.lane_cmd or story.decision.lane
    return commanded in decided and message.lane_act in (None, commanded)
