"""The real tracker, identifier and router on a simulated line with exact truth, for as many parcels as wanted.

Contract: `simulate` is a function of parcels, level and seed; how many processes share the work changes nothing. The
line is cut into stretches of `SHARD` parcels, each with a generator and a boot of its own, whose counts are added up
in order.
"""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from edge_sorter.atomic import write_json, write_text
from edge_sorter.belt import Belt, BeltMap, Calibration, DecisionLine, EncoderMotion
from edge_sorter.config import DecisionLineSection, IdentifySection, SortSection, TrackSection
from edge_sorter.errors import ConfigError
from edge_sorter.identify import Identifier
from edge_sorter.sim.kinds import ALL
from edge_sorter.sim.levels import LEVELS, BeltKnobs, Level
from edge_sorter.sim.line import SINGLE, Ints, Parcels, Ride, drive, lay, travel_needed_mm
from edge_sorter.sim.measure import CAMERA, HIGH_CONFIDENCE, IMAGE_PX, SEVERAL, Measured, measure
from edge_sorter.sim.scenario import CLASSES
from edge_sorter.sim.verdict import Tally, Truth, judge, report
from edge_sorter.sort import Router, SortPlan, load_plan
from edge_sorter.track import Tracker
from edge_sorter.types import Detections, Parcel, SortDecision, Track, TrackState

SHARD = 1000
"""Parcels of one stretch of belt."""
LINE_MM = 1140.0
PLAN = Path(__file__).resolve().parents[2] / "configs" / "demo" / "plan.yaml"
EXAMPLES_KEPT = 500
IDLE_NS = 50_000_000
"""While no frame comes, the loop looks after overdue parcels so often, as with a camera."""
Progress = Callable[[str, int, int | None], None]


def simulate(
    parcels: int,
    level: str,
    *,
    seed: int = 0,
    processes: int | None = None,
    out_dir: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Run a simulated line and report.

    Args:
        parcels: How many.
        level: Name of a level.
        seed: Which line.
        processes: How many share the work; default: one for each core.
        out_dir: Where report.json and failures.jsonl go; they appear whole or not at all.
        progress: Told how many parcels are done.

    Raises:
        ConfigError: There is no such level, there are no parcels, or nothing can be written into `out_dir`.
    """
    if level not in LEVELS:
        raise ConfigError(f"there is no level {level!r}; take one of {', '.join(LEVELS)}")
    if parcels < 1:
        raise ConfigError(f"cannot simulate {parcels} parcels; give at least 1")
    if out_dir is not None:
        _check_writable(out_dir)
    jobs = [(level, seed, shard, min(SHARD, parcels - shard * SHARD)) for shard in range(-(-parcels // SHARD))]
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


def run_shard(level_name: str, seed: int, shard: int, count: int) -> Tally:
    """Run one stretch of belt from its first parcel to its last."""
    level = LEVELS[level_name]
    line_rng, belt_rng, look_rng = (
        np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, shard, part]))) for part in range(3)
    )
    parcels = lay(line_rng, level.parcels, count)
    ride = drive(belt_rng, level.belt, travel_mm=travel_needed_mm(parcels))
    measured = measure(look_rng, level, parcels, ride, line_mm=LINE_MM)
    rooms = Rooms(level, boot_id=f"S{shard:05d}")
    decisions, delivered_ns, switches = rooms.run(measured, ride, level.belt, parcels)
    tally = judge(
        parcels,
        _truth(parcels, rooms, measured),
        decisions,
        delivered_ns,
        switches,
        exception_lane=rooms.plan.exception,
        shard=shard,
        per_kind=bool(level.parcels.totes or level.parcels.irregular),
    )
    tally.frames = len(measured.captured_ns)
    return tally


class Rooms:
    """Tracker, identifier and router, put together as the pipeline does, on a belt with an encoder."""

    def __init__(self, level: Level, *, boot_id: str) -> None:
        belt_map = BeltMap(calibration(), image_size_px=IMAGE_PX)
        line = DecisionLine(DecisionLineSection(at_mm=LINE_MM), belt_map=belt_map, image_size_px=IMAGE_PX)
        self.motion = EncoderMotion(mm_per_count=level.belt.mm_per_count)
        self.belt = Belt(belt_map, self.motion, line, (1.0, 0.0))
        self.plan: SortPlan = load_plan(PLAN, classes=CLASSES)
        self.tracker = Tracker(TrackSection(**level.track), high_confidence=HIGH_CONFIDENCE, shift=belt_map.shift)
        self.identifier = Identifier(IdentifySection(), classes=CLASSES, belt_map=belt_map, image_size_px=IMAGE_PX)
        self.section = SortSection(plan=PLAN, **level.sort)
        self.router = Router(self.section, plan=self.plan, line=line, belt=self.belt, boot_id=boot_id)

    def run(
        self, measured: Measured, ride: Ride, belt: BeltKnobs, parcels: Parcels
    ) -> tuple[list[SortDecision], list[int], Ints]:
        """Feed all frames with parcels; return decisions, when each was ready, and id switches by parcel (n,)."""
        encoder = _Encoder(self.motion, ride, belt)
        decisions: list[SortDecision] = []
        delivered_ns: list[int] = []
        ids, empty_mm = _Ids(len(parcels)), travel_needed_mm(parcels)
        rows, first_row, now_ns = measured.rows, measured.first_row.tolist(), 0
        xyxy, confidence = rows.xyxy.astype(np.float32), rows.confidence.astype(np.float32)
        for frame, at_ns in enumerate(measured.captured_ns.tolist()):
            ready_ns = int(measured.delivered_ns[frame])
            for idle_ns in range(now_ns + IDLE_NS, ready_ns, IDLE_NS):
                encoder.feed(idle_ns)
                overdue = self.router.decide_overdue(idle_ns, self.motion.travel_mm(idle_ns), degraded=False)
                decisions += overdue
                delivered_ns += [idle_ns] * len(overdue)
            now_ns = max(now_ns, ready_ns)
            encoder.feed(at_ns)
            travel_mm = self.motion.travel_mm(at_ns)
            if travel_mm is not None and travel_mm > empty_mm:
                break
            mine = slice(first_row[frame], first_row[frame + 1])
            detections = Detections(at_ns, xyxy[mine], confidence[mine], rows.class_id[mine])
            tracks = self.tracker.update(detections, travel_mm=travel_mm)
            ids.note(tracks, detections, rows.source[mine])
            seen = self.identifier.update(tracks, ())
            for decision in self.router.update(seen, captured_ns=at_ns, travel_mm=travel_mm):
                decisions.append(decision)
                delivered_ns.append(ready_ns)
        return decisions, delivered_ns, ids.switches


class _Ids:
    """Counts how often a parcel changes the track that follows it."""

    def __init__(self, parcels: int) -> None:
        self.switches: Ints = np.zeros(parcels, np.int64)
        self._track_of: dict[int, int] = {}

    def note(self, tracks: tuple[Track, ...], detections: Detections, source: Ints) -> None:
        """See which track took which parcel's box. Within a frame a confidence names one box."""
        of = dict(zip(detections.confidence.tolist(), source.tolist(), strict=True))
        for track in tracks:
            if track.measured and track.state is TrackState.CONFIRMED:
                parcel = of.get(track.confidence, SEVERAL)
                if parcel >= 0 and self._track_of.setdefault(parcel, track.track_id) != track.track_id:
                    self.switches[parcel] += 1
                    self._track_of[parcel] = track.track_id


def calibration() -> Calibration:
    """Return four exact points of the simulated camera's picture."""
    belt_mm = np.array([[140.0, 800.0], [1760.0, 800.0], [1760.0, 0.0], [140.0, 0.0]])
    pixels = CAMERA.project(np.column_stack([belt_mm, np.zeros(4)])).round(4)
    return Calibration.model_validate(
        {"image_size_px": IMAGE_PX, "image_points_px": pixels.tolist(), "belt_points_mm": belt_mm.tolist()}
    )


class _Encoder:
    """Tells the belt's motion what the encoder counted."""

    def __init__(self, motion: EncoderMotion, ride: Ride, knobs: BeltKnobs) -> None:
        at_s = np.arange(round((ride.end_s + 1.0) * knobs.encoder_hz)) / knobs.encoder_hz
        self._motion, self._next = motion, 0
        self._at_ns: list[int] = np.round(at_s * 1e9).astype(np.int64).tolist()
        self._counts: list[int] = np.floor(ride.travel_mm(at_s) / knobs.mm_per_count + 1e-6).astype(np.int64).tolist()

    def feed(self, at_ns: int) -> None:
        """Tell the samples up to the first at or after a moment."""
        while self._next < len(self._at_ns) and (self._next == 0 or self._at_ns[self._next - 1] < at_ns):
            self._motion.feed(self._at_ns[self._next], self._counts[self._next])
            self._next += 1


def _truth(parcels: Parcels, rooms: Rooms, measured: Measured) -> Truth:
    centre = LINE_MM - parcels.start_mm + parcels.slip_mm[:, 2]  # whoever slides has done so before the line
    middle_mm = rooms.belt.map.middle_y_mm if rooms.belt.map else 0.0
    doubtful = rooms.section.doubles == "exception"
    return Truth(
        lead_mm=centre - parcels.reach_mm[:, 0],
        trail_mm=centre + parcels.reach_mm[:, 0],
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
