"""A network with another activation: built, exported, found again in the file, and restored from it."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from edge_sorter.errors import ModelError
from edge_sorter.lifecycle.architecture import activation_of, described

RECORD = {
    **{"model": "yolo26n.yaml", "ultralytics": "8", "torch": "2"},
    "recipe": {"epochs": 1, "imgsz": 96, "seed": 0},
}
CLASS_OF = {"silu": "SiLU", "hardswish": "Hardswish", "relu": "ReLU"}


def graph(*operators: str) -> SimpleNamespace:
    return SimpleNamespace(node=[SimpleNamespace(op_type=operator) for operator in operators])


@pytest.mark.parametrize(
    ("operators", "activation"),
    [(("Conv", "Sigmoid", "Mul"), "silu"), (("Conv", "HardSwish", "Sigmoid"), "hardswish"), (("Conv", "Relu"), "relu")],
)
def test_the_activation_of_a_graph(operators, activation):
    assert activation_of(graph(*operators)) == activation


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("activation", CLASS_OF)
def test_it_survives_export_and_restore(activation: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed (extra: train)")
    pytest.importorskip("ultralytics", reason="ultralytics is not installed (extra: train)")
    from edge_sorter.lifecycle.export import export, raw_network
    from edge_sorter.lifecycle.restore import restore
    from tests.lifecycle.test_prune import command, network

    model = network(described("yolo26n.yaml", activation))
    checkpoint = tmp_path / "a/weights/last.pt"
    checkpoint.parent.mkdir(parents=True)
    torch.save({"model": model, "ema": None}, checkpoint)
    (tmp_path / "a/training.json").write_text(json.dumps(RECORD))
    command("export", "--checkpoint", checkpoint, "--out", tmp_path / "a.onnx")
    pictures = np.random.default_rng(3).random((4, 1, 3, 96, 160), np.float32)
    restore(tmp_path / "a.onnx", tmp_path / "b/weights/last.pt", pictures=pictures)
    export(tmp_path / "b/weights/last.pt", tmp_path / "b.onnx")
    first, again = (raw_network(tmp_path / f"{name}/weights/last.pt") for name in "ab")
    with torch.no_grad():
        for ours, theirs in zip(
            first(torch.from_numpy(pictures[0])), again(torch.from_numpy(pictures[0])), strict=True
        ):
            torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=1e-3)
    kinds = {type(part).__name__ for part in again.modules()}
    assert kinds & set(CLASS_OF.values()) == {CLASS_OF[activation]}


def test_an_unknown_activation_is_refused():
    with pytest.raises(ModelError, match="'mish' is none of silu, hardswish, relu"):
        described({}, "mish")
