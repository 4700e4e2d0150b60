"""What the line is doing right now, for everybody who looks on: metrics, health, page, doctor.

Contract: the main loop writes, any thread reads. Writing costs microseconds and never waits for a reader that works on
what it got: `snapshot` copies under the lock and hands out frozen values.
"""

from __future__ import annotations

import math
import threading
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import TypeVar

from edge_sorter.clock import Clock
from edge_sorter.events import LineEvent
from edge_sorter.plc.alarms import Alarm
from edge_sorter.plc.messages import AppState, InfoMessage
from edge_sorter.plc.publisher import PublishResult, Vitals
from edge_sorter.service.durations import DurationCounts, Durations
from edge_sorter.types import Blind, Frame, SortDecision, Step
from edge_sorter.video.source import Picture

RECENT_DECISIONS = 200
RECENT_STEPS = 900
"""Half a minute at 30 frames a second."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Decided:
    """One decision and what became of it.

    Attributes:
        decision: The decision with its evidence.
        result: Whether it was sent, or why not.
        published_ns: When it had been handed over, on the axis of `captured_ns`.
        published_at: The same as wall time, UTC.
        stage_ns: What each stage took in the frame that completed the crossing.
    """

    decision: SortDecision
    result: PublishResult
    published_ns: int
    published_at: datetime
    stage_ns: dict[str, int]

    @property
    def latency_ms(self) -> float:
        """From exposure to published."""
        return (self.published_ns - self.decision.captured_ns) / 1e6

    @property
    def spare_ms(self) -> float:
        """From published to the deadline; negative is late."""
        return (self.decision.deadline_ns - self.published_ns) / 1e6


@dataclass(frozen=True, slots=True)
class Timed:
    """What one frame took: each stage, and from exposure to the end of publishing."""

    captured_ns: int
    latency_ns: int
    stage_ns: dict[str, int]


@dataclass(frozen=True, slots=True)
class Seen:
    """The newest frame that was decided, with everything it led to."""

    frame: Frame
    step: Step


@dataclass(frozen=True, slots=True)
class Peers:
    """What the ends of the line say: camera and broker.

    Attributes:
        camera_drops: Frames not delivered, by reason.
        camera_reconnects: How often a lost camera was found again.
        broker_connected: Whether a decision would be sent now.
        broker_reconnects: How often a lost broker was found again.
        acked: Decisions the broker acknowledged.
        outcomes: How many parcels' stories ended how, as the PLC told.
        rejected: Incoming messages that were refused, by code.
        alarms: What is wrong right now, the most urgent first.
    """

    camera_drops: dict[str, int]
    camera_reconnects: int = 0
    broker_connected: bool = False
    broker_reconnects: int = 0
    acked: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    rejected: dict[str, int] = field(default_factory=dict)
    alarms: tuple[Alarm, ...] = ()


@dataclass(frozen=True, slots=True)
class LineSnapshot:
    """The line at one moment.

    Attributes:
        now_ns: The moment, on the axis of `captured_ns`.
        now: The same as wall time, UTC.
        info: What is running; None while it starts.
        state, cause: What the state topic says, and why.
        since: Wall time of the latest change of state.
        blind_for: Reason for which there is no usable picture, else None.
        progress_ns: When the main loop last came round; far in the past means it hangs.
        frames: Frames decided since the start.
        fps: Frame rate of late, or None.
        frame_age_ms: Age of the newest frame, or None before the first.
        tracks: Tracks now alive, by life state.
        blind: Times without usable picture, by reason.
        decided: Decisions since the start, by (lane, action, reason).
        with_code: Decisions since the start for parcels with an accepted code.
        published: Decisions since the start, by what became of them.
        recent: Newest decisions, oldest first, at most `RECENT_DECISIONS`.
        timings: Newest frames, oldest first, at most `RECENT_STEPS`.
        stages: Durations by stage since the start: preprocess, infer, decode, track, identify, sort, publish.
        latency: Exposure to published, of frames that held a decision, since the start.
        peers: Camera and broker.
        evidence: What was kept of exceptions, by why, and what was left out; None where nothing is kept.
    """

    now_ns: int
    now: datetime
    info: InfoMessage | None
    state: AppState
    cause: str
    since: datetime
    blind_for: str | None
    progress_ns: int
    frames: int
    fps: float | None
    frame_age_ms: float | None
    tracks: dict[str, int]
    blind: dict[str, int]
    decided: dict[tuple[str, str, str], int]
    with_code: int
    published: dict[str, int]
    recent: tuple[Decided, ...]
    timings: tuple[Timed, ...]
    stages: dict[str, DurationCounts]
    latency: DurationCounts
    peers: Peers
    evidence: dict[str, int] | None

    @property
    def stalled_ms(self) -> float:
        """How long ago the main loop last came round."""
        return (self.now_ns - self.progress_ns) / 1e6


class LineStatus:
    """Collects what happens on the main loop; an `Observer` of the pipeline's `run`.

    Attributes:
        evidence: Counts what is kept of exceptions; None where nothing is.
    """

    def __init__(self, clock: Clock) -> None:
        self.evidence: Counter[str] | None = None
        self._clock = clock
        self._lock = threading.Lock()
        self._info: InfoMessage | None = None
        self._state, self._cause, self._since = AppState.STARTING, "start", clock.wall(clock.now_ns())
        self._blind_for: str | None = None
        self._progress_ns = clock.now_ns()
        self._vitals = Vitals()
        self._frames = 0
        self._last_frame: Frame | None = None
        self._seen: Seen | None = None
        self._blind: Counter[str] = Counter()
        self._decided: Counter[tuple[str, str, str]] = Counter()
        self._with_code = 0
        self._published: Counter[str] = Counter()
        self._recent: deque[Decided] = deque(maxlen=RECENT_DECISIONS)
        self._timings: deque[Timed] = deque(maxlen=RECENT_STEPS)
        self._stages: dict[str, Durations] = {}
        self._latency = Durations()
        self._peers = Peers({})

    # Written by the main loop.

    def running(self, info: InfoMessage) -> None:
        """Note what is running, once it is known and whenever it changes."""
        with self._lock:
            self._info = info

    def told(self, state: AppState | str, *, cause: str | None = None) -> None:
        """Note what the state topic was told."""
        state = AppState(state)
        cause = cause or state.value.lower()
        with self._lock:
            if (state, cause) == (self._state, self._cause):
                return
            if state is not self._state:
                self._since = self._clock.wall(self._clock.now_ns())
            self._state, self._cause = state, cause

    def came_round(self, now_ns: int, *, vitals: Vitals) -> None:
        """Note that the main loop is alive."""
        with self._lock:
            self._progress_ns, self._vitals = now_ns, vitals

    def met(self, peers: Peers) -> None:
        """Note what camera and broker say."""
        with self._lock:
            self._peers = peers

    def watching(self, source: Iterable[Picture]) -> Iterator[Picture]:
        """Yield what a source yields, remembering the newest frame (no copy) for those who want to see it."""
        for item in source:
            if isinstance(item, Frame):
                self._last_frame = item
            yield item

    def on_step(self, step: Step, results: tuple[PublishResult, ...], publish_ns: int) -> None:
        """Note one step of the pipeline, just published."""
        now_ns = self._clock.now_ns()
        latency_ns = now_ns - step.captured_ns
        stage_ns = {**step.stage_ns, "publish": publish_ns}
        with self._lock:
            self._frames += 1
            self._blind_for = None
            self._timings.append(Timed(step.captured_ns, latency_ns, stage_ns))
            for stage, duration_ns in stage_ns.items():
                self._stages.setdefault(stage, Durations()).record(duration_ns)
            self._count(step.decisions, results, now_ns=now_ns, stage_ns=stage_ns)
            for _ in step.decisions:
                self._latency.record(latency_ns)
            frame = self._last_frame
            if frame is not None and frame.index == step.frame_index:
                self._seen = Seen(frame, step)

    def on_heard(
        self, event: LineEvent, decisions: tuple[SortDecision, ...], results: tuple[PublishResult, ...]
    ) -> None:
        """Note decisions that changed because of what the line told."""
        if decisions:
            with self._lock:
                self._count(decisions, results, now_ns=self._clock.now_ns(), stage_ns={})

    def _count(
        self,
        decisions: tuple[SortDecision, ...],
        results: tuple[PublishResult, ...],
        *,
        now_ns: int,
        stage_ns: dict[str, int],
    ) -> None:
        for decision, result in zip(decisions, results, strict=True):
            self._decided[decision.lane, decision.action.value, decision.reason.value] += 1
            self._with_code += bool(decision.codes)
            self._published[result.value] += 1
            self._recent.append(Decided(decision, result, now_ns, self._clock.wall(now_ns), stage_ns))
            if self._info is not None and decision.plan != self._info.plan:
                self._info = self._info.model_copy(update={"plan": decision.plan})

    def on_blind(self, blind: Blind) -> None:
        """Note that there was no usable picture."""
        with self._lock:
            self._blind[blind.reason] += 1
            self._blind_for = blind.reason

    # Read by anybody.

    @property
    def info(self) -> InfoMessage | None:
        """What is running; None while it starts."""
        return self._info

    def recent_p99_ms(self) -> float | None:
        """Return what 99 % of the last half minute's frames stayed below, exposure to published; None before any."""
        with self._lock:
            latencies = sorted(timed.latency_ns for timed in self._timings)
        return latencies[math.ceil(0.99 * len(latencies)) - 1] / 1e6 if latencies else None

    def seen(self) -> Seen | None:
        """Return the newest decided frame, or None before the first."""
        return self._seen

    def snapshot(self, *, decisions: int = RECENT_DECISIONS, timings: int = RECENT_STEPS) -> LineSnapshot:
        """Return the line at this moment.

        Args:
            decisions: How many of the newest decisions to include at most.
            timings: How many of the newest frames' timings to include at most.
        """
        now_ns = self._clock.now_ns()
        now = self._clock.wall(now_ns)
        seen = self._seen
        tracks = Counter(track.state.value for track in seen.step.tracks) if seen is not None else Counter[str]()
        with self._lock:
            return LineSnapshot(
                now_ns=now_ns,
                now=now,
                info=self._info,
                state=self._state,
                cause=self._cause,
                since=self._since,
                blind_for=self._blind_for,
                progress_ns=self._progress_ns,
                frames=self._frames,
                fps=self._vitals.fps,
                frame_age_ms=(now_ns - self._timings[-1].captured_ns) / 1e6 if self._timings else None,
                tracks=dict(tracks),
                blind=dict(self._blind),
                decided=dict(self._decided),
                with_code=self._with_code,
                published=dict(self._published),
                recent=_newest(self._recent, decisions),
                timings=_newest(self._timings, timings),
                stages={stage: durations.copy() for stage, durations in self._stages.items()},
                latency=self._latency.copy(),
                peers=self._peers,
                evidence=None if self.evidence is None else dict(self.evidence),
            )


def _newest(values: deque[_T], count: int) -> tuple[_T, ...]:
    return tuple(islice(values, max(0, len(values) - count), None))
