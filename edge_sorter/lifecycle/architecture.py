"""Which activation a network has: chosen when it is trained, found again in what was exported.

SiLU, ultralytics' own, costs a CPU an exponential for every value; HardSwish follows it closely with a multiplication
and two limits (Howard et al., "Searching for MobileNetV3", ICCV 2019), so that trained weights go on with it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge_sorter.errors import ModelError

ACTIVATIONS = {"silu": "torch.nn.SiLU()", "hardswish": "torch.nn.Hardswish()", "relu": "torch.nn.ReLU()"}
"""By the name in a recipe: how an architecture yaml of ultralytics asks for it."""
IN_GRAPHS = {"HardSwish": "hardswish", "Relu": "relu"}
"""By the ONNX operator; SiLU has none of its own."""


def described(architecture: Path | str | dict[str, Any], activation: str) -> dict[str, Any]:
    """Return what ultralytics builds a network from, with one of `ACTIVATIONS`.

    Args:
        architecture: Name or content of an architecture yaml.
        activation: Its name; empty leaves the architecture's own.

    Raises:
        ModelError: There is no such activation.
    """
    refuse_unknown(activation)
    from ultralytics.nn.tasks import yaml_model_load

    content = dict(architecture) if isinstance(architecture, dict) else yaml_model_load(architecture)
    return {**content, "activation": ACTIVATIONS[activation]} if activation else content


def refuse_unknown(activation: str) -> None:
    """Stop at a name that is none of `ACTIVATIONS`; empty is well.

    Raises:
        ModelError: There is no such activation.
    """
    if activation and activation not in ACTIVATIONS:
        raise ModelError(f"activation '{activation}' is none of {', '.join(ACTIVATIONS)}.")


def activation_of(graph: Any) -> str:
    """Return the name of the activation in an exported ONNX graph."""
    return next((IN_GRAPHS[node.op_type] for node in graph.node if node.op_type in IN_GRAPHS), "silu")
