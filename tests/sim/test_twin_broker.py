"""`sim-plc` on a real broker: what an outsider sees of it, and the closed loop with a sorter that looks at the clip."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from itertools import groupby
from pathlib import Path

import mosquitto as real
import pytest
import yaml

pytestmark = pytest.mark.broker

LIVE = "acme/hub7/sort/sim01/vis01/edge_sorter/v1"
FPS = 25.0


@pytest.fixture
def broker(tmp_path: Path):
    if not real.INSTALLED:
        pytest.skip("mosquitto is not installed (apt-get install mosquitto mosquitto-clients)")
    started = real.Mosquitto(tmp_path).start()
    yield started
    started.stop()


def command(*arguments: object) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "edge_sorter", *map(str, arguments)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ.copy())


def small_line(root: Path, folder: Path, broker: real.Mosquitto, *, parcels: int = 6) -> Path:
    values = yaml.safe_load((root / "configs/demo/sim_line.yaml").read_text(encoding="utf-8"))
    values["plan"] = str(root / "configs/demo/plan.yaml")
    values["mqtt"] = {"host": broker.host, "port": broker.port}
    values["traffic"] = {"parcels": parcels, "per_hour": 7000, "speed_mm_s": 2500}
    path = folder / "line.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return path


def messages(outsider: real.Outsider, name: str, root: str = LIVE) -> list[dict]:
    return [json.loads(payload) for payload in outsider.on(f"{root}/{name}")]


def test_an_outsider_sees_a_line_at_work(root, tmp_path, broker):
    outsider = real.Outsider(broker, "#")
    out = tmp_path / "report.json"
    twin = command(
        "sim-plc", "-c", small_line(root, tmp_path, broker), "--sorter", "--out", out, "--json",
        "--fault", "lane_full:NC", "--min-right", "0.0",
    )  # fmt: skip
    printed, told = twin.communicate(timeout=240)
    assert twin.returncode == 0, told
    report = json.loads(printed)
    assert report == json.loads(out.read_text(encoding="utf-8"))
    assert (report["judged"], report["not_landed"]) == (6, 0)
    real.wait_until(lambda: len(messages(outsider, "plc/confirm")) >= 6, what="confirms", timeout_s=20)
    decisions, acks, confirms = (messages(outsider, name) for name in ("decision", "plc/ack", "plc/confirm"))
    assert [ack["parcel_uid"] for ack in acks] == [decision["parcel_uid"] for decision in decisions]
    assert {ack["result"] for ack in acks} == {"ACCEPTED"}
    assert {confirm["parcel_uid"] for confirm in confirms} == {decision["parcel_uid"] for decision in decisions}
    for row in report["rows"]:
        confirm = next(confirm for confirm in confirms if confirm["parcel_uid"] == row["uid"])
        assert (confirm["lane_act"], confirm["lane_cmd"]) == (row["landed"], row["decided"])
        assert confirm["result"] == ("ABORT_FULL" if row["lane"] == "NC" else "VERIFIED")
    items = [item for item in messages(outsider, "plc/item") if item["edge"] == "TRAIL"]
    assert [item["plc_index"] for item in items] == [1, 2, 3, 4, 5, 6]
    weighed = {read["plc_index"]: read["weight_g"] for read in messages(outsider, "scan/read")}
    true_g = {row["plc_index"]: 1000.0 * row["weight_kg"] for row in report["rows"]}
    assert weighed == pytest.approx(true_g, abs=5.1)
    counts = [sample["cnt"] for sample in messages(outsider, "plc/enc")]
    assert counts == sorted(counts)
    assert counts[-1] - counts[0] > 10_000
    beats = messages(outsider, "plc/hb")
    assert any(beat.get("peer_n") for beat in beats)
    assert messages(outsider, "plc/lane/NC/state")[0]["state"] == "FULL"
    assert messages(outsider, "plc/line/state")[-1]["packml"] == "STOPPED"
    assert messages(outsider, "plc/lane/L01/state")[-1]["state"] == "DISABLED"
    outsider.close()


def test_a_line_that_has_a_plc_is_left_alone(root, tmp_path, broker):
    path = small_line(root, tmp_path, broker)
    speaking = subprocess.Popen(
        ["sh", "-c", f"while true; do echo '{{}}'; sleep 0.05; done | mosquitto_pub -h {broker.host} -p {broker.port} "
         f"-t {LIVE}/plc/hb -l"],
        start_new_session=True,
    )  # fmt: skip
    try:
        time.sleep(1.0)
        twin = command("sim-plc", "-c", path)
        _, told = twin.communicate(timeout=120)
    finally:
        os.killpg(speaking.pid, 15)
        speaking.wait(10)
    assert twin.returncode == 76
    assert "another PLC or gateway speaks" in told


def test_a_line_stopped_midway_reports_what_it_saw(root, tmp_path, broker):
    outsider = real.Outsider(broker, f"{LIVE}/#")
    out = tmp_path / "report.json"
    twin = command("sim-plc", "-c", small_line(root, tmp_path, broker, parcels=200), "--sorter", "--out", out)
    real.wait_until(lambda: outsider.on(f"{LIVE}/plc/confirm"), timeout_s=120, what="a parcel has landed")
    told_once = [item["plc_index"] for item in messages(outsider, "plc/item") if item["edge"] == "TRAIL"]
    assert len(set(told_once)) == len(told_once)
    anew = messages(outsider, "hb")[-1] | {"boot_id": "ZZZZZZZZZZ"}
    subprocess.run(
        ["mosquitto_pub", "-h", broker.host, "-p", str(broker.port), "-t", f"{LIVE}/hb", "-m", json.dumps(anew)],
        check=True,
    )
    real.wait_until(lambda: _told_again(outsider), timeout_s=60, what="a sorter that starts anew hears what is there")
    twin.terminate()
    printed, told = twin.communicate(timeout=60)
    assert twin.returncode == 0, told
    report = json.loads(out.read_text(encoding="utf-8"))
    assert 1 <= report["judged"] == 200 - report["not_landed"] < 200
    assert report["shares"]["right"]["count"] == report["judged"]
    assert report["faults"]["undecided"]["count"] == 0
    assert f"stopped early: {report['not_landed']} had not landed" in printed
    said = [message["packml"] for message in messages(outsider, "plc/line/state")]
    assert (said[0], said[-1]) == ("EXECUTE", "STOPPED")
    outsider.close()


def _told_again(outsider: real.Outsider) -> list[dict]:
    """Items that were told twice, in the same words but for the time."""
    told = [{**item, "ts": None} for item in messages(outsider, "plc/item") if item["edge"] == "TRAIL"]
    return [item for number, item in enumerate(told) if item in told[:number]]


@pytest.mark.parametrize(("fault", "said"), [("e_stop@2.5+1", "ABORTED"), ("encoder_lost@2.5+0.5", "HELD")])
def test_what_was_on_the_belt_in_trouble_is_flushed(root, tmp_path, broker, fault, said):
    outsider = real.Outsider(broker, f"{LIVE}/#")
    twin = command(
        "sim-plc", "-c", small_line(root, tmp_path, broker, parcels=10), "--sorter", "--json", "--fault", fault
    )  # fmt: skip
    printed, told = twin.communicate(timeout=240)
    assert twin.returncode == 0, told
    report = json.loads(printed)
    assert report["judged"] == 10
    assert report["shares"]["wrong"]["count"] == 0
    assert report["results"]["FLUSHED"] >= 1
    assert report["results"]["AS_DECIDED"] >= 1
    assert {row["landed"] for row in report["rows"] if row["result"] == "FLUSHED"} == {"NR"}
    told_of = [packml for packml, _ in groupby(message["packml"] for message in messages(outsider, "plc/line/state"))]
    assert told_of == ["EXECUTE", said, "EXECUTE", "STOPPED"]
    flushed = [m["parcel_uid"] for m in messages(outsider, "plc/confirm") if m["result"] == "FLUSHED"]
    assert set(flushed) == {row["uid"] for row in report["rows"] if row["result"] == "FLUSHED"}
    outsider.close()


def test_a_jam_is_confirmed_as_one_and_the_report_says_who_was_held(root, tmp_path, broker):
    outsider = real.Outsider(broker, f"{LIVE}/#")
    path = small_line(root, tmp_path, broker, parcels=4)
    twin = command("sim-plc", "-c", path, "--sorter", "--json", "--fault", "jam@1+1:2500", "--fault", "hand@3.5+0.2")
    printed, told = twin.communicate(timeout=240)
    assert twin.returncode == 0, told
    report = json.loads(printed)
    stuck = [row for row in report["rows"] if any(one["what"] == "stuck" for one in row["mishaps"])]
    assert len(stuck) == 1
    assert (stuck[0]["landed"], stuck[0]["result"]) == ("NR", "JAM")
    assert report["mishaps"]["stuck"] == {"safe": 1}
    confirms = {confirm["parcel_uid"]: confirm for confirm in messages(outsider, "plc/confirm")}
    assert confirms[stuck[0]["uid"]]["result"] == "JAM"
    assert confirms[stuck[0]["uid"]].get("lane_act") is None
    assert report["items"] == {"seen": 5, "of_nothing": 1}
    assert [item["plc_index"] for item in messages(outsider, "plc/item") if item["edge"] == "TRAIL"] == [1, 2, 3, 4, 5]
    outsider.close()


def test_no_broker_is_told(root, tmp_path, broker):
    path = small_line(root, tmp_path, broker)
    broker.stop()
    twin = command("sim-plc", "-c", path, "--out", tmp_path / "report.json")
    _, told = twin.communicate(timeout=120)
    assert twin.returncode == 76
    assert "connection refused" in told
    assert not (tmp_path / "report.json").exists()


def twin_config(root: Path, folder: Path, broker: real.Mosquitto) -> Path:
    values = yaml.safe_load((root / "configs/demo/line_twin.yaml").read_text(encoding="utf-8"))
    values["video"]["source"] = str(root / "configs/demo/demo.mp4")
    values["detect"]["model"] = str(root / "weights/parcel-yolo26n.onnx")
    values["belt"]["calibration"] = str(root / "calibration/camera/demo.yaml")
    values["sort"]["plan"] = str(root / "configs/demo/plan.yaml")
    values["plc"] |= {"host": broker.host, "port": broker.port}
    path = folder / "line.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return path


def pace_fps(root: Path, config: Path) -> float:
    """How many frames a second this machine looks at, with whatever else it does now."""
    replay = command("replay", root / "configs/demo/demo.mp4", "-c", config.with_name("offline.yaml"), "--json")
    config.with_name("offline.yaml").write_text(
        config.read_text(encoding="utf-8").replace("source: mqtt", f"source: {root}/configs/demo/demo.encoder.csv"),
        encoding="utf-8",
    )
    began = time.monotonic()
    printed, told = replay.communicate(timeout=900)
    assert replay.returncode == 0, told
    return json.loads(printed)["frames"] / (time.monotonic() - began)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_demo_clip_lands_where_its_truth_says(root, tmp_path, broker):
    """The whole product against the whole line: camera picture to lane, over a real broker.

    In slow motion where the machine is too small, or too busy, for real time.
    """
    config = twin_config(root, tmp_path, broker)
    slow = max(1.0, 3.0 * FPS / pace_fps(root, config))
    if slow > 15.0:
        pytest.skip(f"this machine looks at {3.0 * FPS / slow:.1f} frames a second now, too few to close the loop")
    out = tmp_path / "report.json"
    outsider = real.Outsider(broker, "replay/#")
    arguments = ["--slow", slow, "--port", broker.port, "--out", out, "--min-right", 0.99]
    twin = command("sim-plc", "-c", root / "configs/demo/sim_plc.yaml", *arguments)
    lane = "replay/acme/hub7/sort/line03/vis01/edge_sorter/v1/plc/lane/L01/state"
    real.wait_until(lambda: outsider.on(lane), timeout_s=120, what="the line is there")
    sorter = command("run", "-c", config, "--slow", slow)
    _, said = sorter.communicate(timeout=1500)
    assert sorter.returncode == 0, said
    printed, told = twin.communicate(timeout=600)
    outsider.close()
    report = json.loads(out.read_text(encoding="utf-8"))
    assert report["judged"] >= 40
    assert report["not_landed"] == 0, printed
    assert report["faults"]["late"]["count"] == report["decisions"]["late"] == 0, printed
    assert report["shares"]["wrong"]["count"] == 0, printed
    assert twin.returncode == 0, printed + told
