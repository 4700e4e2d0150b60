"""What evidence costs: `python -m edge_sorter.replay.evidence_cost`.

Plays the demo line with evidence and without, in turns; every parcel is made an exception (it would need more looks
than any gets), so with evidence a clip is written all the time: the worst case. Prints the latency from capture to
publish of both sides, the processor time on the decision loop and on the keeper's thread, and whether evidence delays
anything; exit code 1 when it does.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import yaml

from edge_sorter.clock import FileClock
from edge_sorter.replay.cost import (
    MOST_LATER_MS,
    SIDES,
    CostWatch,
    OnTheLoop,
    Side,
    Verdict,
    delays_nothing,
    on_a_free_machine,
    p99_difference,
    playing,
    summary,
    tell,
    threads_cpu_s,
)
from edge_sorter.replay.demo import DEMO
from edge_sorter.service.evidence import Evidence

THREAD = "evidence"


def measure(*, rounds: int, seconds: float) -> tuple[dict[str, object], dict[str, Verdict]]:
    """Play the line `rounds` times on each side, for so many seconds each; return figures and promises."""
    watch = CostWatch(FileClock())
    keeper: list[float] = []
    loop: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        paths = {side: _config(Path(folder), side) for side in SIDES}
        for _ in range(rounds):
            for side in SIDES:
                loads: list[OnTheLoop] = []
                with playing(watch, loads=loads, config_path=paths[side]):
                    ours = [load for load in loads if isinstance(load.inner, Evidence)]
                    before = threads_cpu_s((THREAD,)), sum(load.spent_ns for load in ours)
                    watch.note(side, seconds)
                    after = threads_cpu_s((THREAD,)), sum(load.spent_ns for load in ours)
                if side == "with":
                    keeper.append(round(100 * (after[0] - before[0]) / seconds, 1))
                    loop.append(round((after[1] - before[1]) / 1e3 / max(1, len(watch.latency_ms[side][-1])), 1))
        clips = len(list((Path(folder) / "evidence").glob("*.mp4")))
    difference = p99_difference(watch)
    without, with_it = (summary(watch, side, seconds=seconds) for side in SIDES)
    figures = {
        "rounds": rounds,
        "clips_written": clips,
        "keeper_cpu_percent": keeper,
        "on_the_loop_us_a_frame": loop,
        "without": without,
        "with": with_it,
        "p99_difference_ms_95": difference,
    }
    promises = {f"evidence adds at most {MOST_LATER_MS:g} ms to p99": delays_nothing(difference)}
    return figures, on_a_free_machine(promises, without, with_it)


def _config(folder: Path, side: Side) -> Path:
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


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="What evidence of exceptions costs the line.")
    parser.add_argument("--rounds", type=int, default=6, help="how often each side is played")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each side of a round")
    wanted = parser.parse_args()
    sys.exit(tell(*measure(rounds=wanted.rounds, seconds=wanted.seconds)))


if __name__ == "__main__":
    main()
