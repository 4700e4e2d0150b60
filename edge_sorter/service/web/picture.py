"""Pictures for the page: small, encoded, and judged for their quality.

Contract: nothing here is called unless somebody looks, and never on the main loop's thread. OpenCV lets go of Python's
lock while it works, so that the main loop is not held up.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from edge_sorter.types import Image
from edge_sorter.video.health import luma

VIEW_WIDTH_PX = 960
VIEW_QUALITY = 72
STILL_QUALITY = 90
THUMB_PX = 240
JUDGED_WIDTH_PX = 480


@dataclass(frozen=True, slots=True)
class Quality:
    """How good a picture is.

    Attributes:
        luma: Mean brightness, 0..255.
        sharpness: Variance of the Laplacian at 480 pixels width; falls when the lens is dirty or out of focus.
        clipped: Share of pixels that are plain white or plain black.
    """

    luma: float
    sharpness: float
    clipped: float


def jpeg(image: Image, *, width_px: int | None = None, quality: int = VIEW_QUALITY) -> bytes:
    """Return a picture as JPEG, no wider than `width_px`."""
    height, width = image.shape[:2]
    if width_px is not None and width > width_px:
        size = (width_px, max(1, round(height * width_px / width)))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ValueError(f"a picture of {width} x {height} pixels cannot be encoded")
    return bytes(data)


def thumbnail(image: Image) -> bytes:
    """Return a parcel's picture, its longer side at most `THUMB_PX`."""
    height, width = image.shape[:2]
    shrink = min(1.0, THUMB_PX / max(height, width))
    return jpeg(image, width_px=max(1, round(width * shrink)), quality=80)


def quality_of(image: Image) -> Quality:
    """Judge one picture; about a millisecond at 1080p."""
    step = max(1, image.shape[1] // JUDGED_WIDTH_PX)
    thin = image[::step, ::step]
    grey = cv2.cvtColor(thin, cv2.COLOR_BGR2GRAY)
    return Quality(
        luma=round(luma(thin), 1),
        sharpness=round(float(cv2.Laplacian(grey, cv2.CV_32F).var()), 1),
        clipped=round(float(np.mean((grey < 4) | (grey > 251))), 4),
    )
