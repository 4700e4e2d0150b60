"""How far a quantized network is from the float one, measured where it matters: in the cells that see a parcel.

Contract: `Fidelity` compares scores and boxes cell by cell, before any threshold on the pictures' boxes, so that a
small change shows as a small number. Cells that neither network finds interesting do not count: there are thousands.
It needs no labels; what it means for mAP is `evaluate`'s to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_sorter.errors import ModelError
from edge_sorter.lifecycle.quantize.ranges import Array

SEEN = 0.1
"""A cell counts where one of both networks gives at least this score."""
FOUND = 0.25
"""A cell's box counts where the float network gives at least this score."""
FEWEST_CELLS = 10

Outputs = list[tuple[Array, Array]]


@dataclass(frozen=True)
class Fidelity:
    """Distance of a network from its reference.

    Attributes:
        cells: Cells compared.
        score_error: Mean absolute difference of the cells' scores, of the class that differs most.
        score_error_p95: 95 of 100 cells differ by less.
        score_error_max: The worst.
        box_error: Mean of 1 - IoU of the boxes.
    """

    cells: int
    score_error: float
    score_error_p95: float
    score_error_max: float
    box_error: float

    @property
    def error(self) -> float:
        """One number to rank by: both errors, which are of the same size where boxes are as wrong as scores."""
        return self.score_error + self.box_error

    def record(self) -> dict[str, float]:
        """Return it as JSON, rounded to what is meaningful."""
        return {name: round(value, 5) for name, value in {**asdict(self), "error": self.error}.items()}


def run(model: Any, images: Sequence[Array], *, threads: int = 1) -> Outputs:
    """Run an ONNX model (loaded, or its path) over images as the file says, nothing fused to other arithmetic.

    Q/DQ nodes are computed as such, so that the result does not depend on which int8 kernels a CPU has.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    source = str(model) if isinstance(model, (str, Path)) else model.SerializeToString()
    session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return [tuple(session.run(["boxes", "scores"], {name: image})) for image in images]


def compare(reference: Outputs, found: Outputs) -> Fidelity:
    """Compare the outputs of two networks on the same images.

    Raises:
        ModelError: The reference sees almost nothing on them, so they cannot tell good from bad.
    """
    score_errors, box_errors = [], []
    for (boxes, scores), (other_boxes, other_scores) in zip(reference, found, strict=True):
        best, other_best = scores[0].max(axis=0), other_scores[0].max(axis=0)
        seen = (best > SEEN) | (other_best > SEEN)
        score_errors.append(np.abs(scores[0][:, seen] - other_scores[0][:, seen]).max(axis=0))
        there = best > FOUND
        box_errors.append(1.0 - _iou(boxes[0][:, there], other_boxes[0][:, there]))
    errors, distances = np.concatenate(score_errors), np.concatenate(box_errors)
    if len(distances) < FEWEST_CELLS:
        raise ModelError(
            f"The float model sees a parcel in {len(distances)} cells of these {len(reference)} pictures, which is too "
            "few to compare with. Give more pictures, or ones of parcels."
        )
    return Fidelity(
        cells=len(errors),
        score_error=float(errors.mean()),
        score_error_p95=float(np.quantile(errors, 0.95)),
        score_error_max=float(errors.max()),
        box_error=float(distances.mean()),
    )


def _iou(left: Array, right: Array) -> Array:
    """Overlap of boxes given as distances (4, n) from the same cells."""
    shared = np.maximum(np.minimum(left, right), 0.0)
    areas = [np.maximum(side[0] + side[2], 0) * np.maximum(side[1] + side[3], 0) for side in (left, right)]
    overlap = (shared[0] + shared[2]) * (shared[1] + shared[3])
    return np.asarray(overlap / np.maximum(areas[0] + areas[1] - overlap, 1e-9))


def seen(outputs: Outputs, *, confidence: float) -> int:
    """Return in how many pictures the network gives any cell at least `confidence`."""
    return sum(bool(scores.max() >= confidence) for _, scores in outputs)
