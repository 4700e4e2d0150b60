"""What the page costs: `python -m edge_sorter.replay.page_cost`.

Plays the demo line and lets viewers come and go in turns. Prints the processor time of the page while nobody looks (its
own threads, and its hand on the decision loop), the latency from capture to publish with and without viewers, and
whether both promises hold; exit code 1 when one is broken. Viewers are a process of their own: real WebSockets that
take every picture and acknowledge it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import time

from websockets.asyncio.client import connect

from edge_sorter.clock import FileClock
from edge_sorter.replay.cost import (
    ADDRESS,
    MOST_LATER_MS,
    SETTLE_S,
    SIDES,
    CostWatch,
    OnTheLoop,
    Verdict,
    delays_nothing,
    on_a_free_machine,
    p99_difference,
    playing,
    stays_below,
    summary,
    tell,
    threads_cpu_s,
)

PAGE_THREADS = ("http", "page-jpeg")
NOBODY_PERCENT = 3.0


def measure(*, rounds: int, seconds: float, viewers: int) -> tuple[dict[str, object], dict[str, Verdict]]:
    """Play the line and compare, `seconds` without and `seconds` with viewers a round; return figures and promises."""
    watch, loads = CostWatch(FileClock()), list[OnTheLoop]()
    nobody: list[float] = []
    crowded: list[float] = []

    def spent_s() -> float:
        return threads_cpu_s(PAGE_THREADS) + sum(load.spent_ns for load in loads) / 1e9

    with playing(watch, loads=loads):
        for _ in range(rounds):
            before = spent_s()
            watch.note("without", seconds)
            nobody.append(round(100 * (spent_s() - before) / seconds, 2))
            with subprocess.Popen(
                [sys.executable, "-m", __spec__.name, "--look", str(viewers)], start_new_session=True
            ) as crowd:
                time.sleep(SETTLE_S)
                before = spent_s()
                watch.note("with", seconds)
                crowded.append(round(100 * (spent_s() - before) / seconds, 2))
                if crowd.poll() is not None:
                    raise RuntimeError("the viewers went away; nothing was measured")
                crowd.terminate()
            time.sleep(1.0)
    difference = p99_difference(watch)
    without, with_it = (summary(watch, side, seconds=seconds) for side in SIDES)
    figures = {
        "viewers": viewers,
        "rounds": rounds,
        "page_cpu_percent_nobody_looking": nobody,
        "page_cpu_percent_with_viewers": crowded,
        "without": without,
        "with": with_it,
        "p99_difference_ms_95": difference,
    }
    promises = {
        f"under {NOBODY_PERCENT:g} % of a core when nobody looks": stays_below(nobody, NOBODY_PERCENT),
        f"{viewers} viewers add at most {MOST_LATER_MS:g} ms to p99": delays_nothing(difference),
    }
    return figures, on_a_free_machine(promises, without, with_it)


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
    sys.exit(tell(*measure(rounds=wanted.rounds, seconds=wanted.seconds, viewers=wanted.viewers)))


if __name__ == "__main__":
    main()
