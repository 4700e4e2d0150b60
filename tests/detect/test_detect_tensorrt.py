"""The TensorRT engine against the TensorRT that is installed: every name it uses must exist there.

There is no GPU where most tests run, so the names are read from the source of the engine and looked up in the module,
and the flow (build once, cache, build again when the cache is damaged) runs against a stand-in.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from fake_tensorrt import FakeCuda, FakeTensorRt

from edge_sorter.detect.engines import EngineSpec, open_engine
from edge_sorter.detect.engines import tensorrt as ours
from edge_sorter.errors import EngineError

SOURCE = Path(importlib.util.find_spec("edge_sorter.detect.engines.tensorrt").origin)  # type: ignore[union-attr,arg-type]

OBJECTS = {
    "builder": "Builder",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "config": "IBuilderConfig",
    "profile": "IOptimizationProfile",
    "runtime": "Runtime",
    "engine": "ICudaEngine",
    "_engine": "ICudaEngine",
    "context": "IExecutionContext",
    "_context": "IExecutionContext",
}
"""Variables of the engine's source, and which TensorRT class they hold."""

ONLY_BEFORE_10 = {
    "NetworkDefinitionCreationFlag.EXPLICIT_BATCH",
    "BuilderFlag.FP16",
    "BuilderFlag.INT8",
    "Builder.platform_has_fast_fp16",
}
ONLY_FROM_10 = {"NetworkDefinitionCreationFlag.STRONGLY_TYPED"}
NOT_IN_LEAN = (
    "Builder",
    "IBuilderConfig",
    "INetworkDefinition",
    "IOptimizationProfile",
    "NetworkDefinitionCreationFlag",
    "OnnxParser",
)
"""What the lean runtime leaves out: it loads networks and builds none."""


def used_names() -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(SOURCE.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Attribute):
            continue
        inner = node.value
        if isinstance(inner, ast.Attribute) and isinstance(inner.value, ast.Name) and inner.value.id == "trt":
            names.add(f"{inner.attr}.{node.attr}")
        elif isinstance(inner, ast.Name) and inner.id == "trt":
            names.add(node.attr)
        elif isinstance(inner, ast.Name) and inner.id == "flags":
            names.add(f"NetworkDefinitionCreationFlag.{node.attr}")
        else:
            holder = inner.id if isinstance(inner, ast.Name) else inner.attr if isinstance(inner, ast.Attribute) else ""
            if holder in OBJECTS:
                names.add(f"{OBJECTS[holder]}.{node.attr}")
    return names


def missing_names(trt: ModuleType, *, lean: bool = False) -> set[str]:
    names = used_names()
    if lean:
        names = {name for name in names if name.split(".")[0] not in NOT_IN_LEAN}
    names -= ONLY_FROM_10 if int(trt.__version__.split(".")[0]) < 10 else ONLY_BEFORE_10
    missing = set()
    for name in names:
        holder = trt
        for part in name.split("."):
            holder = getattr(holder, part, None)
        if holder is None:
            missing.add(name)
    return missing


def test_the_source_is_read_as_intended() -> None:
    names = used_names()
    assert names >= ONLY_BEFORE_10
    assert {
        "Builder",
        "Builder.build_serialized_network",
        "OnnxParser.parse",
        "IBuilderConfig.set_memory_pool_limit",
        "IExecutionContext.execute_async_v3",
        "IExecutionContext.set_tensor_address",
        "ICudaEngine.get_tensor_mode",
        "Runtime.deserialize_cuda_engine",
        "MemoryPoolType.WORKSPACE",
    } <= names


def test_every_name_exists_in_the_installed_tensorrt() -> None:
    trt = pytest.importorskip("tensorrt", reason="TensorRT is not installed here, its names were not checked")
    assert missing_names(trt) == set()


def test_every_name_that_running_needs_exists_in_the_installed_lean_runtime() -> None:
    trt = pytest.importorskip("tensorrt_lean", reason="the lean TensorRT is not installed here")
    assert missing_names(trt, lean=True) == set()
    assert "IExecutionContext.execute_async_v3" in used_names()


@pytest.fixture
def spec(make_model: Any, monkeypatch: pytest.MonkeyPatch) -> EngineSpec:
    monkeypatch.setattr(ours, "Cuda", FakeCuda)
    monkeypatch.setattr(FakeCuda, "closed", 0)
    return EngineSpec(
        model=make_model(),
        sha256="0" * 64,
        input_name="images",
        input_size_px=(128, 96),
        scale=1 / 255,
        output_names=("boxes", "scores"),
        int8=True,
    )


@pytest.mark.parametrize(
    ("version", "built", "precision"),
    [
        ("8.6.0", ["FP16", "INT8", "profile", "timing 0", "build"], "int8+float32+float16"),
        ("10.3.0", ["profile", "timing 0", "build"], "int8+float32"),
        ("11.4.0.106", ["profile", "timing 0", "build"], "int8+float32"),
    ],
)
def test_a_network_is_built_once_and_then_loaded(
    spec: EngineSpec, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: str, built: list[str], precision: str
) -> None:
    trt = FakeTensorRt(version)
    monkeypatch.setitem(sys.modules, "tensorrt", trt)  # type: ignore[arg-type]
    engine = open_engine("tensorrt", spec)
    assert trt.log == built
    assert (engine.name, engine.device, engine.precision) == (f"TensorRT {version}", "Fake GPU", precision)
    outputs = engine.infer(np.full((1, 3, 96, 128), 0.5, np.float32))
    assert {name: value.shape for name, value in outputs.items()} == {"boxes": (1, 4, 252), "scores": (1, 3, 252)}
    assert outputs["boxes"][0, 0, 0] == 0.5 * 3 * 96 * 128
    with pytest.raises(EngineError, match="the network wants"):
        engine.infer(np.zeros((1, 3, 64, 64), np.float32))
    engine.close()
    trt.log.clear()
    open_engine("tensorrt", spec).close()
    assert trt.log == []
    assert FakeCuda.closed == 2

    (cached,) = (tmp_path / "cache").rglob("*.engine")
    cached.write_bytes(b"damaged")
    open_engine("tensorrt", spec).close()
    assert trt.log[-2:] == ["timing 6", "build"]
    assert cached.read_bytes() == b"plan"
    assert len(list(cached.parent.iterdir())) == 2  # no half-written files


def test_a_network_can_be_built_ahead(spec: EngineSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    trt = FakeTensorRt("10.3.0")
    monkeypatch.setitem(sys.modules, "tensorrt", trt)  # type: ignore[arg-type]
    first = ours.build(spec)
    assert (first.gpu, first.version, first.cached, first.timing_cache) == ("Fake GPU", "10.3.0", False, False)
    assert first.path is not None and first.path.stat().st_size == first.size_bytes > 0
    trt.log.clear()
    again = ours.build(spec)
    assert (again.cached, again.path, trt.log) == (True, first.path, [])
    assert FakeCuda.closed == 2
    open_engine("tensorrt", spec).close()  # what was built ahead is what a start loads
    assert trt.log == []
    anew = ours.build(spec, anew=True)
    assert (anew.cached, anew.timing_cache, trt.log[-1]) == (False, True, "build")


def test_every_key_of_the_cache_counts(spec: EngineSpec, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for version, change in (("10.3.0", {}), ("10.7.0", {}), ("10.3.0", {"sha256": "1" * 64}), ("10.3.0", {"int8": 0})):
        monkeypatch.setitem(sys.modules, "tensorrt", FakeTensorRt(version))  # type: ignore[arg-type]
        open_engine("tensorrt", replace(spec, **change)).close()
    monkeypatch.setattr(FakeCuda, "gpu_name", "Other GPU")
    open_engine("tensorrt", spec).close()
    assert len(list((tmp_path / "cache").rglob("*.engine"))) == 5


def test_what_tensorrt_cannot_read_is_an_engine_error(spec: EngineSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", FakeTensorRt("10.3.0"))  # type: ignore[arg-type]
    spec.model.write_bytes(b"broken")
    with pytest.raises(EngineError, match=r"TensorRT cannot read .*tiny\.onnx: no such operator"):
        open_engine("tensorrt", spec)
    assert FakeCuda.closed == 1


def test_a_cache_that_cannot_be_written_is_no_error(
    spec: EngineSpec, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    trt = FakeTensorRt("10.3.0")
    monkeypatch.setitem(sys.modules, "tensorrt", trt)  # type: ignore[arg-type]

    def full(*args: Any, **kwargs: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ours.tempfile, "mkstemp", full)
    open_engine("tensorrt", spec).close()
    assert trt.log[-1] == "build"
    assert "No space left on device" in caplog.text
