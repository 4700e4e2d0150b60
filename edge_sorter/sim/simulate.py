"""The real tracker, identifier and router on a simulated line with exact truth, for as many parcels as wanted.

Contract: `simulate` is a function of parcels, level and seed; how many processes share the work changes nothing. The
line is cut into stretches of `SHARD` parcels, each with a generator and a boot of its own, whose counts are added up
in order.
"""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from edge_sorter.atomic import write_json, write_text
from edge_sorter.errors import ConfigError
from edge_sorter.sim.counted_belt import CountedBelt
from edge_sorter.sim.kinds import ALL
from edge_sorter.sim.landing import count_landed, land, line_layout
from edge_sorter.sim.levels import LEVELS, Level
from edge_sorter.sim.line import SINGLE, Parcels, drive, lay, travel_needed_mm
from edge_sorter.sim.measure import Measured, measure
from edge_sorter.sim.rooms import LINE_MM, Rooms
from edge_sorter.sim.twin.faults import FaultSection
from edge_sorter.sim.twin.layout import SimPlcConfig
from edge_sorter.sim.verdict import Tally, Truth, judge, report
from edge_sorter.sort import SortPlan
from edge_sorter.types import Parcel, Track, TrackState

SHARD = 1000
"""Parcels of one stretch of belt."""
EXAMPLES_KEPT = 500
Progress = Callable[[str, int, int | None], None]


def simulate(
    parcels: int,
    level: str,
    *,
    seed: int = 0,
    processes: int | None = None,
    land_with: Sequence[FaultSection] | None = None,
    out_dir: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Run a simulated line and report.

    Args:
        parcels: How many.
        level: Name of a level.
        seed: Which line.
        processes: How many share the work; default: one for each core.
        land_with: Also carry every decision out and report what lands where, with these faults of belt, encoder and
            lanes in each stretch of belt; None: nothing lands.
        out_dir: Where report.json and failures.jsonl go; they appear whole or not at all.
        progress: Told how many parcels are done.

    Raises:
        ConfigError: There is no such level, there are no parcels, a fault is none of such a line, or nothing can be
            written into `out_dir`.
    """
    if level not in LEVELS:
        raise ConfigError(f"there is no level {level!r}; take one of {', '.join(LEVELS)}")
    if parcels < 1:
        raise ConfigError(f"cannot simulate {parcels} parcels; give at least 1")
    if out_dir is not None:
        _check_writable(out_dir)
    faults = None if land_with is None else tuple(land_with)
    if faults is not None:
        _layout(LEVELS[level], faults)
    jobs = [(level, seed, shard, min(SHARD, parcels - shard * SHARD), faults) for shard in range(-(-parcels // SHARD))]
    workers = min(processes or os.cpu_count() or 1, len(jobs))
    tally = Tally()
    if workers <= 1:
        _gather(tally, map(run_shard, *zip(*jobs, strict=True)), parcels, progress)
    else:
        context = multiprocessing.get_context("spawn")  # no state of this process leaks into the line
        with ProcessPoolExecutor(workers, mp_context=context) as pool:
            _gather(tally, pool.map(run_shard, *zip(*jobs, strict=True)), parcels, progress)
    result = {"level": level, "seed": seed, **report(tally)}
    if out_dir is not None:
        write_json(out_dir / "report.json", result)
        rows = [json.dumps(row, separators=(",", ":")) for row in tally.examples[:EXAMPLES_KEPT]]
        write_text(out_dir / "failures.jsonl", "".join(row + "\n" for row in rows))
    return result


def _check_writable(out_dir: Path) -> None:
    """Say before the work, not after it, that its report could not be written."""
    there = next(path for path in (out_dir.absolute(), *out_dir.absolute().parents) if path.exists())
    if not there.is_dir():
        raise ConfigError(f"the report cannot go into {out_dir}: {there} is a file; name a folder")
    if not os.access(there, os.W_OK):
        raise ConfigError(f"the report cannot go into {out_dir}: {there} may not be written; name another folder")


def _gather(tally: Tally, parts: Iterable[Tally], parcels: int, progress: Progress | None) -> None:
    for part in parts:
        tally.add(part)
        if progress is not None:
            progress("parcels", tally.parcels, parcels)


def run_shard(
    level_name: str, seed: int, shard: int, count: int, faults: tuple[FaultSection, ...] | None = None
) -> Tally:
    """Run one stretch of belt from its first parcel to its last; with faults, or none of them, everything lands."""
    level = LEVELS[level_name]
    line_rng, belt_rng, look_rng = (
        np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, shard, part]))) for part in range(3)
    )
    parcels = lay(line_rng, level.parcels, count)
    ride = drive(belt_rng, level.belt, travel_mm=travel_needed_mm(parcels))
    belt = CountedBelt.of(ride, faults or ())
    measured = measure(look_rng, level, parcels, belt.ride, line_mm=LINE_MM)
    rooms = Rooms(level, boot_id=f"S{shard:05d}")
    decisions, delivered_ns, switches = rooms.run(measured, belt, level.belt, parcels)
    tally = judge(
        parcels,
        _truth(parcels, rooms, measured, belt),
        decisions,
        delivered_ns,
        switches,
        exception_lane=rooms.plan.exception,
        shard=shard,
        per_kind=bool(level.parcels.totes or level.parcels.irregular),
    )
    tally.frames = len(measured.captured_ns)
    if faults is not None:
        sent = sorted(zip(delivered_ns, decisions, strict=True), key=lambda one: one[0])
        tally.landed = count_landed(land(*_layout(level, faults), parcels, ride, sent))
    return tally


def _layout(level: Level, faults: Sequence[FaultSection]) -> tuple[SimPlcConfig, SortPlan]:
    doubles = level.sort.get("doubles", "sort")
    return line_layout(line_mm=LINE_MM, mm_per_count=level.belt.mm_per_count, doubles=doubles, faults=faults)


def _truth(parcels: Parcels, rooms: Rooms, measured: Measured, belt: CountedBelt) -> Truth:
    centre = LINE_MM - parcels.start_mm + parcels.slip_mm[:, 2]  # whoever slides has done so before the line
    middle_mm = rooms.belt.map.middle_y_mm if rooms.belt.map else 0.0
    doubtful = rooms.section.doubles == "exception"
    return Truth(
        lead_mm=belt.counted_of(centre - parcels.reach_mm[:, 0]),
        trail_mm=belt.counted_of(centre + parcels.reach_mm[:, 0]),
        lateral_mm=parcels.lateral_mm - middle_mm,
        half_width_mm=parcels.reach_mm[:, 1],
        lane=[
            rooms.plan.exception if doubtful and parcels.group[i] != SINGLE else _lane(rooms.plan, parcels, i)
            for i in range(len(parcels))
        ],
        causes=measured.causes,
    )


def _lane(plan: SortPlan, parcels: Parcels, i: int) -> str:
    """Return the lane the plan gives a parcel of which everything is known; a kind it does not name has no rule."""
    class_id, (length_mm, width_mm, _) = int(parcels.class_id[i]), parcels.size_mm[i].tolist()
    track = Track(1, TrackState.CONFIRMED, 0, (0.0, 0.0, 1.0, 1.0), (0.0, 0.0), True, 1.0, class_id, 9, 0, 0)
    rule = plan.rule_for(Parcel(track, ALL[parcels.kind[i]].class_name, 1.0, (length_mm, width_mm)))
    return plan.default if rule is None else rule.to[0]
