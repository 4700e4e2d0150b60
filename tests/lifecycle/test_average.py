"""The mean of two runs: their weights, the last one's record, and a run folder that trains on and is exported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge_sorter.errors import ModelError
from tests.lifecycle.test_prune import CLASSES, command, network

torch = pytest.importorskip("torch", reason="torch is not installed (extra: train)")
pytest.importorskip("ultralytics", reason="ultralytics is not installed (extra: train)")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def run(folder: Path, architecture: str, factor: float) -> Path:
    model = network(architecture)
    for parameter in model.parameters():
        parameter.data *= factor
    checkpoint = folder / "weights/last.pt"
    checkpoint.parent.mkdir(parents=True)
    torch.save({"model": model, "ema": None}, checkpoint)
    (folder / "training.json").write_text(json.dumps({"command": f"train x{factor}"}))
    return checkpoint


def test_every_weight_is_the_mean_and_the_record_says_of_what(tmp_path: Path) -> None:
    first, second = run(tmp_path / "a", "yolo26n.yaml", 1.0), run(tmp_path / "b", "yolo26n.yaml", 3.0)
    command("average", first, second, "--out", tmp_path / "mean")
    mean, start = (torch.load(path, weights_only=False)["model"] for path in (tmp_path / "mean/weights/last.pt", first))
    assert tuple(mean.names.values()) == CLASSES
    for name, parameter in mean.named_parameters():
        torch.testing.assert_close(parameter, 2.0 * start.get_parameter(name), msg=name)
    record = json.loads((tmp_path / "mean/training.json").read_text())
    assert record["command"] == "train x3.0"
    assert record["averaged"]["checkpoints"] == [str(first), str(second)]


def test_runs_without_a_mean_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    first, other = run(tmp_path / "a", "yolo26n.yaml", 1.0), run(tmp_path / "b", "yolo11n.yaml", 1.0)
    for checkpoints, message in (
        ([first], "two checkpoints or more"),
        ([first, other], "has other layers than"),
        ([first, tmp_path / "c/weights/last.pt"], "is of no run made here"),
    ):
        with pytest.raises(ModelError, match=message):
            command("average", *checkpoints, "--out", tmp_path / "mean")
        assert not (tmp_path / "mean").exists()
    damaged = tmp_path / "d/weights/last.pt"
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(b"no pickle")
    (tmp_path / "d/training.json").write_text("{}")
    with pytest.raises(ModelError, match=r"last\.pt is no checkpoint of a training run"):
        command("average", first, damaged, "--out", tmp_path / "mean")
    assert not (tmp_path / "mean").exists()
    with pytest.raises(ModelError, match="already holds a run"):
        command("average", first, first, "--out", tmp_path / "a")
