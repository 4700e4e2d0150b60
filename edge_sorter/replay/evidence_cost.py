"""What evidence costs: `python -m edge_sorter.replay.evidence_cost`.

Plays the demo line with evidence and without, in turns; every parcel is made an exception (it would need more looks
than any gets), so with evidence a clip is written all the time: the worst case. Prints the latency from capture to
publish of both sides, and the CPU share of the keeper's thread.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tempfile
import threading
import time
from pathlib import Path

import yaml
from rich.console import Console

from edge_sorter.clock import FileClock, SystemClock
from edge_sorter.config import ServiceSection
from edge_sorter.replay.demo import DEMO
from edge_sorter.replay.page_cost import ADDRESS, SETTLE_S, Stopwatch, p99_difference, summary
from edge_sorter.replay.showcase import run_showcase

THREAD = "evidence"


def measure(*, rounds: int, seconds: float) -> dict[str, object]:
    """Play the line `rounds` times on each side, for so many seconds each."""
    clock = FileClock()
    watch = Stopwatch(clock)
    cpu: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        paths = {side: _config(Path(folder), side) for side in ("without", "with")}
        for _ in range(rounds):
            for side, path in paths.items():
                cpu += _play(path, watch, side, seconds=seconds)
        clips = len(list((Path(folder) / "evidence").glob("*.mp4")))
    return {
        "rounds": rounds,
        "clips_written": clips,
        "keeper_cpu_percent": [round(100 * share, 1) for share in cpu],
        "without": summary(watch, "without", seconds=seconds),
        "with": summary(watch, "with", seconds=seconds),
        "p99_difference_ms_95": p99_difference(watch),
    }


def _config(folder: Path, side: str) -> Path:
    values = yaml.safe_load((DEMO / "line.yaml").read_text(encoding="utf-8"))
    for section, key in (("video", "source"), ("detect", "model"), ("belt", "calibration"), ("sort", "plan")):
        values[section][key] = str((DEMO / values[section][key]).resolve())
    values["belt"]["encoder"]["source"] = str(DEMO / values["belt"]["encoder"]["source"])
    values["sort"]["min_hits"] = 1000
    if side == "with":
        values["evidence"] = {"path": str(folder / "evidence"), "per_hour": 100_000}
    path = folder / f"{side}.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return path


def _play(path: Path, watch: Stopwatch, side: str, *, seconds: float) -> list[float]:
    """Play one side of a round; return what share of a core the keeper used, where there is one."""
    done = threading.Event()
    watch.started.clear()
    service = ServiceSection(http=ADDRESS)
    line = threading.Thread(
        target=lambda: run_showcase(
            Console(file=io.StringIO()),
            service=service,
            stopped=done.is_set,
            clock=watch.clock,
            observers=(watch,),
            config_path=path,
        ),
        name="line",
    )
    line.start()
    try:
        if not watch.started.wait(120):
            raise RuntimeError("the demo line did not start within two minutes")
        time.sleep(SETTLE_S)
        before = _cpu_s()
        watch.begin(side)
        time.sleep(seconds)
        watch.side = None
        return [(_cpu_s() - before) / seconds] if side == "with" else []
    finally:
        done.set()
        line.join(60)


def _cpu_s() -> float:
    threads = [t for t in threading.enumerate() if t.name == THREAD and t.ident is not None]
    return sum(time.clock_gettime(time.pthread_getcpuclockid(t.ident)) for t in threads if t.ident is not None)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="What evidence of exceptions costs the line.")
    parser.add_argument("--rounds", type=int, default=6, help="how often each side is played")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each side of a round")
    wanted = parser.parse_args()
    began = SystemClock()
    result = measure(rounds=wanted.rounds, seconds=wanted.seconds)
    at = began.wall(began.now_ns())
    sys.stdout.write(json.dumps({"at": f"{at:%Y-%m-%d %H:%M} UTC", **result}, indent=2) + "\n")


if __name__ == "__main__":
    main()
