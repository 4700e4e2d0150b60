"""From light to a camera's picture: exposure, tone, colour cast, blur, lens bend, noise, compression.

Contract: ``develop`` maps a linear picture to 8-bit BGR; all randomness comes from the generator passed in.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_sorter.sim.lens import Dirt, through

FloatImage = NDArray[np.float32]
ByteImage = NDArray[np.uint8]


@dataclass(frozen=True)
class Film:
    """How one camera sees.

    Attributes:
        exposure: multiplies the light.
        gains: red, green, blue cast.
        contrast: 1 is neutral.
        vignette: darkening of the corners, 0..1.
        noise: standard deviation of the sensor's noise, 8-bit steps.
        blur_px: length of a straight motion blur.
        blur_rad: its direction.
        soft_px: sigma of the lens blur.
        bend: barrel distortion coefficient.
        grey: monochrome, as infrared cameras are.
        jpeg: JPEG quality, or None for no compression.
    """

    exposure: float = 1.0
    gains: tuple[float, float, float] = (1.0, 1.0, 1.0)
    contrast: float = 1.0
    vignette: float = 0.0
    noise: float = 0.0
    blur_px: float = 0.0
    blur_rad: float = 0.0
    soft_px: float = 0.0
    bend: float = 0.0
    grey: bool = False
    jpeg: int | None = None


def auto_exposure(light: FloatImage, target: float = 0.42) -> float:
    """The factor that brings the picture's mean tone to ``target`` without burning out its highlights."""
    luminance = light @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    mean = float(np.exp(np.mean(np.log(luminance + 1e-3))))
    bright = float(np.percentile(luminance, 98))
    return min(target**2.2 / max(mean, 1e-4), 1.6 / max(bright, 1e-4))


def random_film(rng: np.random.Generator, light: FloatImage, *, infrared: bool) -> Film:
    """A camera drawn at random, from clean machine vision to a bad CCTV stream."""
    warm = float(rng.normal(scale=0.08))
    return Film(
        exposure=auto_exposure(light, float(rng.uniform(0.28, 0.55)))
        * float(np.exp(rng.normal(scale=0.25) - (0.35 if infrared else 0.0))),
        gains=(1 + warm, 1.0, 1 - warm),
        contrast=float(rng.uniform(1.15, 1.8)) if infrared else float(rng.uniform(0.85, 1.25)),
        vignette=float(rng.uniform(0, 0.45)) if rng.random() < 0.5 else 0.0,
        noise=float(rng.choice([0.6, 1.5, 3.0, 6.0, 9.0], p=[0.3, 0.3, 0.2, 0.15, 0.05])),
        blur_px=float(rng.uniform(2, 8)) if rng.random() < 0.22 else 0.0,
        blur_rad=float(rng.uniform(0, np.pi)),
        soft_px=float(rng.uniform(0.3, 1.1)) if rng.random() < 0.4 else 0.0,
        bend=float(rng.uniform(-0.10, 0.02)) if rng.random() < 0.35 else 0.0,
        grey=infrared or rng.random() < 0.04,
        jpeg=int(rng.integers(38, 95)),
    )


def bend_map(shape: tuple[int, int], bend: float) -> tuple[FloatImage, FloatImage]:
    """Where each pixel of the bent picture comes from: x and y maps for ``cv2.remap``."""
    height, width = shape
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    u, v = (x - width / 2) / (width / 2), (y - height / 2) / (width / 2)
    factor = 1 + bend * (u**2 + v**2)
    return (u * factor * (width / 2) + width / 2), (v * factor * (width / 2) + height / 2)


def bend_mask(mask: NDArray[np.int32], bend: float) -> NDArray[np.int32]:
    """Bend an object-number picture as ``develop`` bends the light, so that boxes stay exact."""
    if not bend:
        return mask
    bent: NDArray[np.int32] = cv2.remap(
        mask.astype(np.float32), *bend_map(mask.shape[:2], bend), cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE
    ).astype(np.int32)
    return bent


def develop(
    light: FloatImage,
    film: Film,
    rng: np.random.Generator,
    *,
    moving: NDArray[np.bool_] | None = None,
    lamps: NDArray[np.float64] | None = None,
    dirt: Dirt | None = None,
) -> ByteImage:
    """Turn linear RGB, shape (h, w, 3), into the camera's 8-bit BGR picture of the same size.

    Args:
        light: what the lens let in.
        film: how the camera sees.
        rng: draws the noise.
        moving: which pixels show something that moves, shape (h, w); None blurs all of them alike.
        lamps: how bright the lamps were while each row was exposed, shape (h,); None is 1.
        dirt: what lies on the lens.
    """
    picture = light * (film.exposure * np.asarray(film.gains, np.float32))
    if film.grey:
        picture = np.repeat(picture.mean(axis=2, keepdims=True), 3, axis=2)
    if film.bend:
        maps = bend_map(picture.shape[:2], film.bend)
        picture = cv2.remap(picture, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    if film.blur_px > 1:
        picture = smeared(picture, film.blur_px, film.blur_rad, moving)
    if lamps is not None:
        picture = picture * lamps[:, None, None].astype(np.float32)
    if dirt is not None:
        picture = through(dirt, picture)
    if film.soft_px:
        picture = cv2.GaussianBlur(picture, (0, 0), film.soft_px)
    if film.vignette:
        y, x = np.mgrid[-1 : 1 : picture.shape[0] * 1j, -1 : 1 : picture.shape[1] * 1j]
        picture = picture * (1 - film.vignette * 0.5 * (x**2 + y**2))[..., None].astype(np.float32)
    # A shoulder instead of a hard clip: bright cardboard under a lamp keeps some tone.
    picture = np.where(picture > 0.75, 0.75 + 0.25 * np.tanh((picture - 0.75) / 0.35), np.clip(picture, 0, None))
    tone = np.where(picture <= 0.0031308, 12.92 * picture, 1.055 * np.power(np.maximum(picture, 1e-6), 1 / 2.4) - 0.055)
    tone = 0.5 + (tone - 0.5) * film.contrast
    noise = rng.normal(scale=film.noise, size=tone.shape)
    if film.grey:
        noise = np.repeat(noise[..., :1], 3, axis=2)
    shot = np.clip(tone * 255.0 + noise, 0, 255).astype(np.uint8)[..., ::-1]
    if film.jpeg is not None:
        _, packed = cv2.imencode(".jpg", shot, [cv2.IMWRITE_JPEG_QUALITY, film.jpeg])
        return np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)
    return np.ascontiguousarray(shot)


def smeared(picture: FloatImage, length_px: float, angle_rad: float, moving: NDArray[np.bool_] | None) -> FloatImage:
    """The picture, its moving pixels (all of them if None) smeared along their way."""
    streak = _streak(length_px, angle_rad)
    smeared = cv2.filter2D(picture, -1, streak, borderType=cv2.BORDER_REPLICATE)
    if moving is None:
        return np.asarray(smeared, np.float32)
    share = cv2.filter2D(moving.astype(np.float32), -1, streak, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(picture + (smeared - picture) * (share * moving)[..., None], np.float32)


def _streak(length_px: float, angle_rad: float) -> FloatImage:
    """A line of this length drawn through subpixels, so that short and fractional blurs come out right."""
    size = int(np.ceil(length_px)) + 2 | 1
    along = np.linspace(-length_px / 2, length_px / 2, 64)
    x, y = along * np.cos(angle_rad) + size // 2, along * np.sin(angle_rad) + size // 2
    kernel = np.zeros((size, size), np.float32)
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    for dx in (0, 1):
        for dy in (0, 1):
            share = np.abs(1 - dx - (x - left)) * np.abs(1 - dy - (y - top))
            np.add.at(kernel, (np.minimum(top + dy, size - 1), np.minimum(left + dx, size - 1)), share)
    return np.asarray(kernel / kernel.sum(), np.float32)
