"""Make the int8 model: one ONNX file with explicit quantize/dequantize nodes that every engine reads.

Contract: every scale in the file is symmetric (zero point 0), weights are int8 per output channel, activations int8 per
tensor; the convolutions that produce the outputs, attention, sigmoid and box values stay in float.

Nodes are placed for engines that fuse convolution + SiLU (OpenVINO, TensorRT): in front of convolutions and of the
operators that only move values, never between a convolution and its SiLU. `onnxruntime.quantization` can be talked
into nearly the same, but it keeps the activations of all calibration images in memory.

Scales come from histograms of absolute values. `mse` picks the clipping point with the least squared error (Sung, Shin,
Hwang, "Resiliency of Deep Neural Networks under Quantization", 2015); `percentile` and `minmax` are there to compare.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_sorter.errors import ModelError

METHODS = ("mse", "percentile", "minmax")
# Operators that move values without changing them: all their tensors share one scale, so they run in int8.
MOVERS = ("Concat", "Split", "MaxPool", "Resize")
BINS = 2048
LEVELS = 127  # symmetric: -127..127, as TensorRT has it
PERCENTILE = 99.99
# Activations are sampled, the stride is prime to every channel count: histograms need the shape, not each value.
SAMPLE_STRIDE = 7

Array = npt.NDArray[Any]
log = logging.getLogger(__name__)


def quantize(
    float_path: Path,
    int8_path: Path,
    images: Sequence[Array],
    *,
    method: str = "mse",
    movers: Sequence[str] = MOVERS,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Write the Q/DQ int8 file of a float ONNX file and return facts for the manifest.

    Args:
        float_path: file made by `export`.
        int8_path: file to write.
        images: calibration inputs, each (1, 3, H, W) float32 0..1 RGB; sizes may differ.
        method: how a clipping point is chosen, one of `METHODS`.
        movers: operator types that run in int8 besides convolutions.
        on_progress: called with (done, total) calibration runs.

    Raises:
        ModelError: no calibration image, unknown method, or a file without convolutions.
    """
    import onnx

    if method not in METHODS:
        raise ModelError(f"Unknown calibration method '{method}'. Choose one of: {', '.join(METHODS)}.")
    if not images:
        raise ModelError("No calibration image. int8 scales are measured on images: give a few hundred.")
    if not float_path.is_file():
        raise ModelError(f"No float model at {float_path}. Make it with: python -m edge_sorter.lifecycle export --help")
    model = onnx.load(str(float_path))
    graph = model.graph
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    kept = output_convolutions(graph)
    chosen = [node for node in convolutions if node.name not in kept]
    if not chosen:
        raise ModelError(f"{float_path} has no convolution to quantize.")
    consumers = [*chosen, *(node for node in graph.node if node.op_type in movers and _is_data(node, graph))]
    groups = scale_groups(graph, movers)
    tensors = sorted({node.input[i] for node in consumers for i in _data_inputs(node)})
    histograms = collect_histograms(model, tensors, images, on_progress=on_progress)
    scales = _group_scales(tensors, groups, histograms, method)
    _insert(model, chosen, consumers, scales)
    onnx.checker.check_model(model)
    onnx.save(model, str(int8_path))
    log.info("wrote %s, %.1f MB", int8_path, int8_path.stat().st_size / 1e6)
    return {
        "method": method,
        "images": len(images),
        "quantized_convolutions": len(chosen),
        "float_convolutions": len(kept),
    }


def output_convolutions(graph: Any) -> set[str]:
    """Names of the convolutions whose result reaches an output without passing another convolution."""
    producer = {name: node for node in graph.node for name in node.output}
    found: set[str] = set()
    queue = [output.name for output in graph.output]
    while queue:
        node = producer.get(queue.pop())
        if node is None:
            continue
        if node.op_type == "Conv":
            found.add(node.name)
        else:
            queue += node.input
    return found


def scale_groups(graph: Any, movers: Sequence[str]) -> dict[str, str]:
    """Map each tensor that a mover touches to one representative of all tensors that must share its scale."""
    leader: dict[str, str] = {}

    def find(name: str) -> str:
        while leader.get(name, name) != name:
            name = leader[name]
        return name

    for node in graph.node:
        if node.op_type in movers and _is_data(node, graph):
            names = [*(node.input[i] for i in _data_inputs(node)), *node.output]
            for name in names:
                leader.setdefault(name, name)
            for name in names[1:]:
                leader[find(name)] = find(names[0])
    return {name: find(name) for name in leader}


def collect_histograms(
    model: Any,
    tensors: Sequence[str],
    images: Sequence[Array],
    *,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, tuple[float, Array]]:
    """Run the float model over the images and return (largest, histogram) of the absolute values of each tensor."""
    session = _session_with_outputs(model, tensors)
    total = 2 * len(images)
    largest = dict.fromkeys(tensors, 1e-6)
    for done, image in enumerate(images, start=1):
        for name, value in _values(session, tensors, image):
            largest[name] = max(largest[name], float(np.abs(value).max()))
        if on_progress:
            on_progress(done, total)
    counts = {name: np.zeros(BINS, dtype=np.int64) for name in tensors}
    for done, image in enumerate(images, start=len(images) + 1):
        for name, value in _values(session, tensors, image):
            sampled = np.abs(value.ravel()[::SAMPLE_STRIDE]) * (BINS / largest[name])
            bins = np.minimum(sampled.astype(np.int32), BINS - 1)
            counts[name] += np.bincount(bins, minlength=BINS)
        if on_progress:
            on_progress(done, total)
    return {name: (largest[name], counts[name]) for name in tensors}


def clipping_point(largest: float, counts: Array, method: str) -> float:
    """Choose the absolute value that maps to the last int8 level."""
    if method == "minmax" or counts.sum() == 0:
        return largest
    # The value 0 (padding, letterbox border) says nothing about where to clip.
    weights = counts.astype(np.float64)
    weights[0] = 0.0
    if weights.sum() == 0:
        return largest
    if method == "percentile":
        cumulative = np.cumsum(weights) / weights.sum()
        return largest * (int(np.searchsorted(cumulative, PERCENTILE / 100.0)) + 1) / BINS
    centers = (np.arange(BINS) + 0.5) * (largest / BINS)
    candidates = largest * np.linspace(0.15, 1.0, 86)
    errors = []
    for candidate in candidates:
        scale = candidate / LEVELS
        rounded = np.minimum(np.round(centers / scale), LEVELS) * scale
        errors.append(float((weights * (centers - rounded) ** 2).sum()))
    return float(candidates[int(np.argmin(errors))])


def _group_scales(
    tensors: Iterable[str], groups: dict[str, str], histograms: dict[str, tuple[float, Array]], method: str
) -> dict[str, float]:
    points = {name: clipping_point(*histograms[name], method) for name in tensors}
    shared: dict[str, float] = {}
    for name, point in points.items():
        group = groups.get(name, name)
        shared[group] = max(shared.get(group, 0.0), point)
    return {name: shared[groups.get(name, name)] / LEVELS for name in points}


def _is_data(node: Any, graph: Any) -> bool:
    """A Concat may also join shapes; only movers of float feature maps count, never those fed by Shape or constants."""
    producer = {name: other.op_type for other in graph.node for name in other.output}
    ends = {output.name for output in graph.output}
    sources = {producer.get(node.input[i], "") for i in _data_inputs(node)}
    return not sources & {"Shape", "Constant", "Reshape", "Gather"} and not ends & set(node.output)


def _data_inputs(node: Any) -> list[int]:
    return list(range(len(node.input))) if node.op_type == "Concat" else [0]


def _session_with_outputs(model: Any, tensors: Sequence[str]) -> Any:
    import onnx
    import onnxruntime

    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    del probe.graph.output[:]
    inputs = {value.name for value in probe.graph.input}
    probe.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in tensors if name not in inputs
    )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(probe.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _values(session: Any, tensors: Sequence[str], image: Array) -> Iterable[tuple[str, Array]]:
    name = session.get_inputs()[0].name
    names = [output.name for output in session.get_outputs()]
    yield from zip(names, session.run(names, {name: image}), strict=True)
    if name in tensors:
        yield name, image


def _insert(model: Any, chosen: Sequence[Any], consumers: Sequence[Any], scales: dict[str, float]) -> None:
    """Rewrite the graph: one Q/DQ pair per activation tensor, and int8 weights with a DQ before each convolution."""
    from onnx import helper, numpy_helper

    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    added: dict[str, list[Any]] = {}
    for name, scale in scales.items():
        zero = f"{name}_zero"
        graph.initializer.append(numpy_helper.from_array(np.float32(scale), f"{name}_scale"))
        graph.initializer.append(numpy_helper.from_array(np.int8(0), zero))
        added[name] = [
            helper.make_node("QuantizeLinear", [name, f"{name}_scale", zero], [f"{name}_q"], f"{name}/Quantize"),
            helper.make_node(
                "DequantizeLinear", [f"{name}_q", f"{name}_scale", zero], [f"{name}_dq"], f"{name}/Dequantize"
            ),
        ]
    before: dict[str, list[Any]] = {}
    for node in chosen:
        tensor = weights[node.input[1]]
        before[node.name] = [_quantize_weight(graph, tensor, node)]
    for node in consumers:
        for i in _data_inputs(node):
            node.input[i] = f"{node.input[i]}_dq"
    order = [pair for value in graph.input for pair in added.get(value.name, [])]
    for node in list(graph.node):
        order += [*before.get(node.name, []), node]
        for name in node.output:
            order += added.get(name, [])
    used = {name for node in order for name in node.input}
    del graph.node[:]
    graph.node.extend(order)
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def _quantize_weight(graph: Any, tensor: Any, node: Any) -> Any:
    from onnx import helper, numpy_helper

    weight = numpy_helper.to_array(tensor)
    scale = np.maximum(np.abs(weight.reshape(weight.shape[0], -1)).max(axis=1), 1e-8) / LEVELS
    shape = (-1,) + (1,) * (weight.ndim - 1)
    levels = np.clip(np.round(weight / scale.reshape(shape)), -LEVELS, LEVELS).astype(np.int8)
    stem = f"{node.name}/weight"
    graph.initializer.append(numpy_helper.from_array(levels, f"{stem}_q"))
    graph.initializer.append(numpy_helper.from_array(scale.astype(np.float32), f"{stem}_scale"))
    graph.initializer.append(numpy_helper.from_array(np.zeros(len(scale), dtype=np.int8), f"{stem}_zero"))
    node.input[1] = f"{stem}_dq"
    inputs = [f"{stem}_q", f"{stem}_scale", f"{stem}_zero"]
    return helper.make_node("DequantizeLinear", inputs, [f"{stem}_dq"], f"{stem}/Dequantize", axis=0)
