"""A clip that plays as if it were a camera drops no frame: a machine too slow for it falls behind, and decides late.

Contract: `ClipPace` looks on; when the loop is a second behind the clip it says so once, with the slow motion to try.
"""

from __future__ import annotations

import logging
import math

from edge_sorter.clock import Clock
from edge_sorter.events import LineEvent
from edge_sorter.plc.publisher import PublishResult
from edge_sorter.types import Blind, SortDecision, Step

log = logging.getLogger(__name__)

BEHIND_NS = 1_000_000_000
SETTLED_NS = 4_000_000_000
"""So much time shows how fast this machine is; before that it is still warming up."""
ROOM = 1.5
"""What is proposed leaves half of the time as much again for whatever else the machine does."""


class ClipPace:
    """Watches how far behind a clip the loop is; an observer of `pipeline.run`.

    Args:
        clock: The clip's own, 0 at its first frame.
        slow: How slowly it plays already.
    """

    def __init__(self, clock: Clock, *, slow: float) -> None:
        self._clock, self._slow = clock, slow
        self._told = False

    def on_step(self, step: Step, results: tuple[PublishResult, ...], publish_ns: int) -> None:
        """Compare the time of a frame with the time it is now."""
        now_ns, shown_ns = self._clock.now_ns(), step.captured_ns
        if self._told or shown_ns <= 0 or now_ns < SETTLED_NS or now_ns - shown_ns < BEHIND_NS:
            return
        self._told = True
        log.warning(
            "too slow for this clip: %.1f s behind it after %.0f s, and decisions come late; "
            "try slow motion: run --slow %d (and sim-plc --slow %d)",
            (now_ns - shown_ns) / 1e9,
            now_ns / 1e9,
            *[math.ceil(ROOM * self._slow * now_ns / shown_ns)] * 2,
        )

    def on_blind(self, blind: Blind) -> None:
        """Nothing to see."""

    def on_heard(
        self, event: LineEvent, decisions: tuple[SortDecision, ...], results: tuple[PublishResult, ...]
    ) -> None:
        """Nothing to see."""
