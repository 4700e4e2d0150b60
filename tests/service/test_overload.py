"""When a machine looks at fewer pictures than its camera sends."""

from __future__ import annotations

import pytest

from edge_sorter.service.overload import OverloadWatch

S = 1_000_000_000


def watched(*shares: float) -> list[bool]:
    """What is said after stretches of two seconds of 50 pictures, of which these shares were replaced unseen."""
    watch, looked, replaced, said = OverloadWatch(), 0, 0, []
    watch.look(0, looked_at=0, replaced=0)
    for number, share in enumerate(shares, start=1):
        replaced += round(50 * share)
        looked += 50 - round(50 * share)
        assert not watch.look((2 * number - 1) * S, looked_at=looked, replaced=replaced), "not half-way"
        assert watch.look(2 * number * S, looked_at=looked, replaced=replaced)
        assert watch.fps == pytest.approx((50 - round(50 * share)) / 2)
        said.append(watch.active)
    return said


def test_a_fifth_is_too_many_and_a_twentieth_few():
    assert watched(0.0, 0.1, 0.2, 0.3, 0.1, 0.06, 0.02, 0.1) == [False, False, False, True, True, True, False, False]


def test_a_camera_that_sends_nothing_is_no_overload():
    watch = OverloadWatch()
    for second in range(10):
        watch.look(second * S, looked_at=7, replaced=9)
    assert (watch.active, watch.fps) == (False, 0.0)
