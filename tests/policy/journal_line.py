"""A line that is real from the tracker on, behind a real broker: boxes come from a journal, at the pace of its camera,
newest frame first, and the PLC side's encoder counts beside it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count

import numpy as np
from golden_line import GoldenLine
from mosquitto import Mosquitto, wait_until
from plc_side import PlcSide

from edge_sorter.clock import FileClock
from edge_sorter.config import BlindSection, Config
from edge_sorter.journal import JournalStep
from edge_sorter.pipeline import line_of, run
from edge_sorter.plc.link import MqttLink
from edge_sorter.plc.topics import Topics
from edge_sorter.service.host_asker import HostAsker
from edge_sorter.types import Detections, Frame
from edge_sorter.video import HealthMonitor
from edge_sorter.video.source import Picture

GREY = np.full((540, 960, 3), 120, np.uint8)


ROUND_S = 24.0
"""The journal's length; at its end it begins anew, so that no test depends on how fast the machine is."""


class Camera:
    """The journal's frames as they fall due, round and round, and what is seen on them; late ones are left out."""

    def __init__(self, frames: list[JournalStep], clock: FileClock) -> None:
        self._frames, self._clock = frames, clock
        self.stage_ns: dict[str, int] = {}

    def __iter__(self) -> Iterator[Picture]:
        for index in count():
            due_ns = self._due_ns(index)
            self._clock.sleep_until(due_ns)
            yield Frame(index, due_ns, GREY) if self._clock.now_ns() - due_ns < 60_000_000 else None

    def detect(self, frame: Frame) -> Detections:
        seen = self._frames[frame.index % len(self._frames)].detections
        return replace(seen, captured_ns=frame.captured_ns)

    def _due_ns(self, index: int) -> int:
        rounds, place = divmod(index, len(self._frames))
        return round(rounds * ROUND_S * 1e9) + self._frames[place].detections.captured_ns


class Belt:
    """A PLC's encoder of 50 Hz at 1 m/s; `works` says whether it speaks."""

    def __init__(self, plc: PlcSide) -> None:
        self.works = True
        self._plc = plc
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._count, daemon=True)

    def __enter__(self) -> Belt:
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._closing.set()
        self._thread.join(5)

    def _count(self) -> None:
        while not self._closing.wait(0.02):
            if self.works:
                self._plc.say("plc/enc", {"cnt": self.count(time.monotonic()), "mm_per_cnt": 0.5}, qos=0)

    @staticmethod
    def count(at_s: float) -> int:
        """Return what the encoder shows at a moment (monotonic seconds)."""
        return (2**32 - 4000 + round(at_s * 2000)) % 2**32


@contextmanager
def playing(broker: Mosquitto, config: Config) -> Iterator[tuple[PlcSide, Belt, FileClock]]:
    """Run the line; yield the PLC side, its belt, and the clock whose zero is the journal's first frame."""
    clock, stop, failed = FileClock(), threading.Event(), []
    topics = Topics(config.line, replay=True)
    section = config.plc.model_copy(update={"host": "127.0.0.1", "port": broker.port})
    golden = GoldenLine(config)
    camera = Camera(golden.frames, clock)
    golden.pipeline.detector = camera  # type: ignore[assignment]

    def go() -> None:
        try:
            with MqttLink(section, topics=topics, clock=clock, boot_id="01JD5Z8Q3M") as link:
                clock.restart()
                inputs, _ = line_of(config, link)
                health = HealthMonitor(BlindSection(), watch_frozen=False)
                asker = HostAsker(golden.pipeline.router, link, clock=clock, boot_id="01JD5Z8Q3M", replay=True)
                run(
                    camera,
                    golden.pipeline,
                    link,
                    clock=clock,
                    health=health,
                    line=inputs,
                    observers=(asker,),
                    stopped=stop.is_set,
                )
        except Exception as error:
            failed.append(error)

    with PlcSide(broker.port, topics.prefix, replay=True) as plc, Belt(plc) as belt:
        thread = threading.Thread(target=go, daemon=True)
        thread.start()
        try:
            wait_until(lambda: plc.states and plc.states[-1][1]["state"] == "RUNNING", timeout_s=60, what="running")
            yield plc, belt, clock
        finally:
            stop.set()
            thread.join(60)
    assert not failed, failed
