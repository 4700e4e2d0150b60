"""Where a parcel should go, from its evidence and the plan alone: the sentence before anybody asked for the time.

Contract: `judge` is a pure function. It gives every parcel exactly one verdict; what stands against believing the
evidence (`doubt_of`) sends a parcel to the plan's exception lane with the doubt as its reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from edge_sorter.config import SortSection
from edge_sorter.sort.plan import SortPlan, reason_of
from edge_sorter.sort.plan_parts import Lane
from edge_sorter.types import Action, Parcel, Reason


class Evidence(NamedTuple):
    """What is known of a parcel at the moment it has to be decided.

    Attributes:
        parcel: The fused looks at it.
        lost: It was out of sight when it crossed the line, and its place there is a guess.
        inseparable: Why no diverter can part it from its neighbour (DOUBLE, SIDE_BY_SIDE), or None.
    """

    parcel: Parcel
    lost: bool = False
    inseparable: Reason | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """A lane and why."""

    lane: Lane
    alternates: tuple[str, ...]
    action: Action
    reason: Reason
    rule: str | None = None


def judge(evidence: Evidence, *, plan: SortPlan, section: SortSection) -> Verdict:
    """Choose lane and reason."""
    doubt = doubt_of(evidence, plan=plan, section=section)
    if doubt is not None:
        return Verdict(plan.lane_by_id[plan.exception], (), Action.EXCEPTION, doubt)
    parcel = evidence.parcel
    rule = plan.rule_for(parcel)
    if rule is None:
        lane = plan.lane_by_id[plan.default]
        reason = Reason.NO_READ if plan.uses_codes and not parcel.codes else Reason.DEFAULT
        return Verdict(lane, (), lane.asked, reason)
    lane = plan.lane_by_id[rule.to[0]]
    return Verdict(lane, rule.to[1:], lane.asked, reason_of(rule), rule.id)


def too_late(plan: SortPlan) -> Verdict:
    """Return the verdict on a parcel whose deadline has passed: it goes where the PLC lets it go by itself."""
    return Verdict(plan.lane_by_id[plan.default], (), Action.EXCEPTION, Reason.LATE)


def doubt_of(evidence: Evidence, *, plan: SortPlan, section: SortSection) -> Reason | None:
    """Return what stands against believing the evidence, or None."""
    parcel = evidence.parcel
    doubt: Reason | None = None
    if evidence.inseparable is not None:
        doubt = evidence.inseparable
    elif section.doubles == "exception" and _too_long(parcel, section):
        doubt = Reason.DOUBLE
    elif evidence.lost:
        doubt = Reason.TRACK_LOST
    elif parcel.track.hits < section.min_hits:
        doubt = Reason.LOW_CONF
    elif plan.uses_codes and "CODE_CONFLICT" in parcel.flags:
        doubt = Reason.MULTI_LABEL_CONFLICT
    elif plan.uses_classes and parcel.class_confidence < section.min_class_confidence:
        doubt = Reason.LOW_CONF
    return doubt


def _too_long(parcel: Parcel, section: SortSection) -> bool:
    """Tell whether a parcel shows more than a single one of its class can: several, always seen as one."""
    limit_mm = section.longest_mm.get(parcel.class_name)
    return limit_mm is not None and parcel.size_mm is not None and max(parcel.size_mm) > limit_mm
