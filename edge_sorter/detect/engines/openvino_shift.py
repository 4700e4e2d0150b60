"""Shift signed int8 activations to unsigned ones for OpenVINO, because it computes signed ones wrongly on many CPUs.

Contract: `shift_to_unsigned` rewrites a model that was just read, before it is compiled, so that every quantized
activation counts 0..255 with zero point 128 instead of -128..127 with zero point 0. Each real value stays what it was;
only its number changes. Weights are left alone.

Why: int8 convolutions want unsigned activations on CPUs without AMX, so OpenVINO shifts signed ones itself. In 2026.4
it does that wrongly where quantized tensors meet in a Concat: values are rounded to whole numbers of the real scale
instead of to its levels (right only for a scale of 1; `tests/detect/test_openvino_shift.py` has the few nodes).
TensorRT takes only signed symmetric int8, so the file cannot be unsigned itself.
"""

from __future__ import annotations

from typing import Any

SIGNED_LOW, SIGNED_HIGH, SHIFT = -128.0, 127.0, 128


def shift_to_unsigned(ov: Any, model: Any) -> int:
    """Rewrite `model` in place and return how many activations were shifted.

    OpenVINO reads QuantizeLinear and DequantizeLinear as FakeQuantize -> Convert(i8) -> Convert(f32) -> Subtract(zero
    point) -> Multiply(scale); a chain of another form is left as it is.
    """
    from openvino import opset13 as op

    shifted = 0
    for node in model.get_ordered_ops():
        if node.get_type_name() != "FakeQuantize" or _scalar(node, 3) != SIGNED_LOW or _scalar(node, 4) != SIGNED_HIGH:
            continue
        chains = [_chain(ov, target.get_node()) for target in node.output(0).get_target_inputs()]
        found = [chain for chain in chains if chain is not None]
        if not found or len(found) < len(chains):
            continue
        node.input(3).replace_source_output(op.constant(0.0, ov.Type.f32).output(0))
        node.input(4).replace_source_output(op.constant(SIGNED_HIGH - SIGNED_LOW, ov.Type.f32).output(0))
        for to_signed, subtracts in found:
            unsigned = op.convert(node, "u8")
            for target in to_signed.output(0).get_target_inputs():
                target.replace_source_output(unsigned.output(0))
            for subtract in subtracts:
                subtract.input(1).replace_source_output(op.constant(float(SHIFT), ov.Type.f32).output(0))
        shifted += 1
    model.validate_nodes_and_infer_types()
    return shifted


def _scalar(node: Any, index: int) -> float | None:
    source = node.input_value(index).get_node()
    if source.get_type_name() != "Constant" or source.data.size != 1:
        return None
    return float(source.data.reshape(-1)[0])


def _chain(ov: Any, to_signed: Any) -> tuple[Any, list[Any]] | None:
    """Return Convert(i8) and the subtractions of a zero point behind it, or None where the form is another."""
    if to_signed.get_type_name() != "Convert" or to_signed.get_output_element_type(0) != ov.Type.i8:
        return None
    subtracts = []
    for target in to_signed.output(0).get_target_inputs():
        to_float = target.get_node()
        if to_float.get_type_name() != "Convert":
            return None
        for user in to_float.output(0).get_target_inputs():
            if user.get_node().get_type_name() != "Subtract" or user.get_index() != 0:
                return None
            subtracts.append(user.get_node())
    return to_signed, subtracts
