"""What a running line is put into, and the parts of it that look on: who is told what runs, model swap, evidence."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge_sorter import __version__
from edge_sorter.clock import Clock, SystemClock, rfc3339
from edge_sorter.config import Config, is_file_source
from edge_sorter.detect import Detector
from edge_sorter.detect.manifest import load_manifest
from edge_sorter.errors import ModelError
from edge_sorter.pipeline import Pipeline
from edge_sorter.plc.link import MqttLink
from edge_sorter.plc.messages import InfoMessage
from edge_sorter.service.evidence import Evidence, open_evidence
from edge_sorter.service.model_memory import ModelMemory, put_back
from edge_sorter.service.model_swap import ModelSwap, News
from edge_sorter.service.notify import Notify
from edge_sorter.service.status import LineStatus
from edge_sorter.sort import SortPlan
from edge_sorter.video import FrameSource

if TYPE_CHECKING:
    from edge_sorter.service.web import Page


log = logging.getLogger(__name__)

AT_A_RESTART = {True: "a restart keeps to that", False: "a restart would start with it again"}
"""By whether there is a folder to remember it in."""


@dataclass(frozen=True)
class StartModel:
    """The model a line starts with.

    Attributes:
        config: The configuration, with the model that decided before where the configured one was taken back.
        memory: Which models were taken back here.
        name: The model's short name; None where it cannot be used.
        unusable: What is wrong with it: the PLC side should hear it before the program ends.
        instead: What to tell where the configured model was taken back in an earlier run.
    """

    config: Config
    memory: ModelMemory
    name: str | None = None
    unusable: ModelError | None = None
    instead: str | None = None


def start_model(config: Config) -> StartModel:
    """Choose the model to start with; what is wrong with it is returned, not raised."""
    clock = SystemClock()
    memory = ModelMemory.of(config, now=lambda: rfc3339(clock.wall(clock.now_ns())))
    memory.settle()
    try:
        detect, instead = put_back(config.detect, memory)
        config = config.model_copy(update={"detect": detect})
        return StartModel(config, memory, name=load_manifest(detect.model).short_name, instead=instead)
    except ModelError as error:
        log.error("%s", error)  # a broker that is missing as well would be the only thing that is told
        return StartModel(config, memory, unusable=error)


@dataclass(frozen=True)
class Around:
    """What a line is put into: model and configuration, those who hear of it, and what ends with it."""

    start: StartModel
    path: Path | None
    clock: Clock
    boot_id: str
    link: MqttLink
    status: LineStatus
    notify: Notify
    page: Page | None
    stack: ExitStack

    @property
    def config(self) -> Config:
        """The configuration the line runs with."""
        return self.start.config


def info_message(
    config: Config, detector: Detector, plan: SortPlan, *, clock: Clock, boot_id: str, source: str
) -> InfoMessage:
    """Return what is running, for the retained info topic."""
    return InfoMessage(
        boot_id=boot_id,
        ts=rfc3339(clock.wall(clock.now_ns())),
        version=__version__,
        source=source,
        model=detector.manifest.short_name,
        engine=detector.description,
        plan=plan.name,
        calibration=config.belt.calibration.name if config.belt.calibration else None,
        lanes=tuple(lane.id for lane in plan.lanes),
        replay=is_file_source(config.video.source or ""),
    )


def tell_what_runs(around: Around, detector: Detector, plan: SortPlan, source: FrameSource) -> None:
    """Tell everybody who shows it what runs, and the PLC's side in every decision which model saw the parcel."""
    info = info_message(around.config, detector, plan, clock=around.clock, boot_id=around.boot_id, source=source.name)
    around.link.info(info)
    around.link.sees_with(detector.manifest.short_name)
    around.status.running(info)


def open_swap(around: Around, pipeline: Pipeline, source: FrameSource, *, remark: Callable[[str], None]) -> ModelSwap:
    """Make the model changeable while the line runs; `remark` tells the state topic."""
    link, memory = around.link, around.start.memory
    if around.start.instead is not None:
        log.error("%s", around.start.instead)
        link.alarm("MODEL_ROLLED_BACK", active=True, detail=around.start.instead)

    def told(news: News, sentence: str) -> None:
        if news is News.ROLLED_BACK:
            sentence += f"; {AT_A_RESTART[memory.path is not None]}"
        for code, raised in (("MODEL_REFUSED", News.REFUSED), ("MODEL_ROLLED_BACK", News.ROLLED_BACK)):
            link.alarm(code, active=False)
            if news is raised:
                link.alarm(code, active=True, detail=sentence)
        if news in (News.SWITCHED, News.ROLLED_BACK) and pipeline.detector is not None:
            tell_what_runs(around, pipeline.detector, pipeline.router.plan, source)
        if news is not News.NONE:
            remark(sentence[:200])

    swap = ModelSwap(
        pipeline,
        around.config.detect,
        size_px=source.size_px,
        fps=source.fps,
        frame=lambda: getattr(around.status.seen(), "frame", None),
        tell=told,
        memory=memory,
    )
    around.stack.callback(memory.close)
    around.stack.callback(swap.close)
    link.on_command("model", swap.command)
    return swap


def open_line_evidence(around: Around) -> Evidence | None:
    """Keep evidence of exceptions, if that is configured, and let people mark and see it.

    Raises:
        ConfigError: The folder cannot be used.
    """
    link, page = around.link, around.page

    def tell(kept: bool, why: str) -> None:
        link.alarm("EVIDENCE_STOPPED", active=not kept, detail=why)

    name = "/".join(around.config.line.model_dump().values())
    evidence = open_evidence(around.config.evidence, around.status, around.clock, line=name, tell=tell)
    if evidence is None:
        return None
    around.stack.enter_context(evidence)
    around.status.evidence = evidence.counts
    link.on_end(evidence.ended)
    link.on_command("mark", evidence.command)
    if page is not None:
        page.keep(evidence)
    return evidence
