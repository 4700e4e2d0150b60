"""How far the belt has gone: by set speed, by an encoder, and while that is silent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sorter.belt import (
    EncoderMotion,
    SteadyMotion,
)

S = 1_000_000_000


def test_steady_and_unknown_motion() -> None:
    assert SteadyMotion(1500.0).travel_mm(2 * S) == 3000.0
    assert (SteadyMotion(1500.0).ref(0), SteadyMotion(None).ref(0)) == ("SPEED", "TIME")
    assert SteadyMotion(None).travel_mm(S) is None
    assert SteadyMotion(None).speed_mm_s(S) is None


def encoder(samples: list[tuple[float, int]], **options: float) -> EncoderMotion:
    motion = EncoderMotion(mm_per_count=0.5, **options)
    for at_s, count in samples:
        motion.feed(round(at_s * S), count)
    return motion


@pytest.mark.parametrize(
    ("at_s", "travel", "speed"),
    [
        (0.9, None, None),  # before the first sample
        (1.0, 0.0, 1000.0),
        (1.05, 50.0, 1000.0),  # between samples
        (1.2, 200.0, 1000.0),
        (1.25, 250.0, 1000.0),  # shortly past the newest
        (1.3, 300.0, 1000.0),
        (1.301, None, None),  # the encoder has gone silent
    ],
)
def test_encoder_interpolates_and_then_says_it_does_not_know(
    at_s: float, travel: float | None, speed: float | None
) -> None:
    motion = encoder([(1.0, 500), (1.1, 700), (1.2, 900)])
    assert motion.travel_mm(round(at_s * S)) == (None if travel is None else pytest.approx(travel))
    assert motion.speed_mm_s(round(at_s * S)) == (None if speed is None else pytest.approx(speed))


@pytest.mark.parametrize(
    ("samples", "travel"),
    [
        ([(0, 2**32 - 100), (0.1, 100)], 100.0),  # wraps forwards
        ([(0, 100), (0.1, 2**32 - 100)], -100.0),  # wraps backwards
        ([(0, 1000), (0.1, 1200), (0.2, 1000)], 0.0),  # there and back
        ([(0, 1000), (0.1, 1200), (0.1, 9999), (0.05, 9999)], 100.0),  # late and repeated samples are ignored
        ([(0, 2**31), (0.1, 2**31 + 200), (0.2, 3), (0.3, 203)], 200.0),  # counter reset: travel goes on
    ],
)
def test_encoder_counts(samples: list[tuple[float, int]], travel: float) -> None:
    assert encoder(samples).travel_mm(round(max(at for at, _ in samples) * S)) == pytest.approx(travel)


def test_encoder_knows_nothing_across_a_reset_and_before_the_first_sample() -> None:
    assert EncoderMotion(mm_per_count=1.0).travel_mm(0) is None
    motion = encoder([(0, 2**31), (0.1, 2**31 + 200), (0.2, 3)])
    assert motion.travel_mm(S // 10) is None
    assert motion.speed_mm_s(S // 5) is None


def test_encoder_history_is_bounded() -> None:
    motion = encoder([(i / 50, i * 10) for i in range(10_000)])
    assert len(motion._at_ns) <= 2048
    assert motion.travel_mm(9_999 * S // 50) == pytest.approx(9_999 * 5.0)
    assert motion.travel_mm(0) is None


def test_samples_that_were_held_up_are_no_reset() -> None:
    """Six samples of a 50 Hz feed, stuck for 120 ms, arrive within a fifth of a millisecond."""
    motion = encoder([(0.0, 0), (0.02, 40), (0.16, 80), (0.16, 120), (0.1601, 160), (0.1602, 320)])
    assert motion.resets == 0
    assert motion.travel_mm(round(0.1602 * S)) == pytest.approx(160.0)


def test_while_the_encoder_is_silent_the_set_speed_stands_in_and_travel_never_jumps() -> None:
    motion = encoder([(i / 50, i * 40) for i in range(51)], fallback_mm_s=800.0)
    assert (motion.ref(S), motion.ref(S + S // 10), motion.ref(2 * S)) == ("ENC1", "ENC1", "SPEED")
    assert motion.travel_mm(S + S // 10) == pytest.approx(1100.0)
    assert motion.travel_mm(2 * S) == pytest.approx(1100.0 + 720.0)
    assert motion.speed_mm_s(2 * S) == 800.0
    motion.feed(2 * S, 50 * 40 + 7)  # it was the belt that stood, not only the encoder: nobody can know
    assert motion.travel_mm(2 * S) == pytest.approx(1820.0)
    motion.feed(2 * S + S // 50, 50 * 40 + 47)
    assert motion.travel_mm(2 * S + S // 50) == pytest.approx(1840.0)
    assert motion.ref(2 * S) == "ENC1"


def test_before_the_first_sample_the_set_speed_stands_in() -> None:
    motion = EncoderMotion(mm_per_count=0.5, fallback_mm_s=1000.0)
    assert (motion.travel_mm(S), motion.speed_mm_s(S), motion.ref(S)) == (1000.0, 1000.0, "SPEED")
    motion.feed(2 * S, 77)
    assert (motion.travel_mm(S), motion.travel_mm(2 * S)) == (1000.0, 2000.0)


@given(
    start=st.integers(0, 2**32 - 1),
    moves=st.lists(st.integers(-40, 200), min_size=1, max_size=60),
    at_mm=st.floats(-5000, 5000),
)
def test_counts_and_travel_convert_both_ways_over_any_wrap(start: int, moves: list[int], at_mm: float) -> None:
    motion = encoder([])
    motion.feed(0, start)
    count = start
    for i, move in enumerate(moves, start=1):
        count += move
        motion.feed(i * S // 50, count % 2**32)
    travel = 0.5 * sum(moves)
    assert motion.travel_mm(len(moves) * S // 50) == pytest.approx(travel)
    assert motion.count_at(travel) == count % 2**32
    there = motion.count_at(travel + at_mm)
    assert there is not None
    assert 0 <= there < 2**32
    assert motion.travel_of(there) == pytest.approx(travel + at_mm, abs=0.26)


def test_without_samples_there_is_no_count() -> None:
    assert EncoderMotion(mm_per_count=0.5).count_at(1.0) is None
    assert EncoderMotion(mm_per_count=0.5).travel_of(1) is None
    assert SteadyMotion(1000.0).count_at(1.0) is None


def test_a_16_bit_counter() -> None:
    assert encoder([(0, 65_500), (0.1, 100)], bits=16).travel_mm(S // 10) == pytest.approx(68.0)
