"""Make the int8 model: one ONNX file with explicit quantize/dequantize nodes that every engine reads.

Contract: every scale in the file is symmetric (zero point 0), weights are int8 per output channel, activations int8 per
tensor; what stays in float is what `graph` never touches and what the caller names.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_sorter.errors import ModelError
from edge_sorter.lifecycle.quantize import ranges
from edge_sorter.lifecycle.quantize.graph import Layers, insert, layers_of, matching, scale_groups, tensors_of
from edge_sorter.lifecycle.quantize.ranges import LEVELS, METHODS, Array, Histogram, Progress, clipping_point

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Calibrated:
    """A float model with what was measured on it: everything that int8 forms of it are made from.

    Attributes:
        path: The float ONNX file.
        layers: What could run in int8.
        histograms: Absolute values of every tensor that would need a scale.
        images: How many pictures they are from.
    """

    path: Path
    layers: Layers
    histograms: Mapping[str, Histogram]
    images: int

    def quantized(self, *, method: str = "mse", keep_float: Collection[str] = ()) -> Any:
        """Return the int8 form as an ONNX model.

        Args:
            method: How a clipping point is chosen, one of `METHODS`.
            keep_float: Layers that stay in float, by name or pattern.

        Raises:
            ModelError: Unknown method or layer, or nothing left to quantize.
        """
        if method not in METHODS:
            raise ModelError(f"Unknown calibration method '{method}'. Choose one of: {', '.join(METHODS)}.")
        kept = set(matching(self.layers, tuple(keep_float)))
        if kept.issuperset(self.layers.names):
            raise ModelError("Every layer would stay in float, so there is nothing to quantize.")
        model = read(self.path)
        names = set(self.layers.names) - kept
        groups = scale_groups(model.graph, names & set(self.layers.movers))
        insert(model, names, self._scales(tensors_of(model.graph, names), groups, method))
        return model

    def facts(self, *, method: str, keep_float: Collection[str]) -> dict[str, Any]:
        """Return what a manifest says about the int8 form."""
        kept = matching(self.layers, tuple(keep_float))
        in_float = len(self.layers.output_convolutions) + len(set(kept) & set(self.layers.convolutions))
        total = len(self.layers.output_convolutions) + len(self.layers.convolutions)
        return {
            "method": method,
            "images": self.images,
            "quantized_convolutions": total - in_float,
            "float_convolutions": in_float,
            "kept_float": list(kept),
        }

    def _scales(self, tensors: Iterable[str], groups: Mapping[str, str], method: str) -> dict[str, float]:
        points = {name: clipping_point(self.histograms[name], method) for name in tensors}
        shared: dict[str, float] = {}
        for name, point in points.items():
            group = groups.get(name, name)
            shared[group] = max(shared.get(group, 0.0), point)
        return {name: shared[groups.get(name, name)] / LEVELS for name in points}


def calibrate(float_path: Path, images: Sequence[Array], *, on_progress: Progress | None = None) -> Calibrated:
    """Measure a float model on calibration images.

    Args:
        float_path: File made by `export`.
        images: Inputs, each (1, 3, H, W) float32 0..1 RGB; sizes may differ.
        on_progress: Called with (done, total) runs.

    Raises:
        ModelError: No image, no file, or a file without convolutions.
    """
    if not images:
        raise ModelError("No calibration image. int8 scales are measured on images: give a few hundred.")
    model = read(float_path)
    layers = layers_of(model.graph)
    if not layers.convolutions:
        raise ModelError(f"{float_path} has no convolution to quantize.")
    histograms = ranges.collect(model, tensors_of(model.graph, layers.names), images, on_progress=on_progress)
    return Calibrated(float_path, layers, histograms, len(images))


def read(path: Path) -> Any:
    """Load an ONNX file.

    Raises:
        ModelError: It is not there, or the package `onnx` is not.
    """
    try:
        import onnx
    except ImportError:
        raise ModelError("Rewriting models needs the package onnx: pip install 'edge-sorter[quantize]'.") from None
    if not path.is_file():
        raise ModelError(f"No float model at {path}. Make it with: edge-sorter export --help")
    return onnx.load(str(path))


def write(model: Any, path: Path) -> None:
    """Check an ONNX model and write it, all or nothing."""
    import onnx

    onnx.checker.check_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".part-{path.name}")
    onnx.save(model, str(partial))
    partial.replace(path)
    log.info("wrote %s, %.1f MB", path, path.stat().st_size / 1e6)
