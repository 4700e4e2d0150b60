"""The demo line as a configuration of one's own: absolute paths, whatever a test changes; and as a process."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mosquitto as real
import yaml


def demo_values(root: Path) -> dict[str, Any]:
    """Return the demo's configuration with absolute paths."""
    demo = root / "configs/demo"
    values: dict[str, Any] = yaml.safe_load((demo / "line.yaml").read_text())
    for section, key in (("video", "source"), ("detect", "model"), ("belt", "calibration"), ("sort", "plan")):
        values[section][key] = str((demo / values[section][key]).resolve())
    if "encoder" in values["belt"]:
        values["belt"]["encoder"]["source"] = str(demo / values["belt"]["encoder"]["source"])
    return values


def write(folder: Path, values: dict[str, Any]) -> Path:
    """Write a configuration as `line.yaml`."""
    path = folder / "line.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


@contextmanager
def running(path: Path, *options: str, outsider: real.Outsider) -> Iterator[subprocess.Popen[bytes]]:
    """Run a line as a process, ended by SIGTERM; whoever looks on stays until then."""
    line = subprocess.Popen([sys.executable, "-m", "edge_sorter", "run", "-c", str(path), *options])
    try:
        yield line
        line.send_signal(signal.SIGTERM)
        assert line.wait(60) == 0
    finally:
        if line.poll() is None:
            line.kill()
            line.wait(10)
        outsider.close()
