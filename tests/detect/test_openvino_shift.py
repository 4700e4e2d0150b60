"""OpenVINO on signed int8: the few nodes it computes wrongly on CPUs without AMX, and what the engine does about it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_sorter.detect.engines.openvino_shift import shift_to_unsigned

onnx = pytest.importorskip("onnx")
ov = pytest.importorskip("openvino")
ort = pytest.importorskip("onnxruntime")

BRANCHES, CHANNELS, OUT, SIDE = 3, 16, 32, 24


def concat_into_conv(*, branch_scale: float | None, concat_scale: float | None) -> bytes:
    """Q/DQ before the Concat, after it or both, then a 1x1 convolution with int8 weights."""
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    channels = BRANCHES * CHANNELS
    weights = rng.integers(-127, 128, (OUT, channels, 1, 1)).astype(np.int8)
    constants: list[tuple[str, NDArray[Any]]] = [("zero", np.array(0, np.int8)), ("w", weights)]
    constants += [("w_scale", np.full(OUT, 0.01, np.float32)), ("w_zero", np.zeros(OUT, np.int8))]
    nodes = []

    def quantized(name: str, scale: float | None) -> str:
        if scale is None:
            return name
        constants.append((f"{name}_scale", np.array(scale, np.float32)))
        nodes.append(helper.make_node("QuantizeLinear", [name, f"{name}_scale", "zero"], [f"{name}_q"]))
        nodes.append(helper.make_node("DequantizeLinear", [f"{name}_q", f"{name}_scale", "zero"], [f"{name}_dq"]))
        return f"{name}_dq"

    joined = [quantized(f"x{index}", branch_scale) for index in range(BRANCHES)]
    nodes.append(helper.make_node("Concat", joined, ["joined"], axis=1))
    data = quantized("joined", concat_scale)
    nodes.append(helper.make_node("DequantizeLinear", ["w", "w_scale", "w_zero"], ["w_dq"], axis=0))
    nodes.append(helper.make_node("Conv", [data, "w_dq"], ["out"]))
    shape = [1, CHANNELS, SIDE, SIDE]
    inputs = [helper.make_tensor_value_info(f"x{index}", TensorProto.FLOAT, shape) for index in range(BRANCHES)]
    output = [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, OUT, SIDE, SIDE])]
    initializers = [numpy_helper.from_array(value, name) for name, value in constants]
    graph = helper.make_graph(nodes, "concat_into_conv", inputs, output, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())


@pytest.mark.parametrize(
    ("branch_scale", "concat_scale", "activations"),
    [(0.13, None, 3), (None, 0.13, 1), (0.13, 0.13, 4), (0.02, None, 3), (0.02, 0.02, 4)],
)
def test_shifted_openvino_agrees_with_onnxruntime(
    branch_scale: float | None, concat_scale: float | None, activations: int
) -> None:
    """Unshifted, every row is 5 to 40 % off on a CPU with VNNI and no AMX."""
    content = concat_into_conv(branch_scale=branch_scale, concat_scale=concat_scale)
    rng = np.random.default_rng(1)
    spread = 30 * (branch_scale or concat_scale or 1.0)
    inputs = {
        f"x{index}": (rng.normal(size=(1, CHANNELS, SIDE, SIDE)) * spread).astype(np.float32)
        for index in range(BRANCHES)
    }
    expected = ort.InferenceSession(content, providers=["CPUExecutionProvider"]).run(None, inputs)[0]
    model = ov.Core().read_model(content)
    assert shift_to_unsigned(ov, model) == activations
    found = ov.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(inputs)[0]
    error = float(np.sqrt(((found - expected) ** 2).mean() / (expected**2).mean()))
    assert error < 0.002


def test_a_float_model_is_left_alone() -> None:
    content = concat_into_conv(branch_scale=None, concat_scale=None)
    model = ov.Core().read_model(content)
    before = [node.get_type_name() for node in model.get_ordered_ops()]
    assert shift_to_unsigned(ov, model) == 0
    assert [node.get_type_name() for node in model.get_ordered_ops()] == before
