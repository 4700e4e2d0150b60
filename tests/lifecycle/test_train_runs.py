"""Real training on a handful of pictures: killed and resumed, disk full, every task. It must run, not learn much."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from edge_sorter.errors import ModelError
from tests.lifecycle.training_sets import attribute_set, collage_set

torch = pytest.importorskip("torch", reason="torch is not installed (extra: train)")
pytest.importorskip("ultralytics", reason="ultralytics is not installed (extra: train)")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[2]
TINY = ("--imgsz", "64", "--batch", "4", "--no-bf16", "--device", "cpu")
# Stages of freezing, the end of mosaics, camera effects and weights: that resuming has to bring all of them back.
RUN = (
    *("--epochs", "3", "--freeze", "10", "--unfreeze", "1=4"),
    *("--set", "noise=5", "--set", "class_weight=0.5", "--set", "close_mosaic=1"),
)
LIMIT_S = 600


def started(*args: str, cwd: Path, prefix: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(cwd), "OMP_NUM_THREADS": "1"}
    command = [*prefix, sys.executable, "-m", "edge_sorter", *args]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, cwd=cwd, env=environment, stdout=pipe, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def edge_sorter(*args: str, cwd: Path, code: int = 0, prefix: tuple[str, ...] = ()) -> str:
    process = started(*args, cwd=cwd, prefix=prefix)
    try:
        output, _ = process.communicate(timeout=LIMIT_S)
    finally:
        process.kill()
    assert process.returncode == code, output[-3000:]
    return output


def weights(path: Path) -> dict[str, Any]:
    return torch.load(path, weights_only=False)["model"].state_dict()


def same(one: Path, other: Path) -> bool:
    first, second = weights(one), weights(other)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def figures(run: Path) -> list[list[str]]:
    with (run / "results.csv").open() as file:
        return [[text for name, text in row.items() if name != "seconds"] for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a data set and a whole run of three epochs."""
    path = tmp_path_factory.mktemp("training")
    collage_set(path / "set")
    edge_sorter("train", "--data", "set/data.yaml", "--out", "whole", *TINY, *RUN, cwd=path)
    return path


def test_a_killed_run_goes_on_and_ends_as_it_would_have(place: Path) -> None:
    process = started("train", "--data", "set/data.yaml", "--out", "killed", *TINY, *RUN, cwd=place)
    state = place / "killed" / "weights" / "resume.pt"
    give_up = time.monotonic() + LIMIT_S
    try:
        while not state.is_file():
            assert process.poll() is None, process.communicate()[0][-3000:]
            assert time.monotonic() < give_up
            time.sleep(0.02)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert json.loads((place / "killed" / "training.json").read_text())["status"] == "started"
    assert torch.load(state, weights_only=True)["epoch"] < 2
    edge_sorter("train", "--resume", "--out", "killed", "--device", "cpu", "--no-bf16", cwd=place)
    assert figures(place / "killed") == figures(place / "whole")
    assert same(place / "killed/weights/last.pt", place / "whole/weights/last.pt")
    assert same(place / "killed/weights/best.pt", place / "whole/weights/best.pt")


def test_frozen_layers_keep_their_weights_until_they_thaw(place: Path) -> None:
    """Stage two leaves layers 0 to 3 as they were drawn; the others have moved."""
    from ultralytics.nn.tasks import DetectionModel

    state = torch.load(place / "whole/weights/resume.pt", weights_only=True)
    optimizer = state["optimizer"]["state"]
    names = [name for name, _ in DetectionModel("yolo26n.yaml", nc=5, verbose=False).named_parameters()]
    assert 0 < len(optimizer) < len(names)  # Adam has met only what was ever thawed
    frozen = sum(name.startswith(("model.0.", "model.1.", "model.2.", "model.3.")) for name in names)
    assert len(optimizer) == len(names) - frozen


def test_the_record_tells_everything_that_made_the_run(place: Path) -> None:
    record = json.loads((place / "whole/training.json").read_text())
    assert record["status"] == "finished"
    assert record["epochs_done"] == 3
    assert "--freeze 10" in record["command"]
    assert record["plan"]["frozen"] == [[0, 10], [1, 4]]
    assert len(record["examined"]["sha256"]) == 64
    assert record["packages"]["torch"]
    assert (place / "whole/curves.png").read_bytes().startswith(b"\x89PNG")
    card = (place / "whole/card.md").read_text()
    assert record["examined"]["sha256"] in card
    assert "Only 4 pictures to measure on" in card


def test_nothing_is_written_into_the_data_set(place: Path) -> None:
    kinds = {path.suffix for path in (place / "set").rglob("*") if path.is_file()}
    assert kinds == {".jpg", ".txt", ".yaml"}


def test_a_finished_run_is_not_resumed_and_changed_data_neither(place: Path) -> None:
    from edge_sorter.lifecycle.train import resume

    with pytest.raises(ModelError, match="is finished"):
        resume(place / "whole")
    other = place / "other"
    (other / "weights").mkdir(parents=True)
    record = json.loads((place / "whole/training.json").read_text())
    record["status"], record["examined"]["sha256"] = "started", "0" * 64
    (other / "training.json").write_text(json.dumps(record))
    (other / "data.yaml").write_text((place / "whole/data.yaml").read_text())
    with pytest.raises(ModelError, match="changed since"):
        resume(other)


@pytest.mark.skipif(shutil.which("prlimit") is None, reason="prlimit (util-linux) is not installed")
def test_a_full_disk_stops_with_one_sentence_and_keeps_what_was_there(place: Path) -> None:
    """The limit lies between a checkpoint (10 MB) and the state (40 MB): the disk fills up while saving."""
    limit = ("prlimit", "--fsize=20000000", "--")
    args = ("train", "--data", "set/data.yaml", "--out", "full", *TINY, "--epochs", "1", "--set", "seed=3")
    output = edge_sorter(*args, cwd=place, code=ModelError.exit_code, prefix=limit)
    assert "The disk is full" in output
    assert "Traceback" not in output
    left = {path.name for path in (place / "full/weights").iterdir()}
    assert left <= {"last.pt", "best.pt"}
    assert weights(place / "full/weights/last.pt")
    edge_sorter("train", "--resume", "--out", "full", "--device", "cpu", "--no-bf16", cwd=place)
    assert json.loads((place / "full/training.json").read_text())["epochs_done"] == 1


def test_the_exported_file_computes_what_the_checkpoint_does(place: Path) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed (extra: train)")
    sizes = ("--width", "128", "--height", "96")
    edge_sorter("export", "--checkpoint", "whole/weights/best.pt", "--out", "m.onnx", *sizes, cwd=place)
    facts = json.loads((place / "m.json").read_text())["training"]
    assert facts["recipe"]["imgsz"] == 64
    parity = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PARITY, "whole/weights/best.pt", "m.onnx"],
        check=False,
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert parity.returncode == 0, parity.stderr[-3000:]
    boxes_px, scores = (float(part) for part in parity.stdout.split()[-2:])
    assert boxes_px < 0.01
    assert scores < 1e-4


def test_a_student_learns_beside_a_teacher_and_leaves_without_it(place: Path) -> None:
    args = ("distill", "--teacher", "whole/weights/best.pt", "--data", "set/data.yaml", "--out", "student")
    edge_sorter(*args, "--epochs", "1", "--imgsz", "64", "--batch", "4", "--device", "cpu", cwd=place)
    with (place / "student/results.csv").open() as file:
        assert float(next(csv.DictReader(file))["train/dis_loss"]) > 0
    names = set(weights(place / "student/weights/last.pt"))
    assert names == set(weights(place / "whole/weights/last.pt"))
    state = torch.load(place / "student/weights/resume.pt", weights_only=True)
    assert not any(name.startswith("teacher_model.") for name in state["model"])


def test_attributes_are_learned_several_at_once(tmp_path: Path) -> None:
    attribute_set(tmp_path / "set")
    args = ("train", "--task", "classify", "--data", "set/data.yaml", "--out", "run", "--imgsz", "64", "--batch", "6")
    edge_sorter(*args, "--epochs", "8", "--no-bf16", "--device", "cpu", "--loaders", "0", cwd=tmp_path)
    with (tmp_path / "run/results.csv").open() as file:
        losses = [float(row["train/loss"]) for row in csv.DictReader(file)]
    assert losses[-1] < 0.8 * losses[0]
    record = json.loads((tmp_path / "run/training.json").read_text())
    assert set(record["thresholds"]) == {"damaged", "label_present"}
    head = list(weights(tmp_path / "run/weights/best.pt"))[-1]
    assert weights(tmp_path / "run/weights/best.pt")[head].shape[0] == 2


@pytest.mark.parametrize(("task", "form"), [("segment", "polygon"), ("obb", "corners")])
def test_outlines_and_turned_boxes_train_through_the_same_command(tmp_path: Path, task: str, form: str) -> None:
    collage_set(tmp_path / "set", train=4, valid=2, form=form)
    args = ("train", "--task", task, "--data", "set/data.yaml", "--out", "run", "--epochs", "1", "--loaders", "0")
    edge_sorter(*args, *TINY, cwd=tmp_path)
    record = json.loads((tmp_path / "run/training.json").read_text())
    assert (record["task"], record["epochs_done"]) == (task, 1)


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
