"""Rows of the failure policy about position and time, judged by what the PLC side saw; the broker is real.

The line is real from the tracker on: boxes come from a journal, at the pace of its camera, newest frame first.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime

import numpy as np
import pytest
from golden_line import CAMERA_MM, GoldenLine, config_with
from mosquitto import wait_until
from plc_side import PlcSide

from edge_sorter.clock import FileClock
from edge_sorter.config import BlindSection
from edge_sorter.journal import JournalStep
from edge_sorter.pipeline import line_of, run
from edge_sorter.plc.link import MqttLink
from edge_sorter.plc.topics import Topics
from edge_sorter.types import Detections, Frame
from edge_sorter.video import HealthMonitor
from edge_sorter.video.source import Picture

pytestmark = pytest.mark.broker

GREY = np.full((540, 960, 3), 120, np.uint8)


class Camera:
    """The journal's frames as they fall due, and what is seen on them; one that comes too late is left out."""

    def __init__(self, frames: list[JournalStep], clock: FileClock) -> None:
        self._frames, self._clock = frames, clock
        self.stage_ns: dict[str, int] = {}

    def __iter__(self) -> Iterator[Picture]:
        for frame in self._frames:
            self._clock.sleep_until(frame.detections.captured_ns)
            late_ns = self._clock.now_ns() - frame.detections.captured_ns
            yield Frame(frame.index, frame.detections.captured_ns, GREY) if late_ns < 60_000_000 else None

    def detect(self, frame: Frame) -> Detections:
        return self._frames[frame.index].detections


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
                count = (2**32 - 4000 + time.monotonic_ns() * 2000 // 1_000_000_000) % 2**32
                self._plc.say("plc/enc", {"cnt": count, "mm_per_cnt": 0.5}, qos=0)


@pytest.fixture
def line(broker):
    """A running line with an encoder over MQTT: yields (PLC side, the belt)."""
    config = config_with(encoder={"source": "mqtt", "mm_per_count": 0.5}, camera_mm=CAMERA_MM)
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
                run(camera, golden.pipeline, link, clock=clock, health=health, line=inputs, stopped=stop.is_set)
        except Exception as error:
            failed.append(error)

    with PlcSide(broker.port, topics.prefix, replay=True) as plc, Belt(plc) as belt:
        thread = threading.Thread(target=go, daemon=True)
        thread.start()
        try:
            wait_until(lambda: plc.states and plc.states[-1][1]["state"] == "RUNNING", timeout_s=60, what="running")
            yield plc, belt
        finally:
            stop.set()
            thread.join(60)
    assert not failed, failed


def causes(plc: PlcSide) -> list[str]:
    return [state["cause"] for _, state in plc.states]


def seen(plc: PlcSide, what: Callable[[dict], bool]) -> list[dict]:
    return [decision for _, decision in plc.decisions if what(decision)]


@pytest.mark.slow
@pytest.mark.parametrize("broker", [False], indirect=True)
def test_row_09_encoder_silent_then_back_and_row_25_line_stopped(line) -> None:
    plc, belt = line
    wait_until(lambda: seen(plc, lambda d: d["pos"]["ref"] == "ENC1"), timeout_s=60, what="a decision by counts")
    counted = seen(plc, lambda d: d["pos"]["ref"] == "ENC1")[0]
    assert {"lead_cnt", "trail_cnt"} <= counted["pos"].keys()
    assert 0 <= counted["deadline"]["enc_cnt"] < 2**32

    belt.works = False
    silent_s = time.monotonic()
    wait_until(lambda: "ENCODER_LOST" in causes(plc), timeout_s=60, what="ENCODER_LOST")
    told_s = next(at for at, state in plc.states if state["cause"] == "ENCODER_LOST")
    assert told_s - silent_s < 3.0, "100 ms and a frame, and what a busy machine adds"
    wait_until(lambda: seen(plc, lambda d: d["reason"] == "DEGRADED_MODE"), timeout_s=30, what="an exception")
    for decision in seen(plc, lambda d: d["reason"] == "DEGRADED_MODE"):
        assert (decision["action"], decision["lane"]) == ("EXCEPTION", "HOSP")

    belt.works = True
    wait_until(lambda: causes(plc)[-1] == "recovered from ENCODER_LOST", timeout_s=30, what="trusted again")
    already = len(plc.decisions)
    wait_until(lambda: len(plc.decisions) > already, timeout_s=30, what="a decision after that")

    plc.say("plc/line/state", {"packml": "STOPPED"}, retain=True)
    wait_until(lambda: seen(plc, lambda d: d["reason"] == "STOP_FLUSH"), timeout_s=30, what="row 25: a flush")
    assert all(d["lane"] == "HOSP" for d in seen(plc, lambda d: d["reason"] == "STOP_FLUSH"))
    assert max(plc.actions.values(), default=1) == 1


@pytest.mark.parametrize("broker", [True], indirect=True)
def test_row_08_wall_clock_is_set_while_running(make_link, clock, plc, broker, make_decision, monkeypatch) -> None:
    """The machine's clock is not ours to set: what it reads is shifted, at the one place that reads it."""
    link = make_link(broker.port)
    link.start()
    link.state("RUNNING", cause="test")

    def send(number: int) -> dict:
        link.publish(make_decision(number))
        wait_until(
            lambda: len(plc.decisions) == number,
            timeout_s=20,
            what="arrival",
            meanwhile=lambda: link.tick(clock.now_ns()),
        )
        return plc.decisions[-1][1]

    before, real = send(1), time.time_ns
    monkeypatch.setattr("time.time_ns", lambda: real() + 3_600_000_000_000)
    after = send(2)
    assert (before["clock"], after["clock"]) == ("SYSTEM", "BAD")
    times = [datetime.fromisoformat(d["deadline"]["ts"].replace("Z", "+00:00")) for d in (before, after)]
    assert abs((times[1] - times[0]).total_seconds()) < 120.0, "the step of an hour moved no deadline"
