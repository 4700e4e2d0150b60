"""A whole line over a real broker: its model changes by SIGHUP and by command, and exceptions leave evidence."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from pathlib import Path

import mosquitto as real
import own_line
import pytest
from made_model import made_model

from edge_sorter.config import load_config
from edge_sorter.plc.topics import Topics
from edge_sorter.service.evidence import Store

PATIENCE_S = 150.0


@pytest.fixture
def values(root: Path, tmp_path: Path, broker: real.Mosquitto) -> dict:
    """The demo line with its own folder of models; a parcel needs more looks than any gets: LOW_CONF."""
    (tmp_path / "weights").mkdir()
    for path in (root / "weights").glob("parcel-yolo26n.*"):
        shutil.copy(path, tmp_path / "weights")
    values = own_line.demo_values(root)
    values["detect"] |= {
        "model": str(tmp_path / "weights/parcel-yolo26n.onnx"),
        "swap": {"wait_s": 0.5, "probation_s": 0.5, "probation_parcels": 0},
    }
    values["sort"] |= {"min_hits": 500}
    values["plc"] = {"host": broker.host, "port": broker.port}
    values["evidence"] = {"path": str(tmp_path / "evidence"), "after_s": 0.2}
    return values


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.broker
def test_models_change_and_exceptions_are_kept(broker, values, tmp_path):
    path = own_line.write(tmp_path, values)
    made_model(Path(values["detect"]["model"]), "second")
    made_model(Path(values["detect"]["model"]), "bad", golden=None)
    topics = Topics(load_config(path).line, replay=True)
    alarms = topics.alarm("MODEL_REFUSED")
    outsider = real.Outsider(broker, topics.state, topics.decision, topics.info, alarms)
    with own_line.running(path, "--slow", "12", outsider=outsider) as line:

        def told(topic: str) -> list[dict]:
            return [json.loads(payload) for payload in outsider.on(topic)]

        def until(condition, what: str) -> None:
            def holds() -> bool:
                assert line.poll() is None, f"the line ended with {line.returncode} before: {what}"
                return condition()

            real.wait_until(holds, timeout_s=PATIENCE_S, what=what)

        def command(name: str, **args: str) -> None:
            payload = json.dumps({"schema": "edge_sorter.cmd/1", "cmd": name, "args": args})
            sent = [
                "mosquitto_pub",
                "-h",
                broker.host,
                "-p",
                str(broker.port),
                "-q",
                "1",
                "-t",
                topics.cmd,
                "-m",
                payload,
            ]
            subprocess.run(sent, check=True, timeout=60)

        until(lambda: told(topics.decision), "a first decision")
        assert told(topics.info)[-1]["model"].startswith("parcel-yolo26n#")

        values["detect"]["model"] = str(tmp_path / "weights/second.onnx")
        own_line.write(tmp_path, values)
        line.send_signal(signal.SIGHUP)
        until(lambda: told(topics.info)[-1]["model"].startswith("second#"), "the second model runs")
        until(lambda: any("passed its probation" in s.get("cause", "") for s in told(topics.state)), "it is kept")
        until(lambda: told(topics.decision)[-1]["model"].startswith("second#"), "decisions name it")

        command("model", file="bad.onnx")
        until(lambda: told(alarms) and told(alarms)[-1]["state"] == "ACTIVE", "the bad one is refused")
        assert "golden pictures" in told(alarms)[-1]["text"]
        command("model", file="parcel-yolo26n.onnx")
        until(lambda: told(topics.info)[-1]["model"].startswith("parcel-yolo26n#"), "back to the first by command")

        command("mark", parcel_uid=told(topics.decision)[-1]["parcel_uid"], note="look at this")
        kept = Store(tmp_path / "evidence")

        def whys() -> set[str]:
            return {entry.why for entry in Store(kept.folder).entries() if entry.clip}

        until(lambda: {"mark", "low_conf"} <= whys(), "evidence of a mark and of an unsure parcel")
    said = told(topics.decision)
    assert [d["seq"] - said[0]["seq"] for d in said] == list(range(len(said)))
    assert len({(d["parcel_uid"], d["rev"]) for d in said}) == len(said)
    marked = next(entry for entry in Store(kept.folder).entries() if entry.why == "mark")
    record = Store(kept.folder).record(marked.id)
    assert (record["note"], record["line"]) == ("look at this", "acme/hub7/sort/line03/vis01")
    assert record["model"].startswith("parcel-yolo26n#")
