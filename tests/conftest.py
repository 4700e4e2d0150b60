"""Fixtures every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def footage() -> Path:
    """Real clips and labelled images, where this machine has them."""
    folder = Path(os.environ.get("EDGE_SORTER_FOOTAGE", ROOT.parent / "shared" / "footage"))
    if not (folder / "clips").is_dir():
        pytest.skip(f"real footage is not here ({folder}); set EDGE_SORTER_FOOTAGE to a folder that has it")
    return folder
