"""The training commands before any training starts: mistakes, occupied folders, what is imported and launched."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer

from edge_sorter.errors import DatasetError, EdgeSorterError, ModelError
from edge_sorter.lifecycle.__main__ import app
from edge_sorter.lifecycle.run_record import draw_curves
from edge_sorter.lifecycle.train import Means, launch_command, resume, train


def lifecycle(*args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), "HOME": str(cwd), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "edge_sorter.lifecycle", *args]
    return subprocess.run(command, check=False, cwd=cwd, env=environment, capture_output=True, text=True, timeout=280)


def test_importing_the_room_loads_no_training_package() -> None:
    modules = (
        "shipped_data, train, training_data, augment, export, quantize, evaluation, manifest, calibration, commands, "
        "__main__"
    )
    heavy = "{'torch', 'ultralytics', 'onnx'}"
    code = f"import sys; from edge_sorter.lifecycle import {modules}; print(sorted(set(sys.modules) & {heavy}))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("train", "--data", "none.yaml", "--out", "run"), "edge-sorter dataset"),
        (("train", "--data", "none.yaml", "--out", "run", "--imgsz", "100"), "try 96"),
        (("train", "--data", "none.yaml", "--out", "run", "--set", "speed=3"), "no 'speed'"),
        (("train", "--data", "none.yaml", "--out", "run", "--set", "lr0=fast"), "no float"),
        (("train", "--data", "none.yaml", "--out", "run", "--set", "activation=mish"), "silu, hardswish, relu"),
        (("train", "--data", "none.yaml", "--out", "run", "--int8-like", "none.onnx"), "No int8 file at none.onnx"),
        (("train", "--out", "run"), "Give --data"),
        (("train", "--out", "run", "--resume", "--epochs", "3"), "continues as the run was begun"),
        (("train", "--out", "run", "--resume"), "Nothing to resume"),
        (("train", "--data", "d.yaml", "--out", "run", "--task", "guess"), "none of detect"),
        (("train", "--data", "d.yaml", "--out", "run", "--unfreeze", "3=0"), "freeze fewer"),
        (("train", "--data", "d.yaml", "--out", "run", "--exposure-ms", "2"), "needs all three"),
        (("distill", "--data", "d.yaml", "--out", "run"), "needs --teacher"),
        (("export", "--checkpoint", "run/weights/last.pt", "--out", "m.onnx"), "training.json"),
        (("quantize", "--model", "m.onnx", "--data", "d.yaml", "--out", "q.onnx"), "no manifest"),
        (("data", "build", "--out", "d", "--sacks", "nowhere"), "No such folder"),
    ],
)
def test_mistakes_end_in_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EdgeSorterError) as caught:
        app(list(args), standalone_mode=False)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "args",
    [
        ("train", "--data", "none.yaml", "--out", "run"),
        ("train", "--out", "run"),
        ("quantize", "--model", "MODEL", "--data", "none/data.yaml", "--out", "q.onnx"),
        ("evaluate", "--model", "MODEL", "--images", "none", "--labels", "none"),
        ("data", "build", "--out", "d", "--sacks", "none"),
        ("data", "build", "--out", "d"),
    ],
)
def test_data_that_is_not_there_ends_alike_in_every_command(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    model = str(root / "weights/parcel-yolo26n.onnx")
    with pytest.raises(DatasetError):
        app([model if arg == "MODEL" else arg for arg in args], standalone_mode=False)
    assert list(tmp_path.iterdir()) == []


def test_a_mistake_ends_with_its_exit_code_and_no_traceback(tmp_path: Path) -> None:
    result = lifecycle("train", "--out", "run", "--resume", cwd=tmp_path)
    assert result.returncode == ModelError.exit_code
    assert result.stderr.startswith("error: Nothing to resume")
    assert "Traceback" not in result.stderr


def test_both_command_lines_have_every_step_of_a_model_s_life() -> None:
    from edge_sorter.cli import app as edge_sorter

    steps = {"train", "distill", "export", "golden", "evaluate", "explain", "quantize", "frontier", "restore"}
    for door in (app, edge_sorter):
        assert steps <= set(typer.main.get_command(door).commands)  # type: ignore[attr-defined]


def test_curves_of_a_run_are_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (extra: dev)")
    draw_curves(
        [{"epoch": 1, "train/box_loss": 2.0, "lr/pg0": 0.1}, {"epoch": 2, "val/box_loss": 1.0}], tmp_path / "a.png"
    )
    drawn = cv2.imread(str(tmp_path / "a.png"))
    assert drawn is not None and drawn.shape == (700, 1100, 3) and np.ptp(drawn) > 100


def test_a_run_is_never_overwritten(tmp_path: Path) -> None:
    data, last = tmp_path / "data.yaml", tmp_path / "run" / "weights" / "last.pt"
    data.write_text("")
    last.parent.mkdir(parents=True)
    last.write_bytes(b"")
    with pytest.raises(ModelError, match="--resume"):
        train(data, tmp_path / "run")
    with pytest.raises(ModelError, match="Nothing to resume"):
        resume(tmp_path / "other")


def test_several_gpus_get_a_process_each_that_resumes_the_recorded_run() -> None:
    command = launch_command(Path("run"), "0,1,3", Means(threads=2, bf16=False))
    assert command[command.index("--nproc_per_node") + 1] == "3"
    assert command[command.index("edge_sorter.lifecycle") :] == [
        *("edge_sorter.lifecycle", "train", "--resume", "--out", "run", "--device", "0,1,3"),
        *("--threads", "2", "--loaders", "1", "--no-bf16"),
    ]


def test_weights_with_another_architecture_are_its_start_also_when_resumed(tmp_path: Path) -> None:
    """Upstream takes the architecture from `model`, and what fits of the weights from `pretrained`."""
    from edge_sorter.lifecycle import run_record
    from edge_sorter.lifecycle.train import _overrides
    from edge_sorter.lifecycle.training_data import Fingerprint

    found = Fingerprint("0" * 64, 1, 1, 1, 0, {"carton": 1}, held_out=True)
    plan = run_record.Plan(tmp_path / "data.yaml", "obb", "yolo26n-obb.yaml", tmp_path / "det.pt", transfer=True)
    run_record.begin(tmp_path / "run", plan, found, command="train")
    resumed = run_record.plan_of(run_record.load(tmp_path / "run"))
    assert resumed.transfer
    given = _overrides(tmp_path / "run", resumed, Means())
    assert (given["model"], given["pretrained"]) == ("yolo26n-obb.yaml", str(tmp_path / "det.pt"))
    own = _overrides(tmp_path / "run", replace(plan, transfer=False), Means())
    assert (own["model"], own["pretrained"]) == (str(tmp_path / "det.pt"), True)
    fresh = _overrides(tmp_path / "run", replace(plan, transfer=False, weights=None), Means())
    assert (fresh["model"], fresh["pretrained"]) == ("yolo26n-obb.yaml", False)
