"""OpenVINO on the CPU: the fastest engine on machines without an NVIDIA GPU.

Contract: wants the picture as the camera has it (uint8 NHWC BGR); conversion to the network's input runs inside the
compiled graph. One request, bound to buffers allocated once, so that a call costs microseconds besides the network.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from edge_sorter.detect.engines import EngineNotHereError, EngineSpec, Layout, Tensor, cache_folder
from edge_sorter.detect.engines.openvino_shift import shift_to_unsigned
from edge_sorter.errors import EngineError

logger = logging.getLogger(__name__)


class OpenVinoEngine:
    """One compiled network on the CPU."""

    layout: Layout = "u8_nhwc_bgr"

    def __init__(self, spec: EngineSpec) -> None:
        try:
            import openvino as ov
        except (ImportError, OSError) as error:
            raise EngineNotHereError(f"OpenVINO cannot be loaded ({error}); pip install openvino") from None
        self._tensor_type: Any = ov.Tensor
        try:
            compiled = _compile(ov, spec)
            self._request: Any = compiled.create_infer_request()
            self._outputs = self._bind_outputs(compiled, spec.output_names)
        except EngineError:
            raise
        except Exception as error:  # OpenVINO raises bare RuntimeError and others for everything
            raise EngineError(f"OpenVINO cannot run {spec.model}: {_first_line(error)}") from None
        self._bound: Tensor | None = None
        self.name = f"OpenVINO {ov.__version__.split('-')[0]}"
        self.device = f"CPU, {compiled.get_property('INFERENCE_NUM_THREADS')} threads"
        arithmetic = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        self.precision = f"int8+{arithmetic}" if spec.int8 else arithmetic

    def _bind_outputs(self, compiled: Any, names: tuple[str, ...]) -> dict[str, Tensor]:
        outputs: dict[str, Tensor] = {}
        for port in compiled.outputs:
            for name in port.get_names() & set(names):
                outputs[name] = np.empty(tuple(port.shape), np.float32)
                self._request.set_tensor(port, self._tensor_type(outputs[name], shared_memory=True))
        missing = [name for name in names if name not in outputs]
        if missing:
            found = sorted(name for port in compiled.outputs for name in port.get_names())
            raise EngineError(f"the model has no output {missing}, only {found}; export model and manifest again")
        return outputs

    def infer(self, tensor: Tensor) -> dict[str, Tensor]:
        """Run the network on uint8 (1, h, w, 3) BGR."""
        try:
            if tensor is not self._bound:
                # The request reads this very memory; `_bound` also keeps it alive.
                self._request.set_input_tensor(self._tensor_type(tensor, shared_memory=True))
                self._bound = tensor
            self._request.infer()
        except Exception as error:
            raise EngineError(f"OpenVINO failed: {_first_line(error)}") from error
        return dict(self._outputs)

    def close(self) -> None:
        """Free the network."""
        self._request = self._bound = None


def _compile(ov: Any, spec: EngineSpec) -> Any:
    from openvino.preprocess import ColorFormat, PrePostProcessor

    core = ov.Core()
    model = core.read_model(spec.model)
    if spec.input_name not in model.input().get_names():
        raise EngineError(f"the model's input is {sorted(model.input().get_names())}, not {spec.input_name!r}")
    model.reshape(list(spec.shape))
    if spec.int8:
        shift_to_unsigned(ov, model)
    steps = PrePostProcessor(model)
    steps.input().tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC")).set_color_format(ColorFormat.BGR)
    steps.input().model().set_layout(ov.Layout("NCHW"))
    steps.input().preprocess().convert_element_type(ov.Type.f32).convert_color(ColorFormat.RGB).scale(1.0 / spec.scale)
    model = steps.build()
    config: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": spec.threads}
    if spec.exact:
        config["INFERENCE_PRECISION_HINT"] = "f32"
    folder = cache_folder()
    if folder is not None:
        try:
            return core.compile_model(model, "CPU", {**config, "CACHE_DIR": str(folder)})
        except Exception as error:  # a full disk or a damaged cache must not stop a sorter
            logger.warning("OpenVINO cannot use its cache in %s, compiling without: %s", folder, _first_line(error))
            core = ov.Core()
    return core.compile_model(model, "CPU", config)


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:3])[:300] if lines else type(error).__name__
