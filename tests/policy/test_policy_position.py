"""Rows of the failure policy about position and time, judged by what the PLC side saw; the broker is real.

The line is real from the tracker on (`journal_line`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

import pytest
from golden_line import CAMERA_MM, GoldenLine, config_with, encoder
from journal_line import EYE_MM, Eye, playing, spans_of
from mosquitto import wait_until
from plc_side import PlcSide

pytestmark = pytest.mark.broker


@pytest.fixture
def line(broker):
    """A running line with an encoder over MQTT: yields (PLC side, the belt)."""
    config = config_with(encoder={"source": "mqtt", "mm_per_count": 0.5}, camera_mm=CAMERA_MM)
    with playing(broker, config) as (plc, belt, _):
        yield plc, belt


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


@pytest.mark.slow
def test_row_18_eye_and_camera_do_not_speak_of_the_same_parcels(broker) -> None:
    """A tracking that slipped shows in lengths that do not fit: eye and camera disagree on parcel after parcel."""
    steady = encoder(lambda at_s: 1000.0 * at_s)
    parcels = GoldenLine(config_with(encoder={"source": "mqtt", "mm_per_count": 0.5})).play(steady).decisions
    config = config_with(
        encoder={"source": "mqtt", "mm_per_count": 0.5}, camera_mm=CAMERA_MM, photo_eye={"at_mm": EYE_MM}
    )
    with playing(broker, config) as (plc, _, zero_s):
        eye = Eye(plc, spans_of(parcels), zero_s)

        def until(condition, what: str) -> None:
            wait_until(condition, timeout_s=60, what=what, meanwhile=eye.look)

        until(lambda: seen(plc, lambda d: d.get("plc_index")), "a parcel with the PLC's index")
        assert "MISMATCH_FLUSH" not in causes(plc)
        eye.wrong_mm = 60.0
        until(lambda: "MISMATCH_FLUSH" in causes(plc), "the PLC is told")
        until(lambda: seen(plc, lambda d: d["reason"] == "MISMATCH_FLUSH"), "parcels flushed")
        for decision in seen(plc, lambda d: d["reason"] == "MISMATCH_FLUSH"):
            assert (decision["action"], decision["lane"]) == ("EXCEPTION", "HOSP")
        eye.wrong_mm = 0.0
        # On a busy machine the encoder may be lost meanwhile, and that is then what it recovers from.
        until(lambda: causes(plc)[-1].startswith("recovered from"), "lengths agree again")
        already = len(plc.decisions)
        until(lambda: any(d["reason"] == "PLAN_MATCH" for _, d in plc.decisions[already:]), "sorted as before")
        assert max(plc.actions.values()) == 1
        assert plc.acted_late == 0


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
