"""`edge-sorter accept` and the script for the device: evidence, exit codes, and what they say about a wrong model."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

COMMAND = [sys.executable, "-m", "edge_sorter"]


@pytest.fixture
def line(tmp_path: Path, root: Path) -> Path:
    """The demo's configuration with weights of its own, on the float file."""
    for path in (root / "weights").glob("parcel-yolo26n*"):
        shutil.copy(path, tmp_path / path.name)
    config = yaml.safe_load((root / "configs/demo/line.yaml").read_text())
    config["detect"] = {"model": "parcel-yolo26n.onnx", "engine": "openvino", "threads": 1}
    config["belt"]["calibration"] = str(root / "calibration/camera/demo.yaml")
    config["belt"]["encoder"]["source"] = str(root / "configs/demo/demo.encoder.csv")
    config["sort"]["plan"] = str(root / "configs/demo/plan.yaml")
    (tmp_path / "line.yaml").write_text(yaml.safe_dump(config))
    return tmp_path / "line.yaml"


def accept(line: Path, *arguments: str, command: list[str] = COMMAND) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*command, "accept", "-c", str(line), "--runs", "100", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_a_right_model_in_its_budget_is_accepted(line: Path) -> None:
    shown = accept(line, "--json", "--budget-ms", "60000")
    assert shown.returncode == 0, shown.stderr
    evidence: dict[str, Any] = json.loads(shown.stdout)
    assert evidence["accepted"] and evidence["parity"]["passed"] and evidence["refused"] == []
    assert evidence["parity"]["boxes"] >= 6
    assert 0 < evidence["latency_ms"]["p50"] <= evidence["latency_ms"]["p99"] < 60_000


def test_too_slow_is_not_accepted(line: Path) -> None:
    shown = accept(line, "--budget-ms", "0.1")
    assert shown.returncode == 1
    assert "slow" in shown.stdout
    assert shown.stdout.strip().endswith("not accepted as configured")


def test_a_model_that_sees_something_else_is_refused_with_71(line: Path) -> None:
    manifest = line.parent / "parcel-yolo26n.json"
    content = json.loads(manifest.read_text())
    content["golden"]["detections"] = [[[10, 10, 90, 90, 0.9, 0]] for _ in content["golden"]["detections"]]
    manifest.write_text(json.dumps(content))
    shown = accept(line)
    assert shown.returncode == 71
    assert "does not see what the float model sees" in shown.stderr
    assert "Traceback" not in shown.stderr


def test_the_script_for_the_device_hands_everything_over(line: Path, root: Path, tmp_path: Path) -> None:
    program = tmp_path / "edge-sorter"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m edge_sorter "$@"\n')
    program.chmod(0o755)
    script = ["env", f"EDGE_SORTER={program}", str(root / "deploy/jetson/accept.sh")]
    shown = subprocess.run(
        [*script, str(line), "--runs", "100", "--budget-ms", "60000", "--json"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout)["accepted"]
    usage = subprocess.run(script, capture_output=True, text=True, timeout=30, check=False)
    assert usage.returncode == 2
    assert "accept.sh CONFIG" in usage.stdout
