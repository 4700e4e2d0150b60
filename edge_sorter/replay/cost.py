"""What something that looks on costs the line: the demo line with it and without it, in turns, and a verdict.

Turns share one machine's moods, so that the difference of both sides is not that of a busy minute and a quiet one.
Contract: `CostWatch` notes what every frame took on either side; everything after that is arithmetic on its values.
"""

from __future__ import annotations

import io
import json
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from edge_sorter.clock import FileClock, SystemClock
from edge_sorter.config import ServiceSection
from edge_sorter.events import LineEvent
from edge_sorter.pipeline import Observer
from edge_sorter.plc.publisher import PublishResult
from edge_sorter.replay.demo import DEMO
from edge_sorter.replay.showcase import run_showcase
from edge_sorter.types import Blind, SortDecision, Step

ADDRESS = "127.0.0.1:9477"
SETTLE_S = 3.0
START_S = 120.0
RESAMPLES = 2000
MOST_LATER_MS = 5.0
"""An eighth of the time between two pictures of the demo: so much later at the 99th percentile, and it is a delay."""
FEWEST_ROUNDS = 4
LEAST_FPS = 20.0
"""Of the demo's 25: where fewer are decided, the machine has other things to do, and no figure says anything."""

Side = Literal["without", "with"]
SIDES: tuple[Side, Side] = ("without", "with")
Verdict = Literal["yes", "no", "too short to say", "too busy to say"]


@dataclass
class CostWatch:
    """An observer that notes how long every frame took, under the side it was played for.

    Attributes:
        latency_ms: For each side, every stretch of it: exposure to published, of every frame.
        decided, not_sent: Decisions of each side, and those of them that were late or had no broker.
    """

    clock: FileClock
    side: Side | None = None
    latency_ms: dict[Side, list[list[float]]] = field(default_factory=lambda: {"without": [], "with": []})
    decided: dict[Side, int] = field(default_factory=lambda: {"without": 0, "with": 0})
    not_sent: dict[Side, int] = field(default_factory=lambda: {"without": 0, "with": 0})
    started: threading.Event = field(default_factory=threading.Event)

    def on_step(self, step: Step, results: tuple[PublishResult, ...], publish_ns: int) -> None:
        """Note one frame."""
        self.started.set()
        if self.side is not None:
            self.latency_ms[self.side][-1].append((self.clock.now_ns() - step.captured_ns) / 1e6)
            self._count(results)

    def on_heard(
        self, event: LineEvent, decisions: tuple[SortDecision, ...], results: tuple[PublishResult, ...]
    ) -> None:
        """Count what the line changed."""
        self._count(results)

    def on_blind(self, blind: Blind) -> None:
        """Not measured."""

    def _count(self, results: tuple[PublishResult, ...]) -> None:
        if self.side is not None:
            self.decided[self.side] += len(results)
            self.not_sent[self.side] += sum(result is not PublishResult.SENT for result in results)

    def note(self, side: Side, seconds: float) -> None:
        """Let the line play so long, and note its frames under one side."""
        self.latency_ms[side].append([])
        self.side = side
        time.sleep(seconds)
        self.side = None


class OnTheLoop:
    """An observer around another: the processor time that `inner` has taken from the decision loop is `spent_ns`."""

    def __init__(self, inner: Observer) -> None:
        self.spent_ns = 0
        self.inner = inner

    def on_step(self, step: Step, results: tuple[PublishResult, ...], publish_ns: int) -> None:
        """Pass on one step."""
        began_ns = time.thread_time_ns()
        self.inner.on_step(step, results, publish_ns)
        self.spent_ns += time.thread_time_ns() - began_ns

    def on_heard(
        self, event: LineEvent, decisions: tuple[SortDecision, ...], results: tuple[PublishResult, ...]
    ) -> None:
        """Pass on what was heard."""
        began_ns = time.thread_time_ns()
        self.inner.on_heard(event, decisions, results)
        self.spent_ns += time.thread_time_ns() - began_ns

    def on_blind(self, blind: Blind) -> None:
        """Pass it on."""
        self.inner.on_blind(blind)


@contextmanager
def playing(watch: CostWatch, *, loads: list[OnTheLoop], config_path: Path = DEMO / "line.yaml") -> Iterator[None]:
    """Play a line in a thread while the block runs; what looks on at it is put into `loads`, each timed.

    Raises:
        RuntimeError: It does not start.
    """
    done = threading.Event()
    watch.started.clear()

    def timed(observer: Observer) -> Observer:
        loads.append(OnTheLoop(observer))
        return loads[-1]

    line = threading.Thread(
        target=lambda: run_showcase(
            Console(file=io.StringIO()),
            service=ServiceSection(http=ADDRESS),
            stopped=done.is_set,
            clock=watch.clock,
            observers=(watch,),
            config_path=config_path,
            looking_on=timed,
        ),
        name="line",
    )
    line.start()
    try:
        if not watch.started.wait(START_S):
            raise RuntimeError(f"the demo line did not start within {START_S:g} s")
        time.sleep(SETTLE_S)
        yield
    finally:
        done.set()
        line.join(60)


def threads_cpu_s(names: tuple[str, ...]) -> float:
    """Return the processor time that the threads whose names begin like this have used."""
    found = [t for t in threading.enumerate() if t.name.startswith(names)]
    return sum(time.clock_gettime(time.pthread_getcpuclockid(t.ident)) for t in found if t.ident is not None)


def summary(watch: CostWatch, side: Side, *, seconds: float) -> dict[str, float]:
    """Return the figures of one side, every stretch of which took `seconds`."""
    values = sorted(value for stretch in watch.latency_ms[side] for value in stretch)
    if not values:
        return {"frames": 0}
    return {
        "frames": len(values),
        "fps": round(len(values) / (seconds * len(watch.latency_ms[side])), 1),
        "p50_ms": round(share(values, 0.5), 1),
        "p99_ms": round(share(values, 0.99), 1),
        "max_ms": round(values[-1], 1),
        "decided": watch.decided[side],
        "not_sent": watch.not_sent[side],
    }


def p99_difference(watch: CostWatch) -> tuple[float, float] | None:
    """Return the 95 % interval of p99 with minus p99 without, whole rounds drawn anew; None with too few rounds."""
    pairs = [pair for pair in zip(*(watch.latency_ms[side] for side in SIDES), strict=True) if all(pair)]
    if len(pairs) < FEWEST_ROUNDS:
        return None
    rounds = [tuple(np.asarray(side) for side in pair) for pair in pairs]
    draws = np.random.default_rng(0).integers(len(rounds), size=(RESAMPLES, len(rounds)))
    found = sorted(_p99([rounds[n][1] for n in drawn]) - _p99([rounds[n][0] for n in drawn]) for drawn in draws)
    return round(share(found, 0.025), 1), round(share(found, 0.975), 1)


def _p99(stretches: list[NDArray[np.float64]]) -> float:
    return float(np.quantile(np.concatenate(stretches), 0.99, method="higher"))


def delays_nothing(interval: tuple[float, float] | None, *, most_ms: float = MOST_LATER_MS) -> Verdict:
    """Tell whether p99 stays where it is, give or take `most_ms`."""
    if interval is None:
        return "too short to say"
    low, high = interval
    if high <= most_ms:
        return "yes"
    return "no" if low > most_ms else "too short to say"


def stays_below(percents: Sequence[float], limit: float) -> Verdict:
    """Tell whether every round stayed below a limit."""
    return "too short to say" if not percents else "yes" if max(percents) < limit else "no"


def share(ordered: Sequence[float], part: float) -> float:
    """Return the value below which `part` of the ordered values lie."""
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def on_a_free_machine(promises: dict[str, Verdict], *sides: dict[str, float]) -> dict[str, Verdict]:
    """Return the promises, or that nothing can be said of any: the line did not get to see its pictures."""
    if all(side.get("fps", 0.0) >= LEAST_FPS for side in sides):
        return promises
    return dict.fromkeys(promises, "too busy to say")


def tell(figures: dict[str, object], promises: dict[str, Verdict]) -> int:
    """Print everything as JSON; return the exit code: 1 when a promise is broken."""
    clock = SystemClock()
    at = f"{clock.wall(clock.now_ns()):%Y-%m-%d %H:%M} UTC"
    sys.stdout.write(json.dumps({"at": at, **figures, "promises": promises}, indent=2) + "\n")
    return int("no" in promises.values())
