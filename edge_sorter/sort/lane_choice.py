"""Which lane a parcel gets out of those its wish allows: the first that can take it, and why another one than wished.

Contract: `choose` is a pure function of the wish and of what it is told about lanes. It always returns a lane; one that
cannot take the parcel only if it is the plan's default or exception lane, where everything ends up that has no other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edge_sorter.sort.plan import SortPlan
from edge_sorter.sort.plan_parts import HAND_REASONS, Lane, LaneGroup
from edge_sorter.sort.verdict import Wish
from edge_sorter.types import Action, Reason


@dataclass(frozen=True, slots=True)
class Verdict:
    """A lane and why."""

    lane: Lane
    alternates: tuple[str, ...]
    action: Action
    reason: Reason
    rule: str | None = None
    group: LaneGroup | None = None
    """The group of which this lane was picked, if its turn came."""


def choose(
    wish: Wish,
    *,
    plan: SortPlan,
    takes: Callable[[Lane], bool],
    order: Callable[[LaneGroup], tuple[str, ...]],
    in_time: Callable[[Lane], bool] = lambda _: True,
) -> Verdict:
    """Return the lane for a parcel.

    Args:
        wish: Where it should go.
        plan: The plan the wish is of.
        takes: Whether a lane can take it now.
        order: The lanes of a group in the order they should be tried now.
        in_time: Whether a lane's point of no return is still ahead.
    """
    ends = (plan.default, plan.exception)

    def possible(name: str) -> bool:
        lane = plan.lane_by_id[name]
        return in_time(lane) and (name in ends or takes(lane))

    groups = [plan.group_by_id.get(target) for target in wish.targets]
    tried = [
        [target] if group is None else list(order(group)) for target, group in zip(wish.targets, groups, strict=True)
    ]
    wished = {name: step for step in range(len(tried) - 1, -1, -1) for name in tried[step]}
    open_lanes = [name for name in dict.fromkeys(name for step in tried for name in step) if possible(name)]
    spare = [wish.overflow] if wish.overflow and wish.overflow not in wished and possible(wish.overflow) else []
    by_hand = wish.action is not None or wish.reason in HAND_REASONS
    if open_lanes:
        name, *rest = open_lanes
        step = wished[name]
        reason = wish.reason if step == 0 or by_hand else Reason.ALT_LANE_FULL
        return _verdict(wish, plan, name, (*rest, *spare), reason, groups[step])
    if spare:
        return _verdict(wish, plan, spare[0], (), wish.reason if by_hand else Reason.OVERFLOW)
    last = wish.last if in_time(plan.lane_by_id[wish.last]) else plan.default
    return _verdict(wish, plan, last, (), wish.reason if by_hand else Reason.OVERFLOW)


def _verdict(
    wish: Wish,
    plan: SortPlan,
    name: str,
    alternates: tuple[str, ...],
    reason: Reason,
    group: LaneGroup | None = None,
) -> Verdict:
    lane = plan.lane_by_id[name]
    return Verdict(lane, alternates, wish.action or lane.asked, reason, wish.rule, group)


def too_late(plan: SortPlan) -> Verdict:
    """Return the verdict on a parcel whose deadline has passed: it goes where the PLC lets it go by itself."""
    return Verdict(plan.lane_by_id[plan.default], (), Action.EXCEPTION, Reason.LATE)
