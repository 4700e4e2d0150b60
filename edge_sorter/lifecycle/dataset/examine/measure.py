"""Measure one picture: does it decode, is it sharp and well lit, and what would look the same.

Contract: `measure` reads one file and returns plain numbers; a picture that does not decode is a result, not an error.

Sharpness is the width of the sharpest edges, in px of the picture scaled to 640 px: contrast over steepest slope, once
across and once along, the wider of both. Unlike the customary variance of the Laplacian it hardly depends on how much
texture or noise there is, and it sees motion blur, which leaves the edges along the motion sharp. The figures behind
the limit are in docs/dataset.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_sorter.errors import DatasetError
from edge_sorter.lifecycle.dataset import pictures
from edge_sorter.lifecycle.dataset.untrusted import extra
from edge_sorter.types import Image

LONG_SIDE_PX = 640
CELLS = 32
FLAT = 12.0
"""Grey levels; a picture with less contrast than this shows nothing, sharp or not."""
Grey = NDArray[np.float32]


@dataclass(frozen=True)
class Measured:
    """What one picture is like.

    Attributes:
        fault: Why it does not decode, or "".
        edge_px: Width of its sharpest edges at 640 px, 0 where it shows nothing.
        brightness: Mean, 0..255.
        bright: 95th percentile, 0..255.
        burnt: Share of pure white, 0..1.
        hash64: Perceptual hash.
        cells: Mean grey of 32 x 32 cells, with its own mean taken away.
        turned: EXIF turns it.
        size_px: Upright.
    """

    fault: str = ""
    edge_px: float = 0.0
    brightness: float = 0.0
    bright: float = 0.0
    burnt: float = 0.0
    hash64: int = 0
    cells: Grey | None = None
    turned: bool = False
    size_px: tuple[int, int] = (0, 0)


def measure(path: Path) -> Measured:
    """Measure one image file."""
    try:
        data = path.read_bytes()
        image = pictures.decode(data, path.name)
        turned = pictures.turned_by_exif(data)
    except OSError as error:
        return Measured(f"cannot be read: {error.strerror}")
    except DatasetError as error:
        return Measured(str(error))
    grey = _grey(image)
    cells = np.asarray(cv2.resize(grey, (CELLS, CELLS), interpolation=cv2.INTER_AREA), dtype=np.float32)
    return Measured(
        edge_px=edge_px(grey),
        brightness=float(grey.mean()),
        bright=float(np.percentile(grey, 95)),
        burnt=float((grey >= 253).mean()),
        hash64=_hash(grey),
        cells=cells - cells.mean(),
        turned=turned,
        size_px=(image.shape[1], image.shape[0]),
    )


def edge_px(grey: NDArray[np.uint8]) -> float:
    """Return the width of the sharpest edges in px, 0 for a picture without contrast."""
    soft = cv2.GaussianBlur(grey, (0, 0), 0.7).astype(np.float32)
    low, high = np.percentile(soft, (1, 99))
    if high - low < FLAT:
        return 0.0
    slopes = (cv2.Sobel(soft, cv2.CV_32F, dx, 1 - dx, scale=1 / 8) for dx in (1, 0))
    steepest = min(float(np.percentile(np.abs(slope), 99.9)) for slope in slopes)
    return float((high - low) / max(steepest, 0.1))


def _grey(image: Image) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    scale = LONG_SIDE_PX / max(height, width)
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), dtype=np.uint8)


def _hash(grey: NDArray[np.uint8]) -> int:
    try:
        import imagehash
        import PIL.Image
    except ImportError:
        raise extra("imagehash") from None
    bits = imagehash.phash(PIL.Image.fromarray(grey)).hash
    return int.from_bytes(np.packbits(bits).tobytes(), "big")
