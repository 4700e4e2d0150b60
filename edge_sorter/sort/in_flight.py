"""Decided parcels whose diverter is still ahead: what may be decided again when a lane fills up.

Contract: bounded by `REMEMBERED`, oldest first; whoever is past its deadline is forgotten and never changed.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from edge_sorter.sort.deadline import Deadline
from edge_sorter.sort.plan import SortPlan
from edge_sorter.sort.verdict import Evidence, Wish
from edge_sorter.types import SortDecision

REMEMBERED = 256
"""Parcels kept: more than lie between a camera and its last diverter."""


@dataclass(slots=True)
class Sent:
    """A decision that stands, and what is needed to make it anew.

    Attributes:
        decision: The newest revision.
        wish: Where the parcel should have gone, by the plan that decided it.
        plan: That plan.
        crossed_mm: Belt travel at the crossing, or None without an encoder.
        speed_mm_s: Its speed there, or None.
        until: The last moment at which it may be changed.
        evidence: What it was decided by.
    """

    decision: SortDecision
    wish: Wish
    plan: SortPlan
    crossed_mm: float | None
    speed_mm_s: float | None
    until: Deadline
    evidence: Evidence


class InFlight:
    """Decisions that can still be changed, by parcel, in the order they were made."""

    def __init__(self) -> None:
        self._sent: OrderedDict[str, Sent] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sent)

    def add(self, sent: Sent, *, at_ns: int, travel_mm: float | None) -> None:
        """Remember a decision; the oldest go when they are past their deadline, or too many."""
        self._sent[sent.decision.parcel_uid] = sent
        oldest = next(iter(self._sent.values()))
        while len(self._sent) > REMEMBERED or (len(self._sent) > 1 and oldest.until.passed(at_ns, travel_mm)):
            self._sent.popitem(last=False)
            oldest = next(iter(self._sent.values()))

    def get(self, uid: str) -> Sent | None:
        """Return what is known of a parcel, or None when it is not in flight any more."""
        return self._sent.get(uid)

    def lanes(self) -> tuple[str, ...]:
        """Return the lanes that parcels are on their way to."""
        return tuple(dict.fromkeys(sent.decision.lane for sent in self._sent.values()))

    def upstream(self, at_ns: int, travel_mm: float | None) -> list[Sent]:
        """Forget all that are past their deadline and return the others."""
        for uid in [uid for uid, sent in self._sent.items() if sent.until.passed(at_ns, travel_mm)]:
            del self._sent[uid]
        return list(self._sent.values())
