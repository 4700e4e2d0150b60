"""A line that is real from the tracker on, behind a real broker: boxes come from a journal, at the pace of its camera,
newest frame first, and the PLC side's encoder counts beside it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from itertools import count

import numpy as np
from golden_line import GoldenLine
from mosquitto import Mosquitto, wait_until
from plc_side import PlcSide

from edge_sorter.clock import Clock, FileClock, SystemClock
from edge_sorter.config import BlindSection, Config
from edge_sorter.journal import JournalStep
from edge_sorter.pipeline import line_of, run
from edge_sorter.plc.link import MqttLink
from edge_sorter.plc.topics import Topics
from edge_sorter.service.host_asker import HostAsker
from edge_sorter.types import Detections, Frame, SortDecision
from edge_sorter.video import HealthMonitor
from edge_sorter.video.source import Picture

GREY = np.full((540, 960, 3), 120, np.uint8)


EYE_MM, LINE_MM = 500.0, 1140.0
AWAY_MM = LINE_MM - EYE_MM
ROUND_S = 24.0
"""The journal's length; at its end it begins anew, so that no test depends on how fast the machine is."""


class Camera:
    """The journal's frames as they fall due, round and round, and what is seen on them; late ones are left out."""

    def __init__(self, frames: list[JournalStep], clock: Clock) -> None:
        self._frames, self._clock = frames, clock
        self.zero_ns = 0
        self.stage_ns: dict[str, int] = {}

    def __iter__(self) -> Iterator[Picture]:
        for index in count():
            due_ns = self.zero_ns + self._due_ns(index)
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
                ts = f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%S.%f}Z"
                sample = {"cnt": self.count(time.monotonic()), "mm_per_cnt": 0.5, "ts": ts}
                self._plc.say("plc/enc", sample, qos=0)

    @staticmethod
    def count(at_s: float) -> int:
        """Return what the encoder shows at a moment (monotonic seconds)."""
        return (2**32 - 4000 + round(at_s * 2000)) % 2**32


Span = tuple[float, float]
"""Belt travel at which the ends of something are at the decision line, leading one first."""


def spans_of(parcels: list[SortDecision]) -> list[Span]:
    """Return where parcels lie."""
    places = [parcel.position for parcel in parcels]
    return [(p.lead_mm, p.trail_mm) for p in places if p.lead_mm is not None and p.trail_mm is not None]


class Eye:
    """The PLC's photo-eye: an item for everything at these places of the journal (`spans`) when it has passed.

    Attributes:
        wrong_mm: Items are longer by this at both ends.
        shift_mm: Items lie so much further on than their parcels.
        said: Index to the counts at both edges.
    """

    def __init__(self, plc: PlcSide, spans_mm: list[Span], zero_s: float, *, first_index: int = 1) -> None:
        self.wrong_mm = self.shift_mm = 0.0
        self.said: dict[int, tuple[int, int]] = {}
        self._plc, self._zero_s = plc, zero_s
        self._waiting = (
            (lead_mm + ROUND_S * 1000 * rounds, trail_mm + ROUND_S * 1000 * rounds)
            for rounds in count()
            for lead_mm, trail_mm in sorted(spans_mm, key=lambda span: span[1])
        )
        self._next_mm = next(self._waiting)
        self._index = first_index

    def look(self) -> None:
        """Say what has passed by now; the belt runs at 1 m/s, so a millimetre is a millisecond."""
        while True:
            lead_mm, trail_mm = self._next_mm
            if self._zero_s + (trail_mm - AWAY_MM + self.wrong_mm + 60.0) / 1000 > time.monotonic():
                return
            self._next_mm = next(self._waiting)
            self.tell(self._index % 2**16, lead_mm, trail_mm)
            self._index += 1

    def tell(self, index: int, lead_mm: float, trail_mm: float) -> None:
        """Say one item, by the travel at which its ends are at the decision line."""
        lead_mm, trail_mm = lead_mm - self.wrong_mm - self.shift_mm, trail_mm + self.wrong_mm - self.shift_mm
        lead, trail = (Belt.count(self._zero_s + (mm - AWAY_MM) / 1000) for mm in (lead_mm, trail_mm))
        self.said[index] = lead, trail
        self._plc.say("plc/item", {"plc_index": index, "lead_cnt": lead, "trail_cnt": trail})


@contextmanager
def playing(
    broker: Mosquitto, config: Config, *, boot_id: str = "01JD5Z8Q3M", live: bool = False
) -> Iterator[tuple[PlcSide, Belt, float]]:
    """Run the line as a clip, or as if it were a camera; yield PLC side, belt, and when the first frame is due."""
    clock: Clock = SystemClock() if live else FileClock()
    stop, failed = threading.Event(), []
    topics = Topics(config.line, replay=not live)
    section = config.plc.model_copy(update={"host": "127.0.0.1", "port": broker.port})
    golden = GoldenLine(config, boot_id=boot_id)
    camera = Camera(golden.frames, clock)
    golden.pipeline.detector = camera  # type: ignore[assignment]

    def go() -> None:
        try:
            with MqttLink(section, topics=topics, clock=clock, boot_id=boot_id) as link:
                if isinstance(clock, FileClock):
                    clock.restart()
                else:
                    camera.zero_ns = clock.now_ns()
                inputs, _ = line_of(config, link)
                health = HealthMonitor(BlindSection(), watch_frozen=False)
                asker = HostAsker(golden.pipeline.router, link, clock=clock, boot_id=boot_id, replay=not live)
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

    with PlcSide(broker.port, topics.prefix, replay=not live) as plc, Belt(plc) as belt:
        thread = threading.Thread(target=go, daemon=True)
        thread.start()
        try:
            wait_until(lambda: plc.states and plc.states[-1][1]["state"] == "RUNNING", timeout_s=60, what="running")
            yield plc, belt, time.monotonic() - (clock.now_ns() - camera.zero_ns) / 1e9
        finally:
            stop.set()
            thread.join(60)
    assert not failed, failed
