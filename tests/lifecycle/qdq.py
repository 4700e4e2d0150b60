"""Reads what the quantize/dequantize nodes of an ONNX file promise; for a made-up network and the shipped one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


def facts(path: Path) -> dict[str, Any]:
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(str(path)).graph
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    producer = {name: node for node in graph.node for name in node.output}
    pairs = [node for node in graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    weights = [producer[node.input[1]] for node in convolutions if node.input[1] in producer]
    return {
        "zero_points": {int(v) for node in pairs for v in np.atleast_1d(values[node.input[2]])},
        "zero_types": {values[node.input[2]].dtype for node in pairs},
        "scales_positive": all((values[node.input[1]] > 0).all() for node in pairs),
        "convolutions": len(convolutions),
        "int8_convolutions": len(weights),
        "per_channel": all(
            len(values[node.input[1]]) == len(values[node.input[0]]) and node.attribute[0].i == 0 for node in weights
        ),
        "weight_types": {values[node.input[0]].dtype for node in weights},
        "inputs_quantized": all(
            producer[node.input[0]].op_type == "DequantizeLinear" for node in convolutions if node.input[1] in producer
        ),
        "before_activation": [
            node.name
            for node in pairs
            if node.input[0] in producer and _feeds_activation(graph, producer[node.input[0]])
        ],
        "opset": max(opset.version for opset in onnx.load(str(path)).opset_import if opset.domain == ""),
        "operators": {node.op_type for node in graph.node},
    }


def _feeds_activation(graph: Any, node: Any) -> bool:
    users = {user.op_type for user in graph.node if set(node.output) & set(user.input)}
    return node.op_type == "Conv" and bool({"Sigmoid", "HardSwish", "Relu"} & users)
