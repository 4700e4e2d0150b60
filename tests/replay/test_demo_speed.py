"""The demo on a machine that cannot follow its clip."""

from __future__ import annotations

import pytest

from edge_sorter.config import load_config
from edge_sorter.replay import demo


@pytest.mark.slow
def test_a_slow_machine_is_told_so_before_the_clip_begins(monkeypatch):
    config = load_config(demo.DEMO / "line.yaml")
    monkeypatch.setattr(demo, "ROOM", 1e-6)
    said = demo._too_slow(config)
    assert said is not None
    assert "as fast as it goes" in said
    monkeypatch.setattr(demo, "ROOM", 1e6)
    assert demo._too_slow(config) is None
