"""The seam between deciding and sending: what a pipeline may ask of whatever carries its decisions.

A `Publisher` takes each decision once, refuses what is too late, and says what became of it; it never queues.
`MemoryPublisher` is the shipped fake: it keeps everything in a list, under the same rules as the MQTT link.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from edge_sorter.clock import Clock
from edge_sorter.plc.messages import AppState
from edge_sorter.types import SortDecision

REMEMBERED_KEYS = 4096
"""More parcels than any line holds between camera and last lane."""


class PublishResult(str, Enum):
    """What became of a decision that was handed over."""

    SENT = "SENT"
    DROPPED_OFFLINE = "DROPPED_OFFLINE"
    DROPPED_STALLED = "DROPPED_STALLED"
    LATE = "LATE"
    DUPLICATE = "DUPLICATE"
    WITHHELD = "WITHHELD"


@dataclass(frozen=True, slots=True)
class Vitals:
    """Figures for the heartbeat; None is "not known"."""

    fps: float | None = None
    frame_age_ms: float | None = None
    infer_age_ms: float | None = None
    latency_p99_ms: float | None = None
    temperature_c: float | None = None
    frames: int = 0


NO_VITALS = Vitals()


class Publisher(Protocol):
    """Carries decisions to the PLC and keeps it informed; called from the main loop only."""

    def publish(self, decision: SortDecision) -> PublishResult:
        """Send a decision now or not at all."""

    def state(self, state: AppState | str, *, cause: str | None = None) -> None:
        """Tell what this program can do from now on."""

    def tick(self, now_ns: int, *, vitals: Vitals = NO_VITALS) -> None:
        """Do what is due: heartbeat, reconnect."""

    def close(self) -> None:
        """Say goodbye and stop."""


class Gate:
    """Lets each (parcel, revision) pass once and only before its deadline."""

    def __init__(self) -> None:
        self._passed: OrderedDict[tuple[str, int], None] = OrderedDict()

    def refusal(self, decision: SortDecision, *, now_ns: int) -> PublishResult | None:
        """Return why this decision must not be sent now, or None."""
        if (decision.parcel_uid, decision.rev) in self._passed:
            return PublishResult.DUPLICATE
        return PublishResult.LATE if now_ns > decision.deadline_ns else None

    def passed(self, decision: SortDecision) -> None:
        """Remember that this decision was sent."""
        self._passed[decision.parcel_uid, decision.rev] = None
        if len(self._passed) > REMEMBERED_KEYS:
            self._passed.popitem(last=False)


class MemoryPublisher:
    """Keeps what a broker would have got; for tests, benchmarks and replays without a broker.

    Attributes:
        sent: Decisions, in order.
        states: Every state told, with its cause.
        counts: How many decisions ended in each result.
    """

    def __init__(self, clock: Clock) -> None:
        self.sent: list[SortDecision] = []
        self.states: list[tuple[AppState, str | None]] = []
        self.counts: Counter[PublishResult] = Counter()
        self._clock = clock
        self._gate = Gate()

    def publish(self, decision: SortDecision) -> PublishResult:
        """Keep a decision, under the rules of a real link."""
        result = self._gate.refusal(decision, now_ns=self._clock.now_ns()) or PublishResult.SENT
        self.counts[result] += 1
        if result is PublishResult.SENT:
            self._gate.passed(decision)
            self.sent.append(decision)
        return result

    def state(self, state: AppState | str, *, cause: str | None = None) -> None:
        """Keep a state if it is a new one."""
        told = (AppState(state), cause)
        if not self.states or self.states[-1] != told:
            self.states.append(told)

    def tick(self, now_ns: int, *, vitals: Vitals = NO_VITALS) -> None:
        """Nothing is due in memory."""

    def close(self) -> None:
        """Tell the last state, as a link would."""
        self.state(AppState.OFFLINE, cause="stopped")
