"""A tiny but real network in the shape of a YOLO26 head, and manifests, made anew for every test that wants one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

CLASSES = ["carton", "polybag", "mailer"]


def manifest_for(model: Path, **changes: Any) -> dict[str, Any]:
    return {
        "schema": "edge_sorter.model/1",
        "name": "tiny",
        "version": "1",
        "file": model.name,
        "sha256": hashlib.sha256(model.read_bytes()).hexdigest(),
        "task": "detect",
        "classes": CLASSES,
        "input": {
            "name": "images",
            "width_px": 128,
            "height_px": 96,
            "dynamic": True,
            "stride_px": 32,
            "color": "rgb",
            "scale": 1 / 255,
        },
        "decode": "yolo26_ltrb",
        "outputs": {"boxes": "boxes", "scores": "scores"},
        "precision": "float32",
        "confidence": 0.4,
        "licence": "MIT",
        "training": {"data": "none"},
        "metrics": {},
        **changes,
    }


def tiny_network(seed: int = 0) -> onnx.ModelProto:
    """Mean colour of each grid cell, mixed at random into distances (4) and class probabilities (3)."""
    rng = np.random.default_rng(seed)
    nodes, weights = [], []
    parts: dict[str, list[str]] = {"boxes": [], "scores": []}
    for stride in (8, 16, 32):
        nodes.append(
            helper.make_node(
                "AveragePool",
                ["images"],
                [f"cell{stride}"],
                kernel_shape=[stride, stride],
                strides=[stride, stride],
            )
        )
        for head, channels, activation in (("boxes", 4, "Relu"), ("scores", 3, "Sigmoid")):
            name = f"{head}{stride}"
            kernel = rng.normal(0, 3, (channels, 3, 1, 1)).astype(np.float32)
            weights.append(numpy_helper.from_array(kernel, f"{name}_w"))
            weights.append(numpy_helper.from_array(np.array([1, channels, -1], np.int64), f"{name}_s"))
            nodes += [
                helper.make_node("Conv", [f"cell{stride}", f"{name}_w"], [f"{name}_c"]),
                helper.make_node(activation, [f"{name}_c"], [f"{name}_a"]),
                helper.make_node("Reshape", [f"{name}_a", f"{name}_s"], [name]),
            ]
            parts[head].append(name)
    nodes += [helper.make_node("Concat", names, [head], axis=2) for head, names in parts.items()]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, "h", "w"])],
        [
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [1, 4, "n"]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 3, "n"]),
        ],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return model


MakeModel = Callable[..., Path]


@pytest.fixture
def make_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeModel:
    """Write a network and its manifest (`changes` replace manifest keys) and return the path of the network."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def make(network: onnx.ModelProto | None = None, **changes: Any) -> Path:
        path = tmp_path / "tiny.onnx"
        onnx.save(network or tiny_network(), str(path))
        path.with_suffix(".json").write_text(json.dumps(manifest_for(path, **changes)))
        return path

    return make
