"""The Sparkplug mirror on a real broker, as a host of other make sees it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone

import mosquitto as real
import pytest
from hand_sorter import LINE, P, Sorter, stamp
from sparkplug_host import Host, metric
from sparkplug_host import fields as wire_fields

from edge_sorter.clock import SystemClock
from edge_sorter.config import PlcSection
from edge_sorter.errors import ConfigError, MessageError, PlcError
from edge_sorter.plc.gateway.settings import MirrorConfig, SparkplugSection, load_mirror_config
from edge_sorter.plc.gateway.sparkplug import SparkplugMirror
from edge_sorter.plc.gateway.sparkplug_payload import Payloads, changed
from edge_sorter.plc.gateway.tags import Kind, Tag

pytest.importorskip("google.protobuf", reason="protobuf is not installed: the Sparkplug mirror was not run")

NODE, DEVICE = "line03-vis01", "line03-vis01/edge_sorter"
AT = datetime(2023, 11, 14, 22, 13, 20, tzinfo=timezone.utc)

needs_broker = [
    pytest.mark.broker,
    pytest.mark.skipif(not real.INSTALLED, reason="mosquitto is not installed (apt-get install mosquitto)"),
]


def test_bytes_are_those_that_other_libraries_read():
    """Read as shown by npm sparkplug-payload 1.0.3 and PyPI pysparkplug 0.6.1 when this was written."""
    tags = {
        "State": Tag(Kind.TEXT, "RUNNING", AT),
        "n": Tag(Kind.COUNT, -5, AT),
        "f": Tag(Kind.NUMBER, 1.5, AT),
        "on": Tag(Kind.FLAG, True, AT),
        "t": Tag(Kind.TIME, AT, AT),
        "null": Tag(Kind.TEXT, None, AT),
    }
    data = Payloads().encode(tags, at=AT, seq=0, bd_seq=7, rebirth=True)
    assert data.hex() == (
        "0880d095ffbc3112120a0562645365711880d095ffbc312008580712210a144e6f646520436f6e74726f6c2f526562697274681880d095ff"
        "bc31200b700012190a0553746174651880d095ffbc31200c7a0752554e4e494e4712170a016e1880d095ffbc31200458fbffffffffffffff"
        "ff0112150a01661880d095ffbc31200a69000000000000f83f120f0a026f6e1880d095ffbc31200b700112130a01741880d095ffbc31200d"
        "5880d095ffbc3112110a046e756c6c1880d095ffbc31200c38011800"
    )
    read = dict(metric(value) for number, value in wire_fields(data) if number == 2)
    assert read == {
        "bdSeq": 7,
        "Node Control/Rebirth": False,
        "State": "RUNNING",
        "n": -5,
        "f": 1.5,
        "on": True,
        "t": 1_700_000_000_000,
        "null": None,
    }


@pytest.mark.parametrize("data", [b"\xff", b"\x12\xff\xff\xff", b"\x12\x05\x0a\x03\xff\xfe\xfd", b"x" * 20_000])
def test_a_command_that_is_none_is_refused_or_says_nothing(data):
    try:
        assert not any(Payloads().commands(data).values())
    except MessageError as error:
        assert error.code in ("NOT_SPARKPLUG", "TOO_LARGE")


def test_only_what_changed_is_told_and_numbers_by_more_than_a_little():
    before = {"a": Tag(Kind.NUMBER, 30.0, AT), "b": Tag(Kind.TEXT, "x", AT), "c": Tag(Kind.NUMBER, None, AT)}
    after = before | {"a": Tag(Kind.NUMBER, 30.5, AT), "c": Tag(Kind.NUMBER, 1.0, AT), "d": Tag(Kind.COUNT, 0, AT)}
    assert changed(before, after).keys() == {"c", "d"}
    assert changed(before, after | {"a": Tag(Kind.NUMBER, 30.7, AT)}).keys() == {"a", "c", "d"}


@pytest.fixture
def host(broker):
    one = Host(broker, "hub7")
    yield one
    one.close()
    assert one.faults == []


@contextmanager
def running(config: MirrorConfig) -> Iterator[SparkplugMirror]:
    one = SparkplugMirror(config, clock=SystemClock())
    stop = threading.Event()
    thread = threading.Thread(target=one.run, args=(stop.is_set,))
    thread.start()
    try:
        yield one
    finally:
        stop.set()
        thread.join(30)
    assert not thread.is_alive()


@pytest.fixture
def config(broker):
    return MirrorConfig(
        line=LINE,
        mqtt=PlcSection(host=broker.host, port=broker.port),
        sparkplug=SparkplugSection(report_ms=100),
        silent_after_ms=4000,
    )


@pytest.fixture
def mirror(config):
    with running(config) as one:
        yield one


def alarm(sorter: Sorter, state: str, **more) -> None:
    message = {
        "schema": "edge_sorter.alarm/1",
        "boot_id": "B1",
        "code": "CAM_LOST",
        "severity": 2,
        "state": state,
        "since": stamp(0),
        "ts": stamp(0),
        "text": "The camera sends no pictures",
    }
    sorter.client.publish(f"{P}/alarm/CAM_LOST", json.dumps(message | more), qos=1, retain=True)


def kpi(sorter: Sorter, **more) -> None:
    message = {"schema": "edge_sorter.kpi/1", "boot_id": "B1", "ts": stamp(0)}
    sorter.client.publish(f"{P}/kpi", json.dumps(message | more), qos=0, retain=True)


class TestOnABroker:
    pytestmark = needs_broker

    def test_birth_data_alarms_rebirth_and_both_deaths(self, host, sorter, mirror, broker):
        assert host.wait("NBIRTH").path == NODE
        born = host.wait("DBIRTH")
        assert (born.path, born.metrics["State/Name"], born.metrics["State/Sorting"]) == (DEVICE, "RUNNING", True)
        assert born.metrics["Alarms/CAM_LOST/Active"] is False  # a screen can be drawn before the first alarm
        assert not any("ecision/" in name for name in born.metrics)

        alarm(sorter, "ACTIVE")
        real.wait_until(lambda: host.values[f"{DEVICE}:Alarms/CAM_LOST/Active"] is True, what="the alarm")
        assert host.values[f"{DEVICE}:Alarms/Active Count"] == 1
        assert host.values[f"{DEVICE}:Alarms/Worst Severity"] == 2
        alarm(sorter, "CLEARED")
        real.wait_until(lambda: host.values[f"{DEVICE}:Alarms/CAM_LOST/Active"] is False, what="the alarm is over")

        births = host.count("DBIRTH")
        kpi(sorter, decisions=3, by_lane={"L01": 2, "L02": 1})  # names that were never born
        real.wait_until(lambda: host.values.get(f"{DEVICE}:Lanes/L01/Sorted") == 2, what="figures")
        assert host.count("DBIRTH") > births
        births = host.count("DBIRTH")
        kpi(sorter, decisions=5, by_lane={"L01": 4, "L02": 1})
        real.wait_until(lambda: host.values[f"{DEVICE}:KPI/Decisions"] == 5, what="newer figures")
        assert host.count("DBIRTH") == births
        newest = [one for one in host.heard if "KPI/Decisions" in one.metrics][-1]
        assert newest.metrics.keys() == {"KPI/Decisions", "Lanes/L01/Sorted"}  # by exception
        sorter.decide(1)

        before = host.count("NBIRTH")
        host.ask_rebirth(NODE)
        again = host.wait("NBIRTH", before + 1)
        assert again.metrics["bdSeq"] == host.heard[0].metrics["bdSeq"]
        assert host.wait("DBIRTH", births + 1).metrics["KPI/Decisions"] == 5
        assert again.metrics["Source/Connected"] is True

        sorter.alive = False  # hangs: its retained state still says RUNNING
        real.wait_until(lambda: host.online[DEVICE] is False, what="the device's death")
        sorter.alive = True
        real.wait_until(lambda: host.online[DEVICE], what="its birth")
        sorter.state("OFFLINE")
        real.wait_until(lambda: host.online[DEVICE] is False, what="its death")
        assert host.online[NODE]
        assert not any("B1-1" in str(value) for one in host.heard for value in one.metrics.values())

    def test_a_broker_that_comes_back_gets_a_new_birth(self, host, sorter, mirror, broker):
        first = host.wait("NBIRTH").metrics["bdSeq"]
        host.wait("DBIRTH")
        broker.stop()
        broker.start()
        # What was told before the host heard again is lost to it, as for any host: it asks.
        real.wait_until(lambda: host.client.is_connected() and mirror.births >= 2, timeout_s=60, what="both are back")
        real.wait_until(
            lambda: host.bd_seq != first, timeout_s=60, what="a birth", meanwhile=lambda: host.ask_rebirth(NODE)
        )
        host.faults = [fault for fault in host.faults if "expected" not in fault and "not there" not in fault]

    def test_a_host_with_a_broker_of_its_own_sees_the_sorters_broker_go_and_come(self, host, broker, config, tmp_path):
        (tmp_path / "line").mkdir()
        line = real.Mosquitto(tmp_path / "line", persistence=True).start()
        scada = PlcSection(host=broker.host, port=broker.port)
        config = config.model_copy(
            update={
                "mqtt": PlcSection(host=line.host, port=line.port),
                "sparkplug": SparkplugSection(report_ms=100, mqtt=scada, group="hub7"),
            }
        )
        other = Sorter(line)
        try:
            with running(config):
                assert host.wait("DBIRTH").metrics["State/Sorting"] is True
                line.stop()
                host.wait("DDEATH")
                real.wait_until(lambda: host.values[f"{NODE}:Source/Connected"] is False, what="the node says why")
                line.start()
                assert host.wait("DBIRTH", 2).metrics["State/Sorting"] is True
                real.wait_until(lambda: host.values[f"{NODE}:Source/Connected"] is True, what="the node says it")
                assert (host.count("NBIRTH"), host.count("NDEATH")) == (1, 0)
        finally:
            other.close()
            line.stop()

    def test_killed_it_is_dead_and_ended_it_says_so(self, host, sorter, broker, tmp_path):
        file = tmp_path / "mirror.yaml"
        file.write_text(
            "line: {enterprise: acme, site: hub7, area: sort, line: line03, cell: vis01}\n"
            f"mqtt: {{port: {broker.port}}}\n"
        )
        command = [sys.executable, "-m", "edge_sorter", "gateway", "sparkplug", "-c", str(file)]
        process = subprocess.Popen(command, env=os.environ, stderr=subprocess.PIPE, text=True)
        first = host.wait("NBIRTH").metrics["bdSeq"]
        process.kill()
        process.communicate()
        assert host.wait("NDEATH").metrics == {"bdSeq": first}  # the broker says it, by the will
        assert not host.online[NODE]
        process = subprocess.Popen(command, env=os.environ, stderr=subprocess.PIPE, text=True)
        second = host.wait("NBIRTH", 2).metrics["bdSeq"]
        process.send_signal(signal.SIGTERM)
        assert "births of the edge node" in process.communicate(timeout=60)[1]
        assert process.returncode == 0
        assert host.wait("NDEATH", 2).metrics == {"bdSeq": second}
        assert host.count("NDEATH") == 2


def test_without_its_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "google.protobuf", None)
    with pytest.raises(PlcError, match=r"pip install 'edge-sorter\[sparkplug\]'"):
        SparkplugMirror(MirrorConfig(), clock=SystemClock())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sparkplug: {group: a/b}", "line 1.*sparkplug.group"),
        ("sparkplug: {nod: x}", "sparkplug.nod"),
        ("lanes: {L01: 1}", "lanes"),
        ("silent_after_ms: 0", "silent_after_ms"),
    ],
)
def test_mistakes_in_the_configuration(tmp_path, text, message):
    file = tmp_path / "mirror.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_mirror_config(file)


def test_files_lie_beside_the_configuration(tmp_path):
    file = tmp_path / "mirror.yaml"
    file.write_text(
        "mqtt: {tls: {ca_file: certs/ca.pem}}\nsparkplug: {mqtt: {host: scada, username: u, password_file: word}}\n"
    )
    config = load_mirror_config(file)
    assert config.mqtt.tls.ca_file == tmp_path / "certs/ca.pem"
    assert config.sparkplug.mqtt.password_file == tmp_path / "word"


def test_the_shipped_configuration_is_right(root):
    config = load_mirror_config(root / "configs/demo/mirror.yaml")
    assert (config.sparkplug.group, config.sparkplug.node) == ("hub7", NODE)
