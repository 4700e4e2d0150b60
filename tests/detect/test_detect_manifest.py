"""A model is only what its manifest says; every disagreement has its own message."""

from __future__ import annotations

import json
from typing import Any

import pytest

from edge_sorter.detect.manifest import load_manifest, manifest_path, sha256_of
from edge_sorter.errors import ModelError


def test_a_good_pair_loads(make_model: Any) -> None:
    model = make_model()
    manifest = load_manifest(model)
    assert manifest.classes == ("carton", "polybag", "mailer")
    assert (manifest.input.width_px, manifest.input.height_px) == (128, 96)
    assert manifest.outputs.names() == ("boxes", "scores")
    assert manifest.sha256 == sha256_of(model)
    assert manifest_path(model).name == "tiny.json"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": "red"}, "colour: unknown key"),
        ({"schema": "edge_sorter.model/2"}, "schema: "),
        ({"classes": []}, "classes: "),
        ({"classes": ["a", "b", "a"]}, "classes: listed twice: a"),
        ({"classes": ["a", ""]}, "classes.1: "),
        ({"task": "segment"}, "task: "),
        ({"sha256": "abc"}, "sha256: "),
        ({"decode": "yolo99"}, "decode: "),
        ({"confidence": 1.5}, "confidence: "),
        ({"confidence": "0.5"}, "confidence: "),
        ({"decode": "yolo11"}, "decode yolo11 needs outputs ['output'], found ['boxes', 'scores']"),
        ({"outputs": {"output": "o"}}, "decode yolo26_ltrb needs outputs ['boxes', 'scores'], found ['output']"),
        ({"outputs": {"boxes": "b", "scores": "s", "masks": "m"}}, "outputs.masks: unknown key"),
        ({"file": "other.onnx"}, "describes 'other.onnx', not 'tiny.onnx'"),
        ({"sha256": "0" * 64}, "was changed after its manifest"),
    ],
)
def test_a_wrong_manifest_is_refused(make_model: Any, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError) as caught:
        load_manifest(make_model(**change))
    assert message in str(caught.value)
    assert "tiny.json" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width_px": 100}, "input: 100x96 is not a multiple of stride_px 32"),
        ({"scale": 0}, "input.scale: "),
        ({"scale": None}, "input.scale: "),
        ({"color": "bgr"}, "input.color: "),
        ({"dynamic": "yes"}, "input.dynamic: "),
    ],
)
def test_a_wrong_input_is_refused(make_model: Any, change: dict[str, Any], message: str) -> None:
    path = manifest_path(make_model())
    data = json.loads(path.read_text())
    data["input"].update(change)
    path.write_text(json.dumps(data))
    with pytest.raises(ModelError) as caught:
        load_manifest(path.with_suffix(".onnx"))
    assert message in str(caught.value)


def test_all_mistakes_are_listed_at_once(make_model: Any) -> None:
    path = manifest_path(make_model(task="x", confidence=7))
    data = json.loads(path.read_text())
    del data["licence"]
    path.write_text(json.dumps(data))
    with pytest.raises(ModelError) as caught:
        load_manifest(path.with_suffix(".onnx"))
    text = str(caught.value)
    assert "licence: required key is missing" in text
    assert "task: " in text
    assert "confidence: " in text


def test_missing_files(make_model: Any, tmp_path: Any) -> None:
    with pytest.raises(ModelError, match=r"no\.onnx does not exist; check detect\.model"):
        load_manifest(tmp_path / "no.onnx")
    model = make_model()
    with pytest.raises(ModelError, match="is a manifest"):
        load_manifest(manifest_path(model))
    manifest_path(model).write_text("{nope")
    with pytest.raises(ModelError, match="is not valid JSON"):
        load_manifest(model)
    manifest_path(model).unlink()
    with pytest.raises(ModelError, match="has no manifest: expected"):
        load_manifest(model)


def test_a_model_changed_by_one_byte_is_refused(make_model: Any) -> None:
    model = make_model()
    content = bytearray(model.read_bytes())
    content[-1] ^= 1
    model.write_bytes(bytes(content))
    with pytest.raises(ModelError, match="was changed after its manifest") as caught:
        load_manifest(model)
    assert caught.value.exit_code == 70
