"""Who may import whom: the rooms stay apart, and the runtime stays free of training packages."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "ultralytics", "tensorrt", "bpy", "onnx", "scipy", "pandas", "matplotlib")

ALLOWED = {
    "types": set(),
    "events": {"types"},
    "stop": set(),
    "errors": set(),
    "clock": set(),
    "atomic": {"errors"},
    "state_folder": set(),
    "yamlfile": {"errors"},
    "config": {"errors", "yamlfile"},
    "belt": {"types", "events", "errors", "config", "yamlfile"},
    "video": {"types", "errors", "config", "clock"},
    "detect": {"types", "errors", "config", "clock", "atomic"},
    "track": {"types", "errors", "config", "belt"},
    "identify": {"types", "events", "errors", "config", "belt"},
    "sort": {"types", "events", "errors", "config", "belt", "yamlfile"},
    "plc": {"types", "stop", "events", "errors", "config", "clock", "atomic", "yamlfile", "state_folder", "__init__"},
    "event_record": {"events"},
    "condition": {"plc"},
    "line_input": {"events", "clock"},
    "journal": {"types", "events", "errors", "event_record"},
    "pipeline": {
        "types",
        "events",
        "errors",
        "config",
        "clock",
        "belt",
        "video",
        "detect",
        "track",
        "identify",
        "sort",
        "plc",
        "journal",
        "condition",
        "line_input",
    },
    "service": {
        "types",
        "events",
        "errors",
        "config",
        "clock",
        "atomic",
        "yamlfile",
        "state_folder",
        "belt",
        "video",
        "detect",
        "track",
        "identify",
        "sort",
        "plc",
        "journal",
        "pipeline",
        "check",
        "__init__",
    },
}
NO_CLOCK = ("belt", "track", "identify", "sort")


def modules_of(root: Path, room: str) -> list[Path]:
    base = root / "edge_sorter" / room
    return sorted(base.rglob("*.py")) if base.is_dir() else [base.with_suffix(".py")]


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {
                f"{node.module}.{alias.name}" if node.module == "edge_sorter" else node.module for alias in node.names
            }
    return names


@pytest.mark.parametrize("room", ALLOWED)
def test_rooms_import_only_what_they_may(root: Path, room: str) -> None:
    for path in modules_of(root, room):
        ours = {n.split(".")[1] for n in imported(path) if n.startswith("edge_sorter.")} - {room}
        assert ours <= ALLOWED[room], f"{path.relative_to(root)} imports {sorted(ours - ALLOWED[room])}"


@pytest.mark.parametrize("room", NO_CLOCK)
def test_deciding_rooms_never_read_a_clock(root: Path, room: str) -> None:
    for path in modules_of(root, room):
        assert not imported(path) & {"time", "datetime", "edge_sorter.clock"}, path


def test_only_lifecycle_and_the_renderer_import_heavy_packages(root: Path) -> None:
    free = ("lifecycle", "sim")
    for path in sorted((root / "edge_sorter").rglob("*.py")):
        relative = path.relative_to(root / "edge_sorter")
        if relative.parts[0] in free or relative.as_posix() == "detect/engines/tensorrt.py":
            continue
        heavy = {name.split(".")[0] for name in imported(path)} & set(HEAVY)
        assert not heavy, f"{relative} imports {sorted(heavy)}"


def test_loading_the_pipeline_loads_nothing_heavy() -> None:
    code = f"import sys, edge_sorter.pipeline, edge_sorter.cli; print(*(m for m in {HEAVY!r} if m in sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert loaded == []
