"""Turn a trained checkpoint into the float ONNX file that every engine reads.

Contract: the graph ends before decoding and top-k, with two outputs, `boxes` (1, 4, N) = left, top, right, bottom
distances in grid units and `scores` (1, classes, N) in 0..1, levels concatenated at strides 8, 16, 32, row by row;
height and width are dynamic, multiples of 32.

The cut is where it is for int8: boxes in pixels need 16 bits, distances in cells do not, and top-k has no int8 kernel
anywhere. The head exported is the one-to-one head, so the host needs no NMS.
"""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from edge_sorter.errors import ModelError
from edge_sorter.lifecycle.isolate import isolate_ultralytics, warn_of_pickle

OPSET = 17  # the newest that the TensorRT 8.5 and 8.6 of JetPack 5 read
IR_VERSION = 8
INPUT_NAME = "images"
OUTPUT_NAMES = ("boxes", "scores")

log = logging.getLogger(__name__)


def export(checkpoint: Path, onnx_path: Path, *, width_px: int = 640, height_px: int = 384) -> dict[str, Any]:
    """Write the float ONNX of a checkpoint and return facts about it for the manifest.

    Args:
        checkpoint: `last.pt` of a training run.
        onnx_path: file to write.
        width_px: example width, a multiple of 32; the graph accepts others.
        height_px: example height, likewise.

    Raises:
        ModelError: no such checkpoint, or it is no YOLO26-style end-to-end detector.
    """
    if not checkpoint.is_file():
        raise ModelError(f"No checkpoint at {checkpoint}. Train one: edge-sorter train --help")
    import onnx
    import torch

    network = raw_network(checkpoint)
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
            output_names=list(OUTPUT_NAMES),
            dynamic_axes={INPUT_NAME: spatial, "boxes": {2: "cells"}, "scores": {2: "cells"}},
            opset_version=OPSET,
            dynamo=False,
        )
    graph = onnx.load(str(onnx_path))
    graph.ir_version = IR_VERSION
    for output, channels in zip(graph.graph.output, (4, network.model[-1].nc), strict=True):
        for axis, size in enumerate((1, channels)):
            output.type.tensor_type.shape.dim[axis].dim_value = size  # the tracer loses what the views fixed
    graph.producer_name, graph.doc_string = "edge_sorter", "AGPL-3.0 (trained with ultralytics)"
    onnx.checker.check_model(graph)
    onnx.save(graph, str(onnx_path))
    log.info("wrote %s, %.1f MB", onnx_path, onnx_path.stat().st_size / 1e6)
    return {"classes": list(network.names.values()), "strides_px": [int(s) for s in network.stride]}


def load_network(checkpoint: Path) -> Any:
    """Load a checkpoint as a float32 ultralytics model in evaluation mode, batch norms folded, one-to-one head only."""
    isolate_ultralytics()
    import torch

    warn_of_pickle(checkpoint)
    state = torch.load(str(checkpoint), map_location="cpu", weights_only=False)
    model = (state.get("ema") or state["model"]).float().eval()
    head = model.model[-1]
    if type(head).__name__ != "Detect":  # its relatives have more outputs, which would be lost without a word
        raise ModelError(f"{checkpoint} ends in {type(head).__name__}: only detectors (--task detect) run on a line.")
    if getattr(head, "one2one_cv2", None) is None:
        raise ModelError(
            f"{checkpoint} has no one-to-one head. Train a YOLO26 architecture, e.g. --model yolo26n.yaml."
        )
    model.end2end = True  # a checkpoint remembers the branch it was last validated with
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
    import torch

    if detect.reg_max != 1:
        raise ModelError(f"The head predicts {detect.reg_max} bins per side; this export is for one (YOLO26).")

    class RawHead(nn.Module):  # type: ignore[misc]
        """The one-to-one branches of the three levels, concatenated; what follows is the host's."""

        def __init__(self) -> None:
            super().__init__()
            self.box_branches, self.score_branches = detect.one2one_cv2, detect.one2one_cv3
            self.f, self.i, self.nc = detect.f, detect.i, detect.nc

        def forward(self, levels: list[Any]) -> tuple[Any, Any]:
            boxes = [branch(x).view(1, 4, -1) for branch, x in zip(self.box_branches, levels, strict=True)]
            scores = [branch(x).view(1, self.nc, -1) for branch, x in zip(self.score_branches, levels, strict=True)]
            return torch.cat(boxes, 2), torch.cat(scores, 2).sigmoid()

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
