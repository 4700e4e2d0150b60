"""Which layers int8 hurts, and how few of them must stay in float.

Contract: `analyse` quantizes one layer at a time and measures how far the network's output moves; `choose` keeps the
worst layers in float, more and more of them, measures each of those models as a whole, and returns the smallest set
that reaches the wanted fidelity within a budget of size and arithmetic. Nothing is guessed from the single layers but
their order: errors of layers do not add up.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from edge_sorter.errors import ModelError
from edge_sorter.lifecycle.quantize import fidelity
from edge_sorter.lifecycle.quantize.fidelity import Fidelity, Outputs
from edge_sorter.lifecycle.quantize.model import Calibrated, read
from edge_sorter.lifecycle.quantize.ranges import Array, Progress, session_with_outputs

STEPS = (1, 2, 4, 8, 16, 24, 32, 48, 64, 80, 96)
"""Numbers of layers to try in float."""
BYTES_MORE = 3
"""What a weight costs more in float32 than in int8."""


@dataclass(frozen=True)
class Layer:
    """One layer, and what int8 does to the output when it alone is quantized.

    Attributes:
        name: Node in the graph: a convolution, or an operator that only moves values.
        fidelity: The network with only this layer in int8, against float.
        weights: How many it has; movers have none.
        share: Its part of the network's multiplications, 0..1; movers do none.
    """

    name: str
    fidelity: Fidelity
    weights: int
    share: float

    def record(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "name": self.name,
            "weights": self.weights,
            "share": round(self.share, 5),
            **self.fidelity.record(),
        }


@dataclass(frozen=True)
class Trial:
    """One whole model: which layers stay in float, what that costs and what it brings.

    Attributes:
        keep_float: Names of the layers.
        fidelity: The model against float.
        size_mb: Size of the file in 10^6 bytes.
        float_share: Part of the multiplications that runs in float, without the layers that always do.
    """

    keep_float: tuple[str, ...]
    fidelity: Fidelity
    size_mb: float
    float_share: float

    def record(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "float_layers": len(self.keep_float),
            "size_mb": round(self.size_mb, 2),
            "float_share": round(self.float_share, 4),
            **self.fidelity.record(),
        }


@dataclass(frozen=True)
class Budget:
    """What a mixed model may cost, and when it is good enough.

    Attributes:
        size_mb: Largest file in 10^6 bytes.
        float_share: Largest part of the multiplications that may stay in float; stands for latency.
        error: `Fidelity.error` that is good enough.
    """

    size_mb: float = 4.0
    float_share: float = 0.6
    error: float = 0.01


def analyse(
    calibrated: Calibrated,
    images: Sequence[Array],
    *,
    method: str = "mse",
    reference: Outputs | None = None,
    on_progress: Progress | None = None,
) -> list[Layer]:
    """Quantize one layer at a time and return all, the most harmful first.

    Args:
        calibrated: The float model with its histograms.
        images: Pictures to measure on; not the calibration pictures.
        method: How ranges are chosen.
        reference: Outputs of the float model on them, if known.
        on_progress: Called with (done, total) layers.
    """
    known = reference if reference is not None else fidelity.run(calibrated.path, images)
    costs = _costs(calibrated, images[0])
    names = calibrated.layers.names
    found = []
    for done, name in enumerate(names, start=1):
        others = [other for other in calibrated.layers.names if other != name]
        model = calibrated.quantized(method=method, keep_float=others)
        weights, share = costs.get(name, (0, 0.0))
        found.append(Layer(name, fidelity.compare(known, fidelity.run(model, images)), weights, share))
        if on_progress:
            on_progress(done, len(names))
    return sorted(found, key=lambda layer: (-layer.fidelity.error, layer.name))


def recalled(path: Path) -> list[Layer]:
    """Read the layers of an earlier analysis from its `quantize.json`, the most harmful first.

    Raises:
        ModelError: The file is none of these.
    """
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["layers"]
        parts = [{field.name: row[field.name] for field in fields(Fidelity)} for row in rows]
        return [
            Layer(row["name"], Fidelity(**part), row["weights"], row["share"])
            for row, part in zip(rows, parts, strict=True)
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path} is no report of `quantize --sensitivity`: {error!r}.") from None


def choose(
    calibrated: Calibrated,
    layers: Sequence[Layer],
    images: Sequence[Array],
    *,
    budget: Budget,
    method: str = "mse",
    reference: Outputs | None = None,
) -> tuple[Trial, list[Trial]]:
    """Return the model to take and all that were tried.

    Layers are taken in the order of `layers`, skipping those that alone would break the budget. Where nothing reaches
    the wanted error, the best within the budget is taken.
    """
    known = reference if reference is not None else fidelity.run(calibrated.path, images)
    order = _affordable(calibrated, layers, budget=budget, method=method)
    trials = []
    for count in (0, *(step for step in STEPS if step < len(order)), len(order)):
        chosen = order[:count]
        names = tuple(layer.name for layer in chosen)
        model = calibrated.quantized(method=method, keep_float=names)
        result = fidelity.compare(known, fidelity.run(model, images))
        share = sum(layer.share for layer in chosen)
        trials.append(Trial(names, result, model.ByteSize() / 1e6, share))
        if result.error <= budget.error:
            break
    good = [trial for trial in trials if trial.fidelity.error <= budget.error]
    return (good[0] if good else min(trials, key=lambda trial: trial.fidelity.error)), trials


def _affordable(calibrated: Calibrated, layers: Sequence[Layer], *, budget: Budget, method: str) -> list[Layer]:
    """The layers to put into float one after the other, until size or arithmetic is used up."""
    size_mb = calibrated.quantized(method=method).ByteSize() / 1e6
    share, taken = 0.0, []
    for layer in layers:
        more_mb = layer.weights * BYTES_MORE / 1e6
        if size_mb + more_mb <= budget.size_mb and share + layer.share <= budget.float_share:
            size_mb, share = size_mb + more_mb, share + layer.share
            taken.append(layer)
    return taken


def _costs(calibrated: Calibrated, image: Array) -> dict[str, tuple[int, float]]:
    """Return weights and share of all multiplications of every convolution that could be quantized."""
    from onnx import numpy_helper

    model = read(calibrated.path)
    nodes = [node for node in model.graph.node if node.op_type == "Conv"]
    sizes = {tensor.name: numpy_helper.to_array(tensor).size for tensor in model.graph.initializer}
    session = session_with_outputs(model, [node.output[0] for node in nodes])
    shapes = [value.shape for value in session.run(None, {session.get_inputs()[0].name: image})]
    work = {
        node.name: sizes[node.input[1]] * int(np.prod(shape[2:])) for node, shape in zip(nodes, shapes, strict=True)
    }
    total = sum(work.values())
    return {node.name: (sizes[node.input[1]], work[node.name] / total) for node in nodes}
