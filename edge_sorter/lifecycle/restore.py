"""Make a trainable checkpoint of a shipped ONNX file again, so that training can go on where it once ended.

Contract: `restore` gives a checkpoint whose outputs are those of the file (a test compares them) and which behaves
alike in training mode: its batch norms carry the statistics of real pictures. What export left out, the one-to-many
head and the optimiser's state, starts from the one-to-one head and from nothing.

The export folded every batch norm into its convolution. Taken apart with mean 0 and variance 1 a network computes the
same, but falls apart in its first training step, which normalises by the batch. So the statistics before each norm are
measured on pictures, and scale and shift chosen so that nothing changes.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sorter.errors import ModelError
from edge_sorter.lifecycle.architecture import activation_of, described
from edge_sorter.lifecycle.isolate import isolate_ultralytics

HEADS = {"box_branches": ("one2one_cv2", "cv2"), "score_branches": ("one2one_cv3", "cv3")}


def restore(
    onnx_path: Path, out: Path, *, pictures: Iterable[NDArray[np.float32]], architecture: str = "yolo26n.yaml"
) -> int:
    """Write a checkpoint that continues a float ONNX file made by `export`.

    Args:
        onnx_path: the float model (not the int8 one).
        out: checkpoint to write, e.g. RUN/weights/last.pt.
        pictures: tensors (1, 3, H, W) in 0..1 as the model sees them; some dozens are enough.
        architecture: the ultralytics yaml that it was trained from.

    Returns:
        How many pictures gave the statistics.

    Raises:
        ModelError: the file is missing, is not a float export of this architecture, or there are no pictures.
    """
    isolate_ultralytics(out.parent / "ultralytics")
    import torch
    from ultralytics.nn.tasks import DetectionModel

    weights, classes, activation = _folded(onnx_path)
    model = DetectionModel(described(architecture, activation), nc=len(classes), verbose=False)
    model.names = dict(enumerate(classes))
    state = model.state_dict()
    for name, value in weights.items():
        for target, content in _targets(name, value, model):
            if target not in state or tuple(state[target].shape) != content.shape:
                raise ModelError(f"{onnx_path}: '{name}' has no place in {architecture}; was it exported from another?")
            state[target] = torch.from_numpy(np.array(content))
    model.load_state_dict(state)
    count = _measure_norms(model, pictures)
    if not count:
        raise ModelError("No pictures to measure batch norms on: give a data set with training images.")
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(out.name + ".partial")
    torch.save({"epoch": -1, "model": model, "ema": None, "optimizer": None, "train_args": {}}, partial)
    partial.replace(out)
    return count


def _folded(onnx_path: Path) -> tuple[dict[str, NDArray[np.float32]], list[str], str]:
    """Weights by the names the export gave them, the classes of the manifest beside the file, and the activation."""
    if not onnx_path.is_file():
        raise ModelError(f"No model at {onnx_path}.")
    import onnx
    from onnx import numpy_helper

    from edge_sorter.lifecycle import manifest

    graph = onnx.load(str(onnx_path)).graph
    weights = {
        item.name: numpy_helper.to_array(item)
        for item in graph.initializer
        if item.name.startswith("model.") and item.name.endswith((".weight", ".bias"))
    }
    if any(node.op_type == "QuantizeLinear" for node in graph.node) or not weights:
        raise ModelError(f"{onnx_path} is not a float model made by `export`; give the float file.")
    return weights, list(manifest.load(onnx_path)["classes"]), activation_of(graph)


def _targets(name: str, value: NDArray[np.float32], model: Any) -> list[tuple[str, NDArray[np.float32]]]:
    """Where an exported weight belongs in a fresh network: both heads share what the one-to-one head learned."""
    module, _, kind = name.rpartition(".")
    if ".attn.qkv." in name:
        value = _interleaved(value, model.get_submodule(module.removesuffix(".qkv.conv")))
    names = [name]
    for exported, kept in HEADS.items():
        if f".{exported}." in name:
            names = [name.replace(exported, each) for each in kept]
    if not module.endswith(".conv") or kind == "weight":
        return [(each, value) for each in names]
    # A folded bias: the norm's shift, with a scale that undoes the norm's epsilon.
    found = []
    for each in names:
        norm = each.removesuffix("conv.bias") + "bn"
        eps = model.get_submodule(norm).eps
        found += [(f"{norm}.bias", value), (f"{norm}.weight", np.full_like(value, np.sqrt(1.0 + eps)))]
    return found


def _interleaved(value: NDArray[np.float32], attention: Any) -> NDArray[np.float32]:
    """Undo `export._plain_attention`: rows back per head as q, k, v, and q without its scale."""
    heads, key_dim, head_dim = attention.num_heads, attention.key_dim, attention.head_dim
    rows = np.arange(heads * (2 * key_dim + head_dim)).reshape(heads, -1)
    parts = (rows[:, :key_dim], rows[:, key_dim : 2 * key_dim], rows[:, 2 * key_dim :])
    order = np.concatenate([part.ravel() for part in parts])
    plain = value.copy()
    plain[: heads * key_dim] /= attention.scale
    back = np.empty_like(plain)
    back[order] = plain
    return back


def _measure_norms(model: Any, pictures: Iterable[NDArray[np.float32]]) -> int:
    """Give every batch norm the mean and variance of its input, and keep what it computes; returns pictures used."""
    import torch

    norms = {name: part for name, part in model.named_modules() if isinstance(part, torch.nn.BatchNorm2d)}
    sums = {name: torch.zeros(3, part.num_features, dtype=torch.float64) for name, part in norms.items()}

    def watch(name: str) -> Any:
        def hook(_: Any, inputs: tuple[Any, ...]) -> None:
            x = inputs[0].double().transpose(0, 1).flatten(1)
            sums[name] += torch.stack([torch.full_like(x[:, 0], x.shape[1]), x.sum(1), (x * x).sum(1)])

        return hook

    hooks = [part.register_forward_pre_hook(watch(name)) for name, part in norms.items()]
    count = 0
    model.eval()
    head = model.model[-1]
    with torch.no_grad():
        for picture in pictures:
            count += 1
            features = _levels(model, picture)
            for branches in (head.cv2, head.cv3, head.one2one_cv2, head.one2one_cv3):
                for branch, level in zip(branches, features, strict=True):
                    branch(level)
    for hook in hooks:
        hook.remove()
    for name, part in norms.items() if count else ():
        number, total, squares = sums[name]
        mean = total / number
        variance = (squares / number - mean * mean).clamp(min=1e-6)
        part.running_mean.copy_(mean.float())
        part.running_var.copy_(variance.float())
        part.weight.data.copy_((variance + part.eps).sqrt().float())
        part.bias.data.add_(mean.float())
    return count


def _levels(model: Any, picture: NDArray[np.float32]) -> list[Any]:
    """Run everything before the head and return the feature maps the head reads."""
    import torch

    x: Any = torch.from_numpy(picture)
    kept: list[Any] = []
    for part in model.model[:-1]:
        if part.f != -1:
            x = kept[part.f] if isinstance(part.f, int) else [x if at == -1 else kept[at] for at in part.f]
        x = part(x)
        kept.append(x)
    return [kept[at] for at in model.model[-1].f]
