"""Failure policy, row 5: a model that is not what it should be does not start; on the whole program."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from mosquitto import wait_until
from plc_side import PlcSide
from whole_line import PREFIX, demo_values

pytestmark = pytest.mark.broker


def damage(model: Path) -> None:
    """Change one byte in the middle of the weights."""
    weights = bytearray(model.read_bytes())
    weights[len(weights) // 2] ^= 1
    model.write_bytes(bytes(weights))


def rename_class(model: Path) -> None:
    """Let the model know other classes than the sort plan asks for."""
    manifest = json.loads(model.with_suffix(".json").read_text())
    manifest["classes"] = ["box", *manifest["classes"][1:]]
    model.with_suffix(".json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("spoil", "code", "word", "alarms"),
    [(damage, 70, "parcel-yolo26n.onnx", {"MODEL_FAILED"}), (rename_class, 78, "sort plan", set())],
)
def test_row_05_another_model_than_the_manifest_or_the_plan_says(
    root, tmp_path, broker, spoil, code: int, word: str, alarms: set[str]
):
    values: dict[str, Any] = demo_values(root, broker)
    for shipped in (root / "weights").glob("parcel-yolo26n*"):
        shutil.copy(shipped, tmp_path)
    model = tmp_path / "parcel-yolo26n.onnx"
    spoil(model)
    values["detect"]["model"] = str(model)
    values["video"] = {"source": "http://127.0.0.1:9/"}  # it never comes to the camera
    config = tmp_path / "line.yaml"
    config.write_text(yaml.safe_dump(values))
    with PlcSide(broker.port, PREFIX) as plc:
        ended = subprocess.run(
            [sys.executable, "-m", "edge_sorter", "run", "-c", str(config)],
            cwd=root,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        wait_until(lambda: plc.states and plc.states[-1][1]["state"] == "OFFLINE", timeout_s=20, what="its end")
    assert ended.returncode == code, ended.stderr
    told = [(state["state"], state["cause"]) for _, state in plc.states]
    assert {state for state, _ in told} == {"STARTING", "HOLD", "OFFLINE"}
    assert any(word in cause for state, cause in told if state == "HOLD"), told
    assert {name for name, states in plc.alarms.items() if states[-1]["state"] == "ACTIVE"} == alarms
    assert plc.decisions == []
