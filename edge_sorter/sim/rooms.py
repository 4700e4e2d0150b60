"""Tracker, identifier and router on the simulated belt, put together as the pipeline does.

Contract: `Rooms.run` gives them measured boxes and the counts of an encoder, in the order in which a line would, and
returns their decisions with the time at which each was ready. On a belt with faults they hear of emergency stops, and
the encoder is watched as on a real line.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge_sorter.belt import Belt, BeltMap, Calibration, DecisionLine, EncoderMotion
from edge_sorter.belt.watch import EncoderWatch
from edge_sorter.config import DecisionLineSection, IdentifySection, SortSection, TrackSection
from edge_sorter.events import LineReport
from edge_sorter.identify import Identifier
from edge_sorter.sim.boxes import HIGH_CONFIDENCE, SEVERAL
from edge_sorter.sim.counted_belt import CountedBelt
from edge_sorter.sim.levels import BeltKnobs, Level
from edge_sorter.sim.line import Ints, Parcels, travel_needed_mm
from edge_sorter.sim.looks import CAMERA, IMAGE_PX
from edge_sorter.sim.measure import Measured
from edge_sorter.sim.scenario import CLASSES
from edge_sorter.sort import Router, SortPlan, load_plan
from edge_sorter.track import Tracker
from edge_sorter.types import Detections, SortDecision, Track, TrackState

LINE_MM = 1140.0
PLAN = Path(__file__).resolve().parents[2] / "configs" / "demo" / "plan.yaml"
IDLE_NS = 50_000_000
"""While no frame comes, the loop looks after overdue parcels so often, as with a camera."""


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
        self, measured: Measured, belt: CountedBelt, knobs: BeltKnobs, parcels: Parcels
    ) -> tuple[list[SortDecision], list[int], Ints]:
        """Feed all frames with parcels; return decisions, when each was ready, and id switches by parcel (n,)."""
        encoder, told = _Encoder(self.motion, belt, knobs), _Told(self, belt, knobs)
        decisions: list[SortDecision] = []
        delivered_ns: list[int] = []
        ids, empty_mm = _Ids(len(parcels)), travel_needed_mm(parcels)
        rows, first_row, now_ns = measured.rows, measured.first_row.tolist(), 0
        xyxy, confidence = rows.xyxy.astype(np.float32), rows.confidence.astype(np.float32)
        for frame, at_ns in enumerate(measured.captured_ns.tolist()):
            ready_ns = int(measured.delivered_ns[frame])
            for idle_ns in range(now_ns + IDLE_NS, ready_ns, IDLE_NS):
                encoder.feed(idle_ns)
                overdue = self.router.decide_overdue(idle_ns, told.travel_mm(idle_ns), degraded=told.degraded)
                decisions += overdue
                delivered_ns += [idle_ns] * len(overdue)
            now_ns = max(now_ns, ready_ns)
            encoder.feed(at_ns)
            for decision in told.hear(at_ns):
                decisions.append(decision)
                delivered_ns.append(ready_ns)
            travel_mm = told.travel_mm(at_ns)
            if travel_mm is not None and travel_mm > empty_mm:
                break
            mine = slice(first_row[frame], first_row[frame + 1])
            detections = Detections(at_ns, xyxy[mine], confidence[mine], rows.class_id[mine])
            tracks = self.tracker.update(detections, travel_mm=travel_mm)
            told.look(tracks, at_ns)
            ids.note(tracks, detections, rows.source[mine])
            seen = self.identifier.update(tracks, ())
            for decision in self.router.update(seen, captured_ns=at_ns, travel_mm=travel_mm, degraded=told.degraded):
                decisions.append(decision)
                delivered_ns.append(ready_ns)
        return decisions, delivered_ns, ids.switches


class _Told:
    """What the line says of itself on a belt with faults: emergency stops, and whether its encoder can be believed."""

    def __init__(self, rooms: Rooms, belt: CountedBelt, knobs: BeltKnobs) -> None:
        self._router, self._motion = rooms.router, rooms.motion
        self._watch: EncoderWatch | None = None
        if belt.faults and rooms.belt.map is not None:
            foot_x_mm, mm_per_count = CAMERA.position_mm[0], knobs.mm_per_count
            self._watch = EncoderWatch(rooms.motion, rooms.belt.map, IMAGE_PX, foot_x_mm, mm_per_count)
        self._reports = [
            LineReport(round(at_s * 1e9), packml)
            for begin_s, end_s in belt.stops_s
            for at_s, packml in ((begin_s, "ABORTED"), (end_s, "EXECUTE"))
        ]

    @property
    def degraded(self) -> bool:
        """Whether no position can be trusted now."""
        return self._watch is not None and self._watch.trouble is not None

    def travel_mm(self, at_ns: int) -> float | None:
        """Return the belt's travel as far as it can be believed."""
        return None if self._watch is not None and self._watch.misleads else self._motion.travel_mm(at_ns)

    def hear(self, until_ns: int) -> tuple[SortDecision, ...]:
        """Tell the router what the line said up to a moment; returns what it decides because of it."""
        decisions: tuple[SortDecision, ...] = ()
        while self._reports and self._reports[0].at_ns <= until_ns:
            decisions += self._router.hear(self._reports.pop(0))
        return decisions

    def look(self, tracks: tuple[Track, ...], at_ns: int) -> None:
        """Hold the encoder against the picture."""
        if self._watch is not None:
            self._watch.look(tracks, at_ns=at_ns)


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

    def __init__(self, motion: EncoderMotion, belt: CountedBelt, knobs: BeltKnobs) -> None:
        at_s = np.arange(round((belt.ride.end_s + 1.0) * knobs.encoder_hz)) / knobs.encoder_hz
        counted_mm = belt.counted_of(belt.travel_mm(at_s))
        self._motion, self._next = motion, 0
        self._at_ns: list[int] = np.round(at_s * 1e9).astype(np.int64).tolist()
        self._counts: list[int] = np.floor(counted_mm / knobs.mm_per_count + 1e-6).astype(np.int64).tolist()

    def feed(self, at_ns: int) -> None:
        """Tell the samples up to the first at or after a moment."""
        while self._next < len(self._at_ns) and (self._next == 0 or self._at_ns[self._next - 1] < at_ns):
            self._motion.feed(self._at_ns[self._next], self._counts[self._next])
            self._next += 1
