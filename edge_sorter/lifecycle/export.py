"""Turn a trained checkpoint into the float ONNX file that every engine reads.

Contract: the graph ends before decoding and top-k, with the outputs `boxes` (1, 4, N) = left, top, right, bottom
distances in grid units, `scores` (1, classes, N) in 0..1 and, of oriented boxes, `angles` (1, 1, N) in radians, levels
concatenated at strides 8, 16, 32, row by row; height and width are dynamic, multiples of 32.

The cut is where it is for int8: boxes in pixels need 16 bits, distances in cells do not, and top-k has no int8 kernel
anywhere. Of YOLO26 the one-to-one head is exported, so the host needs no NMS; YOLO11 and YOLOv8 have only the other.
"""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from edge_sorter.detect.manifest import OUTPUTS
from edge_sorter.errors import ModelError
from edge_sorter.lifecycle.isolate import open_checkpoint

OPSET = 17  # the newest that the TensorRT 8.5 and 8.6 of JetPack 5 read
IR_VERSION = 8
INPUT_NAME = "images"
DEFAULT_SIZE_PX = (448, 288)
"""Width and height that the shipped weights were chosen for."""

log = logging.getLogger(__name__)


def export(
    checkpoint: Path, onnx_path: Path, *, width_px: int = DEFAULT_SIZE_PX[0], height_px: int = DEFAULT_SIZE_PX[1]
) -> dict[str, Any]:
    """Write the float ONNX of a checkpoint and return facts about it for the manifest.

    Args:
        checkpoint: `last.pt` of a training run.
        onnx_path: file to write.
        width_px: example width, a multiple of 32; the graph accepts others.
        height_px: example height, likewise.

    Raises:
        ModelError: no such checkpoint, or it is no detector of upright or oriented boxes that can be cut this way.
    """
    if not checkpoint.is_file():
        raise ModelError(f"No checkpoint at {checkpoint}. Train one: edge-sorter train --help")
    import onnx
    import torch

    network = raw_network(checkpoint)
    decode, classes = network.model[-1].decode, list(network.names.values())
    channels = dict(zip(OUTPUTS[decode], (4, len(classes), 1), strict=False))
    example = torch.zeros(1, 3, height_px, width_px)
    spatial = {2: "height", 3: "width"}
    onnx_path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        # The tracing exporter is deprecated upstream; its graphs are the ones TensorRT 8 is known to parse.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (example,),
            str(onnx_path),
            input_names=[INPUT_NAME],
            output_names=list(channels),
            dynamic_axes={INPUT_NAME: spatial, **{name: {2: "cells"} for name in channels}},
            opset_version=OPSET,
            dynamo=False,
        )
    graph = onnx.load(str(onnx_path))
    graph.ir_version = IR_VERSION
    for output in graph.graph.output:
        for axis, size in enumerate((1, channels[output.name])):
            output.type.tensor_type.shape.dim[axis].dim_value = size  # the tracer loses what the views fixed
    graph.producer_name, graph.doc_string = "edge_sorter", "AGPL-3.0 (trained with ultralytics)"
    onnx.checker.check_model(graph)
    onnx.save(graph, str(onnx_path))
    log.info("wrote %s, %.1f MB", onnx_path, onnx_path.stat().st_size / 1e6)
    return {"classes": classes, "strides_px": [int(s) for s in network.stride], "decode": decode}


def load_network(checkpoint: Path) -> Any:
    """Load a checkpoint as a float32 ultralytics model in evaluation mode: norms folded, only the head to export."""
    model = open_checkpoint(checkpoint)[1].eval()
    head = model.model[-1]
    kind, one_to_one = type(head).__name__, getattr(head, "one2one_cv2", None) is not None
    if kind not in ("Detect", "OBB26"):  # their relatives have more outputs, which would be lost without a word
        raise ModelError(
            f"{checkpoint} ends in {kind}: only detectors (--task detect, or obb with yolo26n-obb.yaml) run on a line."
        )
    if one_to_one:
        model.end2end = True  # a checkpoint remembers the branch it was last validated with
    if one_to_one and head.reg_max != 1:
        raise ModelError(f"The head of {checkpoint} predicts {head.reg_max} bins per side and is one-to-one: unknown.")
    return model.fuse(verbose=False).eval()


def raw_network(checkpoint: Path) -> Any:
    """Load a checkpoint with head and attention replaced by equivalents that export to few, plain ONNX operators."""
    from torch import nn
    from ultralytics.nn.modules.block import Attention, C2f

    model = load_network(checkpoint)
    for parent in list(model.modules()):
        if isinstance(parent, C2f):
            parent.forward = parent.forward_split  # chunk() would compute its sizes in the graph
        for name, child in list(parent.named_children()):
            if isinstance(child, Attention):
                setattr(parent, name, _plain_attention(nn, child))
    model.model[-1] = _raw_head(nn, model.model[-1])
    return model


def _raw_head(nn: Any, detect: Any) -> Any:
    """Return the head to export, concatenated over its levels; what follows is the host's.

    Its `decode` names the decoder of `edge_sorter.detect` that goes on from there.
    """
    import torch

    oriented, one_to_one = hasattr(detect, "cv4"), getattr(detect, "one2one_cv2", None) is not None
    prefix = "one2one_cv" if one_to_one else "cv"
    bins = torch.arange(detect.reg_max, dtype=torch.float32)

    def joined(branches: Any, levels: list[Any], channels: int) -> Any:
        return torch.cat([branch(x).view(1, channels, -1) for branch, x in zip(branches, levels, strict=True)], 2)

    class RawHead(nn.Module):  # type: ignore[misc]
        """The one-to-one branches of YOLO26, or the only ones of YOLO11 with each side's bins summed up."""

        def __init__(self) -> None:
            super().__init__()
            self.box_branches, self.score_branches = getattr(detect, f"{prefix}2"), getattr(detect, f"{prefix}3")
            self.angle_branches = getattr(detect, f"{prefix}4") if oriented else None
            self.f, self.i, self.nc = detect.f, detect.i, detect.nc
            self.decode = "yolo26_obb" if oriented else "yolo26_ltrb" if one_to_one else "yolo11_ltrb"

        def forward(self, levels: list[Any]) -> tuple[Any, ...]:
            boxes = joined(self.box_branches, levels, 4 * len(bins))
            if len(bins) > 1:
                boxes = (boxes.view(1, 4, len(bins), -1).softmax(2) * bins.view(1, 1, -1, 1)).sum(2)
            found = (boxes, joined(self.score_branches, levels, self.nc).sigmoid())
            return found if self.angle_branches is None else (*found, joined(self.angle_branches, levels, 1))

    return RawHead().eval()


def _plain_attention(nn: Any, attention: Any) -> Any:
    """Same attention with q, k, v as three runs of channels, and the scale folded into q's weights.

    The upstream layout interleaves them per head and reshapes with computed sizes, which leaves a tail of Shape, Gather
    and Concat in a dynamic graph. Here one Shape is left, and it feeds one Reshape.
    """
    import torch

    heads, key_dim, head_dim = attention.num_heads, attention.key_dim, attention.head_dim
    rows = np.arange(heads * (2 * key_dim + head_dim)).reshape(heads, -1)
    parts = (rows[:, :key_dim], rows[:, key_dim : 2 * key_dim], rows[:, 2 * key_dim :])
    order = torch.from_numpy(np.concatenate([part.ravel() for part in parts]))
    conv = attention.qkv.conv
    with torch.no_grad():
        conv.weight.copy_(conv.weight[order])
        conv.bias.copy_(conv.bias[order])
        conv.weight[: heads * key_dim] *= attention.scale
        conv.bias[: heads * key_dim] *= attention.scale

    class PlainAttention(nn.Module):  # type: ignore[misc]
        """Multi-head self-attention over the cells of one feature map."""

        def __init__(self) -> None:
            super().__init__()
            self.qkv, self.proj, self.pe = attention.qkv, attention.proj, attention.pe

        def forward(self, x: Any) -> Any:
            q, k, v = self.qkv(x).split([heads * key_dim, heads * key_dim, heads * head_dim], dim=1)
            weights = (q.view(1, heads, key_dim, -1).transpose(2, 3) @ k.view(1, heads, key_dim, -1)).softmax(-1)
            mixed = v.view(1, heads, head_dim, -1) @ weights.transpose(2, 3)
            return self.proj(mixed.reshape_as(v) + self.pe(v))

    return PlainAttention().eval()
