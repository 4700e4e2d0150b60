"""ONNX Runtime: the reference engine, which runs wherever Python does.

Contract: wants float32 NCHW RGB; runs on CUDA where the installed build offers it, else on the CPU; outputs are written
into buffers allocated once.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_sorter.detect.engines import EngineNotHereError, EngineSpec, Layout, Tensor
from edge_sorter.errors import EngineError

ERRORS_ONLY = 3


class OnnxRuntimeEngine:
    """One inference session."""

    layout: Layout = "f32_nchw_rgb"

    def __init__(self, spec: EngineSpec) -> None:
        try:
            import onnxruntime as ort
        except (ImportError, OSError) as error:
            raise EngineNotHereError(f"ONNX Runtime cannot be loaded ({error}); pip install onnxruntime") from None
        options = ort.SessionOptions()
        options.intra_op_num_threads = spec.threads
        options.log_severity_level = ERRORS_ONLY
        wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
        providers = [name for name in wanted if name in ort.get_available_providers()]
        self._input = spec.input_name
        self._shape = spec.shape
        try:
            self._session: Any = ort.InferenceSession(str(spec.model), options, providers=providers)
            _check_names(self._session, spec)
            self._binding: Any = self._session.io_binding()
            self._outputs = self._bind_outputs(spec)
        except EngineError:
            raise
        except Exception as error:  # ONNX Runtime's exceptions share no base class
            raise EngineError(f"ONNX Runtime cannot run {spec.model}: {error}") from None
        self.name = f"ONNX Runtime {ort.__version__}"
        self.device = self._session.get_providers()[0].removesuffix("ExecutionProvider")
        self.precision = "int8+float32" if spec.int8 else "float32"

    def _bind_outputs(self, spec: EngineSpec) -> dict[str, Tensor]:
        # Shapes of a model with a free input size are only known by running it.
        results = self._session.run(list(spec.output_names), {self._input: np.zeros(spec.shape, np.float32)})
        outputs = {name: np.array(value) for name, value in zip(spec.output_names, results, strict=True)}
        for name, buffer in outputs.items():
            self._binding.bind_output(name, "cpu", 0, buffer.dtype, buffer.shape, buffer.ctypes.data)
        return outputs

    def infer(self, tensor: Tensor) -> dict[str, Tensor]:
        """Run the network on float32 (1, 3, h, w) RGB."""
        if tensor.shape != self._shape or tensor.dtype != np.float32 or not tensor.flags.c_contiguous:
            raise EngineError(f"the network wants float32 {self._shape}, got {tensor.dtype} {tensor.shape}")
        try:
            self._binding.bind_input(self._input, "cpu", 0, np.float32, self._shape, tensor.ctypes.data)
            self._session.run_with_iobinding(self._binding)
        except Exception as error:
            raise EngineError(f"ONNX Runtime failed: {error}") from error
        return dict(self._outputs)

    def close(self) -> None:
        """Free the network."""
        self._session = self._binding = None


def _check_names(session: Any, spec: EngineSpec) -> None:
    inputs = [item.name for item in session.get_inputs()]
    if inputs != [spec.input_name]:
        raise EngineError(f"the model's input is {inputs}, not {spec.input_name!r}")
    outputs = [item.name for item in session.get_outputs()]
    missing = [name for name in spec.output_names if name not in outputs]
    if missing:
        raise EngineError(f"the model has no output {missing}, only {outputs}; export model and manifest again")
