"""The GPU and what was compiled for it: is one here, is it used, must the next start build its network anew."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from edge_sorter.detect.engines import cache_folder
from edge_sorter.service.doctor.finding import Finding, ok, warn
from edge_sorter.service.doctor.programs import answer_of


def gpu(root: Path = Path("/")) -> Iterator[Finding]:
    """Yield what there is to say about GPU and the cache of compiled networks."""
    name = _jetson(root) or _nvidia()
    if name is None:
        yield ok("GPU", "none that NVIDIA's driver shows; the processor looks at the pictures")
    elif find_spec("tensorrt") is None:
        advice = "install.sh --tensorrt; on a Jetson apt-get install python3-libnvinfer"
        yield warn("GPU", f"{name}, but TensorRT is not installed here, so it idles", advice)
    else:
        yield ok("GPU", name)
    yield engine_cache(needed=name is not None)


def engine_cache(*, needed: bool) -> Finding:
    """Look at the folder in which compiled networks are kept."""
    part, folder = "engine cache", cache_folder()
    if folder is None:
        advice = "set XDG_CACHE_HOME to a folder that this account may write to"
        minutes = ", which takes minutes on a GPU" if needed else ""
        return warn(part, f"none can be written, so every start compiles and proves the model anew{minutes}", advice)
    plans = [path for path in folder.rglob("*") if path.is_file()]
    size_mb = sum(path.stat().st_size for path in plans) / 1e6
    fact = f"{folder}, {len(plans)} files, {size_mb:.0f} MB"
    return ok(part, fact if plans or not needed else f"{fact}; the first start builds the network, which takes minutes")


def _jetson(root: Path) -> str | None:
    if not (root / "etc/nv_tegra_release").exists():
        return None
    model = root / "proc/device-tree/model"
    return model.read_text(errors="replace").strip("\0\n ") if model.exists() else "Jetson"


def _nvidia() -> str | None:
    said = answer_of("nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader")
    lines = [] if said is None else said.strip().splitlines()
    return "; ".join(lines) or None
