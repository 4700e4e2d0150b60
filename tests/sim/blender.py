"""The mark of tests that render with Blender, which is an extra."""

from __future__ import annotations

import importlib.util

import pytest

BLENDER = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("bpy", "OpenEXR")),
    reason="Blender (bpy) or OpenEXR is not installed: nothing was rendered",
)
