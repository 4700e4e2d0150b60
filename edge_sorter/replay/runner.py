"""Runs a clip, or a journal of an earlier run, through the very pipeline a live line uses.

A clip gives decisions, a journal, a report and an annotated video; a journal gives the same decisions again, byte for
byte, and says so if they differ.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_sorter.atomic import write_text
from edge_sorter.clock import Clock, FileClock, ReplayClock, ShiftedClock, stopwatch_ns
from edge_sorter.config import Config
from edge_sorter.detect import Detector, open_detector
from edge_sorter.errors import JournalError, VideoError
from edge_sorter.events import LineEvent
from edge_sorter.journal import Journal, JournalStep, JournalWriter, decision_record, dump_line, journal_header
from edge_sorter.pipeline import Pipeline, line_of, open_pipeline, run
from edge_sorter.plc.publisher import MemoryPublisher, Publisher, PublishResult
from edge_sorter.replay.annotate import Overlay, annotate
from edge_sorter.replay.memory import MemoryWatch
from edge_sorter.replay.repeated import Repeated
from edge_sorter.replay.report import Collector, build_report, write_report
from edge_sorter.replay.truth import Truth, Verdict, judge, lane_by_plan, load_truth
from edge_sorter.sort import SortPlan, load_plan
from edge_sorter.types import Blind, Frame, SortDecision, Step
from edge_sorter.video import FrameSource, HealthMonitor, open_source

REPLAY_BOOT_ID = "REPLAY"
"""Replays that nobody listens to share one boot id, so that their decisions compare byte for byte."""

Progress = Callable[[str, int, "int | None"], None]
"""Called with what is being done, how many frames of it are done, and of how many if that is known."""


@dataclass(frozen=True)
class ReplayOptions:
    """How to replay a clip."""

    out_dir: Path | None = None
    realtime: bool = False
    repeat: int = 1
    truth: Path | None = None
    video: bool = True


@dataclass(frozen=True)
class ReplayResult:
    """What a replay gave: the report, and every decision in order."""

    report: dict[str, Any]
    decisions: tuple[SortDecision, ...]
    interrupted: bool = False


class _Recorder:
    """Observer of a replay: journal, counters, latency, progress."""

    def __init__(
        self, journal: JournalWriter | None, clock: Clock, *, paced: bool, on_frame: Callable[[int], None]
    ) -> None:
        self.collector = Collector()
        self.decisions: list[SortDecision] = []
        self.last_ns = 0
        self.memory = MemoryWatch()
        self._journal, self._clock, self._paced, self._on_frame = journal, clock, paced, on_frame

    def on_step(self, step: Step, results: tuple[PublishResult, ...], publish_ns: int) -> None:
        self.collector.on_step(step, results, publish_ns)
        if step.decisions:
            # Unpaced, a frame is captured the moment its turn comes: what counts is the work done since.
            worked_ns = sum(step.stage_ns.values()) + publish_ns
            since_ns = self._clock.now_ns() - step.captured_ns if self._paced else worked_ns
            self.collector.capture_to_publish.record(since_ns)
        self.decisions += step.decisions
        self.last_ns = step.captured_ns
        if self._journal:
            self._journal.write(step)
        self.memory.look(self.collector.frames)
        self._on_frame(self.collector.frames)

    def on_blind(self, blind: Blind) -> None:
        self.collector.on_blind(blind)

    def on_heard(
        self, event: LineEvent, decisions: tuple[SortDecision, ...], results: tuple[PublishResult, ...]
    ) -> None:
        self.collector.on_heard(event, decisions, results)
        self.decisions += decisions
        if self._journal:
            self._journal.hear(event, decisions)


def replay_clip(
    config: Config,
    clip: Path,
    *,
    config_name: str,
    options: ReplayOptions,
    publisher: Publisher | None = None,
    boot_id: str = REPLAY_BOOT_ID,
    progress: Progress = lambda *_: None,
    stopped: Callable[[], bool] = lambda: False,
    clock: Clock | None = None,
) -> ReplayResult:
    """Replay one clip; with `options.out_dir`, leave decisions.jsonl, journal.jsonl, report.json and annotated.mp4.

    Raises:
        EdgeSorterError: Anything wrong with the clip, the model, the plan, the truth or the output folder. A clip that
            breaks off is replayed up to there and its outputs are written (all but the video) before this is raised.
    """
    truth = load_truth(options.truth) if options.truth else None
    section = config.video.model_copy(update={"source": str(clip)})
    clock = clock or (FileClock() if options.realtime else ReplayClock())

    line, encoder = line_of(config)

    def open_at(start_ns: int) -> FrameSource:
        if encoder is not None:
            encoder.restart(start_ns)
        return open_source(section, clock=ShiftedClock(clock, start_ns), realtime=options.realtime)

    with ExitStack() as stack:
        detector = stack.enter_context(open_detector(config.detect))
        plan = load_plan(config.sort.plan, classes=detector.classes)
        source = stack.enter_context(open_at(0) if options.repeat == 1 else Repeated(open_at, options.repeat))
        pipeline = open_pipeline(config, detector=detector, plan=plan, image_size_px=source.size_px, boot_id=boot_id)
        journal = None
        if options.out_dir:
            header = journal_header(
                boot_id=boot_id,
                source=clip.name,
                size_px=source.size_px,
                classes=detector.classes,
                high_confidence=detector.high_confidence,
                model=detector.description,
                plan=plan.name,
            )
            journal = stack.enter_context(JournalWriter(options.out_dir / "journal.jsonl", header=header))
        total = source.frames_total
        recorder = _Recorder(journal, clock, paced=options.realtime, on_frame=lambda n: progress("replay", n, total))
        if isinstance(clock, FileClock):
            clock.restart()
        began_ns = stopwatch_ns()
        damage: VideoError | None = None
        try:
            run(
                source,
                pipeline,
                publisher or MemoryPublisher(clock),
                clock=clock,
                line=line,
                health=HealthMonitor(config.video.blind, watch_frozen=False),
                observers=(recorder,),
                stopped=stopped,
            )
        except VideoError as error:
            damage = error  # what came before the damage is still worth its report
        wall_s = (stopwatch_ns() - began_ns) / 1e9
        report = build_report(
            recorder.collector,
            clip=str(clip),
            config=config_name,
            detector=detector.description,
            plan=plan.name,
            wall_s=wall_s,
            video_s=recorder.last_ns / 1e9,
            dropped=dict(source.drops),
            mode="real time" if options.realtime else "as fast as possible",
            verdict=_verdict(config, plan, truth, recorder.decisions) if truth else None,
            memory_mb=recorder.memory.as_dict(),
            router=pipeline.router.counts,
            damage=str(damage) if damage else None,
        )
        overlay = _overlay(pipeline, detector, plan)
        size_px, fps = source.size_px, source.fps or 25.0
    if options.out_dir:
        _write_outputs(options.out_dir, recorder.decisions, report)
        if options.video and options.repeat == 1 and not damage and not stopped():
            annotate_journal(
                config, clip, options.out_dir, overlay=overlay, size_px=size_px, fps=fps, progress=progress
            )
    if damage:
        raise damage
    return ReplayResult(report, tuple(recorder.decisions), interrupted=stopped())


def replay_journal(config: Config, path: Path, *, out_dir: Path | None = None) -> tuple[int, int]:
    """Decide a journal's recorded detections again.

    Returns:
        Number of decisions, and how many of them differ from the recorded ones (0 means byte-identical).

    Raises:
        JournalError: The journal is damaged, or was made with another sort plan.
    """
    journal = Journal(path)
    header = journal.header
    classes = tuple(header["classes"])
    plan = load_plan(config.sort.plan, classes=classes)
    if plan.name != header["plan"]:
        raise JournalError(f"journal {path} was made with plan {header['plan']}, the configuration has {plan.name}")
    pipeline = Pipeline(
        config,
        detector=None,
        plan=plan,
        image_size_px=tuple(header["image_size_px"]),
        boot_id=header["boot_id"],
        classes=classes,
        high_confidence=header["high_confidence"],
    )
    recorded: list[str] = []
    again: list[str] = []
    for entry in journal.entries():
        decisions = [decision for event in entry.heard for decision in pipeline.hear(event)]
        if isinstance(entry, JournalStep):
            reads = entry.reads
            step = pipeline.decide(entry.index, entry.detections, travel_mm=entry.travel_mm, read=lambda _, r=reads: r)  # type: ignore[misc]
            decisions += step.decisions
        recorded += map(dump_line, entry.decisions)
        again += (dump_line(decision_record(decision)) for decision in decisions)
    if out_dir:
        write_text(out_dir / "decisions.jsonl", "".join(again))
    differ = sum(a != b for a, b in zip(recorded, again)) + abs(len(recorded) - len(again))  # noqa: B905
    return len(again), differ


def annotate_journal(
    config: Config,
    clip: Path,
    out_dir: Path,
    *,
    overlay: Overlay,
    size_px: tuple[int, int],
    fps: float,
    progress: Progress,
) -> None:
    """Write annotated.mp4 from the journal beside it."""
    section = config.video.model_copy(update={"source": str(clip)})
    with open_source(section, clock=ReplayClock()) as source:
        total = source.frames_total
        annotate(
            (item for item in source if isinstance(item, Frame)),
            Journal(out_dir / "journal.jsonl"),
            out_dir / "annotated.mp4",
            overlay=overlay,
            size_px=size_px,
            fps=fps,
            progress=lambda n: progress("annotate", n, total),
        )


def _verdict(config: Config, plan: SortPlan, truth: Truth, decisions: list[SortDecision]) -> Verdict:
    together = config.sort.doubles == "exception"
    return judge(truth, decisions, lane_of=lane_by_plan(plan, groups_to_exception=together))


def _overlay(pipeline: Pipeline, detector: Detector, plan: SortPlan) -> Overlay:
    return Overlay(
        line_px=pipeline.belt.line.ends_px,
        classes=detector.classes,
        lanes=tuple(lane.id for lane in plan.lanes),
        exceptions=frozenset((plan.exception, plan.default)),
    )


def _write_outputs(out_dir: Path, decisions: list[SortDecision], report: dict[str, Any]) -> None:
    write_text(out_dir / "decisions.jsonl", "".join(dump_line(decision_record(decision)) for decision in decisions))
    write_report(out_dir / "report.json", report)
