"""Asks the host about parcels as soon as a code is read, so that its answer is there when they have to be decided.

Contract: looks on as an `Observer` and never waits. Each code of each track is asked about once, while the plan in use
asks the host; the answer comes back as an event like all that the line tells, so a replay of the journal needs no
host. Without a broker nobody is asked, and the parcel is decided as one of which nothing is known.
"""

from __future__ import annotations

from typing import Protocol

from edge_sorter.clock import Clock, rfc3339
from edge_sorter.events import LineEvent
from edge_sorter.plc.messages import RouteAskMessage
from edge_sorter.plc.publisher import PublishResult
from edge_sorter.sort import Router
from edge_sorter.types import Blind, SortDecision, Step, TrackState


class Asks(Protocol):
    """Somebody who can ask the host: the MQTT link."""

    def ask_host(self, message: RouteAskMessage) -> bool:
        """Ask now or not at all; tells whether it was."""


class HostAsker:
    """Asks for what is in view.

    Args:
        router: Asked for its plan.
        link: Carries the questions.
        clock: Stamps them.
        boot_id: Of this run.
        replay: Whether recorded video drives this run.
    """

    def __init__(self, router: Router, link: Asks, *, clock: Clock, boot_id: str, replay: bool) -> None:
        self._router, self._link, self._clock = router, link, clock
        self._boot_id, self._replay = boot_id, replay
        self._asked: dict[int, set[str]] = {}

    def on_step(self, step: Step, results: tuple[PublishResult, ...], publish_ns: int) -> None:
        """Ask about codes that were not there before."""
        if self._router.plan.host is None:
            return
        live = {parcel.track.track_id for parcel in step.parcels if parcel.track.state is not TrackState.ENDED}
        self._asked = {track_id: texts for track_id, texts in self._asked.items() if track_id in live}
        for parcel in step.parcels:
            asked = self._asked.get(parcel.track.track_id, set())
            for code in parcel.codes:
                if parcel.track.track_id in live and code.text not in asked and self._ask(code.text, code.symbology):
                    asked.add(code.text)
                    self._asked[parcel.track.track_id] = asked

    def on_heard(
        self, event: LineEvent, decisions: tuple[SortDecision, ...], results: tuple[PublishResult, ...]
    ) -> None:
        """Answers are the router's business."""

    def on_blind(self, blind: Blind) -> None:
        """Nothing is read while nothing is seen."""

    def _ask(self, text: str, symbology: str) -> bool:
        ts = rfc3339(self._clock.wall(self._clock.now_ns()))
        return self._link.ask_host(
            RouteAskMessage(boot_id=self._boot_id, code=text, sym=symbology, ts=ts, replay=self._replay)
        )
