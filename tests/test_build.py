"""`edge-sorter build`: builds model and fallback, and says plainly where there is nothing to build with."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edge_sorter.build import build as build_command
from edge_sorter.config import load_config
from edge_sorter.detect.engines import tensorrt as engine
from edge_sorter.detect.opening import specs_of
from edge_sorter.errors import EngineError


def test_without_tensorrt_it_says_so_with_exit_code_71(root: Path) -> None:
    if importlib.util.find_spec("tensorrt"):
        pytest.skip("TensorRT is installed here")
    shown = subprocess.run(
        [sys.executable, "-m", "edge_sorter", "build", "-c", str(root / "configs/demo/line.yaml")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert shown.returncode == 71
    message = " ".join(shown.stderr.split())
    assert "nothing can be built here: TensorRT cannot be loaded" in message
    assert "OpenVINO and ONNX Runtime compile when they start" in message
    assert "Traceback" not in message


def test_the_model_and_its_fallback_are_built_and_told(
    root: Path, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    config = (root / "configs/demo/line.yaml").read_text()
    line = root / "configs/demo/line.yaml"
    int8 = tmp_path / "line.yaml"
    text = config.replace("../../weights/parcel-yolo26n.onnx", str(root / "weights/parcel-yolo26n-int8.onnx"))
    for name in ("demo.mp4", "plan.yaml", "demo.encoder.csv"):
        text = text.replace(f" {name}", f" {line.parent / name}")
    int8.write_text(text.replace("../../calibration", str(root / "calibration")))
    assert [spec.int8 for spec in specs_of(load_config(int8).detect)] == [True, False]
    asked: list[tuple[str, bool]] = []

    def build(spec: Any, *, anew: bool = False) -> engine.Built:
        asked.append((spec.model.name, anew))
        return engine.Built("Fake GPU", "10.3.0", tmp_path / "a.engine", 3_000_000, len(asked) > 1, 61.5, False)

    monkeypatch.setattr(engine, "build", build)
    build_command(int8, anew=True, as_json=False)
    assert asked == [("parcel-yolo26n-int8.onnx", True), ("parcel-yolo26n.onnx", True)]
    assert "parcel-yolo26n-int8.onnx 448x288 for Fake GPU, TensorRT 10.3.0: 3.0 MB in 61.5 s" in capsys.readouterr().out
    build_command(int8, anew=False, as_json=True)
    rows = json.loads(capsys.readouterr().out)["built"]
    assert [row["model"] for row in rows] == ["parcel-yolo26n-int8.onnx", "parcel-yolo26n.onnx"]
    assert rows[0]["input_px"] == [448, 288] and rows[0]["cached"] is True


def test_a_line_that_asks_for_another_engine_needs_no_build(root: Path, tmp_path: Path) -> None:
    text = (root / "configs/demo/line.yaml").read_text().replace("engine: auto", "engine: openvino")
    text = text.replace("../../", f"{root}/").replace("source: demo", f"source: {root}/configs/demo/demo")
    (tmp_path / "line.yaml").write_text(text.replace("plan: plan", f"plan: {root}/configs/demo/plan"))
    with pytest.raises(EngineError, match="needs nothing built ahead"):
        build_command(tmp_path / "line.yaml", anew=False, as_json=False)
