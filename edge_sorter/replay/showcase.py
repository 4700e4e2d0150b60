"""The demo clip as a line that never ends, with the operator's page: what an installed sorter looks like.

The clip is played in real time, over and over, through everything a live line has: pipeline, embedded MQTT broker,
status, page. Nothing is compared with the truth here; that is what the plain demo does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

from rich.console import Console

from edge_sorter.clock import Clock, FileClock, ShiftedClock, SystemClock
from edge_sorter.config import Config, ServiceSection, load_config
from edge_sorter.detect import open_detector
from edge_sorter.live_parts import info_message
from edge_sorter.pipeline import Observer, RunCounts, line_of, open_pipeline, run
from edge_sorter.plc.boot import boot_id as new_boot_id
from edge_sorter.plc.broker import EmbeddedBroker
from edge_sorter.plc.link import MqttLink
from edge_sorter.plc.topics import Topics
from edge_sorter.replay.demo import DEMO
from edge_sorter.replay.repeated import Repeated
from edge_sorter.service.attended import AttendedLink
from edge_sorter.service.evidence import open_evidence
from edge_sorter.service.http import open_http
from edge_sorter.service.notify import Notify
from edge_sorter.service.status import LineStatus
from edge_sorter.service.web import Page
from edge_sorter.sort import load_plan
from edge_sorter.types import Frame
from edge_sorter.video import FrameSource, HealthMonitor, open_source
from edge_sorter.video.source import ClosedAfterWith, Picture

ROUNDS = 100_000
"""Months of the demo clip."""

TOO_OLD_NS = 150_000_000


class Punctual(ClosedAfterWith):
    """A clip that is played like a camera's picture: frames that are too old already are left out and counted."""

    def __init__(self, source: FrameSource, clock: Clock) -> None:
        self._source, self._clock = source, clock
        self.name, self.size_px, self.fps = source.name, source.size_px, source.fps
        self.frames_total, self.duration_ns = source.frames_total, source.duration_ns
        self.reconnects = 0
        self.drops = {"too_old": 0}

    def __iter__(self) -> Iterator[Picture]:
        for item in self._source:
            if isinstance(item, Frame) and self._clock.now_ns() - item.captured_ns > TOO_OLD_NS:
                self.drops["too_old"] += 1
                yield None
            else:
                yield item

    def close(self) -> None:
        """Close the clip."""
        self._source.close()


def run_showcase(
    console: Console,
    *,
    service: ServiceSection,
    stopped: Callable[[], bool],
    config_path: Path = DEMO / "line.yaml",
    changeable: bool = False,
    clock: FileClock | None = None,
    observers: tuple[Observer, ...] = (),
    own_broker: bool = True,
    looking_on: Callable[[Observer], Observer] = lambda observer: observer,
) -> RunCounts:
    """Play a clip until `stopped()`, with the page.

    Args:
        console: Where to say the page's address.
        service: Where the page listens, and what keeps strangers out.
        stopped: Asked between frames.
        config_path: The line to play; its `video.source` must be a clip.
        changeable: Whether the page may change that file.
        clock: For observers that want to know the time of the line.
        observers: Look on as well.
        own_broker: Bring a broker along in this process; else the configuration's is used.
        looking_on: Given the observer of page and of evidence, returns what is called in its place: to time it.

    Raises:
        EdgeSorterError: Anything that keeps it from running, such as an address in use.
    """
    config = load_config(config_path).model_copy(update={"service": service})
    clock = clock or FileClock()
    status = LineStatus(clock)
    page = Page(service, status, config_path=config_path if changeable else None)
    with ExitStack() as stack:
        server = stack.enter_context(open_http(service, status, page=page))
        console.print(f"The page: [bold]{server.url}[/]   [dim]Ctrl-C ends it[/]", highlight=False, soft_wrap=True)
        if own_broker:
            broker = stack.enter_context(EmbeddedBroker())
            plc = config.plc.model_copy(update={"host": broker.host, "port": broker.port, "protocol": "3.1.1"})
            config = config.model_copy(update={"plc": plc})
        evidence = open_evidence(config.evidence, status, clock, line="demo")
        if evidence is not None:
            page.keep(stack.enter_context(evidence))
            observers = (looking_on(evidence), *observers)
        return _play(
            config,
            stack,
            clock,
            status=status,
            page=page,
            observers=(status, looking_on(page.witness), *observers),
            stopped=stopped,
        )


def _play(
    config: Config,
    stack: ExitStack,
    clock: FileClock,
    *,
    status: LineStatus,
    page: Page,
    observers: tuple[Observer, ...],
    stopped: Callable[[], bool],
) -> RunCounts:
    detector = stack.enter_context(open_detector(config.detect))
    plan = load_plan(config.sort.plan, classes=detector.classes)

    line, encoder = line_of(config)

    def open_at(start_ns: int) -> FrameSource:
        if encoder is not None:
            encoder.restart(start_ns)
        return open_source(config.video, clock=ShiftedClock(clock, start_ns), realtime=True)

    source = stack.enter_context(Punctual(Repeated(open_at, ROUNDS), clock))
    boot_id = new_boot_id(SystemClock())
    topics = Topics(config.line, replay=True)
    model = detector.manifest.short_name
    link = stack.enter_context(MqttLink(config.plc, topics=topics, clock=clock, boot_id=boot_id, model=model))
    info = info_message(config, detector, plan, clock=clock, boot_id=boot_id, source=source.name)
    link.info(info)
    status.running(info)
    pipeline = open_pipeline(config, detector=detector, plan=plan, image_size_px=source.size_px, boot_id=boot_id)
    page.show(
        config,
        belt=pipeline.belt,
        plan=plan,
        classes=detector.classes,
        size_px=source.size_px,
    )
    clock.restart()
    return run(
        status.watching(source),
        pipeline,
        AttendedLink(link, status=status, source=source, notify=stack.enter_context(closing(Notify()))),
        clock=clock,
        line=line,
        health=HealthMonitor(config.video.blind, watch_frozen=False),
        observers=observers,
        stopped=stopped,
    )
