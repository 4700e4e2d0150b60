"""The training commands, end to end on a handful of drawn pictures: they must run, not learn."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_sorter.errors import ModelError
from edge_sorter.lifecycle.__main__ import app
from edge_sorter.lifecycle.train import Means, launch_command, resume, train

MISSING = [name for name in ("torch", "ultralytics", "onnx") if importlib.util.find_spec(name) is None]


def lifecycle(*args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), "HOME": str(cwd), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "edge_sorter.lifecycle", *args]
    return subprocess.run(command, check=False, cwd=cwd, env=environment, capture_output=True, text=True, timeout=280)


def test_importing_the_room_loads_no_training_package() -> None:
    modules = "data, train, training_data, augment, export, quantize, evaluate, manifest, calibration, __main__"
    heavy = "{'torch', 'ultralytics', 'onnx'}"
    code = f"import sys; from edge_sorter.lifecycle import {modules}; print(sorted(set(sys.modules) & {heavy}))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("train", "--data", "none.yaml", "--out", "run"), "data build"),
        (("train", "--data", "none.yaml", "--out", "run", "--imgsz", "100"), "try 96"),
        (("train", "--data", "none.yaml", "--out", "run", "--set", "speed=3"), "no 'speed'"),
        (("train", "--data", "none.yaml", "--out", "run", "--set", "lr0=fast"), "no float"),
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
    with pytest.raises(ModelError) as caught:
        app(list(args), standalone_mode=False)
    assert says in str(caught.value)


def test_a_mistake_ends_with_its_exit_code_and_no_traceback(tmp_path: Path) -> None:
    result = lifecycle("train", "--out", "run", "--resume", cwd=tmp_path)
    assert result.returncode == ModelError.exit_code
    assert result.stderr.startswith("error: Nothing to resume")
    assert "Traceback" not in result.stderr


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


@pytest.mark.slow
@pytest.mark.skipif(bool(MISSING), reason=f"training packages are not installed: {', '.join(MISSING)}")
def test_one_epoch_then_export_then_int8_then_parity(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for split in ("train", "valid"):
        for part in ("images", "labels"):
            (tmp_path / "rendered" / part / split).mkdir(parents=True)
        for i in range(8):
            picture = np.full((96, 128, 3), 60, np.uint8)
            x, y = (int(v) for v in rng.integers(4, 60, 2))
            picture[y : y + 32, x : x + 40] = (90, 150, 200)
            cv2.imwrite(str(tmp_path / "rendered" / "images" / split / f"{i}.png"), picture)
            box = f"0 {(x + 20) / 128:.4f} {(y + 16) / 96:.4f} {40 / 128:.4f} {32 / 96:.4f}\n"
            (tmp_path / "rendered" / "labels" / split / f"{i}.txt").write_text(box)
    steps = [
        ("data", "build", "--out", "data", "--rendered", "rendered"),
        (
            "train",
            "--data",
            "data/data.yaml",
            "--out",
            "run",
            "--epochs",
            "1",
            "--imgsz",
            "96",
            "--batch",
            "8",
            "--no-bf16",
        ),
        ("export", "--checkpoint", "run/weights/last.pt", "--out", "m.onnx", "--width", "128", "--height", "96"),
        ("quantize", "--model", "m.onnx", "--data", "data/data.yaml", "--out", "q.onnx", "--list", "list.json"),
    ]
    for step in steps:
        result = lifecycle(*step, cwd=tmp_path)
        assert result.returncode == 0, result.stderr[-3000:]
    assert json.loads((tmp_path / "q.json").read_text())["training"]["quantization"]["images"] == 8
    parity = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PARITY, "run/weights/last.pt", "m.onnx"],
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2]), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert parity.returncode == 0, parity.stderr[-3000:]
    boxes_px, scores = (float(part) for part in parity.stdout.split()[-2:])
    assert boxes_px < 0.01
    assert scores < 1e-4


PARITY = """
import sys
from pathlib import Path
import numpy as np, onnxruntime, torch
from edge_sorter.detect.decode import Grid
from edge_sorter.lifecycle.export import load_network
network = load_network(Path(sys.argv[1]))
image = np.random.default_rng(2).random((1, 3, 160, 224), np.float32)
head = network.model[-1]
with torch.no_grad():
    _, raw = network(torch.from_numpy(image))
    raw = raw.get("one2one", raw)
    head.end2end = True
    exact = head._inference(raw)[0].numpy()
session = onnxruntime.InferenceSession(sys.argv[2], providers=["CPUExecutionProvider"])
boxes, scores = session.run(["boxes", "scores"], {"images": image})
grid = Grid.of((224, 160))
distances = boxes[0] * grid.strides_px
xyxy = np.concatenate((grid.centers_px - distances[:2], grid.centers_px + distances[2:]))
print(np.abs(xyxy - exact[:4]).max(), np.abs(scores[0] - exact[4:]).max())
"""
