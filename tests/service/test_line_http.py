"""Metrics and health over real HTTP: what monitoring sees, what it may not see, and what it costs the line."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import ValidationError
from test_line_status import MS, decision, step

from edge_sorter.clock import ReplayClock
from edge_sorter.config import ServiceSection
from edge_sorter.errors import ConfigError
from edge_sorter.plc.alarms import Alarm
from edge_sorter.plc.messages import InfoMessage
from edge_sorter.plc.publisher import PublishResult, Vitals
from edge_sorter.service.http import HttpServer, open_http
from edge_sorter.service.status import LineStatus, Peers
from edge_sorter.service.temperature import temperatures_c
from edge_sorter.types import Blind, Reason


@pytest.fixture
def clock() -> ReplayClock:
    return ReplayClock()


@pytest.fixture
def status(clock: ReplayClock) -> LineStatus:
    return LineStatus(clock)


def local(status: LineStatus, *, port: int = 0) -> HttpServer:
    return open_http(ServiceSection(http=f"127.0.0.1:{port}"), status)


@pytest.fixture
def server(status: LineStatus):
    with local(status) as server:
        yield server


def get(server, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(server.url + path, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def figures(server) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    code, text = get(server, "metrics")
    assert code == 200
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_metrics_of_a_line_that_starts(server):
    seen = figures(server)
    assert seen["edge_sorter_state", frozenset({("state", "STARTING")})] == 1
    assert seen["edge_sorter_state", frozenset({("state", "RUNNING")})] == 0
    assert seen["edge_sorter_frames_total", frozenset()] == 0
    assert seen["process_open_fds", frozenset()] > 0


def test_metrics_say_what_happened(server, status, clock):
    info = InfoMessage(
        boot_id="B", ts="2026-01-01T00:00:00Z", version="1", source="clip", model="m#1", engine="e", plan="p#1",
        lanes=("L1",), replay=False,
    )  # fmt: skip
    status.running(info)
    status.told("RUNNING")
    clock.sleep_until(140 * MS)
    late = decision(2, captured_ns=100 * MS, lane="EXC", reason=Reason.LOW_CONF)
    status.on_step(
        step(3, 100 * MS, decision(1, captured_ns=100 * MS), late), (PublishResult.SENT, PublishResult.LATE), 2 * MS
    )
    status.on_blind(Blind(150 * MS, "CAM_LOST"))
    alarm = Alarm("MISSORT", "ACTIVE", 0)
    told = {"outcomes": {"VERIFIED": 4}, "rejected": {"TOO_LARGE": 3}, "alarms": (alarm,)}
    status.met(Peers({"replaced": 7}, camera_reconnects=2, broker_connected=True, broker_reconnects=1, acked=1, **told))
    status.came_round(150 * MS, vitals=Vitals(fps=29.9))
    seen = figures(server)

    def value(name: str, **labels: str) -> float:
        return seen["edge_sorter_" + name, frozenset(labels.items())]

    assert value("decisions_total", lane="L1", action="DIVERT", reason="PLAN_MATCH") == 1
    assert value("decisions_total", lane="EXC", action="DIVERT", reason="LOW_CONF") == 1
    assert (value("published_total", result="SENT"), value("published_total", result="LATE")) == (1, 1)
    assert (value("latency_seconds_count"), value("latency_seconds_sum")) == (2, pytest.approx(0.08))
    assert (value("latency_seconds_bucket", le="0.03"), value("latency_seconds_bucket", le="0.04")) == (0, 2)
    assert value("stage_seconds_bucket", stage="infer", le="0.01") == 1
    assert value("stage_seconds_bucket", stage="infer", le="+Inf") == value("stage_seconds_count", stage="infer") == 1
    assert (value("frames_dropped_total", reason="replaced"), value("acknowledged_total")) == (7, 1)
    assert (value("reconnects_total", end="camera"), value("reconnects_total", end="broker")) == (2, 1)
    assert (value("blind"), value("blind_looks_total", reason="CAM_LOST")) == (1, 1)
    assert (value("frames_per_second"), value("state", state="RUNNING")) == (29.9, 1)
    assert value("alarm", code="MISSORT", severity="1") == 1
    assert (value("outcomes_total", outcome="VERIFIED"), value("messages_refused_total", code="TOO_LARGE")) == (4, 3)
    kept = {"boot_id": "B", "version": "1", "source": "clip", "model": "m#1", "engine": "e", "plan": "p#1"}
    assert value("build_info", **kept, calibration="") == 1


def test_live_while_the_loop_comes_round(server, status, clock):
    clock.sleep_until(60_000 * MS)  # a TensorRT engine may take minutes to build: starting is not hanging
    assert get(server, "healthz")[0] == 200
    status.told("RUNNING")
    code, said = get(server, "healthz")
    assert (code, json.loads(said)["missing"]) == (503, ["the main loop has not come round for 60.0 s"])
    status.came_round(60_000 * MS, vitals=Vitals())
    assert get(server, "healthz")[0] == 200


def test_ready_only_with_picture_and_broker(server, status, clock):
    assert get(server, "readyz")[0] == 503
    status.told("RUNNING")
    assert json.loads(get(server, "readyz")[1])["missing"] == ["the broker is not connected"]
    status.met(Peers({}, broker_connected=True))
    assert get(server, "readyz") == (200, '{"ok":true,"missing":[]}')
    status.on_blind(Blind(1, "CAM_DARK"))
    status.told("DEGRADED", cause="CAM_DARK")
    assert json.loads(get(server, "readyz")[1])["missing"] == ["no usable picture: CAM_DARK"]


def test_other_paths_are_not_there(server):
    assert get(server, "")[0] in (200, 404)  # the page, where it is installed
    assert get(server, "../../etc/passwd")[0] == 404


def test_a_taken_port_is_said_before_anything_starts(status):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"cannot listen on 127\.0\.0\.1:{port}: Address already in use"):
            local(status, port=port)


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "192.0.2.7:9464", "example.org:80"])
def test_it_does_not_open_itself_to_the_network(address):
    with pytest.raises(ValidationError, match="give token_file or"):
        ServiceSection(http=address)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "localhost:1"])
def test_loopback(address):
    assert ServiceSection(http=address).local


@pytest.mark.parametrize("address", ["9464", "127.0.0.1", "127.0.0.1:http", "127.0.0.1:70000", ":1"])
def test_no_address(address):
    with pytest.raises(ValidationError, match="http"):
        ServiceSection(http=address)


def test_closing_ends_the_thread_and_frees_the_port(status):
    server = local(status)
    port = int(server.url.rsplit(":", 1)[1].rstrip("/"))
    server.close()
    server.close()
    local(status, port=port).close()


def test_thermal_zones(tmp_path: Path):
    for number, (kind, temp) in enumerate([("CPU-therm", "51500"), ("GPU-therm", "-256000"), ("cpu-2", "x")]):
        (zone := tmp_path / f"thermal_zone{number}").mkdir()
        (zone / "type").write_text(kind + "\n")
        (zone / "temp").write_text(temp + "\n")
    assert temperatures_c(tmp_path) == {"CPU-therm": 51.5}
    assert temperatures_c(tmp_path / "none") == {}
