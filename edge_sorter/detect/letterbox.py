"""From a camera picture to the network's input and back, at the price of one resize.

Contract: a `Letterbox` copies the belt region of a picture, scaled with its aspect ratio kept and centred on grey, into
one buffer allocated once; `to_image` maps boxes back to pixels of the full picture exactly.

Resizing is linear: area averaging costs five times as much on a 1080p picture and the networks are trained on linear.
"""

from __future__ import annotations

import cv2
import numpy as np

from edge_sorter.detect.engines import Layout, Tensor
from edge_sorter.errors import ModelError
from edge_sorter.types import FloatArray, Image

PAD_VALUE = 114
"""Grey that fills the rest of the input; the value the networks are trained with."""


class Letterbox:
    """Fits one region of pictures of one size into one input size.

    Args:
        image_size_px: Width and height of the pictures.
        crop: Belt region x1, y1, x2, y2 as fractions of the picture.
        input_size_px: Width and height of the network input.
        layout: "u8_nhwc_bgr" gives uint8 (1, h, w, 3); "f32_nchw_rgb" gives float32 (1, 3, h, w) times `scale`.
        scale: Factor on pixel values in the float layout.
    """

    def __init__(
        self,
        *,
        image_size_px: tuple[int, int],
        crop: tuple[float, float, float, float],
        input_size_px: tuple[int, int],
        layout: Layout,
        scale: float,
    ) -> None:
        self.image_size_px = image_size_px
        self._layout = layout
        self._x1, self._y1, crop_w, crop_h = _crop_px(image_size_px, crop)
        width, height = input_size_px
        ratio = min(width / crop_w, height / crop_h)
        self._fit = (min(width, max(1, round(crop_w * ratio))), min(height, max(1, round(crop_h * ratio))))
        self._crop_size = (crop_w, crop_h)
        self._left, self._top = (width - self._fit[0]) // 2, (height - self._fit[1]) // 2
        self._as_is = self._fit == self._crop_size == image_size_px == input_size_px
        # Exact, not the nominal ratio: sides are rounded to whole pixels separately.
        factor = np.array([crop_w / self._fit[0], crop_h / self._fit[1]] * 2, np.float64)
        offset = np.array([self._left, self._top] * 2, np.float64)
        self._factor = factor.astype(np.float32)
        self._shift = (np.array([self._x1, self._y1] * 2) - offset * factor).astype(np.float32)
        self._bounds = np.array([*image_size_px, *image_size_px], np.float32)
        self._allocate(width, height, scale)

    def _allocate(self, width: int, height: int, scale: float) -> None:
        fit_w, fit_h = self._fit
        rows, columns = slice(self._top, self._top + fit_h), slice(self._left, self._left + fit_w)
        self._tensor: Tensor
        if self._layout == "u8_nhwc_bgr":
            self._tensor = np.full((1, height, width, 3), PAD_VALUE, np.uint8)
            self._target = self._tensor[0, rows, columns]
            return
        self._scale = np.float32(scale)
        self._tensor = np.full((1, 3, height, width), PAD_VALUE * self._scale, np.float32)
        self._target = np.empty((fit_h, fit_w, 3), np.uint8)
        self._planes = [np.empty((fit_h, fit_w), np.uint8) for _ in range(3)]
        self._rgb = [self._tensor[0, 2 - channel, rows, columns] for channel in range(3)]

    def __call__(self, image: Image) -> Tensor:
        """Return the network input for a picture.

        Args:
            image: uint8 (height_px, width_px, 3) BGR of the size this letterbox was made for.

        Returns:
            The internal buffer (or the picture itself if it already is the input): valid until the next call.
        """
        source = image[self._y1 : self._y1 + self._crop_size[1], self._x1 : self._x1 + self._crop_size[0]]
        if self._layout == "u8_nhwc_bgr":
            if self._as_is and image.flags.c_contiguous and image.flags.writeable:  # engines map it as their own
                return image[None]
            self._resize(source)
            return self._tensor
        if self._fit != self._crop_size:
            self._resize(source)
            source = self._target
        # Planes first, then one multiplication each: a third of the cost of cv2.dnn.blobFromImage, and no allocation.
        cv2.split(source, self._planes)
        for plane, channel in zip(self._planes, self._rgb, strict=True):
            np.multiply(plane, self._scale, out=channel)
        return self._tensor

    def _resize(self, source: Image) -> None:
        if self._fit == self._crop_size:
            np.copyto(self._target, source)
        else:
            cv2.resize(source, self._fit, dst=self._target, interpolation=cv2.INTER_LINEAR)

    def to_image(self, xyxy: FloatArray) -> FloatArray:
        """Map boxes (n, 4) from input pixels to pixels of the full picture, cut off at its borders."""
        mapped: FloatArray = np.clip(xyxy * self._factor + self._shift, 0, self._bounds)
        return mapped

    def corners_to_image(self, corners: FloatArray) -> FloatArray:
        """Map corners (n, 4, 2) likewise; they may lie outside the picture, or the box would be none any more."""
        mapped: FloatArray = corners * self._factor[:2] + self._shift[:2]
        return mapped


def _crop_px(size_px: tuple[int, int], crop: tuple[float, float, float, float]) -> tuple[int, int, int, int]:
    """Return x, y, width, height in whole pixels."""
    width, height = size_px
    x1, y1 = round(crop[0] * width), round(crop[1] * height)
    x2, y2 = round(crop[2] * width), round(crop[3] * height)
    if x2 <= x1 or y2 <= y1:
        raise ModelError(f"detect.crop {list(crop)} leaves no pixel of a {width}x{height} picture; make it larger")
    return x1, y1, x2 - x1, y2 - y1
