"""The demo line as a configuration of one's own in another folder: absolute paths, and whatever a test changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
