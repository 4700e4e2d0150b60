"""The detector as the pipeline uses it: a frame in, boxes in picture pixels out, refusals at the start."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from pydantic import ValidationError

from edge_sorter.config import DetectSection
from edge_sorter.detect import Detector, open_detector
from edge_sorter.detect.engines import FixedEngine
from edge_sorter.detect.manifest import load_manifest
from edge_sorter.errors import ConfigError, EngineError, ModelError
from edge_sorter.types import Frame

SIZE = (128, 96)
N = 16 * 12 + 8 * 6 + 4 * 3


def frame(width: int = 256, height: int = 192, value: int = 0) -> Frame:
    return Frame(3, 7_000, np.full((height, width, 3), value, np.uint8))


def outputs(*found: tuple[tuple[float, float, float, float], float, int]) -> dict[str, np.ndarray]:
    """Network outputs that hold these boxes (xyxy in input pixels), one after the other from the first grid cell on."""
    boxes, scores = np.zeros((1, 4, N), np.float32), np.zeros((1, 3, N), np.float32)
    for row, (box, score, class_id) in enumerate(found):
        cx, cy = (row + 0.5) * 8, 4.0
        boxes[0, :, row] = (cx - box[0]) / 8, (cy - box[1]) / 8, (box[2] - cx) / 8, (box[3] - cy) / 8
        scores[0, class_id, row] = score
    return {"boxes": boxes, "scores": scores}


def detector(model: Path, engine: FixedEngine, **section: Any) -> Detector:
    return Detector(
        DetectSection(model=model, **section), manifest=load_manifest(model), engine=engine, input_size_px=SIZE
    )


def test_boxes_are_in_pixels_of_the_full_picture(make_model: Any) -> None:
    engine = FixedEngine(outputs(((10, 20, 30, 40), 0.9, 1), ((64, 48, 96, 72), 0.2, 0), ((1, 1, 9, 9), 0.05, 0)))
    found = detector(make_model(), engine).detect(frame())
    assert found.captured_ns == 7_000
    np.testing.assert_allclose(found.xyxy, [[20, 40, 60, 80], [128, 96, 192, 144]], atol=1e-3)
    assert found.confidence.tolist() == pytest.approx([0.9, 0.2])
    assert found.class_id.tolist() == [1, 0]


def test_only_classes_that_occur_on_the_line_are_named(make_model: Any) -> None:
    seen = outputs(((10, 20, 30, 40), 0.9, 1), ((64, 48, 96, 72), 0.6, 2))
    seen["scores"][0, 0, :2] = 0.3, 0.2
    model = make_model()
    first, second, third = load_manifest(model).classes
    found = detector(model, FixedEngine(seen), classes=(third, first)).detect(frame())
    assert found.class_id.tolist() == [0, 2]
    assert found.confidence.tolist() == pytest.approx([0.9, 0.6])
    with pytest.raises(ConfigError, match=rf"detect.classes: the model has no class 'tote'; it has {first}, {second}"):
        detector(model, FixedEngine(seen), classes=("tote",))


def test_crop_and_picture_size_may_change_between_frames(make_model: Any) -> None:
    model = make_model()
    engine = FixedEngine(outputs(((0, 0, 128, 96), 0.9, 1)))
    with detector(model, engine, crop=(0.5, 0.25, 1.0, 0.75)) as cropped:
        np.testing.assert_allclose(cropped.detect(frame(256, 192)).xyxy, [[128, 48, 256, 144]])
        np.testing.assert_allclose(cropped.detect(frame(512, 384)).xyxy, [[256, 96, 512, 288]])
        np.testing.assert_allclose(cropped.detect(frame(256, 192)).xyxy, [[128, 48, 256, 144]])
    assert engine.closed


def test_boxes_that_lie_in_the_padding_are_dropped(make_model: Any) -> None:
    engine = FixedEngine(outputs(((10, 0, 20, 10), 0.9, 1), ((10, 40, 20, 60), 0.8, 1)))
    found = detector(make_model(), engine).detect(frame(256, 64))  # fills rows 32 to 64 of the input
    np.testing.assert_allclose(found.xyxy, [[20, 16, 40, 56]])


@pytest.mark.parametrize(
    ("mask", "kept"),
    [
        pytest.param((), [0, 1, 2], id="none"),
        pytest.param(((0, 0), (0.5, 0), (0.5, 1), (0, 1)), [0], id="left half"),
        pytest.param(((0, 1), (0.5, 1), (0.5, 0), (0, 0)), [0], id="the other way round"),
        pytest.param(((0, 0), (1, 0), (0, 1)), [0, 1], id="upper left triangle"),
        pytest.param(((0.5, 0), (1, 0.5), (0.5, 1), (0, 0.5)), [0, 1], id="diamond"),
        pytest.param(((0, 0), (1, 0), (1, 1), (0, 1), (0.9, 0.5)), [1, 2], id="notch from the left"),
    ],
)
def test_the_mask_looks_at_centres(make_model: Any, mask: Any, kept: list[int]) -> None:
    # Centres at (0.16, 0.5), (0.59, 0.3), (0.86, 0.83) of the picture.
    engine = FixedEngine(outputs(((10, 38, 30, 58), 0.9, 0), ((65, 19, 85, 39), 0.8, 1), ((100, 70, 120, 90), 0.7, 2)))
    assert detector(make_model(), engine, mask=mask).detect(frame()).class_id.tolist() == kept


def test_confidences_come_from_the_manifest_unless_configured(make_model: Any) -> None:
    model, engine = make_model(), FixedEngine(outputs())
    assert detector(model, engine).high_confidence == 0.4
    assert detector(model, engine, confidence=0.7).high_confidence == 0.7
    assert detector(model, engine).classes == ("carton", "polybag", "mailer")
    with pytest.raises(ConfigError, match=r"low_confidence 0\.5 is above the confidence 0\.4 \(manifest\)"):
        detector(model, engine, low_confidence=0.5)


def test_the_start_shows_a_grey_picture_to_the_engine(make_model: Any) -> None:
    engine = FixedEngine(outputs())
    detector(make_model(), engine)
    assert engine.inputs[0].shape == (1, 3, 96, 128)
    assert (engine.inputs[0] == np.float32(114) * np.float32(1 / 255)).all()


def test_nan_at_the_start_refuses_and_nan_later_is_an_error(make_model: Any) -> None:
    model, bad, engine = make_model(), outputs(), FixedEngine(outputs())
    bad["scores"][0, 1, 5] = np.nan
    with pytest.raises(EngineError, match=r"tiny\.onnx does not work with its manifest: network scores"):
        detector(model, FixedEngine(bad))
    running = detector(model, engine)
    assert len(running.detect(frame())) == 0
    engine.outputs = bad
    with pytest.raises(EngineError, match="nan"):
        running.detect(frame())


def test_an_output_that_never_comes_is_named(make_model: Any) -> None:
    with pytest.raises(EngineError, match=r"returned \['boxes'\], not 'scores'"):
        detector(make_model(), FixedEngine({"boxes": outputs()["boxes"]}))


@pytest.mark.parametrize("kind", ["auto", "openvino", "onnxruntime"])
def test_a_real_network_from_file_to_boxes(make_model: Any, kind: Any) -> None:
    section = DetectSection(model=make_model(), engine=kind, low_confidence=0.0, threads=1, input_px=(192, 96))
    rng = np.random.default_rng(5)
    image = rng.integers(0, 256, (90, 180, 3), dtype=np.uint8)
    with open_detector(section) as network:
        assert network.input_size_px == (192, 96)
        found = network.detect(Frame(0, 1, image))
        again = network.detect(Frame(1, 2, image))
    assert len(found) > 20
    np.testing.assert_array_equal(found.xyxy, again.xyxy)
    assert (found.xyxy >= 0).all()
    assert (found.xyxy <= [180, 90, 180, 90]).all()
    assert (np.diff(found.confidence) <= 0).all()
    assert network.description.startswith("tiny 1 (192x96, float32) on ")
    assert set(network.stage_ns) == {"preprocess", "infer", "decode"}
    assert all(duration > 0 for duration in network.stage_ns.values())


def test_engines_find_the_same_boxes(make_model: Any) -> None:
    model = make_model()
    image = np.random.default_rng(2).integers(0, 256, (192, 256, 3), dtype=np.uint8)
    results = []
    for kind in ("openvino", "onnxruntime"):
        with open_detector(DetectSection(model=model, engine=kind, low_confidence=0.0, threads=1)) as network:
            results.append(network.detect(Frame(0, 1, image)))
    first, second = results
    assert abs(len(first) - len(second)) <= 0.1 * len(second)
    distance = np.abs(first.xyxy[:, None] - second.xyxy[None]).max(axis=2).min(axis=1)
    assert np.median(distance) < 0.5


@pytest.mark.parametrize(
    ("manifest", "section", "message"),
    [
        (
            {"classes": ["carton", "polybag"]},
            {},
            r"does not work with its manifest: network output scores has shape \(1, 3, 252\)",
        ),
        (
            {"decode": "yolo11", "outputs": {"output": "scores"}},
            {},
            r"output has shape \(1, 3, 252\), the manifest's decoder wants \(1, 7, n\)",
        ),
        ({"outputs": {"boxes": "scores", "scores": "boxes"}}, {}, r"output boxes has shape \(1, 3, 252\)"),
        ({"outputs": {"boxes": "boxes", "scores": "p"}}, {}, r"no output \['p'\]"),
    ],
)
@pytest.mark.parametrize("kind", ["openvino", "onnxruntime"])
def test_a_manifest_that_does_not_fit_is_refused_at_the_start(
    make_model: Any, kind: Any, manifest: dict[str, Any], section: dict[str, Any], message: str
) -> None:
    model = make_model(**manifest)
    with pytest.raises(EngineError, match=message):
        open_detector(DetectSection(model=model, engine=kind, threads=1, **section))


def test_a_static_model_refuses_another_size(make_model: Any) -> None:
    model = make_model(input={**INPUT, "dynamic": False})
    open_detector(DetectSection(model=model, threads=1, input_px=(128, 96))).close()
    with pytest.raises(ModelError, match="runs only at 128x96; remove detect"):
        open_detector(DetectSection(model=model, input_px=(192, 96)))


def test_sizes_that_do_not_fit_the_stride(make_model: Any) -> None:
    model = make_model(input={**INPUT, "stride_px": 64, "height_px": 128})
    with pytest.raises(ModelError, match="must be multiples of 64"):
        open_detector(DetectSection(model=model, input_px=(192, 96)))
    with pytest.raises(ValidationError):
        DetectSection(model=model, input_px=(100, 96))


def test_a_network_that_returns_nan_is_refused_by_the_start(make_model: Any) -> None:
    make_model()
    network = onnx.load(str(make_model()))
    for weight in network.graph.initializer:
        if weight.name == "scores8_w":
            weight.CopyFrom(numpy_helper.from_array(np.full((3, 3, 1, 1), np.nan, np.float32), weight.name))
    model = make_model(network)
    with pytest.raises(EngineError, match="not work with its manifest"):
        open_detector(DetectSection(model=model, engine="onnxruntime", threads=1))


def test_a_changed_model_is_refused_before_any_engine_sees_it(
    make_model: Any, caplog: pytest.LogCaptureFixture
) -> None:
    model = make_model()
    model.write_bytes(model.read_bytes() + b"\0")
    with caplog.at_level(logging.DEBUG), pytest.raises(ModelError, match="was changed after its manifest") as caught:
        open_detector(DetectSection(model=model))
    assert not isinstance(caught.value, EngineError)
    assert "engine" not in caplog.text


INPUT = {
    "name": "images",
    "width_px": 128,
    "height_px": 96,
    "dynamic": True,
    "stride_px": 32,
    "color": "rgb",
    "scale": 1 / 255,
}
