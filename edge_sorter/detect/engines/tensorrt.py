"""TensorRT on NVIDIA GPUs, Jetson included, one code path for the versions 8.6, 10.x and 11.x.

Contract: builds the network for exactly this GPU, TensorRT version, model and input size at the first start (minutes on
a Jetson), keeps the result in the cache folder, and runs it with pinned buffers on one stream.

From 10 on the network is strongly typed: precision is what the ONNX file says, so int8 comes from its Q/DQ nodes. 8.6
knows no strong typing; there float16 is allowed as a flag, and int8 as well when the file has Q/DQ nodes. No
calibrator is used anywhere: TensorRT 11 removed them.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_sorter.clock import stopwatch_ns
from edge_sorter.detect.engines import EngineNotHereError, EngineSpec, Layout, Tensor, cache_folder
from edge_sorter.detect.engines.cuda import Cuda
from edge_sorter.errors import EngineError

logger = logging.getLogger(__name__)

WORKSPACE_BYTES = 1 << 30


@dataclass(frozen=True)
class Built:
    """A network that is ready for one GPU, TensorRT version, model and input size.

    Attributes:
        gpu: Name of the GPU.
        version: Version of TensorRT.
        path: File it is kept in; None where no cache can be written.
        size_bytes: Its size.
        cached: Whether it was there already.
        took_s: Seconds it took to build or to load.
        timing_cache: Whether earlier measurements of this GPU were used to build it.
    """

    gpu: str
    version: str
    path: Path | None
    size_bytes: int
    cached: bool
    took_s: float
    timing_cache: bool


def build(spec: EngineSpec, *, anew: bool = False) -> Built:
    """Make sure that the network of a model is built and kept, without running it.

    Args:
        spec: The model at its input size.
        anew: Build it even if it is there.

    Raises:
        EngineNotHereError: No TensorRT or no GPU on this machine.
        EngineError: TensorRT cannot read or build the model.
    """
    trt = _library()
    cuda = Cuda()
    try:
        log = trt.Logger(trt.Logger.WARNING)
        return _cached_engine(trt, trt.Runtime(log), log, spec, gpu=cuda.gpu_name, anew=anew)[1]
    finally:
        cuda.close()


class TensorRtEngine:
    """One built network on the first GPU."""

    layout: Layout = "f32_nchw_rgb"

    def __init__(self, spec: EngineSpec) -> None:
        trt = _library()
        self._cuda = Cuda()
        self._runtime: Any = None
        self._engine: Any = None
        self._context: Any = None
        self._outputs: dict[str, Tensor] = {}
        self._addresses: dict[str, int] = {}
        try:
            self._load(trt, spec)
        except BaseException:
            self.close()
            raise
        self.name = f"TensorRT {trt.__version__}"
        self.device = self._cuda.gpu_name

    def _load(self, trt: Any, spec: EngineSpec) -> None:
        self._log = trt.Logger(trt.Logger.WARNING)
        self._runtime = trt.Runtime(self._log)
        self._engine, _ = _cached_engine(trt, self._runtime, self._log, spec, gpu=self._cuda.gpu_name)
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise EngineError("TensorRT cannot create an execution context; is GPU memory free?")
        weak = "" if _strongly_typed(trt) else "+float16"
        self.precision = ("int8+float32" if spec.int8 else "float32") + weak
        self._allocate(trt, spec)

    def _allocate(self, trt: Any, spec: EngineSpec) -> None:
        engine, context = self._engine, self._context
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        missing = [name for name in (spec.input_name, *spec.output_names) if name not in names]
        if missing:
            raise EngineError(f"the model has no tensor {missing}, only {names}; export model and manifest again")
        context.set_input_shape(spec.input_name, spec.shape)
        for name in names:
            if engine.get_tensor_dtype(name) != trt.DataType.FLOAT:
                raise EngineError(f"tensor {name!r} is {engine.get_tensor_dtype(name)}; float32 is needed at the edges")
            buffer = self._cuda.pinned(tuple(context.get_tensor_shape(name)))
            self._addresses[name] = self._cuda.allocate(buffer.nbytes)
            context.set_tensor_address(name, self._addresses[name])
            if engine.get_tensor_mode(name) == trt.TensorIOMode.OUTPUT:
                self._outputs[name] = buffer
            else:
                self._input_name, self._input = name, buffer

    def infer(self, tensor: Tensor) -> dict[str, Tensor]:
        """Run the network on float32 (1, 3, h, w) RGB."""
        if tensor.shape != self._input.shape:
            raise EngineError(f"the network wants {self._input.shape}, got {tensor.shape}")
        np.copyto(self._input, tensor)
        self._cuda.use()
        self._cuda.to_device(self._addresses[self._input_name], self._input)
        if not self._context.execute_async_v3(self._cuda.stream):
            raise EngineError("TensorRT refused to run the network; see its messages above")
        for name, buffer in self._outputs.items():
            self._cuda.to_host(buffer, self._addresses[name])
        self._cuda.synchronize()
        return dict(self._outputs)

    def close(self) -> None:
        """Free the network, then the memory it uses."""
        self._context = self._engine = self._runtime = None
        self._outputs = {}
        self._cuda.close()


def _strongly_typed(trt: Any) -> bool:
    return hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED")


def _library() -> Any:
    try:
        import tensorrt
    except (ImportError, OSError) as error:
        raise EngineNotHereError(
            f"TensorRT cannot be loaded ({error}); JetPack brings it, elsewhere: pip install tensorrt"
        ) from None
    return tensorrt


def _cached_engine(
    trt: Any, runtime: Any, log: Any, spec: EngineSpec, *, gpu: str, anew: bool = False
) -> tuple[Any, Built]:
    """Return the network for this GPU, TensorRT, model and input size, from the cache or built now."""
    began_ns, folder = stopwatch_ns(), cache_folder()
    text = "|".join((gpu, trt.__version__, spec.sha256, str(spec.shape), str(spec.int8)))
    stem = f"{spec.model.stem}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    path = None if folder is None else folder / f"{stem}.engine"

    def built(size_bytes: int, *, cached: bool, timing_cache: bool = False) -> Built:
        took_s = (stopwatch_ns() - began_ns) / 1e9
        return Built(gpu, trt.__version__, path, size_bytes, cached, took_s, timing_cache)

    if path is not None and path.is_file() and not anew:
        plan = path.read_bytes()
        engine = runtime.deserialize_cuda_engine(plan)
        if engine is not None:
            return engine, built(len(plan), cached=True)
        logger.warning("cached engine %s cannot be loaded, building it again", path)
    logger.warning("building %s for %s with TensorRT %s; minutes, once", spec.model.name, gpu, trt.__version__)
    tactics = hashlib.sha256(f"{gpu}|{trt.__version__}".encode()).hexdigest()[:16]
    timing = None if folder is None else folder / f"timing-{tactics}.cache"
    timed_before = timing is not None and timing.is_file()
    plan = _build(trt, log, spec, timing=timing)
    if path is not None:
        _write(path, plan)
    engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        raise EngineError(f"TensorRT cannot load the network it just built from {spec.model}")
    return engine, built(len(plan), cached=False, timing_cache=timed_before)


def _build(trt: Any, log: Any, spec: EngineSpec, *, timing: Path | None) -> bytes:
    builder = trt.Builder(log)
    flags = trt.NetworkDefinitionCreationFlag
    strong = _strongly_typed(trt)
    network = builder.create_network(1 << int(flags.STRONGLY_TYPED if strong else flags.EXPLICIT_BATCH))
    parser = trt.OnnxParser(network, log)
    if not parser.parse(spec.model.read_bytes()):
        reasons = "; ".join(str(parser.get_error(index)) for index in range(parser.num_errors))
        raise EngineError(f"TensorRT cannot read {spec.model}: {reasons}")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE_BYTES)
    if not strong:
        if builder.platform_has_fast_fp16:
            config.set_flag(trt.BuilderFlag.FP16)
        if spec.int8:
            config.set_flag(trt.BuilderFlag.INT8)
    if -1 in tuple(network.get_input(0).shape):
        profile = builder.create_optimization_profile()
        profile.set_shape(spec.input_name, spec.shape, spec.shape, spec.shape)
        config.add_optimization_profile(profile)
    known = timing.read_bytes() if timing is not None and timing.is_file() else b""
    config.set_timing_cache(config.create_timing_cache(known), False)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise EngineError(f"TensorRT cannot build {spec.model} for this GPU; see its messages above")
    if timing is not None:
        _write(timing, bytes(config.get_timing_cache().serialize()))
    return bytes(plan)


def _write(path: Path, content: bytes) -> None:
    """Write so that a power cut leaves the old file or the new one; a cache that cannot be written is no error."""
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                Path(name).unlink()
            raise
    except OSError as error:
        logger.warning("cannot keep %s for the next start: %s", path, error)
