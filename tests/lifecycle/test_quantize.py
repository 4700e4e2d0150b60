from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_sorter.errors import ModelError
from edge_sorter.lifecycle.quantize import fidelity
from edge_sorter.lifecycle.quantize.graph import layers_of, output_convolutions, scale_groups
from edge_sorter.lifecycle.quantize.model import calibrate, write
from edge_sorter.lifecycle.quantize.ranges import BINS, LEVELS, METHODS, Histogram, clipping_point
from edge_sorter.lifecycle.quantize.sensitivity import Budget, analyse, choose

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


def network_with_outputs(path: Path) -> None:
    """A backbone with one channel far larger than the rest, and outputs named like the detector's."""
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(3)
    first = rng.normal(0, 0.3, (8, 3, 3, 3)).astype(np.float32)
    first[0] *= 60.0  # one loud channel: per-tensor int8 has few levels left for the others
    second = rng.normal(0, 0.5, (8, 8, 1, 1)).astype(np.float32)
    second[:, 0] /= 60.0
    shapes = {"b": (4, 8, 1, 1), "s": (2, 8, 1, 1)}
    ends = [
        numpy_helper.from_array(rng.normal(0, 0.4, shape).astype(np.float32), name) for name, shape in shapes.items()
    ]
    weights = [numpy_helper.from_array(first, "w1"), numpy_helper.from_array(second, "w2"), *ends]
    four, two = (numpy_helper.from_array(np.array([1, count, -1]), f"to{count}") for count in (4, 2))
    nodes = [
        helper.make_node("Conv", ["images", "w1"], ["c1"], "loud", pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Conv", ["c1", "w2"], ["c2"], "hurt"),
        helper.make_node("Conv", ["c2", "w2"], ["c3"], "calm"),
        helper.make_node("Conv", ["c3", "b"], ["raw_boxes"], "boxes"),
        helper.make_node("Conv", ["c3", "s"], ["raw_scores"], "scores"),
        helper.make_node("Reshape", ["raw_boxes", "to4"], ["distances"], "r4"),
        helper.make_node("Abs", ["distances"], ["boxes"], "abs"),
        helper.make_node("Reshape", ["raw_scores", "to2"], ["logits"], "r2"),
        helper.make_node("Sigmoid", ["logits"], ["scores"], "sigmoid"),
    ]
    image = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, "h", "w"])
    out = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, n, "cells"])
        for name, n in (("boxes", 4), ("scores", 2))
    ]
    graph = helper.make_graph(nodes, "outputs", [image], out, [*weights, four, two])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))


@pytest.mark.parametrize("method", METHODS)
def test_int8_is_symmetric_per_channel_and_close_to_float(tmp_path: Path, method: str) -> None:
    source, target = tmp_path / "f.onnx", tmp_path / "q.onnx"
    small_network(source)
    seen: list[int] = []
    calibrated = calibrate(source, pictures(4), on_progress=lambda done, total: seen.append(done * 100 // total))
    write(calibrated.quantized(method=method), target)
    found = facts(target)
    assert found["zero_points"] == {0}
    assert found["zero_types"] == {np.dtype(np.int8)}
    assert found["weight_types"] == {np.dtype(np.int8)}
    assert found["per_channel"] and found["inputs_quantized"] and found["scales_positive"]
    assert (found["convolutions"], found["int8_convolutions"]) == (3, 2)  # the output convolution stays in float
    assert found["before_activation"] == []
    assert seen[-1] == 100
    image = pictures(5)[-1]
    runs = [onnxruntime.InferenceSession(str(p), providers=["CPUExecutionProvider"]) for p in (source, target)]
    exact, rounded = (run.run(None, {"images": image})[0] for run in runs)
    assert np.abs(exact - rounded).mean() < 0.03 * np.abs(exact).mean()
    facts_of = calibrated.facts(method=method, keep_float=())
    assert (facts_of["quantized_convolutions"], facts_of["float_convolutions"], facts_of["images"]) == (2, 1, 4)


def test_named_layers_stay_in_float(tmp_path: Path) -> None:
    source, target = tmp_path / "f.onnx", tmp_path / "q.onnx"
    small_network(source)
    calibrated = calibrate(source, pictures(2))
    write(calibrated.quantized(keep_float=["conv1", "join"]), target)
    assert facts(target)["int8_convolutions"] == 1
    nodes = {node.name: node for node in onnx.load(str(target)).graph.node}
    assert list(nodes["join"].input) == ["a1", "a2"]
    assert list(nodes["conv1"].input) == ["images", "w1"]
    assert nodes["conv2"].input[0].endswith("_dq")
    assert calibrated.facts(method="mse", keep_float=["join", "conv1"])["kept_float"] == ["conv1", "join"]
    assert calibrated.facts(method="mse", keep_float=["conv*"])["kept_float"] == ["conv1", "conv2"]
    with pytest.raises(ModelError, match="no layer 'conv9'"):
        calibrated.quantized(keep_float=["conv9"])
    with pytest.raises(ModelError, match="Every layer would stay in float"):
        calibrated.quantized(keep_float=["conv1", "conv2", "join"])


def test_joined_tensors_share_one_scale(tmp_path: Path) -> None:
    graph = small_network(tmp_path / "f.onnx").graph
    assert layers_of(graph).movers == ("join",)
    groups = scale_groups(graph, ("join",))
    assert groups["a1"] == groups["a2"] == groups["joined"]
    assert scale_groups(graph, ()) == {}
    assert output_convolutions(graph) == {"conv3"}


def test_mse_clips_a_lonely_outlier_and_minmax_does_not() -> None:
    counts = np.zeros(BINS, np.int64)
    counts[: BINS // 10] = 10_000
    counts[-1] = 1
    assert clipping_point(Histogram(10.0, counts), "minmax") == 10.0
    for method in ("mse", "percentile"):
        assert clipping_point(Histogram(10.0, counts), method) < 3.0


@pytest.mark.parametrize(("power", "clips"), [(1, False), (2, True)])
def test_entropy_finds_what_onnxruntime_finds(power: int, clips: bool) -> None:
    """Their search on the same values, with bins as coarse as it must have to end in seconds."""
    from onnxruntime.quantization.calibrate import HistogramCollector

    values = (np.abs(np.random.default_rng(0).laplace(0, 1.0, 60_000)) ** power).astype(np.float32)
    largest, bins, levels = float(values.max()), 801, 2 * LEVELS + 1
    counts = np.bincount(np.minimum((values * (BINS / largest)).astype(int), BINS - 1), minlength=BINS)
    mirrored, edges = np.histogram(np.concatenate([values, -values]), bins=bins, range=(-largest, largest))
    histogram = (mirrored, edges.astype(np.float32), np.float32(-largest), np.float32(largest))
    collector = HistogramCollector("entropy", True, bins, levels, None, "same")
    theirs = float(collector.get_entropy_threshold(histogram, levels)[1])
    ours = clipping_point(Histogram(largest, counts), "entropy")
    assert (ours < 0.5 * largest) == clips
    assert abs(ours - theirs) < 0.1 * largest


def test_nothing_seen_falls_back_to_the_largest_value() -> None:
    assert clipping_point(Histogram(2.0, np.zeros(BINS, np.int64)), "mse") == 2.0


def test_the_layer_that_int8_hurts_is_found_and_kept_in_float(tmp_path: Path) -> None:
    source = tmp_path / "f.onnx"
    network_with_outputs(source)
    calibrated = calibrate(source, pictures(4))
    probe = [image[:, :, ::-1].copy() for image in pictures(6)]
    layers = analyse(calibrated, probe)
    assert {layer.name for layer in layers} == {"loud", "hurt", "calm"}
    assert layers[0].name == "hurt"
    assert layers[0].fidelity.error > 2 * layers[1].fidelity.error
    assert sum(layer.share for layer in layers) < 1.0
    wanted = Budget(size_mb=1.0, float_share=1.0, error=1.5 * layers[1].fidelity.error)
    taken, trials = choose(calibrated, layers, probe, budget=wanted)
    assert "hurt" in taken.keep_float and len(taken.keep_float) < len(layers)
    assert taken.fidelity.error <= wanted.error < trials[0].fidelity.error
    nothing, tried = choose(calibrated, layers, probe, budget=Budget(size_mb=1.0, float_share=0.0, error=0.0))
    assert nothing.keep_float == () and len(tried) >= 1


def test_fidelity_is_nil_for_the_same_network_and_refuses_empty_pictures(tmp_path: Path) -> None:
    network_with_outputs(tmp_path / "f.onnx")
    outputs = fidelity.run(tmp_path / "f.onnx", pictures(3))
    same = fidelity.compare(outputs, outputs)
    assert (same.score_error, same.score_error_max, same.error) == (0.0, 0.0, pytest.approx(0.0, abs=1e-6))
    empty = [(boxes, np.zeros_like(scores)) for boxes, scores in outputs]
    with pytest.raises(ModelError, match="sees a parcel in 0 cells of these 3 pictures"):
        fidelity.compare(empty, empty)
    assert fidelity.seen(outputs, confidence=0.1) == 3 and fidelity.seen(empty, confidence=0.1) == 0


def test_mistakes_are_said_in_one_sentence(tmp_path: Path) -> None:
    source = tmp_path / "f.onnx"
    small_network(source)
    with pytest.raises(ModelError, match="mse, entropy, percentile, minmax"):
        calibrate(source, pictures(1)).quantized(method="middle")
    with pytest.raises(ModelError, match="No calibration image"):
        calibrate(source, [])
    with pytest.raises(ModelError, match="No float model"):
        calibrate(tmp_path / "none.onnx", pictures(1))
