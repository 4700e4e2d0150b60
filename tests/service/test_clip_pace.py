"""A machine too slow for a clip is told what to do about it, once."""

from __future__ import annotations

import logging

import pytest

from edge_sorter.clock import ReplayClock
from edge_sorter.service.clip_pace import ClipPace
from edge_sorter.types import Detections, Step


def played(took: float, *, slow: float = 1.0, warm_up_s: float = 0.0) -> None:
    """Five seconds of a clip at 10 frames a second, each of which keeps the loop busy `took` times its own time."""
    clock = ReplayClock()
    pace = ClipPace(clock, slow=slow)
    busy_until_ns = round(warm_up_s * 1e9)
    for index in range(50):
        at_ns = index * 100_000_000
        busy_until_ns = max(busy_until_ns, at_ns) + round(took * 1e8)
        clock.sleep_until(busy_until_ns)
        pace.on_step(Step(index, at_ns, None, Detections.empty(at_ns), (), (), (), ()), (), 0)


@pytest.mark.parametrize(("took", "slow", "proposed"), [(1.9, 1.0, 3), (4.0, 1.0, 7), (1.9, 4.0, 12)])
def test_a_slow_machine_is_told_once_how_slow_to_play(took, slow, proposed, caplog):
    with caplog.at_level(logging.WARNING):
        played(took, slow=slow)
    (told,) = [record.getMessage() for record in caplog.records]
    assert f"run --slow {proposed} (and sim-plc --slow {proposed})" in told
    assert "behind it after 4 s" in told


def test_a_machine_that_catches_up_hears_nothing(caplog):
    played(0.5)
    played(0.9)
    played(0.3, warm_up_s=1.5)
    assert not caplog.records
