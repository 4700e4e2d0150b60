"""Why a parcel goes where it goes: every rule with its answer, and the decision at the end, without a line running.

Contract: `explain` asks the very functions that decide live (`judge`, `choose`, the lane board); it only adds words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from edge_sorter.config import SortSection
from edge_sorter.events import LaneReport, LaneStatus
from edge_sorter.sort.lane_board import LaneBoard
from edge_sorter.sort.lane_choice import Verdict, choose
from edge_sorter.sort.plan import SortPlan
from edge_sorter.sort.route_keys import RouteKeys
from edge_sorter.sort.verdict import Evidence, Wish, judge
from edge_sorter.types import Parcel


class Answer(NamedTuple):
    """What one rule said."""

    rule: str
    rank: int
    asks: str
    takes: bool
    why: str


@dataclass(frozen=True)
class Explanation:
    """The way to a decision.

    Attributes:
        keys: What the codes say.
        answers: Every rule in the order it is asked, with its answer.
        wish: Where the parcel should go.
        verdict: Where it goes.
        lanes: What every lane of the wish could take, as (lane, state).
    """

    keys: RouteKeys
    answers: tuple[Answer, ...]
    wish: Wish
    verdict: Verdict
    lanes: tuple[tuple[str, LaneStatus], ...]


def explain(
    plan: SortPlan,
    parcel: Parcel,
    *,
    section: SortSection,
    lanes: dict[str, LaneStatus],
    rounds: int = 0,
    local_s: float | None = None,
) -> Explanation:
    """Explain the decision on one parcel.

    Args:
        plan, section: What decides.
        parcel: The evidence.
        lanes: What the PLC reports of lanes.
        rounds: How often the parcel has come round already.
        local_s: Time of the day in seconds; None: no cut-off has passed.
    """
    board = LaneBoard(section.lane_states)
    for lane, status in lanes.items():
        board.hear(LaneReport(0, lane, status))
    facts = plan.facts(parcel)
    evidence = Evidence(parcel, no_data=plan.host is not None and bool(parcel.codes))
    wish = judge(evidence, facts, plan=plan, section=section, rounds=rounds, local_s=local_s)
    verdict = choose(
        wish, plan=plan, takes=lambda lane: board.takes(lane, 0), order=lambda group: board.order(group, 0)
    )
    answers: list[Answer] = []
    for rule in plan.ordered:
        why = rule.when.unmet(facts)
        if why is None:
            why = _why_taken(rule.id, wish)
        answers.append(Answer(rule.id, rule.rank, rule.when.words(), rule.id == wish.rule, why))
    tried = [name for target in wish.targets for name in _members(plan, target)]
    tried += [name for name in (wish.overflow, wish.last) if name is not None]
    states = tuple((name, board.status(plan.lane_by_id[name], 0)) for name in dict.fromkeys(tried))
    return Explanation(facts.keys, tuple(answers), wish, verdict, states)


def _members(plan: SortPlan, target: str) -> tuple[str, ...]:
    group = plan.group_by_id.get(target)
    return (target,) if group is None else group.lanes


def _why_taken(rule: str, wish: Wish) -> str:
    if rule == wish.rule:
        return f"takes it, to {', '.join(wish.targets)}"
    if wish.rule is None:
        return f"would take it, but is not asked: {wish.reason.value}"
    return f"would take it, but {wish.rule} did"
