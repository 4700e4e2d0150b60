"""`quantize --compare-ranges --labelled`: the whole command on a network with a channel far larger than the rest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_sorter.lifecycle import manifest
from edge_sorter.lifecycle.commands import app
from edge_sorter.lifecycle.quantize.ranges import METHODS

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

SIZE_PX = (96, 64)
PICTURES, LABELLED = 312, 6


def network(path: Path) -> None:
    """Two convolutions with SiLU, then for each grid cell its mean, mixed into distances and probabilities."""
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    first = rng.normal(0, 0.5, (8, 3, 3, 3)).astype(np.float32)
    first[0] *= 4
    second = rng.normal(0, 0.5, (8, 8, 1, 1)).astype(np.float32)
    weights = [numpy_helper.from_array(first, "first"), numpy_helper.from_array(second, "second")]
    nodes = []
    for number, (source, weight, pad) in enumerate((("images", "first", 1), ("a0", "second", 0))):
        c, s, a = (f"{letter}{number}" for letter in "csa")
        nodes.append(helper.make_node("Conv", [source, weight], [c], f"conv{number}", pads=[pad] * 4))
        nodes.append(helper.make_node("Sigmoid", [c], [s], f"sigmoid{number}"))
        nodes.append(helper.make_node("Mul", [c, s], [a], f"silu{number}"))
    parts: dict[str, list[str]] = {"boxes": [], "scores": []}
    for stride in (8, 16, 32):
        sides = {"kernel_shape": [stride, stride], "strides": [stride, stride]}
        nodes.append(helper.make_node("AveragePool", ["a1"], [f"cell{stride}"], f"cell{stride}", **sides))
        for head, channels, activation in (("boxes", 4, "Relu"), ("scores", 3, "Sigmoid")):
            name = f"{head}{stride}"
            kernel = rng.normal(0, 1, (channels, 8, 1, 1)).astype(np.float32)
            weights.append(numpy_helper.from_array(np.abs(kernel) if head == "boxes" else kernel, f"{name}_w"))
            weights.append(numpy_helper.from_array(np.array([1, channels, -1], np.int64), f"{name}_s"))
            nodes += [
                helper.make_node("Conv", [f"cell{stride}", f"{name}_w"], [f"{name}_c"], f"{name}_conv"),
                helper.make_node(activation, [f"{name}_c"], [f"{name}_a"], f"{name}_act"),
                helper.make_node("Reshape", [f"{name}_a", f"{name}_s"], [name], f"{name}_flat"),
            ]
            parts[head].append(name)
    nodes += [helper.make_node("Concat", names, [head], head, axis=2) for head, names in parts.items()]
    image = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, "h", "w"])
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, "n"])
        for name, channels in (("boxes", 4), ("scores", 3))
    ]
    graph = helper.make_graph(nodes, "small", [image], outputs, weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A float model, pictures to calibrate on, and labelled ones whose truth is what the float model sees."""
    from edge_sorter.config import DetectSection
    from edge_sorter.detect import open_detector
    from edge_sorter.types import Frame

    model = tmp_path / "m.onnx"
    network(model)
    facts: dict[str, Any] = {"classes": ["carton", "polybag", "mailer"], "training": {}, "confidence": 0.5}
    manifest.write(model, precision="float32", width_px=SIZE_PX[0], height_px=SIZE_PX[1], **facts)
    rng = np.random.default_rng(1)
    folder = tmp_path / "set/images"
    folder.mkdir(parents=True)
    for number in range(PICTURES):
        picture = cv2.resize(rng.integers(0, 256, (4, 6, 3), dtype=np.uint8), SIZE_PX, interpolation=cv2.INTER_NEAREST)
        cv2.imwrite(str(folder / f"{number:03}.png"), picture)
    names = [f"{path}\n" for path in sorted(folder.iterdir())]
    (tmp_path / "set/train.txt").write_text("".join(names))
    (tmp_path / "set/data.yaml").write_text(
        "path: .\ntrain: train.txt\nval: train.txt\nnames: [carton, polybag, mailer]\n"
    )
    for part in ("images", "labels"):
        (tmp_path / "labelled" / part).mkdir(parents=True)
    with open_detector(DetectSection(model=model, engine="onnxruntime", threads=1)) as detector:
        for name in names[:LABELLED]:
            path = Path(name.strip())
            found = detector.detect(Frame(0, 0, np.asarray(cv2.imread(str(path)), np.uint8)))
            low, high = found.xyxy[:, :2] / SIZE_PX, found.xyxy[:, 2:] / SIZE_PX
            rows = np.column_stack((found.class_id, (low + high) / 2, high - low))[found.confidence >= 0.5]
            text = "".join(f"{int(kind)} {' '.join(f'{value:.6f}' for value in box)}\n" for kind, *box in rows)
            (tmp_path / f"labelled/labels/{path.stem}.txt").write_text(text)
            (tmp_path / f"labelled/images/{path.name}").write_bytes(path.read_bytes())
    return tmp_path


def test_ways_to_choose_ranges_are_compared_in_errors_and_in_map(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["quantize", "--model", "m.onnx", "--data", "set/data.yaml", "--images", "300", "--probe", "8"]
    arguments += ["--compare-ranges", "--labelled", "labelled", "--report", "report"]
    paths = {"m.onnx", "set/data.yaml", "labelled", "report"}
    app([str(place / word) if word in paths else word for word in arguments], standalone_mode=False)
    content = json.loads((place / "report/quantize.json").read_text())
    assert set(content["ranges"]) == set(METHODS)
    assert set(content["map50_95"]) == {"float", *METHODS}
    assert content["map50_95"]["float"] > 0.9
    assert all(0.0 < content["map50_95"][method] <= content["map50_95"]["float"] for method in METHODS)
    errors = {method: content["ranges"][method]["score_error"] for method in METHODS}
    assert all(0.0 < error < 0.2 for error in errors.values())
    assert errors["mse"] <= errors["minmax"] * 1.5
    printed = capsys.readouterr().out
    assert "mAP50-95" in printed and all(method in printed for method in METHODS)
    assert not list(place.glob("*int8*")), "comparing writes no model"
