"""A running line: camera, pipeline, journal and broker put together, and taken apart in order.

The broker comes first: whoever listens hears STARTING before model, engine or camera can fail, and learns the reason
when one does. A clip as `video.source` plays in real time as if it were a camera, and is marked as a replay.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from edge_sorter.clock import Clock, FileClock, ReplayClock, SystemClock
from edge_sorter.config import Config, is_file_source
from edge_sorter.detect import Detector, open_detector
from edge_sorter.detect.manifest import load_manifest
from edge_sorter.errors import ConfigError, EngineError, ModelError
from edge_sorter.journal import JournalWriter, journal_header
from edge_sorter.line_input import WallClock
from edge_sorter.live_parts import Around, open_line_evidence, open_swap, start_model, tell_what_runs
from edge_sorter.pipeline import Observer, Pipeline, RunCounts, line_of, open_pipeline, run
from edge_sorter.plc.boot import boot_id as new_boot_id
from edge_sorter.plc.link import MqttLink
from edge_sorter.plc.topics import Topics
from edge_sorter.replay.runner import Progress, ReplayOptions, ReplayResult, replay_clip
from edge_sorter.service.attended import AttendedLink
from edge_sorter.service.clip_pace import ClipPace
from edge_sorter.service.decision_log import DecisionLog
from edge_sorter.service.host_asker import HostAsker
from edge_sorter.service.kept_journal import KeptJournal, Tell
from edge_sorter.service.model_swap import ModelSwap
from edge_sorter.service.notify import Notify
from edge_sorter.service.plan_news import PlanNews
from edge_sorter.service.reload import Reload
from edge_sorter.service.self_test import self_test
from edge_sorter.service.standby import Standby, holdable_mm_s
from edge_sorter.service.status import LineStatus
from edge_sorter.sort import SortPlan, load_plan
from edge_sorter.video import FrameSource, HealthMonitor, open_source

if TYPE_CHECKING:
    from edge_sorter.service.web import Page

log = logging.getLogger(__name__)

FILE_PATIENCE_S = 2.0
"""A clip replayed as fast as possible outruns any broker; it can wait, a camera cannot."""
STANDBY_S = 60.0
"""The watchdog waits so long while another engine is opened and proven; the PLC falls back after half a second."""


def run_live(
    config: Config,
    *,
    stopped: Callable[[], bool],
    config_path: Path | None = None,
    reload_asked: Callable[[], bool] = lambda: False,
    slow: float = 1.0,
) -> RunCounts:
    """Sort until the source ends or `stopped()`.

    Args:
        config: What to run.
        stopped: Asked between frames.
        config_path: The file it came from, which the page may change and a reload reads again.
        reload_asked: Asked between frames whether to read sort plan and thresholds anew.
        slow: Play a clip so many times slower; whoever plays the PLC must be as slow.

    Raises:
        EdgeSorterError: Anything that keeps the line from starting, or a failure while it runs; the state topic then
            reads HOLD with the reason, and OFFLINE after that.
    """
    if config.video.source is None:
        raise ConfigError("video.source is not set: name a clip, rtsp://..., usb:0 or gst:<pipeline>")
    from_file = is_file_source(config.video.source)
    if slow != 1.0 and not from_file:
        raise ConfigError("only a clip can be played in slow motion; video.source is a camera")
    clock: Clock = FileClock(slow=slow) if from_file else SystemClock()
    boot_id = new_boot_id(SystemClock())
    start = start_model(config)
    config = start.config
    topics = Topics(config.line, replay=from_file)
    status, notify = LineStatus(clock), Notify()
    page = _page(config, status, config_path)
    with (
        closing(notify),
        _http(config, status, page),
        MqttLink(config.plc, topics=topics, clock=clock, boot_id=boot_id, model=start.name) as link,
        ExitStack() as stack,
    ):
        try:
            if start.unusable is not None:
                raise start.unusable
            around = Around(start, config_path, clock, boot_id, link, status, notify, page, stack)
            return _run(around, stopped=stopped, reload_asked=reload_asked)
        except Exception as error:
            cause = str(error).splitlines()[0][:200]
            if isinstance(error, ModelError):
                link.alarm("MODEL_FAILED", active=True, detail=cause)
            link.state("HOLD", cause=cause)
            status.told("HOLD", cause=cause)
            notify.status(f"failed: {cause}")
            raise
        finally:
            notify.stopping()


def _page(config: Config, status: LineStatus, config_path: Path | None) -> Page | None:
    if config.service.http is None:
        return None
    from edge_sorter.service.web import Page  # a line without it loads no web server

    return Page(config.service, status, config_path=config_path)


def _http(config: Config, status: LineStatus, page: Page | None) -> AbstractContextManager[object]:
    if page is None:
        return nullcontext()
    from edge_sorter.service.http import open_http

    return open_http(config.service, status, page=page)


def _run(around: Around, *, stopped: Callable[[], bool], reload_asked: Callable[[], bool]) -> RunCounts:
    config, clock, stack, notify = around.config, around.clock, around.stack, around.notify
    notify.status("STARTING: model")
    detector = stack.enter_context(open_detector(config.detect))
    plan = load_plan(config.sort.plan, classes=detector.classes, calibrated=config.belt.calibration is not None)
    notify.status("STARTING: camera")
    realtime = is_file_source(config.video.source or "")
    source = stack.enter_context(open_source(config.video, clock=clock, realtime=realtime))
    tell_what_runs(around, detector, plan, source)
    attended = AttendedLink(around.link, status=around.status, source=source, notify=notify)
    pipeline = open_pipeline(config, detector=detector, plan=plan, image_size_px=source.size_px, boot_id=around.boot_id)
    attended.holds = lambda fps: holdable_mm_s(pipeline.belt, source.size_px, fps=fps)
    swap = open_swap(around, pipeline, source, remark=attended.remark)
    observers = _observers(around, pipeline, detector, plan, source, tell=attended.journal)
    news = PlanNews(
        pipeline.router,
        around.link,
        clock=clock,
        boot_id=around.boot_id,
        replay=realtime,
        switched=lambda: _switched(around, pipeline, source),
    )
    news.look()
    asker = HostAsker(pipeline.router, around.link, clock=clock, boot_id=around.boot_id, replay=realtime)
    around.link.on_command("selftest", lambda _: self_test(around.status.snapshot(decisions=0, timings=0)))
    reload = _reload(around, detector, swap, asked=reload_asked, tell=attended.remark)
    line, _ = line_of(config, around.link, WallClock(clock), *reload, swap)

    def adopt(successor: Detector, sentence: str) -> None:
        stack.callback(successor.close)
        tell_what_runs(around, successor, pipeline.router.plan, source)
        attended.limit(sentence)

    standby = Standby(config.detect, belt=pipeline.belt, size_px=source.size_px, fps=source.fps, adopt=adopt)

    def rescue(failed: Detector, error: EngineError) -> Detector:
        before = swap.rescue(failed, error)
        if before is not None:
            return before
        standby.section = swap.section
        with notify.patient(STANDBY_S):
            return standby(failed, error)

    log.info("ready: %s, %s, plan %s", source.name, detector.description, plan.name)
    attended.state("READY")
    if isinstance(clock, FileClock):
        clock.restart()
    return run(
        around.status.watching(source),
        pipeline,
        attended,
        clock=clock,
        line=line,
        health=HealthMonitor(config.video.blind, watch_frozen=not realtime),
        observers=(*observers, swap, news, asker),
        stopped=stopped,
        rescue=rescue,
    )


def _switched(around: Around, pipeline: Pipeline, source: FrameSource) -> None:
    """Tell everybody who shows plan and lanes that another plan decides."""
    detector, plan = pipeline.detector, pipeline.router.plan
    if detector is None:
        return
    log.info("sort plan %s", plan.name)
    tell_what_runs(around, detector, plan, source)
    if around.page is not None:
        around.page.show(around.config, belt=pipeline.belt, plan=plan, classes=detector.classes, size_px=source.size_px)


def _observers(
    around: Around,
    pipeline: Pipeline,
    detector: Detector,
    plan: SortPlan,
    source: FrameSource,
    *,
    tell: Tell,
) -> tuple[Observer, ...]:
    observers: list[Observer] = [around.status, DecisionLog()]
    config, page, path = around.config, around.page, around.config.journal.path
    if isinstance(around.clock, FileClock):
        observers.append(ClipPace(around.clock, slow=around.clock.slow))
    evidence = open_line_evidence(around)
    if evidence is not None:
        observers.append(evidence)
    if page is not None:
        observers.append(page.witness)
        page.show(config, belt=pipeline.belt, plan=plan, classes=detector.classes, size_px=source.size_px)
    if path is not None:
        max_bytes = round(config.journal.max_mb * 1e6)

        def open_journal() -> JournalWriter:
            seeing = pipeline.detector or detector  # after a pause another model may decide
            header = journal_header(
                boot_id=around.boot_id,
                source=source.name,
                size_px=source.size_px,
                classes=seeing.classes,
                high_confidence=pipeline.tracker.high_confidence,
                model=seeing.description,
                plan=plan.name,
            )
            return JournalWriter(path, header=header, max_bytes=max_bytes)

        observers.append(around.stack.enter_context(KeptJournal(path, open_with=open_journal, tell=tell)))
    return tuple(observers)


def _reload(
    around: Around, detector: Detector, swap: ModelSwap, *, asked: Callable[[], bool], tell: Callable[[str], None]
) -> tuple[Reload, ...]:
    if around.path is None:
        return ()
    reload = Reload(
        around.path,
        around.config,
        asked=asked,
        clock=around.clock,
        classes=detector.classes,
        confidence=lambda: swap.manifest_confidence,
        model=swap.reloaded,
        notify=around.notify,
        tell=tell,
    )
    around.link.on_command("reload", reload.command)
    return (reload,)


def replay_published(
    config: Config,
    clip: Path,
    *,
    config_name: str,
    options: ReplayOptions,
    progress: Progress,
    stopped: Callable[[], bool],
) -> ReplayResult:
    """Replay a clip and send its decisions, marked as replay, to the broker of the configuration.

    Raises:
        EdgeSorterError: As `replay_clip`, and PlcError when the broker cannot be reached.
    """
    boot_id = new_boot_id(SystemClock())
    system = SystemClock()
    clock: Clock = FileClock() if options.realtime else ReplayClock(wall_at_zero=system.wall(system.now_ns()))
    topics = Topics(config.line, replay=True)
    model = load_manifest(config.detect.model).short_name
    with MqttLink(
        config.plc,
        topics=topics,
        clock=clock,
        boot_id=boot_id,
        model=model,
        patience_s=FILE_PATIENCE_S,
        hears=options.realtime,
    ) as link:
        return replay_clip(
            config,
            clip,
            config_name=config_name,
            options=options,
            publisher=link,
            boot_id=boot_id,
            progress=progress,
            stopped=stopped,
            clock=clock,
        )
