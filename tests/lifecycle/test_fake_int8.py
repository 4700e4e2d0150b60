"""Training with the rounding of an int8 file: which layers, what they compute, and what is left in the checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edge_sorter.errors import ModelError
from edge_sorter.lifecycle.fake_int8 import steps_of

onnx = pytest.importorskip("onnx")


def test_the_steps_are_those_of_the_file(root: Path) -> None:
    from onnx import numpy_helper

    path = root / "weights/parcel-yolo26n-int8.onnx"
    steps = steps_of(path)
    kept = json.loads(path.with_suffix(".json").read_text())["training"]["quantization"]
    assert len(steps) == kept["quantized_convolutions"]
    scales = {
        round(float(numpy_helper.to_array(t)), 9)
        for t in onnx.load(path).graph.initializer
        if "scale" in t.name and not t.dims
    }
    assert {round(step, 9) for step in steps.values()} <= scales
    assert min(steps.values()) > 0
    assert {"model.5.conv", "model.8.cv1.conv"} <= steps.keys()


def test_a_float_file_has_none(root: Path) -> None:
    with pytest.raises(ModelError, match="runs no layer in int8"):
        steps_of(root / "weights/parcel-yolo26n.onnx")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none\.onnx"):
        steps_of(tmp_path / "none.onnx")


def test_marked_convolutions_compute_as_int8_while_training() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed (extra: train)")
    from edge_sorter.lifecycle import fake_int8

    torch.manual_seed(1)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, bias=False), torch.nn.Conv2d(4, 2, 1))
    x = torch.randn(2, 3, 8, 8, requires_grad=True)
    plain = network(x)
    fake_int8.mark(network, {"0": 0.05})
    levels = network[0].weight.abs().flatten(1).amax(1) / 127
    weight = torch.round(network[0].weight / levels.view(-1, 1, 1, 1)) * levels.view(-1, 1, 1, 1)
    expected = network[1](torch.nn.functional.conv2d(torch.round(x / 0.05).clamp(-127, 127) * 0.05, weight))
    with fake_int8.rounded_convolutions():
        rounded = network.train()(x)
        torch.testing.assert_close(rounded, expected, atol=1e-5, rtol=1e-5)
        rounded.sum().backward()
        assert x.grad.abs().sum() > 0
        assert network[0].weight.grad.abs().sum() > 0
        torch.testing.assert_close(network.eval()(x), plain)
    torch.testing.assert_close(network.train()(x), plain)
    fake_int8.unmark(network)
    assert not [part for part in network.modules() if fake_int8.STEP in part.__dict__]


def test_the_file_of_another_network_is_refused() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed (extra: train)")
    from edge_sorter.lifecycle import fake_int8

    with pytest.raises(ModelError, match=r"a layer model\.7\.conv, and the network has none"):
        fake_int8.mark(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1)), {"model.7.conv": 0.1})


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_with_rounding_goes_from_checkpoint_to_checkpoint(tmp_path: Path) -> None:
    """Every convolution of the file finds its place in the network; the checkpoint is plain, the record says it all."""
    torch = pytest.importorskip("torch", reason="torch is not installed (extra: train)")
    pytest.importorskip("ultralytics", reason="ultralytics is not installed (extra: train)")
    from edge_sorter.lifecycle.export import export
    from edge_sorter.lifecycle.fake_int8 import STEP
    from edge_sorter.lifecycle.quantize.model import calibrate, write
    from tests.lifecycle.test_prune import network
    from tests.lifecycle.test_train_runs import TINY, edge_sorter, same
    from tests.lifecycle.training_sets import collage_set

    checkpoint = tmp_path / "a/weights/last.pt"
    checkpoint.parent.mkdir(parents=True)
    torch.save({"model": network(), "ema": None, "train_args": {}}, checkpoint)
    export(checkpoint, tmp_path / "a.onnx")
    pictures = list(np.random.default_rng(3).random((2, 1, 3, 96, 160), np.float32))
    write(calibrate(tmp_path / "a.onnx", pictures).quantized(), tmp_path / "a-int8.onnx")
    collage_set(tmp_path / "set")
    asked = ("--data", "set/data.yaml", "--weights", "a/weights/last.pt", *TINY, "--epochs", "1", "--no-validate")
    for name, more in (("rounded", ("--int8-like", "a-int8.onnx")), ("plain", ())):
        edge_sorter("train", *asked, "--out", name, *more, cwd=tmp_path)
    assert not same(tmp_path / "rounded/weights/last.pt", tmp_path / "plain/weights/last.pt")
    model = torch.load(tmp_path / "rounded/weights/last.pt", weights_only=False)["model"]
    assert not [part for part in model.modules() if STEP in part.__dict__]
    record = json.loads((tmp_path / "rounded/training.json").read_text())
    assert record["plan"]["int8_like"] == str(tmp_path / "a-int8.onnx")
    assert "--int8-like a-int8.onnx" in record["command"]
