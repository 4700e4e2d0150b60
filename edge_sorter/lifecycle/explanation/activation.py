"""What the network's last feature maps respond to: EigenCAM and the maps themselves, read out of the ONNX file.

Contract: `feature_maps` runs the file once with the tensors that feed its head as further outputs; `eigen_cam` is their
first principal component over the picture (Muhammad and Yeasin 2020). Needs the package onnx, no torch. EigenCAM asks
about no box and no class: it shows where the features stand out, and the boxes tell whether rightly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_sorter.detect.letterbox import Letterbox
from edge_sorter.detect.manifest import Manifest
from edge_sorter.errors import ModelError
from edge_sorter.lifecycle.explanation.subject import Target
from edge_sorter.types import FloatArray, Image

Maps = NDArray[np.float32]


@dataclass(frozen=True)
class Level:
    """Feature maps of one scale.

    Attributes:
        stride_px: Input pixels of one cell.
        maps: float32 (channels, rows, columns).
    """

    stride_px: int
    maps: Maps


def feature_maps(
    model: Path,
    manifest: Manifest,
    picture: Image,
    *,
    size_px: tuple[int, int],
    crop: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0),
) -> tuple[list[Level], Letterbox]:
    """Run the network on a picture and return what its head reads, finest level first, and the letterbox used.

    Raises:
        ModelError: The package onnx is missing, or the file has no such tensors (its outputs share nothing).
    """
    import onnxruntime

    graph, names = _with_outputs(model, manifest.outputs.names())
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    letterbox = Letterbox(
        image_size_px=(picture.shape[1], picture.shape[0]),
        crop=crop,
        input_size_px=size_px,
        layout="f32_nchw_rgb",
        scale=manifest.input.scale,
    )
    values = session.run(names, {manifest.input.name: np.ascontiguousarray(letterbox(picture))})
    levels: dict[int, Maps] = {}
    for value in values:  # in the order of the graph: the last of each size is the one the head reads
        if value.ndim == 4 and value.dtype == np.float32 and size_px[0] % value.shape[3] == 0:
            stride = size_px[0] // value.shape[3]
            if value.shape[2] * stride == size_px[1] and value.shape[1] > 3:
                levels[stride] = value[0]
    wanted = sorted(stride for stride in levels if stride in (8, 16, 32))
    if not wanted:
        raise ModelError(f"{model} has no feature maps at strides 8, 16 or 32 that its outputs share.")
    return [Level(stride, levels[stride]) for stride in wanted], letterbox


def _with_outputs(model: Path, outputs: Sequence[str]) -> tuple[bytes, list[str]]:
    """Return the file with every tensor that all outputs depend on as a further output, and their names in order."""
    try:
        import onnx
    except ImportError as error:
        raise ModelError("Feature maps need the package onnx: pip install 'edge-sorter[evaluate]'.") from error
    proto = onnx.load(str(model))
    maker = {name: node for node in proto.graph.node for name in node.output}
    shared = set.intersection(*(_ancestors(name, maker) for name in outputs))
    whole = {"QuantizeLinear", "Shape", "Constant"}  # no pictures, and no float32
    names = [n for node in proto.graph.node if node.op_type not in whole for n in node.output if n in shared]
    for name in names:
        proto.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    return proto.SerializeToString(), names


def _ancestors(name: str, maker: dict[str, Any]) -> set[str]:
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        node = maker.get(waiting.pop())
        for source in node.input if node is not None else ():
            if source in maker and source not in seen:
                seen.add(source)
                waiting.append(source)
    return seen


def eigen_cam(level: Level, *, letterbox: Letterbox, size_px: tuple[int, int], targets: Sequence[Target]) -> FloatArray:
    """Return a heat map (h, w) of 0 to 1 over the picture.

    Args:
        level: Feature maps.
        letterbox: How the picture became the network's input.
        size_px: The network's input.
        targets: Boxes; a principal component has no sign, so the one that is higher in the boxes is taken.
    """
    channels, rows, columns = level.maps.shape
    table = level.maps.reshape(channels, -1).T.astype(np.float64)
    centred = table - table.mean(axis=0)
    direction = np.linalg.svd(centred, full_matrices=False)[2][0]
    cam = (centred @ direction).reshape(rows, columns)
    heat = to_picture(cam.astype(np.float32), letterbox=letterbox, size_px=size_px)
    inside = np.zeros(heat.shape, np.bool_)
    for target in targets:
        x1, y1, x2, y2 = (max(round(side), 0) for side in target.xyxy)
        inside[y1:y2, x1:x2] = True
    if inside.any() and not inside.all() and heat[inside].mean() < heat[~inside].mean():
        heat = -heat
    positive = np.clip(heat, 0, None)
    return np.asarray(positive / max(float(positive.max()), 1e-12), np.float32)


def to_picture(cells: FloatArray, *, letterbox: Letterbox, size_px: tuple[int, int]) -> FloatArray:
    """Bring a map over the network's input onto the picture; 0 where the network did not look."""
    width, height = letterbox.image_size_px
    over_input = cv2.resize(cells, size_px, interpolation=cv2.INTER_CUBIC)
    # The middle of the input always shows the picture: one pixel there tells scale and shift.
    middle = np.array([size_px[0] / 2, size_px[1] / 2])
    x1, y1, x2, y2 = letterbox.to_image(np.concatenate((middle - 0.5, middle + 0.5))[None].astype(np.float32))[0]
    scale = np.array([x2 - x1, y2 - y1], np.float64)
    shift = np.array([x1, y1]) - (middle - 0.5) * scale
    shift += 0.5 * scale - 0.5  # boxes count from a pixel's corner, warpAffine from its middle
    where = np.array([[scale[0], 0, shift[0]], [0, scale[1], shift[1]]])
    return np.asarray(cv2.warpAffine(over_input, where, (width, height)), np.float32)
