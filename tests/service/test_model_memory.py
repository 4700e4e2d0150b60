"""A model that was taken back is not the one the next start puts on the belt, whatever the configuration says."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import mosquitto as real
import own_line
import pytest
from made_model import made_model

from edge_sorter.config import Config, load_config
from edge_sorter.detect.manifest import load_manifest
from edge_sorter.plc.topics import Topics
from edge_sorter.service.doctor.model import model as doctor_on_model
from edge_sorter.service.model_memory import DIED, ModelMemory, put_back
from edge_sorter.state_folder import state_folder

AT = "2026-11-21T12:00:00Z"


@pytest.fixture
def config(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A line whose configuration names the model `new`; before it, the shipped one decided."""
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    (tmp_path / "weights").mkdir()
    for path in (root / "weights").glob("parcel-yolo26n.*"):
        shutil.copy(path, tmp_path / "weights")
    new = made_model(tmp_path / "weights/parcel-yolo26n.onnx", "new")
    values = own_line.demo_values(root)
    values["detect"]["model"] = str(new)
    values["journal"] = {"path": str(tmp_path / "state/journal.jsonl")}
    return load_config(own_line.write(tmp_path, values))


def old_of(config: Config) -> Path:
    return config.detect.model.with_name("parcel-yolo26n.onnx")


def on_trial(config: Config) -> ModelMemory:
    """Return the memory of a line that has just changed to the new model."""
    memory = ModelMemory.of(config, now=lambda: AT)
    memory.begins(load_manifest(config.detect.model).sha256, model=config.detect.model, before=old_of(config))
    return memory


def next_start(config: Config) -> tuple[Path, str | None]:
    memory = ModelMemory.of(config)
    memory.settle()
    section, said = put_back(config.detect, memory)
    memory.close()
    return section.model, said


def test_nothing_is_held_against_a_model_nobody_tried(config):
    assert next_start(config) == (config.detect.model, None)
    assert not (config.journal.path.parent / "models.json").exists()


def test_what_was_taken_back_stays_back(config):
    memory = on_trial(config)
    memory.took_back("misses 40 % of the boxes")
    memory.close()
    for _ in range(3):  # it does not flap
        model, said = next_start(config)
        assert model == old_of(config)
        assert said == f"new.onnx was taken back at {AT}: it misses 40 % of the boxes. parcel-yolo26n.onnx decides"


def test_a_program_that_died_during_the_probation_does_not_start_with_it_again(config):
    on_trial(config).close()
    model, said = next_start(config)
    assert (model, DIED in said) == (old_of(config), True)
    assert next_start(config)[0] == old_of(config)


@pytest.mark.parametrize("end", ["passed", "ended"])
def test_a_probation_that_was_passed_or_stopped_is_no_verdict(config, end):
    memory = on_trial(config)
    getattr(memory, end)()
    memory.close()
    assert next_start(config) == (config.detect.model, None)


def test_passing_later_takes_the_verdict_away(config):
    memory = on_trial(config)
    memory.took_back("was slow")
    memory.begins(load_manifest(config.detect.model).sha256, model=config.detect.model, before=old_of(config))
    memory.passed()
    memory.close()
    assert next_start(config) == (config.detect.model, None)


def test_another_file_of_that_name_is_another_model(config):
    memory = on_trial(config)
    memory.took_back("was slow")
    memory.close()
    config.detect.model.unlink()
    retrained = made_model(old_of(config), "retrained")
    digest = load_manifest(retrained).sha256
    shutil.copy(retrained, config.detect.model)
    manifest = json.loads(retrained.with_suffix(".json").read_text()) | {"name": "new", "file": "new.onnx"}
    config.detect.model.with_suffix(".json").write_text(json.dumps(manifest | {"sha256": digest}))
    assert next_start(config) == (config.detect.model, None)


def test_without_the_old_one_the_new_one_decides_and_it_is_said(config):
    memory = on_trial(config)
    memory.took_back("was slow")
    memory.close()
    old_of(config).unlink()
    model, said = next_start(config)
    assert model == config.detect.model
    assert "decides all the same" in said


def test_a_broken_memory_is_an_empty_one(config, caplog):
    path = config.journal.path.parent / "models.json"
    path.parent.mkdir()
    for text in ("", "{", "[]", '{"taken_back": {"x": {"why": 1}}, "trial": null}', '{"taken_back": 3}'):
        path.write_text(text)
        assert next_start(config) == (config.detect.model, None)
        assert "cannot be read" in caplog.text
        caplog.clear()


def test_the_lines_own_folder_is_the_deepest(monkeypatch):
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/edge-sorter:/var/lib/edge-sorter/line01")
    assert state_folder() == Path("/var/lib/edge-sorter/line01")
    monkeypatch.setenv("STATE_DIRECTORY", "")
    assert state_folder() is None


def test_the_doctor_says_which_model_the_next_start_takes(config):
    memory = on_trial(config)
    memory.took_back("was slow")
    memory.close()
    found = {finding.part: finding for finding in doctor_on_model(config, [], fps=None)}
    assert "parcel-yolo26n.onnx decides" in found["model"].fact
    assert str(memory.path) in found["model"].advice
    assert found["engine"].fact.startswith("parcel-yolo26n")
    assert ModelMemory.of(config).taken_back == memory.taken_back, "a doctor changes nothing"


LOADS_FOR_EVER = """
import pathlib, sys, threading
from edge_sorter.service import model_swap
loading = pathlib.Path(sys.argv[1])
def load(*_, **__):
    loading.touch()
    threading.Event().wait()
model_swap.load = load
sys.argv[:2] = ["edge-sorter"]
from edge_sorter.cli import main
main()
"""


@pytest.mark.slow
@pytest.mark.broker
@pytest.mark.skipif(not real.INSTALLED, reason="mosquitto is not installed: no real broker to run against")
def test_a_start_tells_whom_it_put_back_and_a_stop_does_not_wait_for_a_model(config, root, tmp_path):
    memory = on_trial(config)
    memory.took_back("was slow")
    memory.close()
    broker = real.Mosquitto(tmp_path).start()
    values = own_line.demo_values(root)
    values["detect"]["model"], values["journal"] = str(config.detect.model), {"path": str(config.journal.path)}
    values["plc"] = {"host": broker.host, "port": broker.port}
    path = own_line.write(tmp_path, values)
    topics = Topics(load_config(path).line, replay=True)
    alarm = topics.alarm("MODEL_ROLLED_BACK")
    outsider = real.Outsider(broker, topics.state, topics.info, alarm)
    loading = tmp_path / "loading"
    line = subprocess.Popen(
        [sys.executable, "-c", LOADS_FOR_EVER, str(loading), "run", "-c", str(path), "--slow", "20"],
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    try:
        real.wait_until(lambda: outsider.on(alarm), timeout_s=120, what="the alarm")
        told = json.loads(outsider.on(alarm)[-1])
        assert (told["state"], "it was slow. parcel-yolo26n.onnx decides" in told["text"]) == ("ACTIVE", True)
        real.wait_until(lambda: outsider.on(topics.info), timeout_s=60, what="info")
        assert json.loads(outsider.on(topics.info)[-1])["model"].startswith("parcel-yolo26n#")
        values["detect"]["model"] = str(made_model(old_of(config), "third"))
        own_line.write(tmp_path, values)
        line.send_signal(signal.SIGHUP)
        real.wait_until(loading.exists, timeout_s=120, what="a model is being loaded")
        line.send_signal(signal.SIGTERM)
        assert line.wait(60) == 0
        real.wait_until(
            lambda: json.loads(outsider.on(topics.state)[-1])["state"] == "OFFLINE", timeout_s=30, what="OFFLINE"
        )
    finally:
        line.kill()
        line.wait(30)
        outsider.close()
        broker.stop()
