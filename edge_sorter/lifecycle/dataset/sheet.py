"""Contact sheets: many small pictures with their boxes on one, to be looked at by a person.

Contract: pure drawing; pictures are scaled into equal cells, never cut. Box and caption colours differ in brightness,
too, for those who do not see them apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge_sorter.errors import DatasetError
from edge_sorter.lifecycle.dataset.untrusted import extra
from edge_sorter.lifecycle.dataset.values import Corners
from edge_sorter.types import Image

CELL_PX = (320, 240)
CAPTION_PX = 22
GAP_PX = 6
PAPER = (246, 246, 244)
INK = (32, 32, 36)
COLOURS = ((0, 158, 115), (230, 159, 0), (86, 180, 233), (204, 121, 167), (240, 228, 66), (0, 114, 178))
"""RGB; Okabe and Ito's palette, told apart by colour-blind people."""
FAULT = (220, 38, 38)


@dataclass(frozen=True)
class Tile:
    """One picture of a sheet.

    Attributes:
        image: BGR, None where it does not decode.
        boxes: Corners and class id.
        caption: One line below.
        marked: Indices of boxes drawn in red.
    """

    image: Image | None
    boxes: Sequence[tuple[Corners, int]] = ()
    caption: str = ""
    marked: frozenset[int] = frozenset()


def contact_sheet(tiles: Sequence[Tile], *, columns: int = 4, cell_px: tuple[int, int] = CELL_PX) -> Image:
    """Return the tiles in rows, BGR."""
    columns = max(1, min(columns, len(tiles)))
    rows = -(-len(tiles) // columns)
    width, height = cell_px[0] + GAP_PX, cell_px[1] + CAPTION_PX + GAP_PX
    sheet = np.full((rows * height + GAP_PX, columns * width + GAP_PX, 3), PAPER[::-1], np.uint8)
    for index, tile in enumerate(tiles):
        x, y = GAP_PX + index % columns * width, GAP_PX + index // columns * height
        sheet[y : y + cell_px[1] + CAPTION_PX, x : x + cell_px[0]] = _cell(tile, cell_px)
    return sheet


def draw(tile: Tile, size_px: tuple[int, int]) -> Image:
    """Return a tile's picture with boxes, scaled to fit `size_px`."""
    if tile.image is None:
        return np.full((size_px[1], size_px[0], 3), (205, 205, 205), np.uint8)
    height, width = tile.image.shape[:2]
    scale = min(size_px[0] / width, size_px[1] / height)
    small = (max(1, round(width * scale)), max(1, round(height * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    picture = np.asarray(cv2.resize(tile.image, small, interpolation=how), dtype=np.uint8)
    for index, (at, class_id) in enumerate(tile.boxes):
        colour = FAULT if index in tile.marked else COLOURS[class_id % len(COLOURS)]
        ends = [(round(x * small[0]), round(y * small[1])) for x, y in ((at.x1, at.y1), (at.x2, at.y2))]
        cv2.rectangle(picture, ends[0], ends[1], (20, 20, 20), 4, cv2.LINE_AA)
        cv2.rectangle(picture, ends[0], ends[1], colour[::-1], 3 if index in tile.marked else 2, cv2.LINE_AA)
    return picture


def beside(left: Tile, right: Tile) -> Tile:
    """Return two pictures as one tile, scaled to one height; caption and marks are the right one's."""
    if left.image is None or right.image is None:
        return right
    height = min(left.image.shape[0], right.image.shape[0])
    halves = [
        cv2.resize(image, (max(1, round(image.shape[1] * height / image.shape[0])), height))
        for image in (left.image, right.image)
    ]
    share = halves[0].shape[1] / (halves[0].shape[1] + halves[1].shape[1])
    boxes = [(_across(at, 0.0, share), class_id) for at, class_id in left.boxes]
    boxes += [(_across(at, share, 1 - share), class_id) for at, class_id in right.boxes]
    marked = frozenset(index + len(left.boxes) for index in right.marked)
    return Tile(np.asarray(np.hstack(halves), dtype=np.uint8), boxes, right.caption, marked)


def _across(at: Corners, left: float, share: float) -> Corners:
    return Corners(left + at.x1 * share, at.y1, left + at.x2 * share, at.y2)


def encoded(image: Image, suffix: str) -> bytes:
    """Return an image as the bytes of a file."""
    done, data = cv2.imencode(suffix, image, [cv2.IMWRITE_JPEG_QUALITY, 82] if suffix == ".jpg" else [])
    if not done:
        raise DatasetError(f"a picture of {image.shape[1]} x {image.shape[0]} px cannot be written as {suffix}")
    return bytes(data)


def write_sheet(path: Path, tiles: Sequence[Tile], *, columns: int = 4) -> None:
    """Write a contact sheet as PNG or JPEG, by the file's suffix."""
    suffix = path.suffix.lower()
    if suffix not in (".png", ".jpg", ".jpeg"):
        raise DatasetError(f"{path}: a contact sheet is a .png or .jpg file")
    data = encoded(contact_sheet(tiles, columns=columns), ".png" if suffix == ".png" else ".jpg")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            file.write(data)
    except FileExistsError:
        raise DatasetError(f"{path} exists already, and nothing is overwritten: choose another --out") from None
    except OSError as error:
        raise DatasetError(f"{path} cannot be written: {error.strerror}") from None


def _cell(tile: Tile, cell_px: tuple[int, int]) -> Image:
    cell = np.full((cell_px[1] + CAPTION_PX, cell_px[0], 3), (28, 28, 28), np.uint8)
    cell[cell_px[1] :] = PAPER[::-1]
    picture = draw(tile, cell_px)
    height, width = picture.shape[:2]
    x, y = (cell_px[0] - width) // 2, (cell_px[1] - height) // 2
    cell[y : y + height, x : x + width] = picture
    return _write(cell, tile.caption, at=(2, cell_px[1] + 3), width_px=cell_px[0] - 4)


def _write(image: Image, text: str, *, at: tuple[int, int], width_px: int) -> Image:
    try:
        from PIL import Image as Pil
        from PIL import ImageDraw, ImageFont
    except ImportError:
        raise extra("pillow") from None
    page = Pil.fromarray(image[:, :, ::-1])
    pen = ImageDraw.Draw(page)
    font: Any = ImageFont.load_default(size=13)
    while len(text) > 4 and pen.textlength(text, font=font) > width_px:
        text = text[:-4] + "..."
    pen.text(at, text, fill=INK, font=font)
    return np.ascontiguousarray(np.asarray(page)[:, :, ::-1])
