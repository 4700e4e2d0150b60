"""What the page costs: `python -m edge_sorter.replay.page_cost`.

Plays the demo line and lets viewers come and go in turns, so that both sides of the comparison share one run and one
machine's moods. Prints the CPU share of the page with nobody looking, and the latency from capture to publish with and
without viewers. Viewers are a process of their own: real WebSockets that take every picture and acknowledge it.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import random
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field

from rich.console import Console
from websockets.asyncio.client import connect

from edge_sorter.clock import FileClock, SystemClock
from edge_sorter.config import ServiceSection
from edge_sorter.events import LineEvent
from edge_sorter.plc.publisher import PublishResult
from edge_sorter.replay.showcase import run_showcase
from edge_sorter.types import Blind, SortDecision, Step

ADDRESS = "127.0.0.1:9477"
SETTLE_S = 3.0
RESAMPLES = 2000
PAGE_THREADS = ("http", "page-jpeg")


@dataclass
class Stopwatch:
    """An observer that notes how long every frame took, under the number of viewers at that time."""

    clock: FileClock
    side: str | None = None
    latency_ms: dict[str, list[list[float]]] = field(default_factory=lambda: {"without": [], "with": []})
    started: threading.Event = field(default_factory=threading.Event)

    def on_step(self, step: Step, results: tuple[PublishResult, ...], publish_ns: int) -> None:
        """Note one frame."""
        self.started.set()
        if self.side is not None:
            self.latency_ms[self.side][-1].append((self.clock.now_ns() - step.captured_ns) / 1e6)

    def on_heard(
        self, event: LineEvent, decisions: tuple[SortDecision, ...], results: tuple[PublishResult, ...]
    ) -> None:
        """Not measured."""

    def on_blind(self, blind: Blind) -> None:
        """Not measured."""

    def begin(self, side: str) -> None:
        """Count from now on for this side, as a new stretch."""
        self.latency_ms[side].append([])
        self.side = side


def measure(*, rounds: int, seconds: float, viewers: int) -> dict[str, object]:
    """Play the line and compare; one round is `seconds` without and `seconds` with viewers."""
    clock = FileClock()
    watch = Stopwatch(clock)
    done = threading.Event()
    service = ServiceSection(http=ADDRESS)
    console = Console(file=io.StringIO())
    line = threading.Thread(
        target=lambda: run_showcase(console, service=service, stopped=done.is_set, clock=clock, observers=(watch,)),
        name="line",
    )
    line.start()
    idle_cpu: list[float] = []
    busy_cpu: list[float] = []
    try:
        if not watch.started.wait(120):
            raise RuntimeError("the demo line did not start within two minutes")
        time.sleep(SETTLE_S)
        for _ in range(rounds):
            before = _page_cpu_s()
            watch.begin("without")
            time.sleep(seconds)
            watch.side = None
            idle_cpu.append((_page_cpu_s() - before) / seconds)
            with subprocess.Popen(
                [sys.executable, "-m", __spec__.name, "--look", str(viewers)], start_new_session=True
            ) as crowd:
                time.sleep(SETTLE_S)
                before = _page_cpu_s()
                watch.begin("with")
                time.sleep(seconds)
                watch.side = None
                busy_cpu.append((_page_cpu_s() - before) / seconds)
                crowd.terminate()
            time.sleep(1.0)
    finally:
        done.set()
        line.join(30)
    return _result(watch, (idle_cpu, busy_cpu), viewers=viewers, seconds=seconds)


def _result(
    watch: Stopwatch, cpu: tuple[list[float], list[float]], *, viewers: int, seconds: float
) -> dict[str, object]:
    return {
        "viewers": viewers,
        "rounds": len(cpu[0]),
        "page_cpu_percent_nobody_looking": [round(100 * share, 2) for share in cpu[0]],
        "page_cpu_percent_with_viewers": [round(100 * share, 1) for share in cpu[1]],
        "without": summary(watch, "without", seconds=seconds),
        "with": summary(watch, "with", seconds=seconds),
        "p99_difference_ms_95": p99_difference(watch),
    }


def summary(watch: Stopwatch, side: str, *, seconds: float) -> dict[str, float]:
    """Return the figures of one side; every stretch of it took `seconds`."""
    values = sorted(v for stretch in watch.latency_ms[side] for v in stretch)
    return {
        "frames": len(values),
        "fps": round(len(values) / (seconds * len(watch.latency_ms[side])), 1),
        "p50_ms": round(_share(values, 0.5), 1),
        "p99_ms": round(_share(values, 0.99), 1),
        "max_ms": round(values[-1], 1),
    }


def p99_difference(watch: Stopwatch) -> tuple[float, float]:
    """Return the 95 % interval of p99 with minus p99 without, resampling whole rounds."""
    pairs = list(zip(watch.latency_ms["without"], watch.latency_ms["with"], strict=True))
    dice = random.Random(0)
    found: list[float] = []
    for _ in range(RESAMPLES):
        drawn = [dice.choice(pairs) for _ in pairs]
        without = sorted(v for pair in drawn for v in pair[0])
        with_them = sorted(v for pair in drawn for v in pair[1])
        found.append(_share(with_them, 0.99) - _share(without, 0.99))
    found.sort()
    return round(_share(found, 0.025), 1), round(_share(found, 0.975), 1)


def _share(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _page_cpu_s() -> float:
    """Return the CPU time the page's own threads have used."""
    spent = 0.0
    for thread in threading.enumerate():
        if thread.ident is not None and thread.name.startswith(PAGE_THREADS):
            spent += time.clock_gettime(time.pthread_getcpuclockid(thread.ident))
    return spent


async def _look(viewers: int) -> None:
    async def one() -> None:
        async with connect(f"ws://{ADDRESS}/api/live", max_size=None) as socket:
            async for _ in socket:
                await socket.send("ok")

    await asyncio.gather(*(one() for _ in range(viewers)))


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="What the operator's page costs the line.")
    parser.add_argument("--rounds", type=int, default=6, help="how often viewers come and go")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each side of a round")
    parser.add_argument("--viewers", type=int, default=5)
    parser.add_argument("--look", type=int, metavar="N", help="be N viewers of a running measurement")
    wanted = parser.parse_args()
    if wanted.look:
        os.nice(19)  # real viewers sit at machines of their own
        asyncio.run(_look(wanted.look))
        return
    began = SystemClock()
    result = measure(rounds=wanted.rounds, seconds=wanted.seconds, viewers=wanted.viewers)
    at = began.wall(began.now_ns())
    sys.stdout.write(json.dumps({"at": f"{at:%Y-%m-%d %H:%M} UTC", **result}, indent=2) + "\n")


if __name__ == "__main__":
    main()
