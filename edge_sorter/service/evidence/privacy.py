"""What keeps people out of the evidence: codes become hashes, parcels a mosaic.

Contract: the same code gives the same hash on one installation and another one elsewhere; nobody gets a code back from
its hash without the installation's salt. Everything inside a parcel's box becomes a mosaic of `TILES` at most: where on
it a label is nobody knows for sure, so none of it can be read.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np

from edge_sorter.types import Box, Image

SALT_FILE = "salt"
SALT_BYTES = 32
HASH_CHARACTERS = 16
TILES = 10
"""Along the longer side of a parcel."""
LEAST_TILE_PX = 6
MARGIN = 0.1


class Pseudonyms:
    """Hashes of codes with the salt of this installation, which is made when there is none.

    Raises:
        OSError: The salt can neither be read nor written.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / SALT_FILE
        with suppress(FileExistsError):
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(secrets.token_bytes(SALT_BYTES))
        self._salt = path.read_bytes()
        if len(self._salt) < SALT_BYTES:  # a crash in the moment it was made
            path.unlink()
            raise OSError(f"{path} was cut short and is removed; start again")

    def of(self, text: str) -> str:
        """Return the name under which a code is kept."""
        return hmac.new(self._salt, text.encode(), hashlib.sha256).hexdigest()[:HASH_CHARACTERS]


def blur(image: Image, boxes: Iterable[Box]) -> Image:
    """Return a copy in which every box, with a margin around it, is a coarse mosaic."""
    blurred: Image = image.copy()
    height, width = image.shape[:2]
    for x1, y1, x2, y2 in boxes:
        dx, dy = MARGIN * (x2 - x1), MARGIN * (y2 - y1)
        left, top = max(0, int(x1 - dx)), max(0, int(y1 - dy))
        right, bottom = min(width, int(np.ceil(x2 + dx))), min(height, int(np.ceil(y2 + dy)))
        if right <= left or bottom <= top:
            continue
        part = image[top:bottom, left:right]  # of the original: a mosaic of a mosaic would show finer steps
        tile = max(LEAST_TILE_PX, max(part.shape[:2]) / TILES)
        size = (max(1, round(part.shape[1] / tile)), max(1, round(part.shape[0] / tile)))
        coarse = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
        blurred[top:bottom, left:right] = cv2.resize(
            coarse, (part.shape[1], part.shape[0]), interpolation=cv2.INTER_NEAREST
        )
    return blurred
