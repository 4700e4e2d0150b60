"""Dirt on a camera's lens: specks that take light away and smears that scatter it, far out of focus.

Contract: `draw` depends on count, picture size and seed alone; `through` leaves a clean pixel as it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

FloatImage = NDArray[np.float32]
SMALL = 8
"""Scattered light has no detail: it is spread in a picture so many times as small."""


@dataclass(frozen=True, eq=False)
class Dirt:
    """What lies on the lens, as seen in the picture, each of shape (h, w, 1).

    Attributes:
        dark: share of the light that is lost, 0..1.
        haze: share of the light that comes from all around instead, 0..1.
    """

    dark: FloatImage
    haze: FloatImage


def draw(count: int, image_px: tuple[int, int], seed: int) -> Dirt:
    """So many specks and smears, two to one, at random places; a greater count keeps those of a smaller one."""
    width, height = image_px
    clear: FloatImage = np.ones((height, width), np.float32)
    sharp: FloatImage = np.ones((height, width), np.float32)
    for number in range(count):
        rng = np.random.default_rng([seed, number, 83])
        middle = rng.uniform((0, 0), (width, height))
        angle_deg = float(rng.uniform(0, 180))
        if number % 3 == 2:
            axes = width * rng.uniform((0.08, 0.015), (0.18, 0.03))
            sharp *= 1.0 - float(rng.uniform(0.35, 0.7)) * _spot(image_px, middle, axes, angle_deg)
        else:
            axes = width * float(rng.uniform(0.008, 0.03)) * rng.uniform(0.75, 1.0, 2)
            clear *= 1.0 - float(rng.uniform(0.2, 0.55)) * _spot(image_px, middle, axes, angle_deg)
    return Dirt((1.0 - clear)[..., None], (1.0 - sharp)[..., None])


def through(dirt: Dirt, light: FloatImage) -> FloatImage:
    """What of a picture's light, shape (h, w, 3), gets through."""
    height, width = light.shape[:2]
    small = cv2.resize(light, (max(1, width // SMALL), max(1, height // SMALL)), interpolation=cv2.INTER_AREA)
    spread = cv2.GaussianBlur(small, (0, 0), 0.04 * small.shape[1])
    around = cv2.resize(spread, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray((light + (around - light) * dirt.haze) * (1.0 - dirt.dark), np.float32)


def _spot(
    image_px: tuple[int, int], middle_px: NDArray[np.float64], axes_px: NDArray[np.float64], angle_deg: float
) -> FloatImage:
    """An ellipse of ones with a soft edge."""
    width, height = image_px
    spot = np.zeros((height, width), np.float32)
    x, y = middle_px
    cv2.ellipse(spot, ((float(x), float(y)), (2 * float(axes_px[0]), 2 * float(axes_px[1])), angle_deg), 1.0, -1)
    return np.asarray(cv2.GaussianBlur(spot, (0, 0), max(1.0, 0.35 * float(min(axes_px)))), np.float32)
