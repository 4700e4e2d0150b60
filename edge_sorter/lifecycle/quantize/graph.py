"""Where quantize/dequantize nodes go in an ONNX graph, and how they get there.

Contract: nodes are placed for engines that fuse convolution + SiLU (OpenVINO, TensorRT): in front of convolutions and
of the operators that only move values, never between a convolution and its SiLU. The convolutions that produce the
outputs, attention, sigmoid and box values stay in float, and so does every layer that the caller names.
`onnxruntime.quantization` can be talked into nearly the same.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from edge_sorter.errors import ModelError
from edge_sorter.lifecycle.quantize.ranges import LEVELS

# Operators that move values without changing them: all their tensors share one scale, so they run in int8.
MOVERS = ("Concat", "Split", "MaxPool", "Resize")


@dataclass(frozen=True)
class Layers:
    """Nodes of a graph that could run in int8, by name, in the order in which they run."""

    convolutions: tuple[str, ...]
    movers: tuple[str, ...]
    output_convolutions: frozenset[str]

    @property
    def names(self) -> tuple[str, ...]:
        """All that could be quantized."""
        return (*self.convolutions, *self.movers)


def layers_of(graph: Any, movers: Sequence[str] = MOVERS) -> Layers:
    """Find the nodes that could run in int8."""
    last = output_convolutions(graph)
    return Layers(
        convolutions=tuple(node.name for node in graph.node if node.op_type == "Conv" and node.name not in last),
        movers=tuple(node.name for node in graph.node if node.op_type in movers and _is_data(node, graph)),
        output_convolutions=frozenset(last),
    )


def matching(layers: Layers, patterns: Sequence[str]) -> tuple[str, ...]:
    """Return the layers whose names fit any of the patterns (`*`, `?` and `[ab]` as in a shell), in their order.

    Raises:
        ModelError: A pattern fits none: it cannot be quantized anyway, or is not in the model.
    """
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in layers.names):
            some = ", ".join(layers.names[:3])
            raise ModelError(f"The model has no layer '{pattern}' that could be int8. It has {some} and others.")
    return tuple(name for name in layers.names if any(fnmatchcase(name, pattern) for pattern in patterns))


def tensors_of(graph: Any, names: Collection[str]) -> list[str]:
    """Name the tensors that need a scale if these layers run in int8."""
    return sorted({node.input[i] for node in graph.node if node.name in names for i in _data_inputs(node)})


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


def scale_groups(graph: Any, movers: Collection[str]) -> dict[str, str]:
    """Map each tensor that one of the nodes `movers` touches to one representative of all that must share its scale."""
    leader: dict[str, str] = {}

    def find(name: str) -> str:
        while leader.get(name, name) != name:
            name = leader[name]
        return name

    for node in graph.node:
        if node.name in movers:
            names = [*(node.input[i] for i in _data_inputs(node)), *node.output]
            for name in names:
                leader.setdefault(name, name)
            for name in names[1:]:
                leader[find(name)] = find(names[0])
    return {name: find(name) for name in leader}


def insert(model: Any, names: Collection[str], scales: Mapping[str, float]) -> None:
    """Rewrite the graph in place: one Q/DQ pair per activation tensor, int8 weights with a DQ before each convolution.

    Args:
        model: Loaded float model.
        names: Layers to run in int8.
        scales: Scale of each of their `tensors_of`.
    """
    graph = model.graph
    added = {name: _activation_pair(graph, name, scale) for name, scale in scales.items()}
    weights = {tensor.name: tensor for tensor in graph.initializer}
    before: dict[str, list[Any]] = {}
    for node in [node for node in graph.node if node.name in names]:
        if node.op_type == "Conv":
            before[node.name] = [_quantize_weight(graph, weights[node.input[1]], node)]
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


def _is_data(node: Any, graph: Any) -> bool:
    """A Concat may also join shapes; only movers of float feature maps count, never those fed by Shape or constants."""
    producer = {name: other.op_type for other in graph.node for name in other.output}
    ends = {output.name for output in graph.output}
    sources = {producer.get(node.input[i], "") for i in _data_inputs(node)}
    return not sources & {"Shape", "Constant", "Reshape", "Gather"} and not ends & set(node.output)


def _data_inputs(node: Any) -> list[int]:
    return list(range(len(node.input))) if node.op_type == "Concat" else [0]


def _activation_pair(graph: Any, name: str, scale: float) -> list[Any]:
    from onnx import helper, numpy_helper

    zero = f"{name}_zero"
    graph.initializer.append(numpy_helper.from_array(np.float32(scale), f"{name}_scale"))
    graph.initializer.append(numpy_helper.from_array(np.int8(0), zero))
    return [
        helper.make_node("QuantizeLinear", [name, f"{name}_scale", zero], [f"{name}_q"], f"{name}/Quantize"),
        helper.make_node(
            "DequantizeLinear", [f"{name}_q", f"{name}_scale", zero], [f"{name}_dq"], f"{name}/Dequantize"
        ),
    ]


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
