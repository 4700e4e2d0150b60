"""The few CUDA calls that TensorRT leaves to its user: memory, copies, one stream.

Contract: `Cuda` owns everything it allocates on the first GPU and frees it in `close`.

It speaks to the driver library through ctypes. Its file name and these functions have been stable for all CUDA versions
from 10 to 13 and are the same on a Jetson, so that neither cuda-python nor a matching libcudart must be installed.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from edge_sorter.detect.engines import EngineNotHereError, Tensor
from edge_sorter.errors import EngineError

DRIVER = "libcuda.so.1"


class Cuda:
    """The primary context of the first GPU, one stream, and the buffers made with it."""

    def __init__(self) -> None:
        try:
            self._driver: Any = ctypes.CDLL(DRIVER)
        except OSError as error:
            raise EngineNotHereError(f"no NVIDIA driver on this machine ({error})") from None
        count = ctypes.c_int()
        if self._driver.cuInit(0) or self._driver.cuDeviceGetCount(ctypes.byref(count)) or not count.value:
            raise EngineNotHereError("the NVIDIA driver finds no GPU; is it visible in this container?")
        self._device = ctypes.c_int()
        self._call("cuDeviceGet", ctypes.byref(self._device), 0)
        label = ctypes.create_string_buffer(256)
        self._call("cuDeviceGetName", label, len(label), self._device)
        self.gpu_name = label.value.decode(errors="replace")
        self._context = ctypes.c_void_p()
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(self._context), self._device)
        self.use()
        stream = ctypes.c_void_p()
        self._call("cuStreamCreate", ctypes.byref(stream), 0)
        self._stream = stream
        self._on_device: list[ctypes.c_uint64] = []
        self._on_host: list[ctypes.c_void_p] = []

    @property
    def stream(self) -> int:
        """Handle of the stream, as TensorRT takes it."""
        return int(self._stream.value or 0)

    def use(self) -> None:
        """Make this the calling thread's GPU context."""
        self._call("cuCtxSetCurrent", self._context)

    def pinned(self, shape: tuple[int, ...]) -> Tensor:
        """Return a float32 host array that the GPU can copy from and to directly."""
        count = int(np.prod(shape))
        pointer = ctypes.c_void_p()
        self._call("cuMemHostAlloc", ctypes.byref(pointer), ctypes.c_size_t(4 * count), 0)
        self._on_host.append(pointer)
        return np.ctypeslib.as_array(ctypes.cast(pointer, ctypes.POINTER(ctypes.c_float)), (count,)).reshape(shape)

    def allocate(self, size_bytes: int) -> int:
        """Return the address of new GPU memory."""
        pointer = ctypes.c_uint64()
        self._call("cuMemAlloc_v2", ctypes.byref(pointer), ctypes.c_size_t(size_bytes))
        self._on_device.append(pointer)
        return int(pointer.value)

    def to_device(self, address: int, array: Tensor) -> None:
        """Queue a copy of a pinned array to the GPU."""
        where, size = ctypes.c_uint64(address), ctypes.c_size_t(array.nbytes)
        self._call("cuMemcpyHtoDAsync_v2", where, ctypes.c_void_p(array.ctypes.data), size, self._stream)

    def to_host(self, array: Tensor, address: int) -> None:
        """Queue a copy from the GPU to a pinned array."""
        where, size = ctypes.c_uint64(address), ctypes.c_size_t(array.nbytes)
        self._call("cuMemcpyDtoHAsync_v2", ctypes.c_void_p(array.ctypes.data), where, size, self._stream)

    def synchronize(self) -> None:
        """Wait until everything queued is done."""
        self._call("cuStreamSynchronize", self._stream)

    def close(self) -> None:
        """Free all memory; arrays from `pinned` must not be used afterwards."""
        self.use()
        for address in self._on_device:
            self._driver.cuMemFree_v2(address)
        for pointer in self._on_host:
            self._driver.cuMemFreeHost(pointer)
        self._on_device, self._on_host = [], []
        self._driver.cuStreamDestroy_v2(self._stream)
        self._driver.cuDevicePrimaryCtxRelease(self._device)

    def _call(self, function: str, *arguments: Any) -> None:
        code = getattr(self._driver, function)(*arguments)
        if code:
            text = ctypes.c_char_p()
            self._driver.cuGetErrorString(code, ctypes.byref(text))
            raise EngineError(f"CUDA {function} failed with {code}: {(text.value or b'unknown').decode()}")
