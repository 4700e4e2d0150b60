"""Tells the plant what became of a sort plan: once at the start, and whenever one was taken, waits or was refused.

Contract: looks on as an `Observer`, after every step and everything heard; it asks the router and never changes it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from edge_sorter.clock import Clock, rfc3339
from edge_sorter.events import LineEvent
from edge_sorter.plc.messages import PlanStatusMessage
from edge_sorter.plc.publisher import PublishResult
from edge_sorter.sort import PlanStatus, Router
from edge_sorter.types import Blind, SortDecision, Step


class PlanVoice(Protocol):
    """Somebody who can publish the status of a plan: the MQTT link."""

    def plan_status(self, message: PlanStatusMessage) -> None:
        """Publish it; the broker keeps it."""


class PlanNews:
    """Publishes the router's plan status whenever it is another one.

    Args:
        router: Asked for its plan.
        voice: Told the news.
        clock: Stamps the messages.
        boot_id: Of this run.
        replay: Whether recorded video drives this run.
        switched: Called when another plan decides.
    """

    def __init__(
        self,
        router: Router,
        voice: PlanVoice,
        *,
        clock: Clock,
        boot_id: str,
        replay: bool,
        switched: Callable[[], None] = lambda: None,
    ) -> None:
        self._router, self._voice, self._clock = router, voice, clock
        self._boot_id, self._replay, self._switched = boot_id, replay, switched
        self._told: PlanStatus | None = None

    def on_step(self, step: Step, results: tuple[PublishResult, ...], publish_ns: int) -> None:
        """Look whether a plan that waited has become active."""
        self.look()

    def on_heard(
        self, event: LineEvent, decisions: tuple[SortDecision, ...], results: tuple[PublishResult, ...]
    ) -> None:
        """Look whether that was a plan."""
        self.look()

    def on_blind(self, blind: Blind) -> None:
        """Nothing happens to plans while nothing is seen."""

    def look(self) -> None:
        """Publish the status if it is another one than was published last."""
        status, before = self._router.plan_status, self._told
        if status is before:
            return
        self._told = status
        self._voice.plan_status(
            PlanStatusMessage(
                boot_id=self._boot_id,
                ts=rfc3339(self._clock.wall(self._clock.now_ns())),
                active=status.active,
                offered=status.offered,
                result=status.result,
                errors=status.errors,
                replay=self._replay,
            )
        )
        if before is not None and before.active != status.active:
            self._switched()
