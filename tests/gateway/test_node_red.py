"""The Node-RED flow of deploy/node-red in a real Node-RED, between a real broker and a real Modbus server."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
from pathlib import Path

import mosquitto as real
import pytest
from hand_sorter import P, stamp

from edge_sorter.clock import SystemClock
from edge_sorter.plc.gateway.conformance import examine
from edge_sorter.plc.gateway.examination import CHECKS

FOLDER = Path(__file__).resolve().parents[2] / "deploy/node-red"
NODE_RED = os.environ.get("EDGE_SORTER_NODE_RED")

needs_node_red = [
    pytest.mark.broker,
    pytest.mark.slow,
    pytest.mark.skipif(not real.INSTALLED, reason="mosquitto is not installed (apt-get install mosquitto)"),
    pytest.mark.skipif(
        not (NODE_RED and (Path(NODE_RED) / "node_modules/node-red").is_dir()),
        reason="not part of `make test`: run `make test-node-red` (Node 18.5 or newer, downloads 130 MB)",
    ),
]


class NodeRed:
    """A Node-RED process with the shipped flow; only the flow's environment variables are changed, as a user would."""

    def __init__(self, folder: Path, settings: dict[str, object]) -> None:
        self.log = folder / "node-red.log"
        nodes = json.loads((FOLDER / "flow.json").read_text())
        entries = {entry["name"]: entry for entry in nodes[0]["env"]}
        for name, value in settings.items():
            entries[name]["value"] = value if isinstance(value, str) else json.dumps(value)
        flow = folder / "flow.json"
        flow.write_text(json.dumps(nodes))
        (folder / "node_modules").symlink_to(Path(NODE_RED or "").resolve() / "node_modules")
        self._command = [
            *("node", str(folder / "node_modules/node-red/red.js")),
            *("--settings", str(FOLDER / "settings.js"), "--userDir", str(folder)),
        ]
        self._environment = os.environ | {"EDGE_SORTER_FLOW": str(flow)}

    def start(self) -> NodeRed:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._command, env=self._environment, stdout=log, stderr=log)
        return self

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(30)

    def said(self) -> str:
        return self.log.read_text(errors="replace")[-4000:]


@pytest.fixture
def node_red(broker, plc, tmp_path):
    folder = tmp_path / "node-red"
    folder.mkdir()
    one = NodeRed(
        folder,
        {
            "PREFIX": P,
            "MQTT_PORT": broker.port,
            "PLC_PORT": plc.port,
            "LANES": {"L01": 1, "L02": 2, "HOSP": 99},
            "ECHO_MS": 1000,
        },
    ).start()
    yield one
    one.stop()


@pytest.fixture
def in_use(node_red, sorter, plc):
    real.wait_until(lambda: plc.in_use, timeout_s=90, what="Node-RED uses the sorter")
    return node_red


def answered(sorter, seq: int, count: int = 1) -> list[str]:
    real.wait_until(lambda: len(sorter.results(seq)) >= count, timeout_s=20, what=f"ack of {seq}")
    return sorter.results(seq)


def test_the_flow_holds_the_code_of_its_functions():
    spec = importlib.util.spec_from_file_location("assemble", FOLDER / "assemble.py")
    assemble = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(assemble)
    text = (FOLDER / "flow.json").read_text("utf-8")
    assert assemble.assembled(text) == text, "run: python3 deploy/node-red/assemble.py"
    functions = {node["name"].lower() for node in json.loads(text) if node["type"] == "function"}
    assert functions == {file.stem for file in (FOLDER / "functions").glob("*.js")}


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed (apt-get install nodejs)")
def test_its_sockets_wait_for_nothing():
    code = """
        const net = require("net"), set = [], real = net.Socket.prototype.setNoDelay;
        net.Socket.prototype.setNoDelay = function (on) { set.push(on); return real.call(this, on); };
        require(process.argv[1]);
        const server = net.createServer(one => one.end()).listen(0, "127.0.0.1", () => {
            net.createConnection(server.address().port, "127.0.0.1").on("close", () => {
                console.log(JSON.stringify(set)); server.close();
            }).resume();
        });"""
    shown = subprocess.run(
        ["node", "-e", code, str(FOLDER / "settings.js")], capture_output=True, text=True, timeout=60, check=True
    )
    assert json.loads(shown.stdout) == [True]


class TestWithNodeRed:
    pytestmark = needs_node_red

    def test_it_keeps_every_rule(self, gateway_config, node_red, plc):
        # A slow machine may need long until Node-RED stands; the examination's own patience begins after that.
        real.wait_until(lambda: plc.memory[180] > 0, timeout_s=90, what="Node-RED's heartbeat reaches the PLC")
        findings = examine(gateway_config, lane="L02", clock=SystemClock())
        assert len(findings) == len(CHECKS) + 2
        assert [finding for finding in findings if finding.verdict != "ok"] == [], node_red.said()
        assert plc.fired

    def test_what_the_plc_gets_and_what_is_said_back(self, in_use, sorter, plc):
        sorter.decide(70000, deadline={"ts": stamp(60), "enc_cnt": plc.count + 200_000}, plc_index=7)
        assert answered(sorter, 70000) == ["ACCEPTED"]
        slot = next(plc.memory[at : at + 10] for at in range(100, 180, 10) if plc.memory[at + 9])
        assert slot[:5] == [1, 70000 - 65536, 7, 2, 1]
        plc.confirm(70000, 1, result=2)
        real.wait_until(lambda: sorter.confirms, what="the confirmation")
        said = sorter.confirms[0]
        assert (said["lane_cmd"], said["lane_act"], said["result"]) == ("L02", "L01", "MISSORT")
        assert said["parcel_uid"] == "B1-70000"
        plc.full, plc.packml = 1 << 1, 11
        real.wait_until(lambda: sorter.told.get("plc/lane/L02/state", {}).get("state") == "FULL", what="lane full")
        real.wait_until(lambda: sorter.told["plc/line/state"]["packml"] == "HELD", what="the line is held")
        assert sorter.told["plc/lane/L01/state"]["state"] == "OPEN"
        plc.refuse = 5
        sorter.decide(70001)
        assert answered(sorter, 70001) == ["LANE_UNAVAILABLE"]
        sorter.decide(70002, lane="L77")
        assert answered(sorter, 70002) == ["LANE_UNAVAILABLE"]
        assert [seq for seq, _, _ in plc.fired] == [70000]

    def test_a_plc_that_does_not_answer_is_not_acknowledged_and_fires_nothing_when_it_comes_back(
        self, in_use, sorter, plc
    ):
        plc.answers = False
        first = sorter.decide(1)
        real.wait_until(lambda: plc.fired, what="the PLC took it, and says nothing")
        real.wait_until(lambda: "did not answer decision 1" in in_use.said(), what="the flow gives up")
        assert sorter.results(1) == []
        plc.answers = True
        sorter.decide(1, deadline=first["deadline"])
        assert answered(sorter, 1) == ["DUPLICATE"]
        plc.stop()
        try:
            real.wait_until(lambda: "PLC: " in in_use.said(), what="the flow sees that the PLC is gone")
            sorter.decide(2)
            assert answered(sorter, 2) == ["REJECTED"]
            heard = len(sorter.beats)
        finally:
            plc.start()
        real.wait_until(lambda: plc.in_use and len(sorter.beats) > heard + 5, timeout_s=60, what="all is well again")
        sorter.decide(3)
        assert answered(sorter, 3) == ["ACCEPTED"]
        assert [seq for seq, _, _ in plc.fired] == [1, 3]

    def test_default_lane_when_the_sorter_falls_silent_and_when_the_broker_goes(self, in_use, sorter, plc, broker):
        sorter.alive = False
        real.wait_until(lambda: not plc.in_use, what="the sorter is silent")
        assert plc.memory[181] == 5
        sorter.alive = True
        real.wait_until(lambda: plc.in_use, what="it beats again")
        broker.stop()
        real.wait_until(lambda: not plc.in_use, what="the broker is gone")
        broker.start()
        real.wait_until(lambda: plc.in_use, timeout_s=60, what="the broker is back")
        sorter.decide(9)
        assert answered(sorter, 9) == ["ACCEPTED"]

    def test_a_retained_decision_never_reaches_the_plc(self, in_use, sorter, plc):
        sorter.decide(5, retain=True)  # the flow asks the broker for the flag as it was published
        assert answered(sorter, 5) == ["REJECTED"]
        sorter.decide(6)
        assert answered(sorter, 6) == ["ACCEPTED"]
        assert [seq for seq, _, _ in plc.fired] == [6]

    def test_the_flow_goes_on_after_a_restart_of_node_red(self, in_use, sorter, plc):
        plc.remember_s = 600.0  # Node-RED may take long to start
        first = sorter.decide(1, late_s=600.0)
        assert answered(sorter, 1) == ["ACCEPTED"]
        in_use.stop()
        plc.memory[182] = 0  # stays as it was; a PLC's program tells by 40181 that nobody is there
        in_use.start()
        real.wait_until(lambda: plc.in_use, timeout_s=90, what="Node-RED uses the sorter again")
        sorter.decide(1, deadline=first["deadline"])
        assert answered(sorter, 1, 2) == ["ACCEPTED", "DUPLICATE"]  # the PLC remembers what Node-RED forgot
        sorter.decide(2)
        assert answered(sorter, 2) == ["ACCEPTED"]
        assert [seq for seq, _, _ in plc.fired] == [1, 2]
