"""The one narrow seam to inference libraries: `infer(tensor) -> tensors`.

Contract: `open_engine` returns the engine asked for, for one model at one input size; an engine says in `layout` which
tensor it wants, and nothing outside its own file knows its library.

=============  =============  ==================================================================
engine         layout         note
=============  =============  ==================================================================
openvino       u8_nhwc_bgr    colour, scale and layout conversion run inside the compiled graph
onnxruntime    f32_nchw_rgb   reference engine, also what other engines are compared with
tensorrt       f32_nchw_rgb   builds for this GPU at the first start, cached afterwards
=============  =============  ==================================================================
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_sorter.errors import EngineError

logger = logging.getLogger(__name__)

EngineKind = Literal["tensorrt", "openvino", "onnxruntime"]
Layout = Literal["u8_nhwc_bgr", "f32_nchw_rgb"]
Tensor = NDArray[Any]


class EngineNotHereError(EngineError):
    """This machine lacks the library or device, which is no fault when another engine may do the work."""


@dataclass(frozen=True)
class EngineSpec:
    """One model at one input size, as every engine needs it.

    Attributes:
        model: ONNX file.
        sha256: Its hash, for caches of compiled networks.
        input_name: Name of the input tensor, float32 (1, 3, h, w) RGB in the file.
        input_size_px: Width and height to run at.
        scale: Factor the network wants on pixel values 0..255.
        output_names: Outputs to return.
        int8: Whether the file holds Q/DQ nodes.
        threads: CPU threads; 0 lets the engine choose.
        exact: Whether float operators must run in float32 where the engine would choose fewer bits.
    """

    model: Path
    sha256: str
    input_name: str
    input_size_px: tuple[int, int]
    scale: float
    output_names: tuple[str, ...]
    int8: bool = False
    threads: int = 0
    exact: bool = False

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Input shape (1, 3, h, w)."""
        return (1, 3, self.input_size_px[1], self.input_size_px[0])


class Engine(Protocol):
    """A network that is ready to run at one fixed input size."""

    @property
    def name(self) -> str:
        """Library and version, for humans."""

    @property
    def device(self) -> str:
        """What it runs on, for humans."""

    @property
    def precision(self) -> str:
        """Arithmetic it uses, for humans."""

    @property
    def layout(self) -> Layout:
        """Which tensor `infer` wants."""

    def infer(self, tensor: Tensor) -> dict[str, Tensor]:
        """Run the network.

        Args:
            tensor: One picture in `layout`, C-contiguous and writable, though it is only read.

        Returns:
            Output name to array; the arrays are the engine's own and are overwritten by the next call.

        Raises:
            EngineError: The library failed.
        """

    def close(self) -> None:
        """Give memory and devices back."""


class FixedEngine:
    """An engine that returns what it was given, for tests and for dry runs without a model."""

    def __init__(self, outputs: Mapping[str, Tensor], *, layout: Layout = "f32_nchw_rgb") -> None:
        self.outputs = dict(outputs)
        self.name, self.device, self.precision = "fixed", "none", "float32"
        self.layout: Layout = layout
        self.inputs: list[Tensor] = []
        self.closed = False

    def infer(self, tensor: Tensor) -> dict[str, Tensor]:
        """Remember a copy of the input and return the fixed outputs."""
        self.inputs.append(np.array(tensor))
        return dict(self.outputs)

    def close(self) -> None:
        """Only note that it happened."""
        self.closed = True


def open_engine(kind: EngineKind, spec: EngineSpec) -> Engine:
    """Open an engine by name.

    Raises:
        EngineNotHereError: This machine lacks its library or device.
        EngineError: It should work here but does not.
    """
    openers: dict[EngineKind, Callable[[EngineSpec], Engine]] = {
        "tensorrt": _tensorrt,
        "openvino": _openvino,
        "onnxruntime": _onnxruntime,
    }
    return openers[kind](spec)


SERVICE_CACHE = Path("/var/cache/edge-sorter")
"""CacheDirectory of the systemd unit."""


def cache_folder() -> Path | None:
    """Return the folder for compiled networks (in `XDG_CACHE_HOME`), or None where nothing can be written.

    The service's account finds the service's folder without being told, so that a command that is run by hand as that
    account (doctor, accept) looks at what the line will use. Nobody else does: what lies there is loaded as code.
    """
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        if not base and SERVICE_CACHE.is_dir() and SERVICE_CACHE.stat().st_uid == os.geteuid():
            return SERVICE_CACHE
        folder = (Path(base) if base else Path.home() / ".cache") / "edge-sorter"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:  # RuntimeError: no home folder, as in some service accounts
        logger.info("no cache for compiled networks: %s", error)
        return None
    return folder if os.access(folder, os.W_OK | os.X_OK) else None


def _tensorrt(spec: EngineSpec) -> Engine:
    from edge_sorter.detect.engines.tensorrt import TensorRtEngine

    return TensorRtEngine(spec)


def _openvino(spec: EngineSpec) -> Engine:
    from edge_sorter.detect.engines.openvino import OpenVinoEngine

    return OpenVinoEngine(spec)


def _onnxruntime(spec: EngineSpec) -> Engine:
    from edge_sorter.detect.engines.onnxruntime import OnnxRuntimeEngine

    return OnnxRuntimeEngine(spec)
