"""Heat maps laid over pictures, and feature maps side by side, as PNG files.

Contract: every file is written whole or not at all; colours are those of viridis (readable in grey and for colour-blind
eyes); a picture is scaled to at most `WIDEST_PX`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from edge_sorter.errors import ModelError
from edge_sorter.lifecycle.explanation.activation import Maps
from edge_sorter.lifecycle.explanation.subject import Target
from edge_sorter.types import FloatArray, Image

WIDEST_PX = 1280
TILE_PX = 160
TILES = 32
BOX_BGR = (255, 255, 255)
EDGE_BGR = (0, 0, 0)
OPAQUE = 0.75
"""How much of the picture the hottest places hide; cold ones hide nothing."""


def heat_over(picture: Image, heat: FloatArray, targets: Sequence[Target], *, first: int = 1) -> Image:
    """Return the picture, greyed, with a heat map (h, w) of 0 to 1 over it and the boxes it is about."""
    grey = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    colours = cv2.applyColorMap((np.clip(heat, 0, 1) * 255).astype(np.uint8), cv2.COLORMAP_VIRIDIS)
    share = (np.clip(heat * 1.5, 0, 1) * OPAQUE)[..., None]
    mixed = np.asarray(grey * (1 - share) + colours * share, np.uint8)
    return with_boxes(mixed, targets, first=first)


def with_boxes(picture: Image, targets: Sequence[Target], *, first: int = 1) -> Image:
    """Return a copy with boxes, numbered from `first`, and what they were taken for."""
    drawn = picture.copy()
    width = max(round(max(picture.shape[:2]) / 500), 1)
    for number, target in enumerate(targets, start=first):
        x1, y1, x2, y2 = (round(side) for side in target.xyxy)
        for colour, thick in ((EDGE_BGR, 3 * width), (BOX_BGR, width)):
            cv2.rectangle(drawn, (x1, y1), (x2, y2), colour, thick)
        text = f"{number} {target.class_name} {target.confidence:.2f}"
        place = (x1 + 2 * width, max(y1 - 3 * width, 14 * width))
        for colour, thick in ((EDGE_BGR, 4 * width), (BOX_BGR, width)):
            cv2.putText(drawn, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5 * width, colour, thick, cv2.LINE_AA)
    return drawn


def sheet(maps: Maps) -> Image:
    """Return the channels that vary most as one sheet of tiles, each scaled to its own range."""
    order = np.argsort(-maps.std(axis=(1, 2)), kind="stable")[:TILES]
    tiles = []
    for channel in maps[order]:
        low, high = float(channel.min()), float(channel.max())
        grey = ((channel - low) / max(high - low, 1e-12) * 255).astype(np.uint8)
        height = max(round(TILE_PX * channel.shape[0] / channel.shape[1]), 1)
        tile = cv2.resize(grey, (TILE_PX, height), interpolation=cv2.INTER_NEAREST)
        tiles.append(cv2.copyMakeBorder(cv2.applyColorMap(tile, cv2.COLORMAP_VIRIDIS), 1, 1, 1, 1, cv2.BORDER_CONSTANT))
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % 8)
    rows = [np.concatenate(tiles[start : start + 8], axis=1) for start in range(0, len(tiles), 8)]
    return np.asarray(np.concatenate(rows), np.uint8)


def save(path: Path, picture: Image) -> Path:
    """Write a PNG.

    Raises:
        ModelError: The folder or disk does not take it.
    """
    scale = min(WIDEST_PX / max(picture.shape[:2]), 1.0)
    if scale < 1:
        picture = np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(cv2.imencode(".png", picture)[1].tobytes())
        partial.replace(path)
    except OSError as error:
        raise ModelError(f"{path} cannot be written: {error.strerror}; choose another --out") from None
    finally:
        partial.unlink(missing_ok=True)
    return path
