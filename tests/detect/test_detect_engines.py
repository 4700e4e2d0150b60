"""Every engine gives the same numbers for the same picture, and says plainly why it cannot."""

from __future__ import annotations

import builtins
import logging
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_sorter.config import DetectSection
from edge_sorter.detect import engines, open_detector
from edge_sorter.detect.engines import EngineSpec, FixedEngine, cache_folder, open_engine
from edge_sorter.detect.engines.cuda import Cuda
from edge_sorter.detect.letterbox import Letterbox
from edge_sorter.detect.manifest import sha256_of
from edge_sorter.errors import EngineError


def spec_for(model: Path, **changes: Any) -> EngineSpec:
    values: dict[str, Any] = {
        "model": model,
        "sha256": sha256_of(model),
        "input_name": "images",
        "input_size_px": (128, 96),
        "scale": 1 / 255,
        "output_names": ("boxes", "scores"),
        "threads": 1,
        **changes,
    }
    return EngineSpec(**values)


def without(*modules: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def fake(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.split(".")[0] in modules:
            raise ImportError(f"No module named {name!r}")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", fake)


def infer(kind: Any, spec: EngineSpec, image: np.ndarray) -> dict[str, np.ndarray]:
    engine = open_engine(kind, spec)
    box = Letterbox(
        image_size_px=(image.shape[1], image.shape[0]),
        crop=(0, 0, 1, 1),
        input_size_px=spec.input_size_px,
        layout=engine.layout,
        scale=spec.scale,
    )
    outputs = {name: np.array(value) for name, value in engine.infer(box(image)).items()}
    engine.close()
    return outputs


@pytest.mark.parametrize("size_px", [(128, 96), (192, 64)], ids=["size of the manifest", "another size"])
@pytest.mark.parametrize("picture", [(300, 200), (128, 96), (192, 64)])
def test_openvino_and_onnxruntime_agree(make_model: Any, size_px: tuple[int, int], picture: tuple[int, int]) -> None:
    spec = spec_for(make_model(), input_size_px=size_px)
    image = np.random.default_rng(1).integers(0, 256, (picture[1], picture[0], 3), dtype=np.uint8)
    image[:, : picture[0] // 3] = (250, 20, 90)  # strong colours: swapped channels would show
    expected = infer("onnxruntime", spec, image)
    actual = infer("openvino", spec, image)
    assert expected["boxes"].std() > 0.3
    assert set(actual) == set(expected) == {"boxes", "scores"}
    for name, value in expected.items():
        # OpenVINO computes in bfloat16 (8 bits of mantissa) where the CPU can.
        np.testing.assert_allclose(actual[name], value, rtol=0.03, atol=0.03)


@pytest.mark.parametrize("kind", ["openvino", "onnxruntime"])
def test_an_engine_follows_its_input_and_reuses_its_outputs(make_model: Any, kind: Any) -> None:
    engine = open_engine(kind, spec_for(make_model()))
    shape = (1, 96, 128, 3) if engine.layout == "u8_nhwc_bgr" else (1, 3, 96, 128)
    kind_of = np.uint8 if engine.layout == "u8_nhwc_bgr" else np.float32
    low, high = np.zeros(shape, kind_of), np.ones(shape, kind_of)
    first = engine.infer(low)["boxes"]
    kept = first.copy()
    assert np.shares_memory(first, engine.infer(high)["boxes"])
    assert not np.array_equal(kept, first)
    np.testing.assert_array_equal(engine.infer(low)["boxes"], kept)
    low[:] = 1  # same buffer, new content: what a letterbox does
    assert not np.array_equal(engine.infer(low)["boxes"], kept)
    assert engine.name
    assert engine.device.startswith("CPU")
    engine.close()


@pytest.mark.parametrize("writable", [True, False])
def test_openvino_sees_every_new_picture(make_model: Any, writable: bool) -> None:
    spec = spec_for(make_model())
    engine = open_engine("openvino", spec)
    box = Letterbox(
        image_size_px=(128, 96),
        crop=(0, 0, 1, 1),
        input_size_px=(128, 96),
        layout=engine.layout,
        scale=spec.scale,
    )
    results = []
    for value in (0, 200, 0, 200):
        picture = np.full((96, 128, 3), value, np.uint8)
        picture.setflags(write=writable)
        results.append(engine.infer(box(picture))["scores"].copy())
    engine.close()
    np.testing.assert_array_equal(results[0], results[2])
    np.testing.assert_array_equal(results[1], results[3])
    assert not np.array_equal(results[0], results[1])


@pytest.mark.parametrize("kind", ["openvino", "onnxruntime"])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input_name": "image"}, "the model's input is .*images.*, not 'image'"),
        ({"output_names": ("boxes", "probabilities")}, r"no output \['probabilities'\], only .*boxes.*scores"),
    ],
)
def test_names_that_the_model_lacks(make_model: Any, kind: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(EngineError, match=message):
        open_engine(kind, spec_for(make_model(), **changes))


@pytest.mark.parametrize("kind", ["openvino", "onnxruntime"])
def test_a_file_that_is_no_network(make_model: Any, kind: Any) -> None:
    model = make_model()
    model.write_bytes(b"not a network")
    with pytest.raises(EngineError, match=r"cannot run .*tiny\.onnx") as caught:
        open_engine(kind, spec_for(model))
    assert caught.value.exit_code == 71


@pytest.mark.parametrize("kind", ["openvino", "onnxruntime"])
def test_a_tensor_of_the_wrong_size(make_model: Any, kind: Any) -> None:
    engine = open_engine(kind, spec_for(make_model()))
    u8 = engine.layout == "u8_nhwc_bgr"
    tensor = np.zeros((1, 64, 128, 3), np.uint8) if u8 else np.zeros((1, 3, 64, 128), np.float32)
    with pytest.raises(EngineError):
        engine.infer(tensor)
    engine.close()


def test_auto_prefers_openvino_where_there_is_no_gpu(make_model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    without("tensorrt", monkeypatch=monkeypatch)
    detector = open_detector(DetectSection(model=make_model(), threads=1))
    assert "on OpenVINO" in detector.description
    detector.close()


def test_auto_falls_back_to_onnxruntime(make_model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    without("tensorrt", "openvino", monkeypatch=monkeypatch)
    detector = open_detector(DetectSection(model=make_model(), threads=1))
    assert "on ONNX Runtime" in detector.description
    detector.close()


def test_auto_says_why_nothing_works(make_model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    without("tensorrt", "openvino", "onnxruntime", monkeypatch=monkeypatch)
    with pytest.raises(EngineError) as caught:
        open_detector(DetectSection(model=make_model(), threads=1))
    lines = str(caught.value).splitlines()
    assert "no inference engine works for" in lines[0]
    assert [line.split(":")[0] for line in lines[1:]] == ["  - tensorrt", "  - openvino", "  - onnxruntime"]
    assert "JetPack brings it" in lines[1]
    assert "pip install openvino" in lines[2]
    assert "pip install onnxruntime" in lines[3]


def test_auto_warns_when_an_engine_that_is_here_fails(
    make_model: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    without("tensorrt", monkeypatch=monkeypatch)

    def broken(spec: EngineSpec) -> Any:
        raise EngineError("it broke")

    monkeypatch.setattr(engines, "_openvino", broken)
    with caplog.at_level(logging.WARNING):
        detector = open_detector(DetectSection(model=make_model(), threads=1))
    detector.close()
    assert "on ONNX Runtime" in detector.description
    assert "on openvino is refused: it broke" in caplog.text
    assert "tensorrt" not in caplog.text


def test_a_missing_driver_is_named() -> None:
    try:
        Cuda().close()
    except EngineError as error:
        assert "NVIDIA driver" in str(error)
    else:
        pytest.skip("this machine has a GPU")


def test_the_cache_is_optional(make_model: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model = make_model()
    assert cache_folder() == tmp_path / "cache" / "edge-sorter"
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert cache_folder() is None
    open_engine("openvino", spec_for(model)).close()


def test_a_damaged_cache_does_not_stop_the_start(make_model: Any, tmp_path: Path) -> None:
    spec = spec_for(make_model())
    image = np.random.default_rng(1).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    expected = infer("openvino", spec, image)
    blobs = list((tmp_path / "cache").rglob("*.blob"))
    assert blobs
    for content in (b"", b"garbage" * 100, blobs[0].read_bytes()[:-200], blobs[0].read_bytes()[:100]):
        for blob in blobs:
            blob.unlink(missing_ok=True)
            blob.write_bytes(content)
        actual = infer("openvino", spec, image)
        np.testing.assert_array_equal(actual["boxes"], expected["boxes"])


def test_onnxruntime_runs_from_another_thread(make_model: Any) -> None:
    engine = open_engine("onnxruntime", spec_for(make_model()))
    tensor = np.random.default_rng(0).random((1, 3, 96, 128), dtype=np.float32)
    here = engine.infer(tensor)["boxes"].copy()
    there: list[np.ndarray] = []
    thread = threading.Thread(target=lambda: there.append(engine.infer(tensor)["boxes"].copy()))
    thread.start()
    thread.join()
    engine.close()
    np.testing.assert_array_equal(here, there[0])


def test_fixed_engine_remembers_and_repeats() -> None:
    engine = FixedEngine({"boxes": np.ones(3)})
    tensor = np.zeros((1, 3, 4, 4), np.float32)
    assert engine.infer(tensor)["boxes"].tolist() == [1, 1, 1]
    tensor[:] = 5
    assert engine.inputs[0].max() == 0
    engine.close()
    assert engine.closed
