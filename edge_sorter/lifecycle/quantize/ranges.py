"""Choose how far an int8 scale reaches: which absolute value of a tensor becomes the last of 127 levels.

Contract: `collect` runs the float model over the calibration pictures and keeps a histogram of absolute values for each
tensor; `clipping_point` turns one into a limit, by one of `METHODS`:

- `mse`: least squared error (Sung, Shin, Hwang, "Resiliency of Deep Neural Networks under Quantization", 2015);
- `entropy`: least Kullback-Leibler divergence (Migacz, "8-bit Inference with TensorRT", GTC 2017), the same search as
  `onnxruntime.quantization.calibrate`, which needs minutes a tensor for a histogram as fine as this one;
- `percentile`: 99.99 of 100 values; `minmax`: all of them.

`onnxruntime.quantization` could collect as well, but it keeps the activations of all pictures in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

METHODS = ("mse", "entropy", "percentile", "minmax")
BINS = 2048
LEVELS = 127  # symmetric: -127..127, as TensorRT has it
PERCENTILE = 99.99
# Activations are sampled, the stride is prime to every channel count: histograms need the shape, not each value.
SAMPLE_STRIDE = 7
ENTROPY_STEP = 8
"""Bins between two candidates of the entropy search: half a percent of the range."""

Array = npt.NDArray[Any]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Histogram:
    """Absolute values of one tensor: `counts` over `BINS` equal bins from 0 to `largest`."""

    largest: float
    counts: Array


def collect(
    model: Any, tensors: Sequence[str], images: Sequence[Array], *, on_progress: Progress | None = None
) -> dict[str, Histogram]:
    """Run the float model over the images, twice: once for the largest values, once to count.

    Args:
        model: Loaded ONNX model.
        tensors: Names of tensors in it.
        images: Inputs (1, 3, h, w); sizes may differ.
        on_progress: Called with (done, total) runs.
    """
    session = session_with_outputs(model, tensors)
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
    return {name: Histogram(largest[name], counts[name]) for name in tensors}


def clipping_point(histogram: Histogram, method: str) -> float:
    """Choose the absolute value that maps to the last int8 level."""
    largest = histogram.largest
    # The value 0 (padding, letterbox border) says nothing about where to clip.
    weights = histogram.counts.astype(np.float64)
    weights[0] = 0.0
    if method == "minmax" or weights.sum() == 0:
        return largest
    if method == "percentile":
        cumulative = np.cumsum(weights) / weights.sum()
        return largest * (int(np.searchsorted(cumulative, PERCENTILE / 100.0)) + 1) / BINS
    if method == "entropy":
        return largest * _least_divergence(weights) / BINS
    return _least_squares(largest, weights)


def _least_squares(largest: float, weights: Array) -> float:
    centers = (np.arange(BINS) + 0.5) * (largest / BINS)
    candidates = largest * np.linspace(0.15, 1.0, 86)
    errors = []
    for candidate in candidates:
        scale = candidate / LEVELS
        rounded = np.minimum(np.round(centers / scale), LEVELS) * scale
        errors.append(float((weights * (centers - rounded) ** 2).sum()))
    return float(candidates[int(np.argmin(errors))])


def _least_divergence(weights: Array) -> int:
    """Return how many bins to keep so that 128 levels over them differ least from what was counted."""
    candidates = range(LEVELS + 1, BINS + 1, ENTROPY_STEP)
    return min(candidates, key=lambda kept: _divergence(weights, kept))


def _divergence(weights: Array, kept: int) -> float:
    """Kullback-Leibler divergence of `kept` bins, with what lies above them in the last, from their 128 levels."""
    wanted = weights[:kept].copy()
    edges = np.linspace(0, kept, LEVELS + 2).astype(np.int64)[:-1]
    mass = np.add.reduceat(wanted, edges)
    filled = wanted > 0
    members = np.add.reduceat(filled.astype(np.float64), edges)
    level = np.repeat(np.arange(len(edges)), np.diff([*edges, kept]))
    got = np.where(filled, mass[level] / np.maximum(members[level], 1.0), 0.0)
    wanted[-1] += weights[kept:].sum()
    lost = (wanted > 0) & (got == 0)
    if lost.any() or got.sum() == 0:
        got = got + 1e-9 * got.sum()  # a value that no level can express costs much, not infinitely much
    p, q = wanted / wanted.sum(), got / max(got.sum(), 1e-12)
    there = p > 0
    return float((p[there] * np.log(p[there] / np.maximum(q[there], 1e-12))).sum())


def session_with_outputs(model: Any, tensors: Iterable[str]) -> Any:
    """Return an ONNX Runtime session of `model` whose outputs are `tensors`; names of inputs are left out."""
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
