"""The examination of gateways: ours passes every rule, one that breaks rules is told which."""

from __future__ import annotations

import json

import mosquitto as real
import paho.mqtt.client as mqtt
import pytest
from hand_sorter import P
from typer.testing import CliRunner

from edge_sorter.clock import SystemClock
from edge_sorter.errors import PlcError
from edge_sorter.plc.gateway.commands import app
from edge_sorter.plc.gateway.conformance import examine
from edge_sorter.plc.gateway.examination import CHECKS

pytestmark = [
    pytest.mark.broker,
    pytest.mark.slow,
    pytest.mark.skipif(not real.INSTALLED, reason="mosquitto is not installed (apt-get install mosquitto)"),
]


class Careless:
    """A gateway as one writes it in an afternoon: says ACCEPTED to everything that parses."""

    def __init__(self, broker) -> None:
        self.n = 0
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="careless", protocol=mqtt.MQTTv5)
        self.client.on_connect = lambda client, *_: client.subscribe([(f"{P}/decision", 1), (f"{P}/hb", 0)])
        self.client.on_message = self._heard
        self.client.connect(broker.host, broker.port)
        self.client.loop_start()

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def _heard(self, client, _userdata, message) -> None:
        try:
            data = json.loads(message.payload)
        except (ValueError, RecursionError):
            return
        if message.topic.endswith("/hb"):
            self.n += 1
            client.publish(f"{P}/plc/hb", json.dumps({"n": self.n, "peer_n": data["n"]}))
        elif isinstance(data, dict) and "seq" in data and "boot_id" in data:
            kept = {key: data[key] for key in ("boot_id", "seq", "parcel_uid", "rev")}
            answer = {"schema": "edge_sorter.ack/1", "result": "ACCEPTED", "note": [1]} | kept
            client.publish(f"{P}/plc/ack", json.dumps(answer), qos=1)


def verdicts(findings) -> dict[str, str]:
    return {finding.rule: finding.verdict for finding in findings}


def test_the_reference_gateway_keeps_every_rule(gateway_config, running, plc):
    findings = examine(gateway_config, lane="L02", clock=SystemClock())
    assert len(findings) == len(CHECKS) + 2
    assert set(verdicts(findings).values()) == {"ok"}, [f for f in findings if f.verdict != "ok"]
    assert plc.fired


def test_a_careless_gateway_is_told_which_rules_it_breaks(broker, gateway_config):
    careless = Careless(broker)
    try:
        findings = examine(gateway_config, lane="L02", clock=SystemClock())
    finally:
        careless.close()
    broken = [finding.rule for finding in findings if finding.verdict == "fail"]
    for word in (
        "repetition",
        "other content",
        "higher revision",
        "deadline",
        "replayed",
        "major",
        "HOLD",
        "comes back",
    ):
        assert any(word in rule for rule in broken), (word, broken)
    good = [finding.rule for finding in findings if finding.verdict == "ok"]
    assert any("in time" in rule for rule in good)
    assert [finding.rule for finding in findings if finding.verdict == "skip"] == [
        "believes the encoder before the clock: a deadline count that has passed is LATE, one ahead is not"
    ]


def test_no_gateway_there_is_one_finding(gateway_config, monkeypatch):
    monkeypatch.setattr("edge_sorter.plc.gateway.examination.FIRST_CONTACT_S", 1.0)
    findings = examine(gateway_config, lane="L02", clock=SystemClock())
    assert [(finding.verdict, finding.seen) for finding in findings] == [("fail", "no heartbeat within 1 s")]


def test_a_running_sorter_is_not_disturbed(gateway_config, sorter):
    with pytest.raises(PlcError, match="a sorter is running"):
        examine(gateway_config, lane="L02", clock=SystemClock())


def test_the_command_prints_findings_and_fails_when_a_rule_is_broken(broker, plc, running, tmp_path):
    file = tmp_path / "gateway.yaml"
    file.write_text(
        "line: {enterprise: acme, site: hub7, area: sort, line: line03, cell: vis01}\n"
        f"mqtt: {{host: 127.0.0.1, port: {broker.port}}}\nlanes: {{L02: 2}}\n"
    )
    shown = CliRunner().invoke(app, ["conformance", "-c", str(file), "--json"])
    assert shown.exit_code == 0, shown.output
    assert {finding["verdict"] for finding in json.loads(shown.output)} == {"ok"}
    plc.answers = False  # from now on nothing is acknowledged
    shown = CliRunner().invoke(app, ["conformance", "-c", str(file)])
    assert shown.exit_code == 1
    assert "FAIL" in shown.output


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lanes: {}", "at least one lane"),
        ("lanes: {A: 1, B: 1}", "lanes A and B have the same number 1"),
        ("lanes: {A: 0}", "lanes.A"),
        ("lane: {A: 1}", "lanes"),
        ("lanes: {A: 1}\nmodbus: {prot: 502}", "line 2.*modbus.prot"),
    ],
)
def test_mistakes_in_the_configuration(tmp_path, text, message):
    from edge_sorter.errors import ConfigError
    from edge_sorter.plc.gateway.settings import load_gateway_config

    file = tmp_path / "gateway.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_gateway_config(file)


def test_the_shipped_configuration_is_right(root):
    from edge_sorter.plc.gateway.settings import load_gateway_config
    from edge_sorter.sort import load_plan

    config = load_gateway_config(root / "configs/demo/gateway.yaml")
    plan = load_plan(
        root / "configs/demo/plan.yaml", classes=("carton", "polybag", "mailer", "tube", "sack"), calibrated=True
    )
    assert config.lanes == {lane.id: lane.plc for lane in plan.lanes}
