from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_sorter.errors import ModelError
from edge_sorter.lifecycle.quantize import BINS, METHODS, clipping_point, output_convolutions, quantize, scale_groups

from .qdq import facts

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


def small_network(path: Path) -> Any:
    """Two convolutions with SiLU, joined, then one convolution to the output."""
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(3)
    shapes = {"w1": (8, 3, 3, 3), "w2": (8, 8, 1, 1), "w3": (4, 16, 1, 1)}
    weights = [numpy_helper.from_array(rng.normal(0, 0.3, s).astype(np.float32), n) for n, s in shapes.items()]

    def silu(name: str, out: str) -> list[Any]:
        nodes = [helper.make_node("Sigmoid", [name], [f"{name}_s"], f"{name}_s")]
        return [*nodes, helper.make_node("Mul", [name, f"{name}_s"], [out], f"{out}_mul")]

    nodes = [
        helper.make_node("Conv", ["images", "w1"], ["c1"], "conv1", pads=[1, 1, 1, 1], strides=[2, 2]),
        *silu("c1", "a1"),
        helper.make_node("Conv", ["a1", "w2"], ["c2"], "conv2"),
        *silu("c2", "a2"),
        helper.make_node("Concat", ["a1", "a2"], ["joined"], "join", axis=1),
        helper.make_node("Conv", ["joined", "w3"], ["boxes"], "conv3"),
    ]
    image = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, "h", "w"])
    boxes = helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [1, 4, "h2", "w2"])
    graph = helper.make_graph(nodes, "small", [image], [boxes], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))
    return model


def pictures(count: int) -> list[Any]:
    rng = np.random.default_rng(5)
    return [rng.random((1, 3, 32, 48), np.float32) for _ in range(count)]


@pytest.mark.parametrize("method", METHODS)
def test_int8_is_symmetric_per_channel_and_close_to_float(tmp_path: Path, method: str) -> None:
    source, target = tmp_path / "f.onnx", tmp_path / "q.onnx"
    small_network(source)
    seen: list[int] = []
    quantize(
        source, target, pictures(4), method=method, on_progress=lambda done, total: seen.append(done * 100 // total)
    )
    found = facts(target)
    assert found["zero_points"] == {0}
    assert found["zero_types"] == {np.dtype(np.int8)}
    assert found["weight_types"] == {np.dtype(np.int8)}
    assert found["per_channel"] and found["inputs_quantized"] and found["scales_positive"]
    assert (found["convolutions"], found["int8_convolutions"]) == (3, 2)  # the output convolution stays in float
    assert found["before_silu"] == []
    assert seen[-1] == 100
    image = pictures(5)[-1]
    runs = [onnxruntime.InferenceSession(str(p), providers=["CPUExecutionProvider"]) for p in (source, target)]
    exact, rounded = (run.run(None, {"images": image})[0] for run in runs)
    assert np.abs(exact - rounded).mean() < 0.03 * np.abs(exact).mean()


def test_joined_tensors_share_one_scale(tmp_path: Path) -> None:
    model = small_network(tmp_path / "f.onnx")
    groups = scale_groups(model.graph, ("Concat",))
    assert groups["a1"] == groups["a2"] == groups["joined"]
    assert output_convolutions(model.graph) == {"conv3"}


def test_mse_clips_a_lonely_outlier_and_minmax_does_not() -> None:
    counts = np.zeros(BINS, np.int64)
    counts[: BINS // 10] = 10_000
    counts[-1] = 1
    assert clipping_point(10.0, counts, "minmax") == 10.0
    assert clipping_point(10.0, counts, "mse") < 3.0
    assert clipping_point(10.0, counts, "percentile") < 3.0


def test_nothing_seen_falls_back_to_the_largest_value() -> None:
    assert clipping_point(2.0, np.zeros(BINS, np.int64), "mse") == 2.0


def test_mistakes_are_said_in_one_sentence(tmp_path: Path) -> None:
    source = tmp_path / "f.onnx"
    small_network(source)
    with pytest.raises(ModelError, match="mse, percentile, minmax"):
        quantize(source, tmp_path / "q.onnx", pictures(1), method="entropy")
    with pytest.raises(ModelError, match="No calibration image"):
        quantize(source, tmp_path / "q.onnx", [])
    with pytest.raises(ModelError, match="No float model"):
        quantize(tmp_path / "none.onnx", tmp_path / "q.onnx", pictures(1))
