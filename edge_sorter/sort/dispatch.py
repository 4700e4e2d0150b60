"""From a parcel at the line to the one message about it: verdict, deadline, number.

Contract: `Dispatch.decide` is called once a parcel, in the order of crossing, and returns its decision. The geometry of
tracks is the router's, everything that depends on the sort plan is here; neither reads a clock.
"""

from __future__ import annotations

from typing import NamedTuple

from edge_sorter.belt import BeltMotion
from edge_sorter.config import SortSection
from edge_sorter.events import LineEvent
from edge_sorter.sort.counts import RouterCounts
from edge_sorter.sort.deadline import Deadline, deadline_by_travel, deadline_ns
from edge_sorter.sort.plan import SortPlan
from edge_sorter.sort.verdict import Evidence, judge, too_late
from edge_sorter.types import BeltPosition, SortDecision


class Arrival(NamedTuple):
    """A parcel at the decision line.

    Attributes:
        evidence: What is known of it.
        crossed_ns: When it crossed.
        captured_ns: Time of the frame that made it due.
        speed_mm_s: How fast it goes, or None when unknown.
        position: Where it is.
        crossed_mm: Belt travel when it crossed, or None without an encoder.
    """

    evidence: Evidence
    crossed_ns: int
    captured_ns: int
    speed_mm_s: float | None
    position: BeltPosition
    crossed_mm: float | None = None


class Dispatch:
    """Applies the sort plan and numbers what it says."""

    def __init__(
        self, section: SortSection, *, plan: SortPlan, motion: BeltMotion, boot_id: str, counts: RouterCounts
    ) -> None:
        self._section = section
        self._motion = motion
        self._plan = plan
        self._boot_id = boot_id
        self._counts = counts
        self._seq = 0

    def decide(self, arrival: Arrival) -> SortDecision:
        """Return the decision on a parcel."""
        parcel = arrival.evidence.parcel
        verdict = judge(arrival.evidence, plan=self._plan, section=self._section)
        travel_mm = self._motion.travel_mm(arrival.captured_ns)
        until = self._deadline(arrival, divert_mm=verdict.lane.divert_mm, travel_mm=travel_mm)
        if until.passed(arrival.captured_ns, travel_mm):
            self._counts.late += 1
            verdict = too_late(self._plan)
        self._seq += 1
        self._counts.decided += 1
        self._counts.by_reason[verdict.reason.value] = self._counts.by_reason.get(verdict.reason.value, 0) + 1
        return SortDecision(
            parcel_uid=f"{self._boot_id}-{self._seq:07d}",
            seq=self._seq,
            rev=0,
            lane=verdict.lane.id,
            alternates=verdict.alternates,
            action=verdict.action,
            reason=verdict.reason,
            rule=verdict.rule,
            plan=self._plan.name,
            track_id=parcel.track.track_id,
            class_name=parcel.class_name,
            confidence=parcel.class_confidence,
            size_mm=parcel.size_mm,
            codes=parcel.codes,
            flags=parcel.flags,
            position=arrival.position,
            crossed_ns=arrival.crossed_ns,
            captured_ns=arrival.captured_ns,
            deadline_ns=until.at_ns,
            deadline_count=None if until.travel_mm is None else self._motion.count_at(until.travel_mm),
        )

    def _deadline(self, arrival: Arrival, *, divert_mm: float | None, travel_mm: float | None) -> Deadline:
        timing, at_ns = self._section.timing, arrival.captured_ns
        if arrival.crossed_mm is None or travel_mm is None:
            crossed_ns, speed_mm_s = arrival.crossed_ns, arrival.speed_mm_s
            return Deadline(deadline_ns(crossed_ns, timing, divert_mm=divert_mm, speed_mm_s=speed_mm_s))
        return deadline_by_travel(
            arrival.crossed_mm,
            timing,
            now_ns=at_ns,
            now_mm=travel_mm,
            speeds_mm_s=(self._motion.speed_mm_s(at_ns), self._motion.set_speed_mm_s()),
            divert_mm=divert_mm,
        )

    def hear(self, event: LineEvent) -> tuple[SortDecision, ...]:
        """Take what the line tells; return the decisions it changes."""
        return ()
