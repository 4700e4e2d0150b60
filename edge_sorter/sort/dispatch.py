"""From a parcel at the line to the messages about it: wish, lane, deadline, number; and again when a lane fills up.

Contract: `Dispatch.decide` is called once a parcel, in the order of crossing. It returns the decision, after revisions
of earlier ones where the new parcel follows too closely. A revision has the same uid and the next `rev`, is made only
while the parcel has not passed its old deadline, and every message has the next `seq`. The geometry of tracks is the
router's, everything that depends on plan and lanes is here; neither reads a clock.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from edge_sorter.belt import BeltMotion
from edge_sorter.belt.items import Claim
from edge_sorter.config import SortSection
from edge_sorter.events import DecidedBefore, HostData, LaneReport, LineEvent, PlanOffer, PlcItem, Thresholds, WallTime
from edge_sorter.sort.arrival import Arrival
from edge_sorter.sort.conditions import Facts
from edge_sorter.sort.counts import RouterCounts
from edge_sorter.sort.deadline import Deadline, deadline_by_travel, deadline_ns, earlier, renewed
from edge_sorter.sort.followers import Followers, Passed
from edge_sorter.sort.host_book import HostBook
from edge_sorter.sort.in_flight import InFlight, Sent
from edge_sorter.sort.lane_board import LaneBoard
from edge_sorter.sort.lane_choice import Verdict, choose, too_late
from edge_sorter.sort.plan import SortPlan
from edge_sorter.sort.plan_parts import Lane
from edge_sorter.sort.plan_switch import PlanSwitch
from edge_sorter.sort.plc_items import PlcItems
from edge_sorter.sort.restart import RestartMemory
from edge_sorter.sort.rounds import Rounds
from edge_sorter.sort.verdict import Evidence, Wish, judge, to_exception
from edge_sorter.types import Action, Reason, SortDecision


class Dispatch:
    """Applies the sort plan to parcels and lanes, and numbers what it says."""

    def __init__(
        self,
        section: SortSection,
        *,
        plan: SortPlan,
        motion: BeltMotion,
        boot_id: str,
        counts: RouterCounts,
        classes: tuple[str, ...] | None = None,
        calibrated: bool = True,
        items: PlcItems | None = None,
    ) -> None:
        self._items = items
        self.plans = PlanSwitch(plan, classes=classes, calibrated=calibrated)
        self.board = LaneBoard(section.lane_states)
        self._section = section
        self._motion = motion
        self._boot_id = boot_id
        self._counts = counts
        self._in_flight = InFlight()
        self._rounds = Rounds()
        self._host = HostBook()
        self._followers = Followers(section.min_gap_mm)
        self._before = RestartMemory()
        self._wall: WallTime | None = None
        self._looked_ns = 0
        self._parcels = 0
        self._seq = 0

    def decide(self, arrival: Arrival) -> tuple[SortDecision, ...]:
        """Return the decision on a parcel, after the revisions it leads to.

        None at all on one that was decided before as an item of the PLC that no camera had seen.
        """
        if self._items is not None:
            claim = self._items.claim(arrival.position, at_ns=arrival.captured_ns)
            if claim.missed and self._items.section.unseen == "exception":
                self._counts.split_suppressed += 1
                return ()
            arrival = self._claimed(arrival, claim, self._items.section.unexpected)
        return self._decide(arrival)

    def _claimed(self, arrival: Arrival, claim: Claim, unexpected: str) -> Arrival:
        evidence = arrival.evidence
        if evidence.flushed is Reason.RESTART_FLUSH and self._before.knows(evidence.parcel, claim):
            evidence = evidence._replace(flushed=None)
        if claim.unexpected:
            flags = tuple(sorted({*evidence.parcel.flags, "UNEXPECTED"}))
            evidence = evidence._replace(parcel=replace(evidence.parcel, flags=flags))
            if unexpected == "exception":
                evidence = evidence._replace(flushed=evidence.flushed or Reason.UNEXPECTED)
        return arrival._replace(evidence=evidence, plc_index=claim.plc_index)

    def _unseen(self, at_ns: int) -> tuple[SortDecision, ...]:
        """Decide about items of the PLC that no camera saw, where that is asked for."""
        decisions: list[SortDecision] = []
        for item in () if self._items is None else self._items.take_missed(at_ns):
            if self._items is None or self._items.section.unseen != "exception":
                continue
            evidence = Evidence(item.parcel, flushed=Reason.TRACK_LOST)
            speed_mm_s = self._motion.speed_mm_s(at_ns)
            arrival = Arrival(evidence, at_ns, at_ns, speed_mm_s, item.position, item.crossed_mm, item.plc_index)
            decisions += self._decide(arrival)
        return tuple(decisions)

    def _decide(self, arrival: Arrival) -> tuple[SortDecision, ...]:
        plan, at_ns = self.plans.active, arrival.captured_ns
        if plan.host is not None:
            arrival = arrival._replace(evidence=self._host.informed(arrival.evidence, at_ns=at_ns))
        facts = self._facts(arrival.evidence, plan, at_ns)
        rounds = self._rounds.seen(facts, plan.recirculate, at_ns=at_ns)
        wish = self._judge(arrival.evidence, facts, plan=plan, rounds=rounds, at_ns=at_ns)
        verdict = self._choose(wish, plan, at_ns)
        revised = self._joined(arrival, at_ns)
        close = self._followers.too_close(arrival.position, verdict.lane.id, lane_now=self._lane_now)
        if close:
            wish = to_exception(plan, Reason.GAP_VIOLATION)
            verdict = self._choose(wish, plan, at_ns)
            ahead = [sent for passed in close if (sent := self._in_flight.get(passed.uid)) is not None]
            revised += [self._revise(sent, to_exception(sent.plan, Reason.GAP_VIOLATION), at_ns) for sent in ahead]
        decision = self._first(arrival, wish, verdict, rounds=rounds)
        return (*(revision for revision in revised if revision is not None), decision)

    def _joined(self, arrival: Arrival, at_ns: int) -> list[SortDecision | None]:
        """Send parcels on their way to the exception lane that turn out to hang on the one that arrives."""
        reason, revised = arrival.evidence.inseparable, list[SortDecision | None]()
        if reason is None:
            return revised
        for uid in arrival.hangs_on:
            sent = self._in_flight.get(uid)
            if sent is not None and sent.decision.action is not Action.EXCEPTION:
                sent.evidence = sent.evidence._replace(inseparable=reason)
                sent.wish = to_exception(sent.plan, reason)
                revised.append(self._revise(sent, sent.wish, at_ns))
        return revised

    def _facts(self, evidence: Evidence, plan: SortPlan, at_ns: int) -> Facts:
        return plan.facts(evidence.parcel, self._host.keys(evidence.parcel.codes, at_ns=at_ns))

    def _judge(self, evidence: Evidence, facts: Facts, *, plan: SortPlan, rounds: int, at_ns: int) -> Wish:
        local_s = None if self._wall is None else self._wall.local_s(at_ns)
        return judge(evidence, facts, plan=plan, section=self._section, rounds=rounds, local_s=local_s)

    def hear(self, event: LineEvent) -> tuple[SortDecision, ...]:
        """Take what the line tells; return the decisions it changes."""
        if isinstance(event, LaneReport):
            self.board.hear(event)
            return self._leave({event.lane}, event.at_ns)
        if isinstance(event, HostData):
            self._host.hear(event)
            return self._told(event)
        if isinstance(event, PlanOffer):
            self.plans.offer(event)
        elif isinstance(event, PlcItem) and self._items is not None:
            self._items.hear(event)
        elif isinstance(event, WallTime):
            self._wall = event
        elif isinstance(event, DecidedBefore):
            self._before.hear(event)
        elif isinstance(event, Thresholds):
            sure = {"min_hits": event.min_hits, "min_class_confidence": event.min_class_confidence}
            self._section = self._section.model_copy(update=sure)
        return ()

    def tick(self, at_ns: int, *, gap: Callable[[], bool]) -> tuple[SortDecision, ...]:
        """Do what is due before a frame is looked at: switch plans, leave lanes that nobody has reported for too long.

        Args:
            at_ns: Time of the frame.
            gap: Tells whether no undecided parcel is in view; only asked when a plan waits for that.
        """
        if self.plans.waits:
            self.plans.tick(at_ns, gap=gap())
        silent = self.board.silent(self._in_flight.lanes, since_ns=self._looked_ns, at_ns=at_ns)
        self._looked_ns = at_ns
        unseen = self._unseen(at_ns)
        return (*unseen, *self._leave(set(silent), at_ns)) if silent else unseen

    def left_ns(self, crossed_ns: int, crossed_mm: float, *, at_ns: int) -> int:
        """Return how long after `at_ns` a parcel may still be decided for the nearest lane of all."""
        crossed = (crossed_ns, crossed_mm if self._motion.ref(crossed_ns) == "ENC1" else None)
        speed_mm_s = self._motion.speed_mm_s(crossed_ns)
        lanes = self.plans.active.lanes
        ends_ns = (self._deadline(lane, crossed=crossed, speed_mm_s=speed_mm_s, at_ns=at_ns).at_ns for lane in lanes)
        return min(ends_ns) - at_ns

    def flush(self, at_ns: int, reason: Reason) -> tuple[SortDecision, ...]:
        """Send every decided parcel that is still ahead of its diverter to the exception lane."""
        travel_mm = self._motion.travel_mm(at_ns)
        revised = [
            self._revise(sent, to_exception(sent.plan, reason), at_ns)
            for sent in self._in_flight.upstream(at_ns, travel_mm)
        ]
        return tuple(revision for revision in revised if revision is not None)

    def _leave(self, lanes: set[str], at_ns: int) -> tuple[SortDecision, ...]:
        """Decide anew about parcels on their way to lanes that cannot take them any more."""
        revised = []
        for sent in self._in_flight.upstream(at_ns, self._motion.travel_mm(at_ns)):
            lane = sent.plan.lane_by_id[sent.decision.lane]
            if lane.id not in lanes or lane.id in (sent.plan.default, sent.plan.exception):
                continue
            if not self.board.reported_open(lane, at_ns):
                revised.append(self._revise(sent, sent.wish, at_ns))
        return tuple(revision for revision in revised if revision is not None)

    def _told(self, event: HostData) -> tuple[SortDecision, ...]:
        """Decide anew about a parcel that had to be decided before the host answered."""
        revised, at_ns = [], event.at_ns
        for sent in self._in_flight.upstream(at_ns, self._motion.travel_mm(at_ns)):
            evidence, decision = sent.evidence, sent.decision
            if not evidence.no_data or event.code not in {code.text for code in decision.codes}:
                continue
            sent.evidence = evidence = self._host.informed(evidence, at_ns=at_ns)
            if evidence.no_data:
                continue
            facts = self._facts(evidence, sent.plan, at_ns)
            sent.wish = self._judge(evidence, facts, plan=sent.plan, rounds=decision.rounds, at_ns=at_ns)
            sent.decision = replace(decision, flags=evidence.parcel.flags)
            revised.append(self._revise(sent, sent.wish, at_ns))
        return tuple(revision for revision in revised if revision is not None)

    def _choose(
        self, wish: Wish, plan: SortPlan, at_ns: int, *, in_time: Callable[[Lane], bool] = lambda _: True
    ) -> Verdict:
        return choose(
            wish,
            plan=plan,
            takes=lambda lane: self.board.takes(lane, at_ns),
            order=lambda group: self.board.order(group, at_ns),
            in_time=in_time,
        )

    def _first(self, arrival: Arrival, wish: Wish, verdict: Verdict, *, rounds: int) -> SortDecision:
        """Make revision 0."""
        plan, at_ns, parcel = self.plans.active, arrival.captured_ns, arrival.evidence.parcel
        until = self._deadline(
            verdict.lane,
            crossed=(arrival.crossed_ns, arrival.crossed_mm),
            speed_mm_s=arrival.speed_mm_s,
            at_ns=at_ns,
        )
        travel_mm = self._motion.travel_mm(at_ns)
        late = until.passed(at_ns, travel_mm)
        if late:
            self._counts.late += 1
            verdict = too_late(plan)
        self._seq += 1
        self._parcels += 1
        self._counts.decided += 1
        self._counts.by_reason[verdict.reason.value] = self._counts.by_reason.get(verdict.reason.value, 0) + 1
        decision = SortDecision(
            parcel_uid=f"{self._boot_id}-{self._parcels:07d}",
            seq=self._seq,
            rev=0,
            lane=verdict.lane.id,
            alternates=verdict.alternates,
            action=verdict.action,
            reason=verdict.reason,
            rule=verdict.rule,
            plan=plan.name,
            track_id=parcel.track.track_id,
            class_name=parcel.class_name,
            confidence=parcel.class_confidence,
            size_mm=parcel.size_mm,
            codes=parcel.codes,
            flags=parcel.flags,
            position=arrival.position,
            crossed_ns=arrival.crossed_ns,
            captured_ns=at_ns,
            deadline_ns=until.at_ns,
            deadline_count=self._count_at(until),
            plc_index=arrival.plc_index,
            height_mm=parcel.height_mm,
            weight_g=parcel.weight_g,
            rounds=rounds,
        )
        if not late:
            sent = Sent(decision, wish, plan, arrival.crossed_mm, arrival.speed_mm_s, until, arrival.evidence)
            self._in_flight.add(sent, at_ns=at_ns, travel_mm=travel_mm)
            self._admit(decision, verdict, at_ns)
        self._followers.add(decision)
        return decision

    def _revise(self, sent: Sent, wish: Wish, at_ns: int) -> SortDecision | None:
        """Make the next revision, unless it is too late for one or it would say the same."""
        old, travel_mm = sent.decision, self._motion.travel_mm(at_ns)
        if sent.until.passed(at_ns, travel_mm):
            return None

        def until(lane: Lane) -> Deadline:
            crossed = (old.crossed_ns, sent.crossed_mm)
            return self._deadline(lane, crossed=crossed, speed_mm_s=sent.speed_mm_s, at_ns=at_ns)

        verdict = self._choose(wish, sent.plan, at_ns, in_time=lambda lane: not until(lane).passed(at_ns, travel_mm))
        if (verdict.lane.id, verdict.action) == (old.lane, old.action):
            return None
        own = until(verdict.lane)
        if not own.passed(at_ns, travel_mm):  # else it is the way straight on, which is never late
            sent.until = earlier(sent.until, own)
        sent.until = renewed(sent.until, now_ns=at_ns, now_mm=travel_mm, speeds_mm_s=self._speeds_mm_s(at_ns))
        self._seq += 1
        self._counts.revised += 1
        sent.decision = replace(
            old,
            seq=self._seq,
            rev=old.rev + 1,
            lane=verdict.lane.id,
            alternates=verdict.alternates,
            action=verdict.action,
            reason=verdict.reason,
            rule=verdict.rule,
            deadline_ns=sent.until.at_ns,
            deadline_count=self._count_at(sent.until),
        )
        self.board.withdraw(old.lane, old.parcel_uid)
        self._admit(sent.decision, verdict, at_ns)
        return sent.decision

    def _admit(self, decision: SortDecision, verdict: Verdict, at_ns: int) -> None:
        length_mm = None if decision.size_mm is None else decision.size_mm[0]
        self.board.admit(verdict.lane, decision.parcel_uid, at_ns=at_ns, length_mm=length_mm, group=verdict.group)

    def _lane_now(self, passed: Passed) -> str:
        sent = self._in_flight.get(passed.uid)
        return passed.lane if sent is None else sent.decision.lane

    def _deadline(
        self, lane: Lane, *, crossed: tuple[int, float | None], speed_mm_s: float | None, at_ns: int
    ) -> Deadline:
        timing, divert_mm = self._section.timing, lane.divert_mm
        (crossed_ns, crossed_mm), travel_mm = crossed, self._motion.travel_mm(at_ns)
        if crossed_mm is None or travel_mm is None:
            return Deadline(deadline_ns(crossed_ns, timing, divert_mm=divert_mm, speed_mm_s=speed_mm_s))
        return deadline_by_travel(
            crossed_mm,
            timing,
            now_ns=at_ns,
            now_mm=travel_mm,
            speeds_mm_s=self._speeds_mm_s(at_ns),
            divert_mm=divert_mm,
        )

    def _speeds_mm_s(self, at_ns: int) -> tuple[float | None, ...]:
        return self._motion.speed_mm_s(at_ns), self._motion.set_speed_mm_s()

    def _count_at(self, until: Deadline) -> int | None:
        return None if until.travel_mm is None else self._motion.count_at(until.travel_mm)
