"""What is allowed in a sort plan and still looks like an oversight: said by `edge-sorter plan check`, never refused."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from edge_sorter.sort.plan import SortPlan
from edge_sorter.types import Action


def warnings(plan: SortPlan) -> tuple[str, ...]:
    """Return one sentence for each."""
    return tuple(chain(_ends(plan), _lanes(plan), _rules(plan), _codes(plan)))


def _ends(plan: SortPlan) -> Iterator[str]:
    default, exception = plan.lane_by_id[plan.default], plan.lane_by_id[plan.exception]
    if default is exception:
        yield f"default and exception are the same lane {default.id}: nobody can tell unsure parcels from unsorted ones"
    elif exception.asked is not Action.EXCEPTION:
        yield f"exception lane {exception.id} asks the PLC to {exception.asked.value}; its kind is {exception.kind}"
    if default.asked is Action.DIVERT:
        yield (
            f"default lane {default.id} asks the PLC to DIVERT; the default is what happens when nothing is sent, so "
            "it should be the way a parcel takes by itself"
        )
    if plan.overflow is None and plan.rules:
        yield f"no overflow: parcels whose lanes are all full go to the default lane {plan.default}"


def _lanes(plan: SortPlan) -> Iterator[str]:
    named = {plan.default, plan.exception, plan.overflow}
    for rule in plan.rules:
        named |= {*rule.to, *(rule.late_to or ()), rule.overflow}
    for group in plan.groups:
        if group.id in named:
            named |= set(group.lanes)
        else:
            yield f"group {group.id} is named by no rule"
    unused = [lane.id for lane in plan.lanes if lane.id not in named]
    if unused:
        yield f"no rule sends anything to {', '.join(unused)}"
    loops = [lane.id for lane in plan.lanes if lane.asked is Action.RECIRC and lane.id in named]
    if loops and plan.recirculate is None:
        yield f"parcels may go round by {', '.join(loops)} without end: give recirculate"


def _rules(plan: SortPlan) -> Iterator[str]:
    for rule in plan.ordered:
        if rule.cutoff is not None and rule.late_to is None:
            yield f"rule {rule.id}: after {rule.cutoff} its parcels go to the default lane; give late_to for another"
    seen_ordinary = None
    for rule in plan.ordered:
        if rule.hazard and seen_ordinary is not None:
            yield f"rule {rule.id} is about dangerous goods: it is asked before {seen_ordinary} whatever its priority"
        if not rule.hazard and seen_ordinary is None:
            seen_ordinary = rule.id


def _codes(plan: SortPlan) -> Iterator[str]:
    asked = set().union(*(rule.when.conditions for rule in plan.rules)) | {"tracking"}
    for entry in plan.codes:
        if not entry.gives & asked:
            yield f"code entry {entry.id} gives {', '.join(sorted(entry.gives))}, which no rule asks for"
