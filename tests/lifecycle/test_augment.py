"""Camera effects change pixels as much as they say and never where things are."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge_sorter.lifecycle.augment import (
    CameraEffects,
    add_noise,
    apply,
    blur_length_px,
    camera_effects,
    compress,
    expose,
    motion_blur,
    varied,
)
from edge_sorter.lifecycle.recipe import Recipe


def dot(at: tuple[int, int] = (40, 30)) -> np.ndarray:
    image = np.zeros((60, 80, 3), np.uint8)
    image[at[1], at[0]] = 255
    return image


def test_a_belt_at_two_metres_a_second_smears_four_pixels_in_two_milliseconds_at_one_pixel_per_millimetre() -> None:
    assert blur_length_px(belt_speed_mm_s=-2000, exposure_ms=2, px_per_mm=1.0) == pytest.approx(4.0)


@pytest.mark.parametrize(("angle_deg", "axis"), [(0.0, 1), (90.0, 0), (180.0, 1)])
def test_a_dot_becomes_a_line_of_the_asked_length_around_its_place(angle_deg: float, axis: int) -> None:
    smeared = motion_blur(dot(), length_px=9.0, angle_deg=angle_deg)[..., 0].astype(float)
    ys, xs = np.nonzero(smeared > 5)
    along, across = (xs, ys) if axis == 1 else (ys, xs)
    assert 8 <= along.max() - along.min() + 1 <= 11
    assert across.max() == across.min()
    weight = smeared / smeared.sum()
    assert (weight * np.arange(80)).sum() == pytest.approx(40, abs=0.1)
    assert (weight * np.arange(60)[:, None]).sum() == pytest.approx(30, abs=0.1)


@pytest.mark.parametrize("length_px", [1.0, 2.0, 3.3, 25.0])
def test_blur_keeps_the_light(length_px: float) -> None:
    flat = np.full((40, 50, 3), 137, np.uint8)
    assert np.abs(motion_blur(flat, length_px=length_px, angle_deg=33.0).astype(int) - 137).max() <= 1


def test_noise_has_the_asked_deviation_and_no_offset() -> None:
    noisy = add_noise(np.full((200, 200, 3), 128, np.uint8), sigma=6.0, rng=np.random.default_rng(1)).astype(float)
    assert noisy.std() == pytest.approx(6.0, rel=0.03)
    assert noisy.mean() == pytest.approx(128, abs=0.1)


def test_light_is_multiplied_and_clipped() -> None:
    image = np.array([[[10, 100, 200]]], np.uint8)
    assert expose(image, gain=2.0).tolist() == [[[20, 200, 255]]]


def test_a_worse_quality_loses_more() -> None:
    texture = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    texture = cv2.GaussianBlur(texture, (0, 0), 2)
    lost = [np.abs(compress(texture, quality=quality).astype(int) - texture).mean() for quality in (95, 50, 10)]
    assert lost == sorted(lost)


def test_nothing_asked_nothing_done() -> None:
    assert camera_effects(CameraEffects()) == []
    assert camera_effects(Recipe().camera()) == []


def test_effects_are_reproducible_sometimes_absent_and_leave_the_original_alone() -> None:
    effects = camera_effects(CameraEffects(blur_px=8, noise=5, exposure=1.6, jpeg_quality=40, share=0.5))
    assert len(effects) == 4
    image = np.random.default_rng(3).integers(0, 255, (48, 64, 3)).astype(np.uint8)
    before = image.copy()
    seen = [apply(image, effects, np.random.default_rng(seed)) for seed in range(60)]
    again = [apply(image, effects, np.random.default_rng(seed)) for seed in range(60)]
    assert all(np.array_equal(a, b) for a, b in zip(seen, again, strict=True))
    untouched = sum(np.array_equal(picture, image) for picture in seen)
    assert 0 < untouched < 20  # four effects, each absent half of the time: one in sixteen
    assert np.array_equal(image, before)


def test_boxes_follow_the_picture() -> None:
    """A bright square: wherever training puts it, its box must surround it."""
    pytest.importorskip("ultralytics", reason="ultralytics is not installed (extra: train)")
    image = np.full((120, 160, 3), 40, np.uint8)
    image[40:80, 60:110] = 230
    box = np.array([[2, 60, 40, 110, 80]], np.float32)
    recipe = Recipe(imgsz=128, blur_px=3, noise=4, hsv_v=0.1, degrees=0.0, scale_max=1.2)
    found = 0
    for seed in range(25):
        seen, boxes = varied(image, box, recipe, seed=seed)
        assert seen.shape == (128, 128, 3)
        assert len(boxes) <= 1
        ys, xs = np.nonzero(seen[..., 1] > 165)
        if not len(boxes) or not len(xs):
            continue
        found += 1
        assert boxes[0, 0] == 2
        assert np.abs(boxes[0, 1:] - (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)).max() <= 4
    assert found >= 20


def test_the_same_seed_gives_the_same_picture() -> None:
    pytest.importorskip("ultralytics", reason="ultralytics is not installed (extra: train)")
    image, box = dot(), np.array([[0, 30, 20, 50, 40]], np.float32)
    one, two = (varied(image, box, Recipe(imgsz=64, noise=9), seed=5) for _ in range(2))
    assert np.array_equal(one[0], two[0])
    assert np.array_equal(one[1], two[1])
