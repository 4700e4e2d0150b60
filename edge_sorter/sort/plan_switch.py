"""From one sort plan to the next while parcels move: whole or not at all, and between two frames.

Contract: `PlanSwitch.active` is always a checked plan. An offer that has any mistake changes nothing and leaves a
status that lists all of them. A plan that waits (for a gap, or for its time) is replaced by a later offer.

A plan that came over the wire may not move the machine: its lanes have the numbers and places they have in the active
plan. One without lanes takes over the active ones.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from edge_sorter.errors import ConfigError
from edge_sorter.events import PlanOffer
from edge_sorter.sort.plan import SortPlan, check_plan

ERRORS_KEPT = 20
ERROR_LENGTH = 300
FROM_WIRE = "mqtt"


@dataclass(frozen=True, slots=True)
class PlanStatus:
    """What became of the newest plan that was offered.

    Attributes:
        at_ns: When that was.
        active: Name of the plan that decides.
        offered: Name of the offered one; its id where it was not good enough to get a name, and None where it has
            not even that.
        result: "ACTIVE", "WAITING" or "REJECTED".
        errors: All mistakes of a rejected plan, at most `ERRORS_KEPT`.
    """

    at_ns: int
    active: str
    offered: str | None
    result: Literal["ACTIVE", "WAITING", "REJECTED"]
    errors: tuple[str, ...] = ()


class PlanSwitch:
    """The active plan, and the one that waits to become it."""

    def __init__(self, plan: SortPlan, *, classes: tuple[str, ...] | None, calibrated: bool) -> None:
        self.active = plan
        self.status = PlanStatus(0, plan.name, None, "ACTIVE")
        self._classes = classes
        self._calibrated = calibrated
        self._waiting: tuple[SortPlan, PlanOffer] | None = None

    @property
    def waits(self) -> bool:
        """Whether a plan waits to become active."""
        return self._waiting is not None

    def offer(self, event: PlanOffer) -> None:
        """Take a plan on, now or later, or reject it."""
        document, active = dict(event.document), self.active
        document.setdefault("lanes", [lane.model_dump(mode="json", exclude_defaults=True) for lane in active.lanes])
        try:
            plan = check_plan(document, source=event.source, classes=self._classes, calibrated=self._calibrated)
            _check_against(active, plan, event)
        except ConfigError as error:
            problems = error.problems or (str(error),)
            told = tuple(problem[:ERROR_LENGTH] for problem in problems[:ERRORS_KEPT])
            self.status = PlanStatus(event.at_ns, active.name, _id_of(event.document), "REJECTED", told)
            return
        self._waiting = (plan, event)
        self.status = PlanStatus(event.at_ns, active.name, plan.name, "WAITING")
        if event.activate == "NOW":
            self._switch(event.at_ns)

    def tick(self, at_ns: int, *, gap: bool) -> None:
        """Switch if a plan waits and its moment has come.

        Args:
            at_ns: Time of the frame that is about to be looked at.
            gap: Whether no undecided parcel is in view.
        """
        if self._waiting is None:
            return
        event = self._waiting[1]
        at_its_time = event.activate == "AT" and event.valid_from_ns is not None and at_ns >= event.valid_from_ns
        if at_its_time or (event.activate == "NEXT_GAP" and gap):
            self._switch(at_ns)

    def _switch(self, at_ns: int) -> None:
        if self._waiting is not None:
            self.active = self._waiting[0]
            self._waiting = None
            self.status = PlanStatus(at_ns, self.active.name, self.active.name, "ACTIVE")


def _id_of(document: dict[str, Any]) -> str | None:
    found = document.get("id")
    return found if isinstance(found, str) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}", found) else None


def _check_against(active: SortPlan, plan: SortPlan, event: PlanOffer) -> None:
    """Raise ConfigError where a good plan does not fit what runs."""
    problems = []
    if plan.id == active.id and plan.rev < active.rev:
        problems.append(f"rev: {plan.rev} is older than the active {active.rev}; to go back, give it a higher one")
    if event.sha256 is not None and event.sha256 != plan.sha256:
        problems.append(f"sha256: this plan is {plan.sha256}, not {event.sha256} as the offer says")
    if event.activate not in ("NOW", "NEXT_GAP", "AT"):
        problems.append(f"activate: {event.activate!r} is none of NOW, NEXT_GAP, AT")
    if event.activate == "AT" and event.valid_from_ns is None:
        problems.append("valid_from: AT needs a time")
    if event.source == FROM_WIRE:
        number = {lane.plc: lane.id for lane in active.lanes}
        for index, lane in enumerate(plan.lanes):
            known = active.lane_by_id.get(lane.id)
            if known is not None and (known.plc, known.divert_mm) != (lane.plc, lane.divert_mm):
                problems.append(
                    f"lanes.{index}: {lane.id!r} is number {known.plc} at {known.divert_mm} mm on this machine; "
                    "change that in the plan file and restart"
                )
            elif known is None and lane.plc in number:
                problems.append(f"lanes.{index}.plc: {lane.plc} is lane {number[lane.plc]!r} on this machine")
    if problems:
        raise ConfigError(f"sort plan from {event.source} does not fit", problems=tuple(problems))
