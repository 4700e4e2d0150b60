"""The model files in `weights/` keep what their manifests and the model card promise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_sorter.detect.manifest import load_manifest
from edge_sorter.lifecycle.shipped_data import CLASSES

from .qdq import facts

NAMES = ("parcel-yolo26n", "parcel-yolo26n-int8")
SIZES_PX = [(640, 384), (640, 640), (416, 256)]


@pytest.fixture(scope="module")
def weights(root: Path) -> Path:
    return root / "weights"


@pytest.mark.parametrize("name", NAMES)
def test_manifest_fits_the_file_and_says_where_it_came_from(weights: Path, name: str) -> None:
    manifest = load_manifest(weights / f"{name}.onnx")
    assert manifest.classes == CLASSES
    assert manifest.decode == "yolo26_ltrb"
    assert "AGPL-3.0" in manifest.licence
    assert manifest.training["ultralytics"].startswith("8.4")
    assert "sacks_overhead_cctv" in {source["name"] for source in manifest.training["data"]}
    assert all(source["licence"] for source in manifest.training["data"])
    assert manifest.metrics["sacks_overhead_cctv/valid"]["map50"] >= 0.93


@pytest.mark.parametrize(
    "images", ["sacks_overhead_cctv/valid", "parcels_black_belt", "packages_in_the_wild", "rendered/valid"]
)
def test_int8_loses_at_most_three_tenths_of_a_point(weights: Path, images: str) -> None:
    exact, rounded = (load_manifest(weights / f"{name}.onnx").metrics for name in NAMES)
    assert rounded[images]["images"] == exact[images]["images"]
    assert rounded[images]["map50_95"] >= exact[images]["map50_95"] - 0.003


def test_int8_file_is_small_symmetric_and_per_channel(weights: Path) -> None:
    pytest.importorskip("onnx")
    path = weights / "parcel-yolo26n-int8.onnx"
    found = facts(path)
    assert path.stat().st_size < 4_000_000
    assert found["zero_points"] == {0}
    assert found["weight_types"] == {np.dtype(np.int8)}
    assert found["per_channel"] and found["inputs_quantized"] and found["scales_positive"]
    told = load_manifest(path).training["quantization"]
    assert found["int8_convolutions"] == told["quantized_convolutions"] > 40
    assert found["convolutions"] - found["int8_convolutions"] == told["float_convolutions"]
    assert found["before_activation"] == []


def test_graphs_stay_within_what_tensorrt_8_parses(weights: Path) -> None:
    pytest.importorskip("onnx")
    plain = {"Conv", "Sigmoid", "Mul", "Add", "Concat", "Split", "Reshape", "Transpose", "MatMul", "Softmax", "MaxPool"}
    plain |= {"Resize", "Shape", "Constant", "QuantizeLinear", "DequantizeLinear"}
    plain.add("HardSwish")  # the library of 8.6.0 has an importer for it
    for name in NAMES:
        found = facts(weights / f"{name}.onnx")
        assert found["operators"] <= plain
        assert found["opset"] <= 17


@pytest.mark.parametrize("size_px", SIZES_PX)
@pytest.mark.parametrize("name", NAMES)
def test_engines_agree_at_every_size(weights: Path, name: str, size_px: tuple[int, int]) -> None:
    width, height = size_px
    image = np.random.default_rng(1).random((1, 3, height, width), np.float32)
    reference = onnxruntime_outputs(weights / f"{name}.onnx", image)
    cells = sum(width // stride * (height // stride) for stride in (8, 16, 32))
    assert reference["boxes"].shape == (1, 4, cells)
    assert reference["scores"].shape == (1, len(CLASSES), cells)
    assert reference["scores"].min() >= 0.0 and reference["scores"].max() <= 1.0
    other = openvino_outputs(weights / f"{name}.onnx", image)
    # int8 engines may round a value to the neighbouring level; float ones may not differ.
    scores, boxes = (0.1, 1.0) if name.endswith("int8") else (1e-4, 1e-2)
    assert np.abs(reference["scores"] - other["scores"]).max() < scores
    assert np.abs(reference["boxes"] - other["boxes"]).mean() < boxes


def test_calibration_list_is_names_and_hashes(root: Path) -> None:
    content = json.loads((root / "calibration" / "int8" / "calibration_list.json").read_text())
    assert len(content["images"]) >= 300
    assert all(set(row) == {"name", "sha256"} and not row["name"].startswith("/") for row in content["images"])


def onnxruntime_outputs(path: Path, image: Any) -> dict[str, Any]:
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return dict(zip(("boxes", "scores"), session.run(["boxes", "scores"], {"images": image}), strict=True))


def openvino_outputs(path: Path, image: Any) -> dict[str, Any]:
    openvino = pytest.importorskip("openvino")
    core = openvino.Core()
    model = core.read_model(str(path))
    model.reshape(list(image.shape))
    result = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(image)
    return {name: np.array(result[name]) for name in ("boxes", "scores")}
