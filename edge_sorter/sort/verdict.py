"""Where a parcel should go, from its evidence and the plan alone: before anybody asked which lanes are open.

Contract: `judge` is a pure function. It gives every parcel exactly one wish. Order of asking: what makes a parcel
impossible to divert by itself (its place is not trusted, or a neighbour hangs on it); dangerous goods; what the line
cannot carry; what leaves the evidence in doubt; too many rounds; then the rules of the plan, unless the host is silent.
"""

from __future__ import annotations

from typing import NamedTuple

from edge_sorter.config import SortSection
from edge_sorter.sort.conditions import Facts
from edge_sorter.sort.plan import SortPlan, reason_of
from edge_sorter.sort.plan_parts import HAND_REASONS, Rule
from edge_sorter.types import Action, Parcel, Reason


class Evidence(NamedTuple):
    """What is known of a parcel at the moment it has to be decided.

    Attributes:
        parcel: The fused looks at it.
        lost: It was out of sight when it crossed the line, and its place there is a guess.
        inseparable: Why no diverter can part it from its neighbour (DOUBLE, SIDE_BY_SIDE), or None.
        flushed: Why nothing that was in view then is trusted (STOP_FLUSH, RESTART_FLUSH ...), or None.
        no_data: The plan asks the host, and the host has told nothing about it (yet).
    """

    parcel: Parcel
    lost: bool = False
    inseparable: Reason | None = None
    flushed: Reason | None = None
    no_data: bool = False


class Wish(NamedTuple):
    """Where a parcel should go, and where else if that cannot be.

    Attributes:
        targets: Lanes or groups of lanes, in order.
        reason: Why.
        rule: Id of the rule that says so, or None.
        overflow: Lane to take when no target can, or None.
        last: Lane that is always taken when nothing else can: the plan's default or exception lane.
        action: What the PLC is asked to do; None: what the lane asks for.
    """

    targets: tuple[str, ...]
    reason: Reason
    rule: str | None
    overflow: str | None
    last: str
    action: Action | None = None


def judge(
    evidence: Evidence,
    facts: Facts,
    *,
    plan: SortPlan,
    section: SortSection,
    rounds: int = 0,
    local_s: float | None = None,
) -> Wish:
    """Choose targets and reason.

    Args:
        evidence: What is known of the parcel.
        facts: What rules may ask about it, from `plan.facts`.
        plan, section: What decides.
        rounds: How often the parcel was seen before on its way round the loop.
        local_s: Time of the day in seconds, local; None where nobody told, and then no cut-off has passed.
    """
    doubt = _undivertable(evidence, section)
    if doubt is not None:
        return to_exception(plan, doubt)
    hazard = next((rule for rule in plan.hazard_rules if rule.when.unmet(facts) is None), None)
    if hazard is not None:
        return _by_rule(plan, hazard, local_s)
    doubt = _over_limits(facts, section) or _unsure(evidence, facts, plan=plan, section=section)
    if doubt is None and plan.recirculate is not None and rounds > plan.recirculate.limit:
        doubt = Reason.RECIRC_LIMIT
    if doubt is not None:
        return to_exception(plan, doubt)
    silent = evidence.no_data and plan.host is not None
    rule = None if silent and plan.host is not None and plan.host.without == "default" else plan.rule_of(facts)
    if rule is not None:
        return _by_rule(plan, rule, local_s)
    reason = Reason.NO_DATA if silent else _reason_of_no_rule(plan, facts)
    return Wish((plan.default,), reason, None, None, plan.default)


def to_exception(plan: SortPlan, doubt: Reason) -> Wish:
    """Return the wish for a parcel that a person should look at."""
    return Wish((plan.exception,), doubt, None, None, plan.exception, Action.EXCEPTION)


def _by_rule(plan: SortPlan, rule: Rule, local_s: float | None) -> Wish:
    overflow, reason = rule.overflow or plan.overflow, reason_of(rule)
    if _cut_off(plan, rule, local_s):
        return Wish(rule.late_to or (plan.default,), Reason.CUTOFF_PASSED, rule.id, overflow, plan.default)
    if reason in HAND_REASONS:
        return Wish(rule.to, reason, rule.id, rule.overflow, plan.exception)
    return Wish(rule.to, reason, rule.id, overflow, plan.default)


def _cut_off(plan: SortPlan, rule: Rule, local_s: float | None) -> bool:
    """Tell whether a rule's cut-off time has passed since the plan's day began."""
    if rule.cutoff is None or local_s is None:
        return False
    day_s = _seconds(plan.day_starts)
    return (local_s - day_s) % 86_400 >= (_seconds(rule.cutoff) - day_s) % 86_400


def _seconds(clock_time: str) -> int:
    hours, minutes = clock_time.split(":")
    return int(hours) * 3600 + int(minutes) * 60


def _reason_of_no_rule(plan: SortPlan, facts: Facts) -> Reason:
    if plan.uses_codes and not facts.parcel.codes:
        return Reason.CHECK_FAIL if "CHECK_FAIL" in facts.parcel.flags else Reason.NO_READ
    return Reason.UNKNOWN_DEST if plan.codes else Reason.DEFAULT


def _undivertable(evidence: Evidence, section: SortSection) -> Reason | None:
    """Return why a parcel cannot be sent anywhere by itself, or None."""
    if evidence.flushed is not None:
        return evidence.flushed
    if evidence.inseparable is not None:
        return evidence.inseparable
    if section.doubles == "exception" and _too_long(evidence.parcel, section):
        return Reason.DOUBLE
    if section.doubles == "exception" and _too_broad(evidence.parcel, section):
        return Reason.SIDE_BY_SIDE
    return Reason.TRACK_LOST if evidence.lost else None


def _over_limits(facts: Facts, section: SortSection) -> Reason | None:
    """Return why the line cannot carry or divert a parcel, or None."""
    limits, sizes = section.limits, facts.sizes
    for name, reason in (
        ("length_mm", Reason.OVERSIZE),
        ("width_mm", Reason.OVERSIZE),
        ("height_mm", Reason.OVERSIZE),
        ("weight_g", Reason.NON_CONVEYABLE),
    ):
        most = getattr(limits, name)
        if most is not None and name in sizes and sizes[name] > most:
            return reason
    least_mm, longest_mm = limits.shortest_mm, sizes.get("longest_mm")
    too_short = least_mm is not None and longest_mm is not None and longest_mm < least_mm
    return Reason.NON_CONVEYABLE if too_short else None


def _unsure(evidence: Evidence, facts: Facts, *, plan: SortPlan, section: SortSection) -> Reason | None:
    """Return what stands against believing the evidence, or None."""
    parcel = evidence.parcel
    if parcel.track.hits < section.min_hits:
        return Reason.LOW_CONF
    if plan.uses_codes and ("CODE_CONFLICT" in parcel.flags or facts.keys.contradictory):
        return Reason.MULTI_LABEL_CONFLICT
    if plan.uses_sizes and section.doubles == "exception" and "longest_mm" not in facts.sizes:
        return Reason.LOW_CONF
    if plan.uses_classes and parcel.class_confidence < section.min_class_confidence:
        return Reason.LOW_CONF
    return None


def _too_long(parcel: Parcel, section: SortSection) -> bool:
    """Tell whether a parcel is longer or slimmer than a single one of its class can be: several, always seen as one."""
    if parcel.size_mm is None:
        return False
    shorter_mm, longer_mm = sorted(parcel.size_mm)
    limit_mm, slimmest = section.longest_mm.get(parcel.class_name), section.slimmest.get(parcel.class_name)
    too_slim = slimmest is not None and longer_mm > slimmest * shorter_mm
    return too_slim or (limit_mm is not None and longer_mm > limit_mm)


def _too_broad(parcel: Parcel, section: SortSection) -> bool:
    """Tell whether a parcel is wider than it is long by more than a single one that comes lengthwise can be."""
    if section.broadest is None or parcel.size_mm is None:
        return False
    length_mm, width_mm = parcel.size_mm
    return width_mm > section.broadest * length_mm
