"""The belt's motion: exact travel, its inverse, and an encoder that wraps."""

from __future__ import annotations

import numpy as np
import pytest

from edge_sorter.sim.profile import SpeedProfile, encoder_rows, problems

STOP = SpeedProfile(((2.0, 1000.0), (2.5, 0.0), (4.0, 0.0), (4.5, 500.0)))


@pytest.mark.parametrize(
    ("time_s", "speed", "travel"),
    [
        (-1.0, 1000.0, -1000.0),
        (0.0, 1000.0, 0.0),
        (2.0, 1000.0, 2000.0),
        (2.25, 500.0, 2187.5),
        (2.5, 0.0, 2250.0),
        (3.3, 0.0, 2250.0),
        (4.25, 250.0, 2281.25),
        (6.5, 500.0, 3375.0),
    ],
)
def test_speed_and_travel_by_hand(time_s: float, speed: float, travel: float) -> None:
    assert STOP.speed_mm_s(time_s) == pytest.approx(speed)
    assert STOP.travel_mm(time_s) == pytest.approx(travel)


def test_travel_is_the_integral_of_speed() -> None:
    times = np.linspace(-0.5, 7.0, 200_001)
    speeds = np.array([STOP.speed_mm_s(t) for t in times])
    summed = np.concatenate([[0.0], np.cumsum((speeds[1:] + speeds[:-1]) / 2 * np.diff(times))])
    travel = np.array([STOP.travel_mm(t) for t in times])
    assert np.abs(travel - travel[0] - summed).max() < 0.05


def test_time_at_is_the_inverse_of_travel() -> None:
    for travel in np.linspace(-800.0, 5000.0, 997):
        time_s = STOP.time_at_s(float(travel))
        assert time_s is not None
        assert STOP.travel_mm(time_s) == pytest.approx(travel, abs=1e-6)
    assert STOP.time_at_s(2250.0) == pytest.approx(2.5)  # the first time, not while it stands
    assert SpeedProfile.constant(800.0).time_at_s(400.0) == pytest.approx(0.5)


def test_a_belt_that_stops_for_good_never_gets_there() -> None:
    assert SpeedProfile(((1.0, 1000.0), (2.0, 0.0))).time_at_s(1600.0) is None


def test_the_encoder_counts_whole_steps_and_wraps() -> None:
    rows = encoder_rows(STOP, duration_s=7.0, mm_per_count=0.5, first_count=2**32 - 1000, period_ms=10)
    times, counts = np.array(rows).T
    assert (np.diff(times) == 10_000_000).all()
    assert times[0] == 0
    assert times[-1] >= 7_000_000_000
    assert counts.max() < 2**32
    steps = (np.diff(counts) + 2**31) % 2**32 - 2**31
    assert (steps >= 0).all()
    assert (steps[(times[:-1] > 2.5e9) & (times[1:] < 4.0e9)] == 0).all()
    assert steps.sum() * 0.5 == pytest.approx(STOP.travel_mm(times[-1] / 1e9), abs=0.5)
    assert (np.diff(counts) < 0).sum() == 1


@pytest.mark.parametrize(
    ("knots", "says"),
    [
        ((), "at least one"),
        (((1.0, 5.0), (1.0, 6.0)), "time 1 s is not after 1 s"),
        (((0.0, -3.0), (1.0, 6.0)), "speed -3"),
        (((0.0, 0.0),), "never moves"),
    ],
)
def test_bad_knots_are_explained(knots: tuple[tuple[float, float], ...], says: str) -> None:
    assert any(says in problem for problem in problems(knots))
