"""Does a line stay what it was, for hours? Plays a clip of known truth over and over as a camera would, and measures.

Every ten seconds: resident memory, threads, open files and the latency from capture to publish. Every round of the
clip: each decision against the truth. Everything a live line has is in it: pipeline, broker, status and page.

Contract: `run_soak` measures in constant memory and decides nothing; `edge-sorter soak` is its command.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

from rich.console import Console

from edge_sorter.clock import FileClock, ReplayClock
from edge_sorter.config import Config, ServiceSection, load_config
from edge_sorter.events import LineEvent
from edge_sorter.plc.publisher import PublishResult
from edge_sorter.replay.drift import Drift, drift
from edge_sorter.replay.histogram import Histogram
from edge_sorter.replay.memory import resident_mb
from edge_sorter.replay.showcase import run_showcase
from edge_sorter.replay.truth import LaneOf, Truth, judge, lane_by_plan, load_truth
from edge_sorter.sort import load_plan
from edge_sorter.types import Blind, SortDecision, Step
from edge_sorter.video import open_source

SAMPLE_NS = 10_000_000_000
WARM_S, WARM_FRAMES = 300.0, 7500
"""By then every cache, ring and pool has its size; slopes are fitted from here on. Rings fill by frames: a machine that
decides few of them warms up for longer."""
MEMORY_LIMIT_MB_H = 1.0
LATENCY_LIMIT_MS_H = 1.0
WORK_LIMIT_MS_H = 1.0
REMEMBERED_MISSES = 100


@dataclass(frozen=True, slots=True)
class Sample:
    """The line over ten seconds; latencies are None when no frame was decided in them.

    `cpu_ms` is the processor time of the whole process for a frame: unlike the latency it hardly depends on what else
    the machine does, whose `load` stands beside it.
    """

    at_s: float
    memory_mb: float
    threads: int
    files: int
    frames: int
    p50_ms: float | None
    p99_ms: float | None
    max_ms: float
    cpu_ms: float | None
    load: float


@dataclass
class Rounds:
    """Decisions held against the truth, one round of the clip at a time.

    Attributes:
        played: Rounds judged.
        parcels, decided, missed, extra, lane_judged, lane_right: Sums over them.
        wrong_rounds: Where something was not right, with the frames left out in that round; the first hundred.
    """

    truth: Truth
    lane_of: LaneOf
    period_ns: int
    played: int = 0
    parcels: int = 0
    decided: int = 0
    missed: int = 0
    extra: int = 0
    lanes_judged: int = 0
    lane_right: int = 0
    wrong_rounds: list[dict[str, Any]] = field(default_factory=list)
    _open: dict[int, list[SortDecision]] = field(default_factory=dict)
    _frames: dict[int, int] = field(default_factory=dict)

    def saw(self, captured_ns: int) -> None:
        """Count one decided frame; closes the rounds that no decision can concern any more."""
        now = captured_ns // self.period_ns
        self._frames[now] = self._frames.get(now, 0) + 1
        for finished in [number for number in self._frames if number < now - 1]:
            self._close(finished)

    def add(self, decision: SortDecision) -> None:
        """Take a decision, as one of the round in which its parcel crossed the line."""
        number, crossed_ns = divmod(decision.crossed_ns, self.period_ns)
        self._open.setdefault(number, []).append(replace(decision, crossed_ns=crossed_ns))

    def _close(self, number: int) -> None:
        verdict = judge(self.truth, self._open.pop(number, []), lane_of=self.lane_of)
        frames = self._frames.pop(number)
        self.played += 1
        for name in ("parcels", "decided", "missed", "extra", "lanes_judged", "lane_right"):
            setattr(self, name, getattr(self, name) + getattr(verdict, name))
        if verdict.missed or verdict.extra or verdict.wrong:
            found = {"round": number, "frames": frames, "missed": verdict.missed, "extra": verdict.extra}
            self.wrong_rounds = [*self.wrong_rounds, {**found, "wrong": verdict.wrong}][:REMEMBERED_MISSES]

    def verdict(self) -> str:
        """Tell whether every parcel got one decision: "yes", "no", or "too short to say"."""
        if not self.played:
            return "too short to say"
        return "no" if self.missed or self.extra else "yes"

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        names = ("played", "parcels", "decided", "missed", "extra", "lanes_judged", "lane_right", "wrong_rounds")
        return {name: getattr(self, name) for name in names}


class SoakWatch:
    """The observer that samples; all of it runs on the main loop, so nothing here needs a lock."""

    def __init__(self, clock: FileClock, rounds: Rounds, *, told: Callable[[Sample], None]) -> None:
        self.samples: list[Sample] = []
        self.latency = Histogram()
        self.frames = 0
        self.results: dict[str, int] = {}
        self.blind = 0
        self._clock, self._rounds, self._told = clock, rounds, told
        self._lately = Histogram()
        self._due_ns = SAMPLE_NS
        self._cpu_s = time.process_time()

    def on_step(self, step: Step, results: tuple[PublishResult, ...], publish_ns: int) -> None:
        """Note one frame."""
        now_ns = self._clock.now_ns()
        self.frames += 1
        self.latency.record(now_ns - step.captured_ns)
        self._lately.record(now_ns - step.captured_ns)
        self._rounds.saw(step.captured_ns)
        self._count(step.decisions, results)
        if now_ns >= self._due_ns:
            self._sample(now_ns)

    def on_heard(
        self, event: LineEvent, decisions: tuple[SortDecision, ...], results: tuple[PublishResult, ...]
    ) -> None:
        """Note decisions that changed because of what the line told."""
        self._count(decisions, results)

    def on_blind(self, blind: Blind) -> None:
        """Count one look without a picture."""
        self.blind += 1

    def _count(self, decisions: tuple[SortDecision, ...], results: tuple[PublishResult, ...]) -> None:
        for decision, result in zip(decisions, results, strict=True):
            self._rounds.add(decision)
            self.results[result.value] = self.results.get(result.value, 0) + 1

    def _sample(self, now_ns: int) -> None:
        lately, self._lately = self._lately, Histogram()
        before_s, self._cpu_s = self._cpu_s, time.process_time()
        sample = Sample(
            at_s=round(now_ns / 1e9, 1),
            memory_mb=round(resident_mb(), 2),
            threads=_entries("/proc/self/task") or threading.active_count(),
            files=_entries("/proc/self/fd"),
            frames=lately.count,
            p50_ms=lately.percentile_ms(50),
            p99_ms=lately.percentile_ms(99),
            max_ms=round(lately.max_ns / 1e6, 1),
            cpu_ms=round((self._cpu_s - before_s) * 1e3 / lately.count, 2) if lately.count else None,
            load=round(os.getloadavg()[0], 2),
        )
        self.samples.append(sample)
        self._due_ns = max(self._due_ns + SAMPLE_NS, now_ns)
        self._told(sample)


def run_soak(
    config_path: Path,
    truth_path: Path,
    *,
    seconds: float,
    address: str,
    own_broker: bool,
    stopped: Callable[[], bool],
    told: Callable[[Sample], None] = lambda _: None,
) -> dict[str, Any]:
    """Play for some time, or until `stopped()`.

    Args:
        config_path: The line; its `video.source` must be a clip.
        truth_path: What crosses the line in one round of that clip.
        seconds: How long.
        address: Where the page listens, host:port.
        own_broker: Bring a broker along in this process; else the configuration's is used.
        stopped: Asked between frames.
        told: Called with every sample.

    Returns:
        The report: every sample, the slopes once it is warm, the verdict on each promise.

    Raises:
        EdgeSorterError: Anything that keeps the line from running.
    """
    config = load_config(config_path)
    clock = FileClock()
    rounds = _rounds(config, truth_path)
    watch = SoakWatch(clock, rounds, told=told)
    run_showcase(
        Console(quiet=True),
        service=ServiceSection(http=address),
        stopped=lambda: stopped() or clock.now_ns() > seconds * 1e9,
        config_path=config_path,
        clock=clock,
        observers=(watch,),
        own_broker=own_broker,
    )
    return soak_report(watch, rounds)


def _rounds(config: Config, truth_path: Path) -> Rounds:
    with open_source(config.video, clock=ReplayClock()) as source:
        period_ns = round((source.frames_total or 0) * 1e9 / (source.fps or 25.0))
    plan = load_plan(config.sort.plan, classes=None)
    together = config.sort.doubles == "exception"
    return Rounds(load_truth(truth_path), lane_by_plan(plan, groups_to_exception=together), period_ns)


def soak_report(watch: SoakWatch, rounds: Rounds) -> dict[str, Any]:
    """Return what was measured, as plain values."""
    done = accumulate(sample.frames for sample in watch.samples)
    warm = [sample for sample, frames in zip(watch.samples, done, strict=True) if _warm(sample, frames)]
    at_s = [sample.at_s for sample in warm]
    memory = drift(at_s, [sample.memory_mb for sample in warm])
    seen = [sample for sample in warm if sample.p50_ms is not None]
    latency = drift([sample.at_s for sample in seen], [sample.p50_ms or 0.0 for sample in seen])
    work = drift([sample.at_s for sample in seen], [sample.cpu_ms or 0.0 for sample in seen])
    ends = (watch.samples[0], watch.samples[-1]) if watch.samples else ()
    return {
        "schema": "edge_sorter.soak/1",
        "minutes": round(ends[1].at_s / 60, 1) if ends else 0.0,
        "warm_after_s": warm[0].at_s if warm else None,
        "frames": watch.frames,
        "rounds": rounds.as_dict(),
        "published": watch.results,
        "blind_looks": watch.blind,
        "memory_mb_h": memory and memory.as_dict(),
        "latency_p50_ms_h": latency and latency.as_dict(),
        "cpu_ms_a_frame_h": work and work.as_dict(),
        "latency_ms": watch.latency.summary_ms(),
        "threads": _range([sample.threads for sample in warm]),
        "files": _range([sample.files for sample in warm]),
        "promises": {
            f"memory grows less than {MEMORY_LIMIT_MB_H:g} MB/h": _below(memory, MEMORY_LIMIT_MB_H),
            f"latency grows less than {LATENCY_LIMIT_MS_H:g} ms/h": _below(latency, LATENCY_LIMIT_MS_H),
            f"work for a frame grows less than {WORK_LIMIT_MS_H:g} ms/h": _below(work, WORK_LIMIT_MS_H),
            "every parcel decided once": rounds.verdict(),
        },
        "samples": [asdict(sample) for sample in watch.samples],
    }


def _warm(sample: Sample, frames: int) -> bool:
    return sample.at_s >= WARM_S and frames >= WARM_FRAMES


def _below(found: Drift | None, limit: float) -> str:
    return "too short to say" if found is None else found.below(limit)


def _range(values: list[int]) -> list[int] | None:
    return [min(values), max(values)] if values else None


def _entries(folder: str) -> int:
    try:
        return len(os.listdir(folder))  # noqa: PTH208  ten times cheaper than iterdir
    except OSError:
        return 0
