"""Open image files that may be broken, huge or turned, in one place.

Contract: sizes and pixels are upright, as OpenCV and ultralytics load them (the camera's EXIF turn applied); a file
that is cut off is an error, not a picture with a grey half.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge_sorter.errors import DatasetError
from edge_sorter.lifecycle.dataset.untrusted import MAX_PIXELS, extra
from edge_sorter.types import Image

EXIF_ORIENTATION = 0x0112
LYING = (5, 6, 7, 8)
"""EXIF orientations that swap width and height."""


def size_px(path: Path) -> tuple[int, int]:
    """Return upright width and height from the header alone.

    Raises:
        DatasetError: No image, or one too large to decode.
    """
    picture = _open(path, path)
    width, height = picture.size
    lying = picture.getexif().get(EXIF_ORIENTATION) in LYING
    picture.close()
    return (height, width) if lying else (width, height)


def turned_by_exif(data: bytes) -> bool:
    """Return whether a viewer that ignores EXIF shows the picture lying or upside down."""
    with _open(io.BytesIO(data), "image") as picture:
        return picture.getexif().get(EXIF_ORIENTATION, 1) not in (0, 1)


def load(path: Path) -> Image:
    """Decode an image file whole.

    Raises:
        DatasetError: It is missing, no image, cut off, or too large.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}") from None
    return decode(data, path)


def decode(data: bytes, what: Path | str) -> Image:
    """Decode the bytes of an image file; as `load`."""
    with _open(io.BytesIO(data), what) as picture:
        try:
            picture.load()  # Pillow refuses what is cut off; OpenCV would fill up with grey and say nothing
        except (OSError, SyntaxError, ValueError) as error:
            raise DatasetError(f"{what} is damaged: {error}") from None
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise DatasetError(f"{what} cannot be decoded as an image")
    return np.asarray(image, dtype=np.uint8)


def _open(file: Path | io.BytesIO, what: Path | str) -> Any:
    try:
        import PIL.Image
    except ImportError:
        raise extra("pillow") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the size is checked below, against our own limit
            picture = PIL.Image.open(file)
    except PIL.Image.DecompressionBombError as error:
        raise DatasetError(f"{what} is too large to decode: {error}") from None
    except (OSError, SyntaxError, ValueError) as error:
        reason = "no image" if isinstance(error, PIL.UnidentifiedImageError) else str(error)
        raise DatasetError(f"{what} cannot be decoded: {reason}") from None
    if picture.size[0] * picture.size[1] > MAX_PIXELS:
        picture.close()
        raise DatasetError(f"{what} has {picture.size[0]} x {picture.size[1]} px; at most {MAX_PIXELS // 10**6} Mpx")
    return picture
