"""Pictures on disk that are there whole or not at all, so that a killed render can go on where it stopped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_sorter.atomic import write_bytes


def write(path: Path, picture: NDArray[np.uint8] | NDArray[np.uint16], options: Sequence[int] = ()) -> None:
    """Encode a picture by its file's suffix, with OpenCV's ``options``, and write it in one piece."""
    made, packed = cv2.imencode(path.suffix, picture, list(options))
    if not made:
        raise ValueError(f"{path}: cannot encode a picture of shape {picture.shape} and type {picture.dtype}")
    write_bytes(path, packed.tobytes())
