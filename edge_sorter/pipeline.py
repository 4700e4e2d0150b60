"""The product in one place: what happens to a frame, and the loop that feeds frames until told to stop.

`Pipeline.step` is four calls in the order of the data: detect, track, identify, sort. Live runs, replays, benchmarks,
the demo and the tests all call it. `Pipeline.hear` takes what the line tells between frames: counts, photo-eyes, lanes.
`run` adds the surroundings of a real line: a source that may go blind, a publisher that may be offline, a journal.
All of it is single-threaded on purpose; only sources and the MQTT client own threads.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from edge_sorter.belt import Belt, EncoderMotion, RecordedEncoder, StopWatch, open_belt, watch_encoder
from edge_sorter.clock import Clock, stopwatch_ns
from edge_sorter.condition import Pulse, Told
from edge_sorter.config import Config
from edge_sorter.detect import Detector
from edge_sorter.errors import EngineError
from edge_sorter.events import EncoderCount, Flush, LineEvent, LineReport, ModelInUse, Overdue, ScannerRead, Thresholds
from edge_sorter.identify import CodeReader, Identifier, ScannerReads
from edge_sorter.line_input import EventList, Inputs, LineInput
from edge_sorter.plc.publisher import Publisher, PublishResult
from edge_sorter.sort import Router, SortPlan, open_items
from edge_sorter.track import Tracker
from edge_sorter.types import Blind, Box, CodeRead, Detections, Frame, SortDecision, Step, Track
from edge_sorter.video import HealthMonitor
from edge_sorter.video.source import Picture

log = logging.getLogger(__name__)

ReadCodes = Callable[[tuple[Track, ...]], tuple[CodeRead, ...]]
Rescue = Callable[[Detector, EngineError], Detector]
"""Takes a detector whose engine failed and returns one that works, or raises the error."""


class Pipeline:
    """Frames in, steps out. All state lives in the tracker, the identifier and the router it is made of."""

    def __init__(
        self,
        config: Config,
        *,
        detector: Detector | None,
        plan: SortPlan,
        image_size_px: tuple[int, int],
        boot_id: str,
        classes: tuple[str, ...],
        high_confidence: float,
    ) -> None:
        self.belt: Belt = open_belt(config.belt, image_size_px=image_size_px)
        self.trouble: str | None = None
        """Why no position can be trusted now, so that every decision is for the exception lane; or None."""
        self.detector = detector
        self._encoder = watch_encoder(self.belt, config.belt, image_size_px=image_size_px)
        self.tracker = Tracker(
            config.track, high_confidence=high_confidence, shift=self.belt.map.shift if self.belt.map else None
        )
        self.reader = CodeReader(config.identify)
        self.identifier = Identifier(
            config.identify,
            classes=classes,
            belt_map=self.belt.map,
            image_size_px=image_size_px,
            view_xyxy_px=_view_px(config.detect.crop, image_size_px),
        )
        self.items = open_items(config.belt.photo_eye, belt=self.belt)
        self.scanned = self._open_scanned(config)
        self._stops = None if self.belt.map is None else StopWatch(self.belt.map)
        self.router = Router(
            config.sort,
            plan=plan,
            line=self.belt.line,
            belt=self.belt,
            boot_id=boot_id,
            classes=classes,
            flush_at_start=config.flushes_at_start,
            items=self.items,
        )

    def _open_scanned(self, config: Config) -> ScannerReads | None:
        motion, belt_map = self.belt.motion, self.belt.map
        if not isinstance(motion, EncoderMotion) or belt_map is None:
            return None
        span_of = None if self.items is None else self.items.book.span_of
        return ScannerReads(config.identify, motion=motion, belt_map=belt_map, span_of=span_of)

    def hear(self, event: LineEvent) -> tuple[SortDecision, ...]:
        """Take what the line told, in the order of arrival, and return decisions that change because of it."""
        if isinstance(event, EncoderCount):
            if isinstance(self.belt.motion, EncoderMotion):
                self.belt.motion.feed(event.at_ns, event.count)
            if self._encoder is not None:
                self._encoder.stated(event.mm_per_count)
            return ()
        if isinstance(event, ScannerRead):
            if self.scanned is not None:
                self.scanned.hear(event)
            return ()
        if isinstance(event, Overdue):
            travel_mm = self.travel_mm(event.at_ns)
            return self.router.decide_overdue(event.at_ns, travel_mm, degraded=self.trouble is not None)
        if isinstance(event, LineReport) and self._stops is not None:
            self._stops.hear(event)
        if isinstance(event, Thresholds | ModelInUse):
            self.tracker.high_confidence = event.confidence
        return self.router.hear(event)

    def overdue(self, at_ns: int) -> tuple[Overdue, ...]:
        """Return the event to hear now if a parcel cannot wait for the next frame, else nothing."""
        return (Overdue(at_ns),) if self.router.overdue(at_ns, self.travel_mm(at_ns)) else ()

    def step(self, frame: Frame) -> Step:
        """Take one frame all the way to decisions.

        Frames must come in the order of their `captured_ns`; any may be missing.

        Raises:
            EngineError: The inference engine failed.
        """
        if self.detector is None:
            raise ValueError("this pipeline replays a journal and has no detector")
        detections = self.detector.detect(frame)
        return self.decide(
            frame.index,
            detections,
            travel_mm=self.travel_mm(frame.captured_ns),
            read=lambda tracks: self.reader.read(frame, tracks),
            stage_ns=dict(self.detector.stage_ns),
        )

    def in_use(self, at_ns: int, *, why: str) -> ModelInUse:
        """Return the news that the detector of now finds the parcels from here on; a journal must hear it.

        Raises:
            ValueError: This pipeline replays a journal and has no detector.
        """
        if self.detector is None:
            raise ValueError("this pipeline replays a journal and has no detector")
        manifest = self.detector.manifest
        return ModelInUse(
            at_ns,
            manifest.short_name,
            manifest.sha256,
            self.detector.description,
            self.tracker.high_confidence,
            why[:200],
        )

    def travel_mm(self, at_ns: int) -> float | None:
        """Return the belt's travel as far as it can be believed."""
        misled = self._encoder is not None and self._encoder.misleads
        return None if misled else self.belt.motion.travel_mm(at_ns)

    def decide(
        self,
        index: int,
        detections: Detections,
        *,
        travel_mm: float | None,
        read: ReadCodes,
        stage_ns: dict[str, int] | None = None,
    ) -> Step:
        """Do everything that follows detection; a journal replay starts here with recorded detections and reads."""
        at_ns = detections.captured_ns
        marks = [stopwatch_ns()]
        standing = travel_mm is not None and self.belt.motion.stands(at_ns)
        tracks = self.tracker.update(detections, travel_mm=travel_mm, standing=standing)
        if self._encoder is not None:
            self.trouble = self._encoder.look(tracks, at_ns=at_ns)
        if self.trouble is None and self.items is not None and self.items.mismatched:
            self.trouble = "MISMATCH_FLUSH"
        marks.append(stopwatch_ns())
        reads = read(tracks)
        parcels = self.identifier.update(tracks, reads)
        if self.scanned is not None:
            parcels = self.scanned.give(parcels, travel_mm=travel_mm)
        marks.append(stopwatch_ns())
        slipped = self._stops is not None and self._stops.look(tracks, travel_mm=travel_mm)
        decisions = self.router.hear(Flush(at_ns, "STOP_FLUSH")) if slipped else ()
        decisions += self.router.update(
            parcels, captured_ns=at_ns, travel_mm=travel_mm, degraded=self.trouble is not None
        )
        if self.items is not None and self.items.take_mismatch():
            decisions += self.router.hear(Flush(at_ns, "MISMATCH_FLUSH"))
        marks.append(stopwatch_ns())
        spent = stage_ns if stage_ns is not None else {}
        spent |= {name: marks[i + 1] - marks[i] for i, name in enumerate(("track", "identify", "sort"))}
        return Step(index, at_ns, travel_mm, detections, reads, tracks, parcels, decisions, spent)


def _view_px(crop: tuple[float, float, float, float], image_size_px: tuple[int, int]) -> Box:
    (x1, y1, x2, y2), (width, height) = crop, image_size_px
    return x1 * width, y1 * height, x2 * width, y2 * height


class Observer(Protocol):
    """Somebody who looks on without influencing anything: journal, report, screen."""

    def on_step(self, step: Step, results: tuple[PublishResult, ...], publish_ns: int) -> None:
        """See one step, what became of its decisions, and how long publishing took."""

    def on_blind(self, blind: Blind) -> None:
        """See that there was no usable picture."""

    def on_heard(
        self, event: LineEvent, decisions: tuple[SortDecision, ...], results: tuple[PublishResult, ...]
    ) -> None:
        """See what the line told, the decisions it changed, and what became of those."""


@dataclass
class RunCounts:
    """What a run did, for its last line."""

    frames: int = 0
    blind: dict[str, int] = field(default_factory=dict)
    published: dict[str, int] = field(default_factory=dict)

    def count(self, results: tuple[PublishResult, ...]) -> None:
        """Add what became of some decisions."""
        for result in results:
            self.published[result.value] = self.published.get(result.value, 0) + 1


def run(
    source: Iterable[Picture],
    pipeline: Pipeline,
    publisher: Publisher,
    *,
    clock: Clock,
    health: HealthMonitor,
    line: LineInput | None = None,
    observers: tuple[Observer, ...] = (),
    stopped: Callable[[], bool] = lambda: False,
    rescue: Rescue | None = None,
) -> RunCounts:
    """Feed a source through a pipeline until it ends or `stopped()` says so.

    What the line told since the last frame is heard before the next one is looked at. A frame that the health monitor
    finds unusable is never looked at: the line is announced DEGRADED with the reason, and RUNNING again once the
    picture recovers. So it is when the pipeline is in trouble with the encoder. A frame on which inference fails is
    looked at again by the detector that `rescue` returns.

    Raises:
        EngineError: The inference engine failed, and there is no rescue.
    """
    counts = RunCounts()
    pulse = Pulse()
    line = line or EventList()
    told = Told(publisher)
    for item in source:
        now_ns = clock.now_ns()
        publisher.tick(now_ns, vitals=pulse.vitals(now_ns))
        if stopped():
            break
        for event in line.take_events(now_ns):
            _hear(event, pipeline, publisher, observers, counts)
        blind = _unusable(item, health) if isinstance(item, Frame) else item
        if blind is not None:
            told.tell(blind.reason)  # first: what is decided without a picture is never news before the reason is
        if blind is not None or item is None:
            for event in pipeline.overdue(now_ns):
                _hear(event, pipeline, publisher, observers, counts)
        if item is None:
            continue
        if blind is not None:
            counts.blind[blind.reason] = counts.blind.get(blind.reason, 0) + 1
            for observer in observers:
                observer.on_blind(blind)
        elif isinstance(item, Frame):
            told.tell(pipeline.trouble)
            pulse.beat(item.captured_ns)
            step = _look(item, pipeline, rescue, lambda event: _hear(event, pipeline, publisher, observers, counts))
            _publish(step, publisher, observers, counts)
            told.tell(pipeline.trouble)
    return counts


def _hear(
    event: LineEvent, pipeline: Pipeline, publisher: Publisher, observers: tuple[Observer, ...], counts: RunCounts
) -> None:
    decisions = pipeline.hear(event)
    results = tuple(publisher.publish(decision) for decision in decisions)
    counts.count(results)
    for observer in observers:
        observer.on_heard(event, decisions, results)


def _look(frame: Frame, pipeline: Pipeline, rescue: Rescue | None, hear: Callable[[LineEvent], None]) -> Step:
    while True:
        try:
            return pipeline.step(frame)
        except EngineError as error:
            if rescue is None or pipeline.detector is None:
                raise
            pipeline.detector = rescue(pipeline.detector, error)
            hear(pipeline.in_use(frame.captured_ns, why=str(error)))


def _publish(step: Step, publisher: Publisher, observers: tuple[Observer, ...], counts: RunCounts) -> None:
    began_ns = stopwatch_ns()
    results = tuple(publisher.publish(decision) for decision in step.decisions)
    publish_ns = stopwatch_ns() - began_ns
    counts.frames += 1
    counts.count(results)
    for observer in observers:
        observer.on_step(step, results, publish_ns)


def _unusable(frame: Frame, health: HealthMonitor) -> Blind | None:
    reason = health.check(frame)
    return None if reason is None else Blind(frame.captured_ns, reason)


def line_of(config: Config, *others: LineInput) -> tuple[Inputs, RecordedEncoder | None]:
    """Return what hears the line: the record of a clip's encoder where one is configured, and `others`.

    Raises:
        ConfigError: The record is missing or wrong.
    """
    encoder = config.belt.encoder
    if encoder is None or not isinstance(encoder.source, Path):
        return Inputs(others), None
    recorded = RecordedEncoder(encoder.source, bits=encoder.bits)
    return Inputs((recorded, *others)), recorded


def open_pipeline(
    config: Config, *, detector: Detector, plan: SortPlan, image_size_px: tuple[int, int], boot_id: str
) -> Pipeline:
    """Put a pipeline together for pictures of one size.

    Raises:
        ConfigError: The calibration is wrong.
    """
    return Pipeline(
        config,
        detector=detector,
        plan=plan,
        image_size_px=image_size_px,
        boot_id=boot_id,
        classes=detector.classes,
        high_confidence=detector.high_confidence,
    )
