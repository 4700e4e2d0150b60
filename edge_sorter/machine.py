"""On what a figure was measured: the part of evidence that makes it mean something later.

Contract: `machine` reads, never fails, and names nobody: no host name, no address, no path.
"""

from __future__ import annotations

import contextlib
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from edge_sorter import __version__
from edge_sorter.clock import SystemClock, rfc3339


def machine() -> dict[str, Any]:
    """Say on what the evidence was gathered."""
    versions, clock = {}, SystemClock()
    for name in ("openvino", "onnxruntime", "onnxruntime-gpu", "tensorrt", "numpy"):
        with contextlib.suppress(PackageNotFoundError):
            versions[name] = version(name)
    jetson = Path("/etc/nv_tegra_release")
    return {
        "edge_sorter": __version__,
        "at": rfc3339(clock.wall(clock.now_ns())),
        "machine": f"{platform.machine()}, {platform.system()}",
        "python": platform.python_version(),
        "processor": _processor(),
        "jetson": jetson.read_text(encoding="utf-8", errors="replace").strip() if jetson.is_file() else None,
        "versions": versions,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "unknown"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model"))]
    return f"{names[0] if names else 'unknown'}, {os.cpu_count()} cores"
