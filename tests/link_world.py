"""Fixtures of tests with a link: decisions to send, a real broker to send them to, an outsider, a PLC."""

from __future__ import annotations

import mosquitto as real
import pytest
from made_decision import BOOT_ID, made_decision
from plc_side import PlcSide

from edge_sorter.clock import SystemClock
from edge_sorter.config import LineSection, PlcSection
from edge_sorter.plc.link import MqttLink
from edge_sorter.plc.topics import Topics
from edge_sorter.types import SortDecision


@pytest.fixture
def topics():
    return Topics(LineSection())


@pytest.fixture
def clock():
    return SystemClock()


@pytest.fixture
def make_decision(clock):
    """Returns a function (seq, **changes) -> SortDecision with 2 s left."""

    def make(seq: int = 1, *, left_s: float = 2.0, **changes) -> SortDecision:
        return made_decision(seq, now_ns=clock.now_ns(), left_s=left_s, **changes)

    return make


@pytest.fixture
def broker(tmp_path, request):
    """A running mosquitto that lets anyone in; `@pytest.mark.parametrize("broker", [True], indirect=True)` makes one
    that keeps sessions over a stop, as a plant's does."""
    if not real.INSTALLED:
        pytest.skip("mosquitto and mosquitto_sub are not installed (apt-get install mosquitto mosquitto-clients)")
    server = real.Mosquitto(tmp_path, persistence=getattr(request, "param", False)).start()
    yield server
    server.stop()


@pytest.fixture
def outsider(broker, topics):
    """mosquitto_sub on everything of our sorter, already subscribed."""
    seen = real.Outsider(broker, f"{topics.prefix}/#", "ready")
    real.wait_until(lambda: seen.on("ready"), what="outsider subscribed", meanwhile=lambda: _say_ready(broker))
    yield seen
    seen.close()


@pytest.fixture
def make_link(topics, clock):
    """Returns a function (host, port, **settings) -> MqttLink; links are closed at the end."""
    links = []

    def make(port: int, *, boot_id: str = BOOT_ID, patience_s: float = 0.0, **settings) -> MqttLink:
        section = PlcSection(port=port, **settings)
        links.append(
            MqttLink(
                section, topics=topics, clock=clock, boot_id=boot_id, model="parcels-n#5c0e", patience_s=patience_s
            )
        )
        return links[-1]

    yield make
    for link in links:
        link.close()


@pytest.fixture
def plc(broker, topics):
    """A PLC that does everything right; tests switch its duties off."""
    with PlcSide(broker.port, topics.prefix) as side:
        yield side


def _say_ready(broker) -> None:
    import subprocess
    import time

    subprocess.run(["mosquitto_pub", "-h", broker.host, "-p", str(broker.port), "-t", "ready", "-m", "1"], check=False)
    time.sleep(0.05)
