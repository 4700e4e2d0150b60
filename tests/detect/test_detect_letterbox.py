"""Pictures go into the network and boxes come back to the very pixels they came from."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sorter.detect.letterbox import PAD_VALUE, Letterbox
from edge_sorter.errors import ModelError

FULL = (0.0, 0.0, 1.0, 1.0)


def letterbox(size: tuple[int, int], target: tuple[int, int], *, crop=FULL, layout="u8_nhwc_bgr") -> Letterbox:
    return Letterbox(image_size_px=size, crop=crop, input_size_px=target, layout=layout, scale=1 / 255)


def noise(width: int, height: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


crops = st.tuples(st.floats(0, 0.45), st.floats(0, 0.45), st.floats(0.55, 1), st.floats(0.55, 1))
sides = st.integers(40, 2000)
inputs = st.sampled_from([(64, 32), (640, 384), (320, 320), (96, 256)])


@given(width=sides, height=sides, crop=crops, target=inputs, data=st.data())
@settings(max_examples=150, deadline=None)
def test_boxes_come_back_to_where_they_were(width, height, crop, target, data) -> None:
    box = letterbox((width, height), target, crop=crop)
    x1, y1 = round(crop[0] * width), round(crop[1] * height)
    x2, y2 = round(crop[2] * width), round(crop[3] * height)
    x = data.draw(st.floats(x1, x2))
    y = data.draw(st.floats(y1, y2))
    # Forward map, written down a second time from the documented geometry.
    ratio = min(target[0] / (x2 - x1), target[1] / (y2 - y1))
    fit_w, fit_h = max(1, round((x2 - x1) * ratio)), max(1, round((y2 - y1) * ratio))
    u = (x - x1) * fit_w / (x2 - x1) + (target[0] - fit_w) // 2
    v = (y - y1) * fit_h / (y2 - y1) + (target[1] - fit_h) // 2
    back = box.to_image(np.array([[u, v, u, v]], np.float32))[0]
    assert back == pytest.approx([x, y, x, y], abs=2e-3 * max(1, max(width, height) / 500))


@given(width=st.integers(1, 300), height=st.integers(1, 300), crop=crops, target=inputs)
@settings(max_examples=100, deadline=None)
def test_both_layouts_hold_the_same_picture(width, height, crop, target) -> None:
    image = noise(width, height)
    try:
        u8 = letterbox((width, height), target, crop=crop)(image)
    except ModelError:  # a crop of a picture of a few pixels can be empty
        return
    f32 = letterbox((width, height), target, crop=crop, layout="f32_nchw_rgb")(image)
    assert u8.shape == (1, target[1], target[0], 3)
    assert u8.dtype == np.uint8
    assert f32.shape == (1, 3, target[1], target[0])
    assert f32.dtype == np.float32
    expected = u8[..., ::-1].transpose(0, 3, 1, 2).astype(np.float32) * np.float32(1 / 255)
    np.testing.assert_array_equal(f32, expected)


@pytest.mark.parametrize(
    ("size", "target", "crop", "rows", "columns"),
    [
        pytest.param((1920, 1080), (640, 384), FULL, (12, 372), (0, 640), id="wide picture, bars above and below"),
        pytest.param((1080, 1920), (640, 384), FULL, (0, 384), (212, 428), id="tall picture, bars left and right"),
        pytest.param((1000, 800), (640, 384), (0.1, 0.25, 0.9, 0.75), (32, 352), (0, 640), id="crop"),
        pytest.param((100, 60), (640, 384), FULL, (0, 384), (0, 640), id="small picture is enlarged"),
    ],
)
def test_the_picture_lies_where_it_should(size, target, crop, rows, columns) -> None:
    image = noise(*size)
    tensor = letterbox(size, target, crop=crop)(image)[0]
    x1, x2 = round(crop[0] * size[0]), round(crop[2] * size[0])
    y1, y2 = round(crop[1] * size[1]), round(crop[3] * size[1])
    inner = tensor[slice(*rows), slice(*columns)]
    expected = cv2.resize(np.ascontiguousarray(image[y1:y2, x1:x2]), inner.shape[1::-1])
    np.testing.assert_array_equal(inner, expected)
    outside = np.ones(tensor.shape[:2], bool)
    outside[slice(*rows), slice(*columns)] = False
    assert (tensor[outside] == PAD_VALUE).all()


@pytest.mark.parametrize("layout", ["u8_nhwc_bgr", "f32_nchw_rgb"])
def test_a_picture_of_the_right_width_is_not_resampled(layout) -> None:
    image = noise(640, 360)
    tensor = letterbox((640, 360), (640, 384), layout=layout)(image)
    inner = tensor[0, 12:372] if layout == "u8_nhwc_bgr" else tensor[0, :, 12:372].transpose(1, 2, 0)[..., ::-1] * 255
    np.testing.assert_array_equal(np.rint(inner).astype(np.uint8), image)


def test_a_picture_that_is_the_input_is_not_even_copied() -> None:
    image = noise(64, 32)
    box = letterbox((64, 32), (64, 32))
    assert np.shares_memory(box(image), image)
    mirrored = image[:, ::-1]
    tensor = box(mirrored)
    assert tensor.flags.c_contiguous
    np.testing.assert_array_equal(tensor[0], mirrored)


@pytest.mark.parametrize("layout", ["u8_nhwc_bgr", "f32_nchw_rgb"])
def test_the_buffer_is_used_again_and_holds_only_the_newest_picture(layout) -> None:
    box = letterbox((1920, 1080), (640, 384), layout=layout)
    first = box(noise(1920, 1080))
    before = first.copy()
    black = np.zeros((1080, 1920, 3), np.uint8)
    black.setflags(write=False)  # decoders may hand out read-only pictures
    second = box(black)
    assert second is first
    assert not np.array_equal(before, second)
    fresh = letterbox((1920, 1080), (640, 384), layout=layout)(black)
    np.testing.assert_array_equal(second, fresh)


def test_boxes_end_at_the_picture() -> None:
    box = letterbox((1920, 1080), (640, 384))
    boxes = np.array([[-50, -50, 700, 500]], np.float32)
    np.testing.assert_array_equal(box.to_image(boxes), [[0, 0, 1920, 1080]])
    assert box.to_image(np.empty((0, 4), np.float32)).shape == (0, 4)


def test_an_empty_crop_is_refused() -> None:
    with pytest.raises(ModelError, match="leaves no pixel of a 20x20 picture"):
        letterbox((20, 20), (64, 32), crop=(0.5, 0.5, 0.501, 0.9))
