"""Clocks: the wall clock may be set while the line runs; deadlines do not move, and times are marked BAD."""

from __future__ import annotations

import pytest

from edge_sorter.clock import FileClock, ReplayClock, ShiftedClock, SystemClock, _WallWatch

S = 1_000_000_000
MS = 1_000_000


def test_a_wall_clock_that_keeps_still_is_trusted() -> None:
    watch = _WallWatch(10 * S, 0)
    jitter = (0, MS, -MS, 2 * MS)
    assert all(watch.look(10 * S + jitter[i % 4], i * S) for i in range(1, 1000))
    assert watch.anchor_ns == 10 * S


@pytest.mark.parametrize("step_ns", [25 * MS, -25 * MS, 3600 * S, -(10**18)])
def test_a_step_is_bad_until_it_has_kept_still_for_ten_seconds(step_ns: int) -> None:
    watch = _WallWatch(0, 0)
    told = [watch.look(0 if i < 50 else step_ns, i * S // 10) for i in range(1, 400)]
    assert told.index(False) == 49
    assert told[49:].index(True) == pytest.approx(100, abs=1)
    assert watch.anchor_ns == step_ns
    assert all(told[150:])


def test_a_small_step_is_none() -> None:
    watch = _WallWatch(0, 0)
    assert all(watch.look(0 if i < 50 else 4 * MS, i * S // 10) for i in range(1, 400))


def test_a_clock_that_runs_away_is_bad_while_it_does() -> None:
    watch = _WallWatch(0, 0)
    told = [watch.look(min(max(i - 5, 0), 20) * 8 * MS, i * S) for i in range(1, 60)]  # 8 ms a second for 20 s
    assert told[:5] == [True] * 5
    assert not any(told[5:25])
    assert told[-1]
    assert watch.anchor_ns == 160 * MS


def test_creeping_is_found_by_what_it_adds_up_to() -> None:
    watch = _WallWatch(0, 0)
    told = [watch.look(i * MS, i * S) for i in range(1, 30)]  # 1 ms a second is below the limit of running away
    assert told.index(False) == 20


def test_the_real_clock_is_trusted_and_its_times_stay() -> None:
    clock = SystemClock()
    at_ns = clock.now_ns()
    before = clock.wall(at_ns)
    assert clock.trusted()
    assert clock.wall(at_ns) == before


def test_recorded_time_is_what_it_is() -> None:
    assert ReplayClock().trusted()
    assert FileClock().trusted()
    assert ShiftedClock(ReplayClock(), 5).trusted()
