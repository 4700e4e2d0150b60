from __future__ import annotations

import pytest

from edge_sorter.config import TimingSection
from edge_sorter.sort.deadline import FASTEST_BELT_MM_S, budget_ms, deadline_ns, overhead_ms

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
