"""Overlaps, gates and the exact assignment."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sorter.track.associate import (
    REACH_WEIGHT,
    assign,
    by_overlap,
    by_reach,
    carried,
    ious,
    misfit,
    overlaps,
    weights_of,
)
from edge_sorter.types import Box


def boxes(*rows: tuple[float, float, float, float]) -> np.ndarray:
    return np.array(rows, dtype=float).reshape(-1, 4)


def best_total(weight: np.ndarray) -> float:
    """By trying everything."""
    rows, columns = weight.shape
    if rows > columns:
        return best_total(weight.T)
    positive = np.maximum(weight, 0.0)
    return max(
        sum(positive[i, j] for i, j in enumerate(order)) for order in itertools.permutations(range(columns), rows)
    )


@settings(max_examples=300, deadline=None)
@given(data=st.data(), rows=st.integers(1, 5), columns=st.integers(1, 6))
def test_assignment_is_the_best_there_is(data: st.DataObject, rows: int, columns: int) -> None:
    values = st.one_of(st.just(0.0), st.floats(-1, 1), st.sampled_from([0.25, 0.5, 0.75]))
    weight = np.array(data.draw(st.lists(values, min_size=rows * columns, max_size=rows * columns)))
    weight = weight.reshape(rows, columns)
    pairs = assign(weights_of(weight))
    assert sum(weight[pair] for pair in pairs) == pytest.approx(best_total(weight), abs=1e-9)
    assert all(weight[pair] > 0 for pair in pairs)
    assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs)


@pytest.mark.parametrize("shape", [(60, 60), (40, 60), (60, 25), (1, 50), (50, 1)])
@pytest.mark.parametrize("density", [0.03, 0.2, 1.0])
def test_assignment_agrees_with_scipy(shape: tuple[int, int], density: float) -> None:
    optimize = pytest.importorskip("scipy.optimize", reason="scipy is here only to check our own assignment")
    rng = np.random.default_rng(7)
    for _ in range(5):
        weight = rng.random(shape) * (rng.random(shape) < density)
        rows, columns = optimize.linear_sum_assignment(-weight)
        assert sum(weight[pair] for pair in assign(weights_of(weight))) == pytest.approx(weight[rows, columns].sum())


def test_ties_break_the_same_way_every_time() -> None:
    assert assign(weights_of(np.ones((4, 4)))) == [(0, 0), (1, 1), (2, 2), (3, 3)]
    assert assign(weights_of(np.ones((3, 2)))) == assign(weights_of(np.ones((3, 2))))


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0)])
def test_nothing_to_assign(shape: tuple[int, int]) -> None:
    assert assign(weights_of(np.zeros(shape))) == []
    assert assign(weights_of(np.zeros((2, 2)))) == []


def test_overlaps() -> None:
    iou, inside = overlaps(boxes((0, 0, 10, 10)), boxes((0, 0, 10, 10), (5, 0, 15, 10), (2, 2, 4, 4), (20, 0, 30, 9)))
    assert iou[0] == pytest.approx([1, 1 / 3, 0.04, 0])
    assert inside[0] == pytest.approx([1, 0.5, 1, 0])


@pytest.mark.parametrize(
    ("measured", "partial", "expected"),
    [
        ((100, 0, 200, 50), True, (0, 0)),
        ((130, 10, 230, 60), True, (30, 10)),
        ((100, 0, 110, 50), True, (0, 0)),  # a sliver, but its left edge is where it belongs
        ((100, 0, 110, 50), False, (np.inf, 0)),  # too unlike
        ((105, 0, 165, 50), False, (5, 0)),  # half hidden: the free edge counts
    ],
)
def test_misfit(measured: tuple[float, ...], partial: bool, expected: tuple[float, float]) -> None:
    found = misfit(boxes((100, 0, 200, 50)), boxes(measured), partial=partial)  # type: ignore[arg-type]
    assert found[0, 0] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("measured", "there"),
    [
        ((104, 4, 196, 56), True),  # all edges within the slack
        ((104, 0, 150, 50), True),  # cut in two: three of four edges
        ((120, 0, 150, 50), True),  # two edges, but inside
        ((80, 0, 220, 50), True),  # around it: it lies askew and has entered now
        ((150, 20, 250, 70), False),  # overlaps, but no edge is there
        ((130, 0, 230, 50), False),  # two edges
    ],
)
def test_where_the_belt_carried_a_box(measured: Box, there: bool) -> None:
    assert carried((100, 0, 200, 50), measured, slack_px=(10.0, 6.0)) is there


def test_any_overlap_counts_for_more_than_any_distance() -> None:
    predicted, measured = boxes((0, 0, 100, 100)), boxes((65, 0, 165, 100), (105, 0, 205, 100), (400, 0, 500, 100))
    reach = np.full((1, 2), 150.0)
    iou = ious(predicted, measured)
    (overlapping, near, far) = by_reach(predicted, measured, iou=iou, min_iou=0.2, reach_px=reach)[0]
    assert overlapping == pytest.approx(35 / 165)
    assert 0 < near < REACH_WEIGHT
    assert far == 0
    assert by_overlap(iou, min_iou=0.2) == {(0, 0): overlapping}


def test_a_small_box_is_not_reached_from_far_by_a_large_one() -> None:
    predicted, measured = boxes((0, 0, 1000, 1000)), boxes((1300, 0, 1310, 10))
    iou, reach = ious(predicted, measured), np.full((1, 2), 1000.0)
    assert by_reach(predicted, measured, iou=iou, min_iou=0.2, reach_px=reach, partial=True)[0, 0] == 0
