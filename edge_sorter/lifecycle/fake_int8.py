"""Train a network as its int8 form computes, so that it learns to live with the rounding.

Quantization-aware training (Jacob et al., "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference", CVPR 2018): what goes into a convolution is rounded to the levels that an int8 file
has for it, weights to those they would get, and gradients pass as if nothing had been rounded. Contract: which layers,
and the scales of their inputs, are those of a file that `quantize` made, so nothing is trained for that nobody runs;
checkpoints stay plain float ones, for `export` and a fresh `quantize`. Imports torch when used.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edge_sorter.errors import ModelError
from edge_sorter.lifecycle.quantize.model import read
from edge_sorter.lifecycle.quantize.ranges import LEVELS
from edge_sorter.lifecycle.restore import HEADS

STEP = "int8_step"
"""Attribute of a convolution: one level of its input."""


def steps_of(int8_path: Path) -> dict[str, float]:
    """Return the scale of the input of every convolution that a file runs in int8, by the convolution's name.

    Raises:
        ModelError: No such file, or none that `quantize` made.
    """
    if not int8_path.is_file():
        raise ModelError(f"No int8 file at {int8_path}. Make it with: edge-sorter quantize --help")
    from onnx import numpy_helper

    graph = read(int8_path).graph
    values = {tensor.name: tensor for tensor in graph.initializer}
    rounded = {node.output[0]: node for node in graph.node if node.op_type == "DequantizeLinear"}
    steps = {
        node.input[2].removesuffix(".bias"): float(numpy_helper.to_array(values[rounded[node.input[0]].input[1]]))
        for node in graph.node
        if node.op_type == "Conv" and {node.input[0], node.input[1]} <= rounded.keys()
    }
    if not steps:
        raise ModelError(f"{int8_path} runs no layer in int8; give the file that `edge-sorter quantize` wrote.")
    return steps


def mark(model: Any, steps: dict[str, float]) -> None:
    """Note at every convolution of a network what its input is rounded to.

    Raises:
        ModelError: The network has no such convolution: the int8 file is of another.
    """
    parts = dict(model.named_modules())
    for name, step in steps.items():
        names = [name.replace(*pair) for pair in _renamed(name)] or [name]
        found = next((parts[each] for each in names if each in parts), None)
        if found is None:
            raise ModelError(f"The int8 file has a layer {name}, and the network has none; is it of another network?")
        setattr(found, STEP, step)


def unmark(model: Any) -> None:
    """Forget the notes, for a checkpoint that anyone can load."""
    for part in model.modules():
        part.__dict__.pop(STEP, None)


@contextmanager
def rounded_convolutions() -> Iterator[None]:
    """Round inputs and weights of the marked convolutions while training.

    Patched on the class, not the instance, so that checkpoints pickle as plain ultralytics models.
    """
    import torch

    original = torch.nn.Conv2d.forward

    class Rounded(torch.autograd.Function):  # type: ignore[misc]
        """In bfloat16 and without a mask of what is clipped, which torch.fake_quantize_per_tensor_affine keeps."""

        @staticmethod
        def forward(_: Any, x: Any, step: float) -> Any:
            return x.mul(1 / step).round_().clamp_(-LEVELS, LEVELS).mul_(step)

        @staticmethod
        def backward(_: Any, gradient: Any) -> Any:
            return gradient, None

    def forward(self: Any, x: Any) -> Any:
        step = self.__dict__.get(STEP)
        if step is None or not self.training:
            return original(self, x)
        return self._conv_forward(Rounded.apply(x, step), _rounded_weight(self.weight), self.bias)

    torch.nn.Conv2d.forward = forward
    try:
        yield
    finally:
        torch.nn.Conv2d.forward = original


def _rounded_weight(weight: Any) -> Any:
    """Round as `quantize` does. That a batch norm is folded in first changes nothing: it scales whole channels."""
    import torch

    levels = weight.detach().abs().flatten(1).amax(1).clamp(min=1e-8) / LEVELS
    zero = torch.zeros(len(levels), dtype=torch.int32, device=weight.device)
    return torch.fake_quantize_per_channel_affine(weight.float(), levels.float(), zero, 0, -LEVELS, LEVELS)


def _renamed(name: str) -> list[tuple[str, str]]:
    """How `export` renamed the branches it takes: those of the one-to-one head, else the only ones."""
    return [(exported, kept) for exported, names in HEADS.items() if f".{exported}." in name for kept in names]
