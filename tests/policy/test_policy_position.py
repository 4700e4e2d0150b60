"""Rows of the failure policy about position and time, judged by what the PLC side saw of the real demo line."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pytest
from mosquitto import wait_until
from plc_side import PlcSide

from edge_sorter.config import EncoderSection, load_config
from edge_sorter.live import run_live
from edge_sorter.plc.topics import Topics

pytestmark = pytest.mark.broker


@dataclass
class Belt:
    """A PLC's encoder of 50 Hz at 1 m/s; `works` says whether it speaks."""

    plc: PlcSide
    works: bool = True
    _closing: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Belt:
        self._thread = threading.Thread(target=self._count, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._closing.set()
        self._thread.join(5)

    def _count(self) -> None:
        while not self._closing.wait(0.02):
            if self.works:
                count = (2**32 - 4000 + time.monotonic_ns() * 2000 // 1_000_000_000) % 2**32
                self.plc.say("plc/enc", {"cnt": count, "mm_per_cnt": 0.5}, qos=0)


@pytest.fixture
def demo_line(root: Path, broker):
    """The demo clip as a camera, with an encoder over MQTT: yields (PLC side, the belt) while it runs."""
    config = load_config(root / "configs/demo/line.yaml")
    encoder = EncoderSection(source="mqtt", mm_per_count=0.5)
    belt = config.belt.model_copy(update={"encoder": encoder, "speed_mm_s": None})
    plc_section = config.plc.model_copy(update={"host": "127.0.0.1", "port": broker.port})
    config = config.model_copy(update={"belt": belt, "plc": plc_section})
    stop, failed = threading.Event(), []

    def go() -> None:
        try:
            run_live(config, stopped=stop.is_set)
        except Exception as error:
            failed.append(error)

    with PlcSide(broker.port, Topics(config.line, replay=True).prefix, replay=True) as plc, Belt(plc) as counting:
        thread = threading.Thread(target=go, daemon=True)
        thread.start()
        try:
            wait_until(lambda: plc.states and plc.states[-1][1]["state"] == "RUNNING", timeout_s=120, what="running")
            yield plc, counting
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
def test_row_09_encoder_silent_then_back_and_row_25_line_stopped(demo_line) -> None:
    plc, belt = demo_line
    wait_until(lambda: seen(plc, lambda d: d["pos"]["ref"] == "ENC1"), timeout_s=60, what="a decision by counts")
    counted = seen(plc, lambda d: d["pos"]["ref"] == "ENC1")[0]
    assert {"lead_cnt", "trail_cnt"} <= counted["pos"].keys()
    assert 0 <= counted["deadline"]["enc_cnt"] < 2**32

    belt.works = False
    silent_s = time.monotonic()
    wait_until(lambda: "ENCODER_LOST" in causes(plc), timeout_s=20, what="ENCODER_LOST")
    told_s = next(at for at, state in plc.states if state["cause"] == "ENCODER_LOST")
    assert told_s - silent_s < 5.0, "100 ms and a frame, on a machine that may be busy"
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
