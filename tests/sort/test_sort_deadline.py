from __future__ import annotations

import pytest

from edge_sorter.config import TimingSection
from edge_sorter.sort.deadline import (
    FASTEST_BELT_MM_S,
    Deadline,
    budget_ms,
    deadline_by_travel,
    deadline_ns,
    earlier,
    overhead_ms,
)

TIMING = TimingSection()


def test_default_overhead_is_actuator_scan_bridge_and_margin():
    assert overhead_ms(TIMING) == 150 + 20 + 30 + 100


@pytest.mark.parametrize(
    ("distance_m", "speed_m_s", "travel_ms", "left_ms"),
    [(1.0, 2.0, 500, 200), (2.0, 2.0, 1000, 700), (3.0, 2.5, 1200, 900), (10, 2.5, 4000, 3700)],
)
def test_budget_follows_the_table_of_the_trade(distance_m, speed_m_s, travel_ms, left_ms):
    budget = budget_ms(TIMING, distance_mm=distance_m * 1e3, speed_mm_s=speed_m_s * 1e3)
    assert budget == pytest.approx(left_ms)
    assert budget + overhead_ms(TIMING) == pytest.approx(travel_ms)


@pytest.mark.parametrize(
    ("timing", "speed_mm_s", "expected_ms"),
    [
        (TimingSection(travel_s=2.0), None, 2000 - 300),
        (TimingSection(travel_s=2.0), 0.0, 2000 - 300),
        (TimingSection(travel_s=2.0), -500.0, 2000 - 300),
        (TimingSection(travel_s=2.0), 1000.0, 2000 - 300),
        (TimingSection(), None, 2000 / FASTEST_BELT_MM_S * 1e3 - 300),
        (TimingSection(divert_mm=100), 1000.0, 100 - 300),
    ],
    ids=["unknown speed", "standing", "backwards", "known speed wins", "nothing known", "line too close"],
)
def test_budget_without_a_usable_speed(timing, speed_mm_s, expected_ms):
    assert budget_ms(timing, distance_mm=timing.divert_mm, speed_mm_s=speed_mm_s) == pytest.approx(expected_ms)


def test_deadline_counts_from_the_crossing_and_takes_the_lane_distance():
    crossed = 5_000_000_000
    assert deadline_ns(crossed, TIMING, speed_mm_s=2000.0) == crossed + 700_000_000
    assert deadline_ns(crossed, TIMING, divert_mm=3000.0, speed_mm_s=2000.0) == crossed + 1_200_000_000


def test_by_an_encoder_the_deadline_is_a_place():
    """2 m to go at 1 m/s less 300 ms: 1.7 m further, 1.7 s from now if the crossing is now."""
    until = deadline_by_travel(500.0, TIMING, now_ns=7_000, now_mm=500.0, speeds_mm_s=(1000.0, None))
    assert until == Deadline(7_000 + 1_700_000_000, 2200.0)


@pytest.mark.parametrize(
    ("speeds", "until_mm"),
    [
        ((0.0, 1000.0), 2200.0),  # it stands, and will run at its set speed
        ((400.0, 1000.0), 2200.0),  # it slows down: by the time it is there it may run again
        ((1500.0, 1000.0), 2050.0),  # it runs faster than set
        ((None, 1000.0), 2200.0),
        ((-200.0, None), 500.0 + 2000 - FASTEST_BELT_MM_S * 0.3),
        ((), 500.0 + 2000 - FASTEST_BELT_MM_S * 0.3),
    ],
)
def test_the_fastest_speed_that_counts_sets_the_place(speeds, until_mm):
    until = deadline_by_travel(500.0, TIMING, now_ns=0, now_mm=900.0, speeds_mm_s=speeds)
    assert until.travel_mm == pytest.approx(until_mm)
    fastest = max((s for s in speeds if s), default=0.0)
    fastest = fastest if fastest > 0 else FASTEST_BELT_MM_S
    assert until.at_ns == pytest.approx((until_mm - 900.0) / fastest * 1e9)


def test_a_belt_that_stands_makes_nothing_late():
    until = deadline_by_travel(500.0, TIMING, now_ns=0, now_mm=500.0, speeds_mm_s=(1000.0,))
    hour_ns = 3_600_000_000_000
    assert not until.passed(hour_ns, 2200.0)
    assert until.passed(1, 2200.1)
    assert until.passed(hour_ns, None), "where travel is not known any more, time decides"
    assert not Deadline(10).passed(10, 99.0)
    assert Deadline(10).passed(11, None)


def test_the_earlier_deadline_is_told_by_travel_where_both_know_it():
    near, far = Deadline(200, 10.0), Deadline(100, 20.0)
    assert earlier(near, far) == earlier(far, near) == near
    timed = Deadline(150)
    assert earlier(near, timed) == earlier(timed, near) == timed
    assert earlier(far, timed) == earlier(timed, far) == far
