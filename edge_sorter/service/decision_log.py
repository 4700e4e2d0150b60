"""One log line for every decision: what a person who follows the journal of a line wants to read."""

from __future__ import annotations

import logging

from edge_sorter.events import LineEvent
from edge_sorter.plc.publisher import PublishResult
from edge_sorter.types import Blind, SortDecision, Step

log = logging.getLogger(__name__)


class DecisionLog:
    """Tells every decision."""

    def on_step(self, step: Step, results: tuple[PublishResult, ...], publish_ns: int) -> None:
        """Tell the decisions of a step."""
        self._tell(step.decisions, results)

    def on_heard(
        self, event: LineEvent, decisions: tuple[SortDecision, ...], results: tuple[PublishResult, ...]
    ) -> None:
        """Tell the decisions that something heard has changed."""
        self._tell(decisions, results)

    def _tell(self, decisions: tuple[SortDecision, ...], results: tuple[PublishResult, ...]) -> None:
        for decision, result in zip(decisions, results, strict=True):
            log.info(
                "parcel %s %s -> %s %s (%s)",
                decision.parcel_uid,
                decision.class_name,
                decision.lane,
                decision.reason.value,
                result.value,
                extra={"fields": _fields(decision, result)},
            )

    def on_blind(self, blind: Blind) -> None:
        """The loop has already told it."""


def _fields(decision: SortDecision, result: PublishResult) -> dict[str, object]:
    """Return what a decision can be searched by."""
    return {
        "parcel": decision.parcel_uid,
        "class": decision.class_name,
        "lane": decision.lane,
        "action": decision.action.value,
        "reason": decision.reason.value,
        "result": result.value,
        "plan": decision.plan,
    }
