"""The whole program killed again and again at random moments, its start included; judged by what the PLC side saw.

Camera, broker and PLC go on meanwhile. The belt's travel is speed times the machine's monotonic clock, so that two runs
of the program name the same place by the same millimetre: a parcel that two of them decided would show.
"""

from __future__ import annotations

import itertools
import json
import random
import signal
import sqlite3
import time
from collections import Counter
from pathlib import Path

from mosquitto import Mosquitto, wait_until
from whole_line import WholeLine

STARTING = 0.25
"""So many of the kills hit a run that is still starting."""
SORTING_S = 3.0
"""The others hit one that has sorted for anything up to this."""
SAME_MM = 150.0
"""Parcels of the clip lie further apart than this, and a camera's stamps differ by less of it between two runs."""


def kill_at_random(root: Path, folder: Path, *, times: int, seed: int = 5) -> bool:
    """Kill the program `times` times, let it work once more, and print what happened; tells whether all is right."""
    chance, store, broker = random.Random(seed), folder / "outbox.sqlite", Mosquitto(folder).start()
    line = WholeLine(root, folder, broker, at_start="flush", outbox=store)
    line.lanes.reports = line.plc.confirms = True
    try:
        began_s, before = time.monotonic(), set[str]()
        line.start()
        starts_s = time.monotonic() - began_s
        for number in range(1, times + 1):
            if chance.random() < STARTING:
                time.sleep(chance.uniform(0.0, starts_s))
            else:
                _until_it_sorts(line, before)
                time.sleep(chance.uniform(0.0, SORTING_S))
            assert line.program is not None
            line.program.send_signal(signal.SIGKILL)
            line.program.wait(30)
            before = {state["boot_id"] for _, state in line.plc.states}
            line.start_program()
            if number % 20 == 0:
                print(f"{number} kills, {len(line.plc.acted)} parcels acted on", flush=True)
        _until_it_sorts(line, before)
        time.sleep(5.0)
        line.stop_program()
        return _judge(line, _records(store), times)
    finally:
        line.close()
        broker.stop()


def _until_it_sorts(line: WholeLine, before: set[str]) -> None:
    """Wait for a decision of the run that was started last, which is none of those before."""

    def sorts() -> bool:
        return any(decision["boot_id"] not in before for _, decision in line.plc.decisions[-5:])

    wait_until(sorts, timeout_s=300, what="the program sorts again")


def _records(store: Path) -> list[dict]:
    base = sqlite3.connect(store)
    try:
        (still_open,) = base.execute("SELECT COUNT(*) FROM open_parcel").fetchone()
        assert still_open == 0, f"{still_open} parcels without an end"
        return [json.loads(payload) for (payload,) in base.execute("SELECT payload FROM record")]
    finally:
        base.close()


def _judge(line: WholeLine, records: list[dict], times: int) -> bool:
    plc, ends = line.plc, Counter(record["parcel_uid"] for record in records)
    boots = {decision["boot_id"] for _, decision in plc.decisions}
    unheard = set(plc.uids) - set(ends)
    twice = _same_parcel_twice([decision for _, decision in plc.decisions if decision["parcel_uid"] in plc.acted])
    reasons = Counter(decision["reason"] for _, decision in plc.decisions if decision["rev"] == 0)
    print(f"{times} kills, {len(boots)} runs that decided; {len(ends)} parcels, {len(plc.acted)} acted on")
    print(f"PLC: {plc.acted_late} late, {dict(plc.answers)}; decisions: {dict(reasons)}")
    print(f"records: {dict(Counter(record['outcome'] for record in records))}")
    print(f"parcels without a record {len(unheard)}, with two {sum(n > 1 for n in ends.values())}")
    print(f"same parcel by two runs: {len(twice)} {twice[:5]}")
    acted_once = set(plc.actions.values()) == {1}
    return (
        acted_once and not (plc.acted_late or unheard or twice or plc.answers["STALE_BOOT"]) and max(ends.values()) == 1
    )


def _same_parcel_twice(decisions: list[dict]) -> list[tuple[str, str]]:
    """Return pairs of parcels of different runs that lie at one place."""
    first = {decision["parcel_uid"]: decision for decision in decisions if decision["rev"] == 0}
    placed = sorted(((d["pos"]["lead_mm"] + d["pos"]["trail_mm"]) / 2, d["boot_id"], uid) for uid, d in first.items())
    near = ((a, b) for a, b in itertools.pairwise(placed) if b[0] - a[0] < SAME_MM and a[1] != b[1])
    return [(a[2], b[2]) for a, b in near]
