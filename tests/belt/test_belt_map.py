"""From the picture to the belt and back: calibrations, places, shifts, sizes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from belt_calibrations import FLAT, SIZE, TRAPEZE, turned
from hypothesis import given
from hypothesis import strategies as st

from edge_sorter.belt import (
    BeltMap,
    load_calibration,
)
from edge_sorter.errors import ConfigError
from edge_sorter.types import Box


@pytest.mark.parametrize(
    ("image", "why"),
    [
        ([[0, 0], [100, 0], [200, 0], [0, 100]], "three on one line"),
        ([[0, 0], [100, 100], [100, 0], [0, 100]], "order crosses over"),
        ([[0, 0], [100, 0], [100, 0], [0, 100]], "two the same"),
        ([[0, 0], [100, 0], [10, 10], [0, 100]], "not convex"),
    ],
)
def test_four_points_must_enclose_an_area(tmp_path: Path, image: list[list[float]], why: str) -> None:
    path = tmp_path / "camera.yaml"
    path.write_text(
        f"image_size_px: [960, 540]\nimage_points_px: {image}\nbelt_points_mm: [[0, 0], [9, 0], [9, 9], [0, 9]]\n"
    )
    with pytest.raises(ConfigError, match="line 2, image_points_px: the four points must be the corners"):
        load_calibration(path)


def test_a_calibration_may_be_mirrored() -> None:
    """Across the belt, y may grow to either side: both hands are right."""
    mirrored = FLAT.model_copy(update={"belt_points_mm": ((0, 1080), (1920, 1080), (1920, 0), (0, 0))})
    assert BeltMap(mirrored, image_size_px=SIZE).to_mm([(0, 0)]) == pytest.approx(np.array([[0, 1080]]))


def test_calibration_is_scaled_to_the_picture_in_use() -> None:
    small, large = BeltMap(TRAPEZE, image_size_px=SIZE), BeltMap(TRAPEZE, image_size_px=(1920, 1080))
    points = np.array([(300.0, 200.0), (700.0, 400.0)])
    assert large.to_mm(points * 2) == pytest.approx(small.to_mm(points), abs=0.01)


def test_another_picture_shape_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"960x540 picture.*640x480"):
        BeltMap(TRAPEZE, image_size_px=(640, 480))


@given(x=st.floats(0, 1500), y=st.floats(0, 800))
def test_belt_to_picture_and_back(x: float, y: float) -> None:
    belt_map = BeltMap(TRAPEZE, image_size_px=SIZE)
    there = belt_map.to_px([(x, y)])
    assert belt_map.to_mm(there)[0] == pytest.approx((x, y), abs=0.01)
    assert belt_map.point_mm(tuple(there[0])) == pytest.approx((x, y), abs=0.01)
    assert belt_map.point_px((x, y)) == pytest.approx(tuple(there[0]), abs=0.01)


def test_the_calibrated_points_map_onto_each_other() -> None:
    belt_map = BeltMap(TRAPEZE, image_size_px=SIZE)
    assert belt_map.to_mm(TRAPEZE.image_points_px) == pytest.approx(np.array(TRAPEZE.belt_points_mm), abs=0.05)
    assert belt_map.across_mm == (0.0, 800.0)
    assert belt_map.middle_y_mm == 400.0


@given(
    x=st.floats(-5000, 5000), y=st.floats(-50_000, 5000), w=st.floats(0.1, 900), h=st.floats(0.1, 900),
    delta=st.floats(-1e5, 1e5),
)  # fmt: skip
def test_nothing_explodes_at_the_horizon(x: float, y: float, w: float, h: float, delta: float) -> None:
    belt_map = BeltMap(TRAPEZE, image_size_px=SIZE)
    box = x, y, x + w, y + h
    for result in (belt_map.to_mm([(x, y)]), belt_map.to_px([(x, y)]), belt_map.shift(box, delta)):
        assert np.isfinite(result).all()
        assert np.abs(result).max() < 1e9
    assert np.isfinite(belt_map.size_mm(box)).all()


def test_a_box_beyond_the_horizon_stays() -> None:
    belt_map = BeltMap(TRAPEZE, image_size_px=SIZE)
    above = 400.0, -5000.0, 500.0, -4900.0
    assert belt_map.shift(above, 100.0) == above


@given(x=st.floats(100, 1300), y=st.floats(100, 700), delta=st.floats(-100, 100))
def test_a_shifted_box_is_where_the_belt_took_it(x: float, y: float, delta: float) -> None:
    belt_map = BeltMap(TRAPEZE, image_size_px=SIZE)

    def box_at(x_mm: float) -> Box:
        corners = belt_map.to_px([(x_mm + i, y + j) for i in (-60, 60) for j in (-40, 40)])
        (x1, y1), (x2, y2) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
        return x1, y1, x2, y2

    moved = belt_map.shift(box_at(x), delta)
    assert moved == pytest.approx(box_at(x + delta), abs=3.0)
    assert belt_map.shift(moved, -delta) == pytest.approx(box_at(x), abs=1.0)


@pytest.mark.parametrize("box", [(300.0, 200.0, 400.0, 260.0), (500.0, 300.0, 700.0, 420.0)])
def test_a_belt_at_rest_moves_nothing(box: Box) -> None:
    assert BeltMap(TRAPEZE, image_size_px=SIZE).shift(box, 0.0) == pytest.approx(box, abs=1e-6)


@pytest.mark.parametrize("degrees", [0, 5, -10, 20, 90, 80, 180, 270])
@pytest.mark.parametrize("size", [(150.0, 150.0), (600.0, 400.0), (200.0, 90.0)])
def test_size_of_a_parcel_from_its_box(degrees: float, size: tuple[float, float]) -> None:
    """The camera may be turned: what is measured is the parcel, not the box around its turned picture."""
    belt_map = BeltMap(turned(degrees), image_size_px=SIZE)
    corners = belt_map.to_px([(sx * size[0] / 2, sy * size[1] / 2) for sx in (-1, 1) for sy in (-1, 1)])
    box = np.concatenate((corners.min(axis=0), corners.max(axis=0)))
    assert belt_map.size_mm(box)[0] == pytest.approx(size, rel=0.02)
    assert belt_map.centre_mm(box)[0] == pytest.approx((0, 0), abs=0.1)


@pytest.mark.parametrize("degrees", [0, -10, 44, 45, 90, 200])
def test_the_size_of_one_box_is_that_of_many_to_the_last_bit(degrees: float) -> None:
    belt_map = BeltMap(turned(degrees), image_size_px=SIZE)
    corner = np.random.default_rng(5).uniform(-50, 900, (200, 2))
    boxes = np.concatenate((corner, corner + np.random.default_rng(6).uniform(0, 300, (200, 2))), axis=1)
    boxes[0, 2:] = boxes[0, :2]
    assert [list(belt_map.size_of(tuple(box))) for box in boxes.tolist()] == belt_map.size_mm(boxes).tolist()


def test_size_stays_sensible_where_it_cannot_be_solved() -> None:
    belt_map = BeltMap(turned(45), image_size_px=SIZE)
    length, width = belt_map.size_mm((400, 200, 560, 340))[0]
    assert 100 < length < 500
    assert 100 < width < 500
