"""A model goes live only where it sees what the float model sees; the shipped weights, real engines, no doubles."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_sorter.config import DetectSection
from edge_sorter.detect import open_detector, opening
from edge_sorter.detect.acceptance import FLOAT_LIMITS, INT8_LIMITS, compare, golden_pictures
from edge_sorter.detect.engines import cache_folder
from edge_sorter.detect.manifest import load_manifest, sha256_of
from edge_sorter.errors import EngineError, ModelError
from edge_sorter.types import Detections

onnx = pytest.importorskip("onnx")
FLOAT, INT8 = "parcel-yolo26n", "parcel-yolo26n-int8"
ENGINES = ("openvino", "onnxruntime")


@pytest.fixture
def models(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the shipped pair with its golden pictures, and a cache folder of its own."""
    folder = tmp_path / "weights"
    folder.mkdir()
    for path in (root / "weights").glob("parcel-yolo26n*"):
        shutil.copy(path, folder / path.name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


def section(folder: Path, name: str, **changes: Any) -> DetectSection:
    values: dict[str, Any] = {"model": folder / f"{name}.onnx", "engine": "openvino", "threads": 1, **changes}
    return DetectSection(**values)


def break_scale(folder: Path, *, tensor: str = "/model.5/conv/Conv/weight_scale", factor: float = 2.0) -> None:
    """Make one scale of the int8 file wrong, with a manifest that knows no better."""
    path = folder / f"{INT8}.onnx"
    model = onnx.load(str(path))
    for item in model.graph.initializer:
        if item.name == tensor:
            value = (onnx.numpy_helper.to_array(item) * factor).astype(np.float32)
            item.CopyFrom(onnx.numpy_helper.from_array(value, tensor))
            break
    else:
        raise AssertionError(f"{tensor} is not in {path.name}: choose another scale to break")
    onnx.save(model, str(path))
    amend(folder, INT8, sha256=sha256_of(path))


def amend(folder: Path, name: str, **changes: Any) -> None:
    path = folder / f"{name}.json"
    content = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


@pytest.mark.parametrize(("size_px", "share"), [(None, 1.0), ((416, 256), 1.2)])  # another size: bfloat16 is at 0.51
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("name", "worst"), [(FLOAT, FLOAT_LIMITS.score / 2), (INT8, INT8_LIMITS.score / 2)])
def test_every_engine_here_agrees_with_the_float_model_on_the_shipped_weights(
    models: Path, name: str, worst: float, engine: str, size_px: tuple[int, int] | None, share: float
) -> None:
    if (engine, name) == ("openvino", INT8) and "vnni" not in Path("/proc/cpuinfo").read_text():
        pytest.skip("without VNNI, int8 sums overflow; there the float file runs")
    with open_detector(section(models, name, engine=engine, input_px=size_px)) as detector:
        acceptance = detector.acceptance
    assert detector.manifest.name == name
    assert acceptance is not None and acceptance.parity is not None
    assert acceptance.refused == ()
    assert acceptance.parity.boxes >= 6
    assert acceptance.parity.worst_score < share * worst


@pytest.mark.parametrize("engine", ["auto", "openvino"])
def test_a_wrong_scale_is_refused_and_the_float_model_runs(
    models: Path, engine: str, caplog: pytest.LogCaptureFixture
) -> None:
    break_scale(models)
    with caplog.at_level(logging.WARNING), open_detector(section(models, INT8, engine=engine)) as detector:
        assert detector.manifest.name == FLOAT
    assert detector.acceptance is not None and detector.acceptance.parity is not None
    assert detector.acceptance.parity.passed
    assert any("does not see what the float model sees" in reason for reason in detector.acceptance.refused)
    assert f"{INT8} on openvino is refused" in caplog.text
    assert f"running {FLOAT}" in caplog.text


def test_without_a_fallback_a_wrong_model_does_not_start(models: Path) -> None:
    break_scale(models)
    amend(models, INT8, fallback=None)
    with pytest.raises(EngineError, match="does not see what the float model sees"):
        open_detector(section(models, INT8))


def test_what_openvino_does_to_signed_int8_is_noticed(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the shift, CPUs with VNNI and no AMX are wrong by half; others pass either way."""
    flags = Path("/proc/cpuinfo").read_text()
    if "avx512_vnni" not in flags or "amx_int8" in flags:
        pytest.skip("this CPU computes signed int8 rightly, or not at all")
    monkeypatch.setattr("edge_sorter.detect.engines.openvino.shift_to_unsigned", lambda *_: 0)
    with open_detector(section(models, INT8)) as detector:
        assert detector.manifest.name == FLOAT


def test_a_proof_is_remembered_and_a_failure_is_not(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_detector(section(models, FLOAT)).close()
    looked = []
    monkeypatch.setattr("edge_sorter.detect.acceptance.look", lambda *_: looked.append(1) or [])
    with open_detector(section(models, FLOAT)) as detector:
        assert detector.acceptance is not None and detector.acceptance.parity is not None
        assert detector.acceptance.parity.boxes >= 6
    assert looked == []
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(models / "other"))
    break_scale(models)
    for _ in range(2):
        with open_detector(section(models, INT8)) as detector:
            assert detector.acceptance is not None and len(detector.acceptance.refused) == 1


def test_a_damaged_or_failed_note_is_no_proof(models: Path) -> None:
    open_detector(section(models, FLOAT, engine="onnxruntime")).close()
    folder = cache_folder()
    assert folder is not None
    (note,) = folder.glob("accepted-*.json")
    written = note.read_text()
    for content in ("", "{", "[]", json.dumps({**json.loads(written), "faults": ["made up"]})):
        note.write_text(content)
        open_detector(section(models, FLOAT, engine="onnxruntime")).close()
        assert note.read_text() == written


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes() + b"\0"), "were changed after the manifest"),
        (lambda path: path.unlink(), "are missing; copy them together with the model"),
    ],
)
def test_tampered_golden_pictures_are_named(models: Path, damage: Any, message: str) -> None:
    damage(models / "parcel-yolo26n.golden.png")
    with pytest.raises(ModelError, match=message):
        open_detector(section(models, FLOAT))


def test_golden_pictures_of_another_size_are_named(models: Path) -> None:
    golden = json.loads((models / f"{FLOAT}.json").read_text())["golden"]
    amend(models, FLOAT, golden={**golden, "detections": golden["detections"][:2]})
    with pytest.raises(ModelError, match="are not 2 pictures of 448x288"):
        open_detector(section(models, FLOAT))


def test_a_fallback_of_other_classes_is_refused(models: Path) -> None:
    amend(models, FLOAT, classes=["a", "b", "c", "d", "e"])
    with pytest.raises(ModelError, match="cannot stand in for"):
        open_detector(section(models, INT8))


def test_a_model_without_golden_pictures_still_starts(models: Path) -> None:
    amend(models, FLOAT, golden=None)
    with open_detector(section(models, FLOAT)) as detector:
        assert detector.acceptance == opening.Acceptance(None)


def test_shipped_manifests_belong_together(root: Path) -> None:
    exact, rounded = (load_manifest(root / f"weights/{name}.onnx") for name in (FLOAT, INT8))
    assert exact.golden is not None and exact.golden == rounded.golden
    assert exact.golden.float_sha256 == exact.sha256
    assert rounded.fallback == f"{FLOAT}.onnx"
    assert len(golden_pictures(root / f"weights/{FLOAT}.onnx", exact)) == len(exact.golden.detections)


def boxes(*rows: tuple[float, float, float, float, float, int]) -> list[Detections]:
    table = np.array(rows, np.float32).reshape(-1, 6)
    return [Detections(0, table[:, :4], table[:, 4], table[:, 5].astype(np.int64))]


ONE = (10.0, 10.0, 50.0, 50.0)


@pytest.mark.parametrize(
    ("reference", "found", "fault"),
    [
        (boxes((*ONE, 0.9, 0)), boxes((*ONE, 0.8, 0)), None),
        (boxes((*ONE, 0.9, 0)), boxes((*ONE, 0.6, 0)), "score 0.60 instead of 0.90"),
        (boxes((*ONE, 0.9, 0)), boxes((*ONE, 0.9, 1)), "another class"),
        (boxes((*ONE, 0.4, 0)), boxes((*ONE, 0.4, 1)), None),  # an unsure class may tip over
        (boxes((*ONE, 0.9, 0)), boxes((20, 10, 60, 50, 0.9, 0)), "overlaps its reference by 0.60"),
        (boxes((*ONE, 0.9, 0)), boxes((200, 10, 240, 50, 0.9, 0)), "is missing"),
        (boxes((*ONE, 0.9, 0)), boxes(), "is missing"),
        (boxes(), boxes((*ONE, 0.9, 0)), "nobody else sees"),
        (boxes(), boxes((*ONE, 0.4, 0)), None),  # within the score limit of the threshold
        (boxes((*ONE, 0.2, 0)), boxes(), None),
        (boxes(), boxes(), None),
    ],
)
def test_comparison(reference: list[Detections], found: list[Detections], fault: str | None) -> None:
    parity = compare(reference, found, confidence=0.3, limits=INT8_LIMITS)
    assert parity.passed == (fault is None)
    if fault is not None:
        assert fault in parity.faults[0]
        assert fault in str(parity)
