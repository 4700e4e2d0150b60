"""Take whole channels out of a trained detector, inside its blocks, where no other block sees them.

Contract: `prune` writes a checkpoint that ultralytics loads, `train` trains on and `export` exports; what blocks pass
to each other keeps its width. It falls short of the accuracy before until it was trained on. Imports torch, ultralytics
and Torch-Pruning: call `isolate_ultralytics` first.

Torch-Pruning follows a channel to everything that reads it. It miscounts behind the split of C3k2 and gets lost
in attention, so its automatic pruners are of no use here: the split is taken apart while it looks, and blocks are
entered only as far as channels meet no attention.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch_pruning
from torch import nn
from ultralytics.nn.modules.block import SPPF, Attention, Bottleneck, C2f, C3k, PSABlock

from edge_sorter.atomic import write_bytes
from edge_sorter.errors import ModelError
from edge_sorter.lifecycle.isolate import open_checkpoint
from edge_sorter.lifecycle.run_state import packed
from edge_sorter.lifecycle.trainer import PRUNED


@dataclass(frozen=True)
class Block:
    """What became of one layer of the network.

    Attributes:
        name: number and kind, e.g. "8 C3k2".
        channels: those of its channels that could go, before and after.
        multiplications: in its convolutions for one picture, before and after.
        parameters: before and after.
    """

    name: str
    channels: tuple[int, int]
    multiplications: tuple[int, int]
    parameters: tuple[int, int]


def prune(checkpoint: Path, out: Path, *, ratio: float, multiple: int, size_px: tuple[int, int]) -> list[Block]:
    """Write a checkpoint without the least important channels, and say what became of each layer.

    Figures are of what `export` keeps: the branches of the head that only teach are neither counted nor thinned.

    Args:
        checkpoint: of a detector, trained here or by ultralytics.
        out: checkpoint to write, e.g. RUN/weights/last.pt.
        ratio: share of the channels to take out wherever they can go; never more than that.
        multiple: what is left of each set is a multiple of this, because processors compute in such portions.
        size_px: width and height that multiplications are counted at, multiples of 32.

    Raises:
        ModelError: no such checkpoint, or it is no detector in the form that is trained.
    """
    state, model = open_checkpoint(checkpoint)
    head = model.model[-1]
    if not (hasattr(head, "cv2") and hasattr(head, "cv3")) or model.is_fused():
        raise ModelError(
            f"{checkpoint} ends in {type(head).__name__}, or its batch norms are folded in: only detectors as `train` "
            "leaves them can be pruned."
        )
    model.eval()
    before = _measured(model, size_px)
    widths = narrow(model, ratio=ratio, multiple=multiple)
    after = _measured(model, size_px)
    model.yaml[PRUNED] = {"ratio": ratio, "multiple": multiple}
    model.criterion = None
    told = state.get("train_args", {})
    write_bytes(out, packed({"epoch": -1, "model": model, "ema": None, "optimizer": None, "train_args": told}))
    return [
        Block(
            f"{layer} {type(model.model[layer]).__name__}",
            widths.get(layer, (0, 0)),
            (before[layer][0], after[layer][0]),
            (before[layer][1], after[layer][1]),
        )
        for layer in before
        if before[layer][0]
    ]


def narrow(model: Any, *, ratio: float, multiple: int) -> dict[int, tuple[int, int]]:
    """Take channels out of a model; returns how many could go and how many are left, by layer."""
    for parameter in model.parameters():
        parameter.requires_grad_(True)  # channels are followed along the gradient
    counts: dict[int, tuple[int, int]] = {}
    with _splits_apart(model):
        graph = torch_pruning.DependencyGraph().build_dependency(model, example_inputs=torch.zeros(1, 3, 64, 64))
        for layer, conv in _makers(model):
            width = conv.out_channels
            keep = min(width, max(multiple, multiple * math.ceil(width * (1 - ratio) / multiple)))
            before, after = counts.get(layer, (0, 0))
            counts[layer] = (before + width, after + keep)
            if keep < width:
                _drop(graph, conv, width - keep)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return counts


def _drop(graph: Any, conv: nn.Conv2d, count: int) -> None:
    """Take the least important channels out of all that makes, normalises or reads what a convolution makes."""
    makes = torch_pruning.prune_conv_out_channels
    scores = _importance(graph.get_pruning_group(conv, makes, idxs=list(range(conv.out_channels))), conv.out_channels)
    weakest = sorted(torch.argsort(scores, stable=True)[:count].tolist())
    graph.get_pruning_group(conv, makes, idxs=weakest).prune()


def _importance(group: Any, width: int) -> torch.Tensor:
    """Score the channels of a group: how much they move, times what is read from them.

    How much they move is the scale of their batch norm (Network Slimming, arXiv 1708.06519), what is read is the norm
    of the weights that take them in: for whole channels, the score that Wanda (arXiv 2306.11695) gives to weights.
    """
    scale, read = torch.zeros(width), torch.zeros(width)
    for item in group:
        part, roots = item.dep.target.module, torch.tensor(item.root_idxs)
        if isinstance(part, nn.BatchNorm2d):
            scale.index_add_(0, roots, part.weight.detach().abs()[item.idxs])
        elif item.dep.handler == torch_pruning.prune_conv_in_channels and part.groups == 1:
            read.index_add_(0, roots, part.weight.detach().square().sum((0, 2, 3))[item.idxs])
    return scale * read.sqrt()


def _makers(model: Any) -> Iterator[tuple[int, nn.Conv2d]]:
    """Yield (layer, convolution) for every set of channels that may be thinned: the first that makes them."""
    for layer, block in enumerate(model.model[:-1]):
        if isinstance(block, Apart):
            yield layer, block.first.conv
            yield layer, block.second.conv
            # A bottleneck adds to what it reads, so that its output was thinned with the second half.
            yield from ((layer, part.cv3.conv) for part in block.m if isinstance(part, C3k))
        for part in block.modules():
            if isinstance(part, C3k):
                yield layer, part.cv2.conv
            if isinstance(part, (Bottleneck, C3k, SPPF)):
                yield layer, part.cv1.conv
            elif isinstance(part, PSABlock):
                yield layer, part.ffn[0].conv
    head = model.model[-1]
    for branch in (branch for name in _branches(head) for branch in getattr(head, name)):
        for part in branch[:-1].modules():
            if isinstance(part, nn.Conv2d) and part.groups == 1:  # depthwise ones follow what they read
                yield len(model.model) - 1, part


def _branches(head: Any) -> list[str]:
    """Name the branches of a head that `export` keeps; the others go on teaching what comes before them."""
    prefix = "one2one_" if getattr(head, "one2one_cv2", None) is not None else ""
    return [prefix + name for name in ("cv2", "cv3", "cv4") if hasattr(head, prefix + name)]


class Apart(nn.Module):  # type: ignore[misc]
    """A C3k2 that makes the halves of what it splits with a convolution each; computes the same."""

    def __init__(self, block: C2f) -> None:
        super().__init__()
        self.first, self.second = _rows(block.cv1, slice(None, block.c)), _rows(block.cv1, slice(block.c, None))
        self.m, self.cv2 = block.m, block.cv2
        self.i, self.f, self.type = block.i, block.f, block.type  # where it stands in the network
        self.block = [block]  # in a list, so that its parameters do not count twice

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Do as `C2f.forward`."""
        parts = [self.first(x), self.second(x)]
        parts.extend(part(parts[-1]) for part in self.m)
        return self.cv2(torch.cat(parts, 1))

    def joined(self) -> C2f:
        """Return the block with what is left of the halves."""
        block, halves = self.block[0], (self.first, self.second)
        conv, norm = block.cv1.conv, block.cv1.bn
        conv.weight = nn.Parameter(torch.cat([half.conv.weight.detach() for half in halves]))
        for name in ("weight", "bias"):
            setattr(norm, name, nn.Parameter(torch.cat([getattr(half.bn, name).detach() for half in halves])))
        for name in ("running_mean", "running_var"):
            setattr(norm, name, torch.cat([getattr(half.bn, name) for half in halves]))
        conv.in_channels, conv.out_channels = self.first.conv.in_channels, len(conv.weight)
        norm.num_features, block.c = len(conv.weight), self.first.conv.out_channels
        return block


def _rows(conv: Any, rows: slice) -> Any:
    """Return an ultralytics convolution with its norm, of some of the output channels."""
    part = deepcopy(conv)
    for owner, names in ((part.conv, ("weight",)), (part.bn, ("weight", "bias"))):
        for name in names:
            setattr(owner, name, nn.Parameter(getattr(owner, name).detach()[rows].clone()))
    part.bn.running_mean, part.bn.running_var = part.bn.running_mean[rows].clone(), part.bn.running_var[rows].clone()
    part.conv.out_channels = part.bn.num_features = len(part.conv.weight)
    return part


@contextmanager
def _splits_apart(model: Any) -> Iterator[None]:
    """Take the splits apart in blocks without attention, whose channels cannot be followed, and join them again."""
    for layer, block in enumerate(model.model):
        if isinstance(block, C2f) and not any(isinstance(part, Attention) for part in block.modules()):
            model.model[layer] = Apart(block)
    try:
        yield
    finally:
        for layer, block in enumerate(model.model):
            if isinstance(block, Apart):
                model.model[layer] = block.joined()


def _measured(model: Any, size_px: tuple[int, int]) -> dict[int, tuple[int, int]]:
    """Return multiplications of convolutions for one picture, and parameters, by layer, of what `export` keeps."""
    head, hooks = model.model[-1], []
    counts: dict[int, int] = {}
    sizes: dict[int, int] = {}
    branches = {name for name, _ in head.named_children() if "cv" in name} - set(_branches(head))
    taught = {part for name in branches for part in getattr(head, name).modules()}

    def watch(layer: int, conv: nn.Conv2d) -> None:
        def hook(_: Any, __: Any, output: torch.Tensor) -> None:
            counts[layer] += output[0, 0].numel() * conv.weight.numel()

        hooks.append(conv.register_forward_hook(hook))

    for layer, block in enumerate(model.model):
        kept = [part for part in block.modules() if part not in taught]
        counts[layer] = 0
        sizes[layer] = sum(parameter.numel() for part in kept for parameter in part.parameters(recurse=False))
        for part in kept:
            if isinstance(part, nn.Conv2d):
                watch(layer, part)
    with torch.no_grad():
        model(torch.zeros(1, 3, size_px[1], size_px[0]))
    for each in hooks:
        each.remove()
    return {layer: (counts[layer], sizes[layer]) for layer in counts}
