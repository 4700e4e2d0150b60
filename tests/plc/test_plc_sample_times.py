"""Encoder samples get the time they were taken at, whatever the network and the PLC's clock do."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sorter.plc.sample_times import LONGEST_NS, SampleTimes

MS = 1_000_000
PERIOD = 20 * MS


def delays(seed: int, count: int) -> list[int]:
    """Mostly 1 to 12 ms, now and then a burst that was held up for 120 ms."""
    rng = random.Random(seed)
    found = [rng.randrange(MS, 12 * MS) for _ in range(count)]
    for start in range(137, count - 6, 300):
        for i in range(6):
            found[start + i] += 120 * MS - i * PERIOD
    return found


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("offset_ms", [0, -3_600_000, 12_345])
def test_jitter_is_taken_out_with_a_clock_that_is_wrong_but_even(offset_ms: int, seed: int) -> None:
    times, errors, plain = SampleTimes(), [], []
    for i, delay in enumerate(delays(seed, 1500)):
        taken = i * PERIOD
        found = times.taken_ns(taken + delay, taken + offset_ms * MS + i * 200)  # and it runs 10 ppm fast
        if i > 100:
            errors.append(abs(found - taken) / MS)
            plain.append(delay / MS)
    assert sorted(errors)[-15] < 2.5, "p99, of which 1 ms is the shortest delay, which nobody can know"
    assert sorted(plain)[-15] > 11.0
    assert max(errors) < 5.0 < 100.0 < max(plain)


@pytest.mark.parametrize("step_ms", [-10_000, -200, 200, 10_000])
def test_a_clock_that_is_set_costs_two_seconds_at_most(step_ms: int) -> None:
    times = SampleTimes()
    for i in range(300):
        arrived = i * PERIOD
        found = times.taken_ns(arrived, arrived - 5 * MS + (step_ms * MS if i >= 150 else 0))
        assert arrived - LONGEST_NS <= found <= arrived
        if not 150 <= i < 251:
            assert found == arrived


@pytest.mark.parametrize("resolution_ms", [1000, 100])
def test_stamps_too_coarse_to_say_anything_do_no_harm(resolution_ms: int) -> None:
    times = SampleTimes()
    for i in range(500):
        arrived = i * PERIOD + 3 * MS
        found = times.taken_ns(arrived, i * PERIOD // (resolution_ms * MS) * resolution_ms * MS)
        assert arrived - LONGEST_NS <= found <= arrived


def test_without_stamps_the_arrival_stands() -> None:
    times = SampleTimes()
    assert [times.taken_ns(at, None) for at in (5, 9, 12)] == [5, 9, 12]


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(0, 10**8), st.none() | st.integers(-(2**62), 2**62)), max_size=50))
def test_times_rise_whatever_comes(steps: list[tuple[int, int | None]]) -> None:
    times, arrived, last = SampleTimes(), 0, -(10**12)
    for gap, sent in steps:
        arrived += gap
        found = times.taken_ns(arrived, sent)
        assert found > last
        last = found
