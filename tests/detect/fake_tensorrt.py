"""A stand-in for the `tensorrt` module and for CUDA memory, just true enough to walk the engine's code without a GPU.

The built "network" writes the sum of its input into every output.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

MEMORY: dict[int, np.ndarray] = {}
SHAPES = {"images": (1, 3, 96, 128), "boxes": (1, 4, 252), "scores": (1, 3, 252)}


class FakeCuda:
    """Device memory is a dictionary; copies happen at once."""

    gpu_name = "Fake GPU"
    stream = 1
    closed = 0

    def use(self) -> None: ...

    def synchronize(self) -> None: ...

    def pinned(self, shape: tuple[int, ...]) -> np.ndarray:
        return np.zeros(shape, np.float32)

    def allocate(self, size_bytes: int) -> int:
        address = 4096 * (len(MEMORY) + 1)
        MEMORY[address] = np.zeros(size_bytes // 4, np.float32)
        return address

    def to_device(self, address: int, array: np.ndarray) -> None:
        MEMORY[address][:] = array.ravel()

    def to_host(self, array: np.ndarray, address: int) -> None:
        array[:] = MEMORY[address].reshape(array.shape)

    def close(self) -> None:
        FakeCuda.closed += 1


class Context:
    def __init__(self) -> None:
        self.addresses: dict[str, int] = {}

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> None:
        assert tuple(shape) == SHAPES[name]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return SHAPES[name]

    def set_tensor_address(self, name: str, address: int) -> None:
        self.addresses[name] = address

    def execute_async_v3(self, stream: int) -> bool:
        total = MEMORY[self.addresses["images"]].sum()
        MEMORY[self.addresses["boxes"]][:] = total
        MEMORY[self.addresses["scores"]][:] = total
        return True


class FakeTensorRt:
    """One TensorRT version; `log` lists what was built and how."""

    WARNING = 1

    def __init__(self, version: str) -> None:
        self.__version__ = version
        self.log: list[str] = []
        old = int(version.split(".")[0]) < 10
        names = ["EXPLICIT_BATCH"] if old else ["STRONGLY_TYPED"]
        self.NetworkDefinitionCreationFlag = SimpleNamespace(**{name: index for index, name in enumerate(names)})
        self.BuilderFlag = SimpleNamespace(FP16="FP16", INT8="INT8") if old else SimpleNamespace()
        self.MemoryPoolType = SimpleNamespace(WORKSPACE="WORKSPACE")
        self.DataType = SimpleNamespace(FLOAT="FLOAT")
        self.TensorIOMode = SimpleNamespace(OUTPUT="OUTPUT")
        self.Logger: Any = lambda level: SimpleNamespace()
        self.Logger.WARNING = 1
        names = list(SHAPES)
        self._engine = SimpleNamespace(
            num_io_tensors=len(names),
            get_tensor_name=names.__getitem__,
            get_tensor_dtype=lambda name: "FLOAT",
            get_tensor_mode=lambda name: "INPUT" if name == "images" else "OUTPUT",
            create_execution_context=Context,
        )

    def Runtime(self, log: Any) -> Any:
        return SimpleNamespace(deserialize_cuda_engine=lambda plan: self._engine if plan == b"plan" else None)

    def Builder(self, log: Any) -> Any:
        config = SimpleNamespace(
            set_memory_pool_limit=lambda pool, size: None,
            set_flag=self.log.append,
            add_optimization_profile=lambda profile: self.log.append("profile"),
            create_timing_cache=lambda known: known,
            set_timing_cache=lambda cache, ignore: self.log.append(f"timing {len(cache)}"),
            get_timing_cache=lambda: SimpleNamespace(serialize=lambda: b"timing"),
        )
        network = SimpleNamespace(get_input=lambda index: SimpleNamespace(shape=(1, 3, -1, -1)))

        def build(network: Any, config: Any) -> bytes:
            self.log.append("build")
            return b"plan"

        return SimpleNamespace(
            create_network=lambda flags: network,
            create_builder_config=lambda: config,
            create_optimization_profile=lambda: SimpleNamespace(set_shape=lambda *shapes: None),
            build_serialized_network=build,
            platform_has_fast_fp16=True,
        )

    def OnnxParser(self, network: Any, log: Any) -> Any:
        return SimpleNamespace(
            parse=lambda content: content != b"broken", num_errors=1, get_error=lambda index: "no such operator"
        )
