"""What a camera over a belt does to a picture, done to training pictures; and a way to look at all augmentation.

Contract: an effect is a plain function `(image, rng) -> image` on BGR uint8 pictures; it changes pixels, never boxes,
and draws only from the generator it is given. `camera_effects` lists those that a recipe asks for, `varied` shows a
labelled picture as training sees it, geometry and colour (by ultralytics) included.

Not albumentations: its MIT line ended with 2.0.8 in 2025 (its successor is AGPL or commercial), and none of its blurs
knows how far a belt moves while the shutter is open, which is the one that decides whether an edge can be placed.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from edge_sorter.lifecycle.recipe import Recipe

Image = NDArray[np.uint8]
Effect = Callable[[Image, np.random.Generator], Image]


@dataclass(frozen=True)
class CameraEffects:
    """The worst a camera may be; every picture gets each effect with probability `share`, up to this strength.

    Attributes:
        blur_px: length of the motion blur in pixels of the training picture (`blur_length_px`); 0 turns it off.
        blur_deg: direction the belt moves in, 0 along the picture's width, 90 along its height.
        noise: standard deviation of the sensor's noise in grey levels.
        exposure: how much darker or brighter, as a factor: 1.5 means between 1/1.5 and 1.5 times the light.
        jpeg_quality: the worst quality of a camera's JPEG, 1 to 100; 0 leaves pictures as they are.
        share: probability of each effect, 0 to 1.
    """

    blur_px: float = 0.0
    blur_deg: float = 0.0
    noise: float = 0.0
    exposure: float = 1.0
    jpeg_quality: int = 0
    share: float = 0.5


def blur_length_px(*, belt_speed_mm_s: float, exposure_ms: float, px_per_mm: float) -> float:
    """Return how far a parcel moves in the picture while the shutter is open.

    Args:
        belt_speed_mm_s: speed of the belt.
        exposure_ms: shutter time.
        px_per_mm: scale of the picture that is trained on (after resizing), at the height of the parcels.
    """
    return abs(belt_speed_mm_s) * exposure_ms / 1000.0 * px_per_mm


def camera_effects(settings: CameraEffects) -> list[Effect]:
    """List the effects in the order light meets them: exposure, motion, noise of the sensor, compression."""
    effects: list[Effect] = []
    if settings.exposure > 1.0:
        reach = math.log(settings.exposure)
        effects.append(lambda image, rng: expose(image, gain=math.exp(rng.uniform(-reach, reach))))
    if settings.blur_px > 1.0:
        longest, angle = settings.blur_px, settings.blur_deg
        effects.append(lambda image, rng: motion_blur(image, length_px=rng.uniform(1.0, longest), angle_deg=angle))
    if settings.noise > 0.0:
        worst = settings.noise
        effects.append(lambda image, rng: add_noise(image, sigma=rng.uniform(0.0, worst), rng=rng))
    if settings.jpeg_quality > 0:
        lowest = settings.jpeg_quality
        effects.append(lambda image, rng: compress(image, quality=int(rng.integers(lowest, 96))))
    return [_sometimes(effect, settings.share) for effect in effects]


def apply(image: Image, effects: list[Effect], rng: np.random.Generator) -> Image:
    """Return the picture after all effects; the one given is not changed."""
    for effect in effects:
        image = effect(image, rng)
    return image


def expose(image: Image, *, gain: float) -> Image:
    """Change the light by a factor; what exceeds white is lost, as in a camera."""
    return cv2.convertScaleAbs(image, alpha=gain)


def motion_blur(image: Image, *, length_px: float, angle_deg: float) -> Image:
    """Smear a picture along a straight line, its middle staying in place, so that boxes remain right.

    The whole picture is smeared, the resting frame of the belt too: parcels are what is looked at.
    """
    reach = math.ceil(length_px / 2.0)
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    # Points closer than a pixel, shared between their four neighbours: fractions of a pixel count, any angle works.
    steps = np.linspace(-length_px / 2.0, length_px / 2.0, 8 * reach + 1)
    turn = math.radians(angle_deg)
    for x, y in zip(steps * math.cos(turn) + reach, steps * math.sin(turn) + reach, strict=True):
        left, top = min(int(x), 2 * reach - 1), min(int(y), 2 * reach - 1)
        right_share, low_share = x - left, y - top
        kernel[top, left] += (1 - right_share) * (1 - low_share)
        kernel[top, left + 1] += right_share * (1 - low_share)
        kernel[top + 1, left] += (1 - right_share) * low_share
        kernel[top + 1, left + 1] += right_share * low_share
    blurred: Image = cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE)
    return blurred


def add_noise(image: Image, *, sigma: float, rng: np.random.Generator) -> Image:
    """Add independent normal noise of a standard deviation in grey levels to every channel."""
    noisy = image + rng.standard_normal(image.shape, np.float32) * np.float32(sigma)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def compress(image: Image, *, quality: int) -> Image:
    """Return what is left after JPEG compression with a quality of 1 to 100."""
    _, packed = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(packed, cv2.IMREAD_COLOR)  # type: ignore[return-value]


def varied(
    image: Image, boxes: NDArray[np.float32], recipe: Recipe, *, seed: int = 0
) -> tuple[Image, NDArray[np.float32]]:
    """Return a picture as one training step may see it (mosaic and mixup aside), and its boxes there.

    Args:
        image: BGR picture.
        boxes: rows of class, x1, y1, x2, y2 in pixels.
        recipe: the run's recipe; its `imgsz` is the side of the picture returned.
        seed: the same seed gives the same picture.

    Returns:
        A square BGR picture and the boxes that are still in it, in its pixels.

    Raises:
        ModelError: ultralytics, which turns and colours the pictures, is not installed.
    """
    from edge_sorter.lifecycle.isolate import isolate_ultralytics

    isolate_ultralytics()
    from ultralytics.data.augment import Compose, RandomFlip, RandomHSV, RandomPerspective
    from ultralytics.utils.instance import Instances

    random.seed(seed)
    np.random.seed(seed)  # what ultralytics draws from
    factor = recipe.imgsz / max(image.shape[:2])
    small = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA if factor < 1 else 1)
    instances = Instances(
        np.asarray(boxes[:, 1:], np.float32) * factor,
        segments=np.zeros((0, 1000, 2), np.float32),
        bbox_format="xyxy",
        normalized=False,
    )
    steps = Compose(
        [
            RandomPerspective(
                degrees=recipe.degrees,
                translate=recipe.translate,
                scale=(recipe.scale_min, recipe.scale_max),
                perspective=recipe.perspective,
                size=(recipe.imgsz, recipe.imgsz),
            ),
            RandomHSV(hgain=recipe.hsv_h, sgain=recipe.hsv_s, vgain=recipe.hsv_v),
            RandomFlip(direction="vertical", p=recipe.flipud),
            RandomFlip(direction="horizontal", p=recipe.fliplr),
        ]
    )
    labels: dict[str, Any] = {"img": small, "cls": boxes[:, :1].astype(np.float32), "instances": instances}
    labels = steps(labels)
    found = labels["instances"]
    found.convert_bbox("xyxy")
    found.denormalize(recipe.imgsz, recipe.imgsz)
    seen = apply(labels["img"], camera_effects(recipe.camera()), np.random.default_rng(seed))
    return seen, np.concatenate((labels["cls"].reshape(-1, 1), found.bboxes), axis=1).astype(np.float32)


def _sometimes(effect: Effect, share: float) -> Effect:
    return lambda image, rng: effect(image, rng) if rng.random() < share else image
