"""Frames between key pictures are those that tracing them would have given."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_sorter.sim.between import BELT, BeltPattern, Between, Key, Plate
from edge_sorter.sim.camera import PinholeCamera

CAMERA = PinholeCamera((500.0, -150.0, 1500.0), (500.0, 300.0, 0.0), 520.0, (400, 240))
WIDTH_MM, HEIGHT_MM = 600.0, 120.0
BOX = (320.0, 520.0, 180.0, 400.0)  # x from, x to, y from, y to at travel 0: a raised plate, mm
GREY = 0.2


def pattern() -> BeltPattern:
    along = 0.5 + 0.5 * np.sin(np.arange(800) / 800 * 2 * np.pi * 4)
    across = np.linspace(0.6, 1.0, 600)
    albedo = (GREY * np.outer(across, along)[..., None] * np.ones(3)).astype(np.float32)
    return BeltPattern(albedo, GREY, 800.0, WIDTH_MM)


def pixels() -> NDArray[np.float64]:
    width, height = CAMERA.image_px
    return np.stack(np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5), axis=-1).reshape(-1, 2)


def at_height(z_mm: float) -> NDArray[np.float64]:
    """Where each pixel's ray passes a height, shape (h, w, 3)."""
    origin = np.asarray(CAMERA.position_mm)
    ground = np.column_stack([CAMERA.on_belt(pixels()), np.zeros(len(pixels()))])
    share = (origin[2] - z_mm) / origin[2]
    return (origin + share * (ground - origin)).reshape(CAMERA.image_px[1], CAMERA.image_px[0], 3)


def traced(travel_mm: float, *, plain: bool, row_mm: NDArray[np.float64] | None = None) -> Key:
    """The scene by exact rays: a belt, steel beside it, and a raised plate with a printed ramp.

    With row_mm each row is read when the belt is so much further.
    """
    rows_mm = travel_mm + (np.zeros(1) if row_mm is None else row_mm)[:, None]
    top, ground = at_height(HEIGHT_MM), at_height(0.0)
    x, y = top[..., 0] - rows_mm, top[..., 1]
    on_box = (x > BOX[0]) & (x < BOX[1]) & (y > BOX[2]) & (y < BOX[3])
    on_belt = (ground[..., 1] > 0) & (ground[..., 1] < WIDTH_MM)
    light = np.where(on_belt, GREY, 0.7)[..., None] * np.ones(3)
    if not plain:
        belt = pattern()
        rows, columns = belt.albedo.shape[:2]
        row = np.clip(((1 - ground[..., 1] / WIDTH_MM) * rows).astype(int), 0, rows - 1)
        column = (np.mod(ground[..., 0] - rows_mm, belt.length_mm) / belt.length_mm * columns).astype(int) % columns
        light = np.where(on_belt[..., None], belt.albedo[row, column], light)
    print_ = 0.3 + 0.5 * (x - BOX[0]) / 200 + 0.1 * np.sin(y / 18)
    light = np.where(on_box[..., None], print_[..., None] * np.array([1.0, 0.8, 0.5]), light)
    seen = np.where(on_box, 1, np.where(on_belt, BELT, 0)).astype(np.int32)
    place = np.where(on_box[..., None], top, ground).astype(np.float32)
    return Key(travel_mm, light.astype(np.float32), seen, place)


@pytest.fixture(scope="module")
def between() -> Between:
    ground = at_height(0.0)
    on_belt = (ground[..., 1] > 0) & (ground[..., 1] < WIDTH_MM)
    fine = (np.where(on_belt, GREY, 0.7)[..., None] * np.ones(3)).astype(np.float32)
    gain = (on_belt[..., None] * np.ones(3)).astype(np.float32)
    return Between(CAMERA, Plate(fine, gain, fine, np.where(on_belt, BELT, 0).astype(np.int32)), pattern())


@pytest.mark.parametrize("travel_mm", [0.0, 37.0, 80.0, 131.0, 160.0])
def test_a_frame_is_what_tracing_it_would_give(between: Between, travel_mm: float) -> None:
    light, seen = between.frame(travel_mm, (traced(0.0, plain=True), traced(160.0, plain=True)))
    wanted = traced(travel_mm, plain=False)
    error = np.abs(light - wanted.light).max(axis=2)
    assert np.median(error) < 0.003
    assert np.mean(error > 0.04) < 0.02, "only outlines may differ, by a pixel"
    assert np.mean(seen != wanted.seen) < 0.01


def test_a_parcel_that_comes_into_the_picture_is_taken_from_the_key_that_knows_it(between: Between) -> None:
    early, late = traced(-640.0, plain=True), traced(-480.0, plain=True)
    assert not (early.seen == 1).any()
    light, _ = between.frame(-520.0, (early, late))
    wanted = traced(-520.0, plain=False)
    assert (wanted.seen == 1).any()
    assert np.abs(light - wanted.light)[wanted.seen == 1].mean() < 0.02


def test_what_stands_comes_from_the_plate(between: Between) -> None:
    light, seen = between.frame(80.0, (traced(0.0, plain=True), traced(160.0, plain=True)))
    assert np.allclose(light[seen == 0], 0.7, atol=1e-3)


@pytest.mark.parametrize("travel_mm", [-520.0, 37.0, 80.0, 155.0])
def test_rows_that_are_read_one_after_the_other_are_what_tracing_each_would_give(
    between: Between, travel_mm: float
) -> None:
    row_mm = np.linspace(-15.0, 15.0, CAMERA.image_px[1])
    first = np.floor(travel_mm / 160.0) * 160.0
    keys = traced(first, plain=True), traced(first + 160.0, plain=True)
    light, seen = between.frame(travel_mm, keys, row_mm=row_mm)
    wanted = traced(travel_mm, plain=False, row_mm=row_mm)
    error = np.abs(light - wanted.light).max(axis=2)
    assert np.median(error) < 0.003
    assert np.mean(error > 0.04) < 0.02, "only outlines may differ, by a pixel"
    upright = traced(travel_mm, plain=False).seen
    assert np.sum(seen != wanted.seen) < 0.4 * np.sum(upright != wanted.seen), "it leans as it should"


def test_shadows_on_the_belt_lean_with_it(between: Between) -> None:
    row_mm = np.linspace(-30.0, 30.0, CAMERA.image_px[1])
    ground = at_height(0.0)
    keys = []
    for travel_mm in (0.0, 160.0):
        key = traced(travel_mm, plain=True)
        place = ground[..., 0] - travel_mm
        shade = (key.seen == BELT) & (place > 0) & (place < 120)  # a broad shadow ahead of nothing, painted on
        keys.append(
            Key(travel_mm, np.where(shade[..., None], 0.4, 1.0).astype(np.float32) * key.light, key.seen, key.place_mm)
        )
    leaning, _ = between.frame(80.0, (keys[0], keys[1]), row_mm=row_mm)
    plain, _ = between.frame(80.0, (traced(0.0, plain=True), traced(160.0, plain=True)), row_mm=row_mm)
    lit = plain[..., 0] > 0.03  # the pattern's black stripes tell nothing
    for across_mm in (60.0, 540.0):
        row = int(np.argmin(np.abs(ground[:, 0, 1] - across_mm)))
        dark = lit[row] & (leaning[row, :, 0] < 0.7 * plain[row, :, 0])
        place = ground[row, dark, 0] - 80.0 - row_mm[row]
        assert place.min() == pytest.approx(0, abs=12)
        assert place.max() == pytest.approx(120, abs=12)
