"""Which parcels a training image shows: their boxes, label rows and mask, from the object number of every pixel.

Contract: number n of a mask (0 is none of them) is what row n of the label file names, and its box is that row's.
Needs no Blender.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_sorter.sim.camera import PinholeCamera
from edge_sorter.sim.scenario import CLASSES

MIN_VISIBLE_PX = 60
MIN_SIDE_PX = 10
MIN_VISIBLE_SHARE = 0.2


@dataclass(frozen=True, eq=False)
class Shown:
    """A parcel that shows enough of itself: class number, xyxy box in pixels and its pixels, 0 or 1, shape (h, w)."""

    kind: int
    box_px: tuple[float, float, float, float]
    mask: NDArray[np.uint8]


def shown(
    seen: NDArray[np.int32],
    camera: PinholeCamera,
    kinds: Mapping[int, str],
    vertices_mm: Mapping[int, NDArray[np.float64]],
) -> list[Shown]:
    """Every parcel that shows enough of itself.

    Args:
        seen: object number of each pixel.
        camera: what the picture was taken with.
        kinds: class name of each parcel's object number.
        vertices_mm: its mesh in the world, by the same number.
    """
    found = []
    for number, kind in kinds.items():
        mask = (seen == number).astype(np.uint8)
        if int(mask.sum()) > 400:  # single stray pixels, from defocus, must not stretch the box
            mask = np.asarray(cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)), np.uint8)
        count = int(mask.sum())
        if count < MIN_VISIBLE_PX:
            continue
        pixels = camera.project(vertices_mm[number])
        if not np.isnan(pixels).any():
            hull = cv2.convexHull(pixels.astype(np.float32))
            # A big parcel that mostly lies outside the picture is still one; a sliver behind another is not.
            if count < MIN_VISIBLE_SHARE * cv2.contourArea(hull) and count < 0.03 * seen.size:
                continue
        columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
        x0, x1, y0, y1 = columns[0], columns[-1] + 1, rows[0], rows[-1] + 1
        if min(x1 - x0, y1 - y0) >= MIN_SIDE_PX:
            found.append(Shown(CLASSES.index(kind), (float(x0), float(y0), float(x1), float(y1)), mask))
    return found


def numbered(found: Sequence[Shown], shape: tuple[int, int]) -> NDArray[np.uint8]:
    """The mask of a picture of this shape (h, w).

    Raises:
        ValueError: more parcels than a byte counts; none of our scenes has that many.
    """
    if len(found) > 255:
        raise ValueError(f"{len(found)} parcels in one picture; a mask counts to 255")
    mask = np.zeros(shape, np.uint8)
    for number, parcel in enumerate(found, start=1):
        mask[parcel.mask > 0] = number
    return mask


def label_rows(found: Sequence[Shown], shape: tuple[int, int]) -> str:
    """The label file of a picture of this shape (h, w): `class x y width height`, middle and size relative to it."""
    scale = np.array([shape[1], shape[0], shape[1], shape[0]])
    rows = []
    for parcel in found:
        x0, y0, x1, y1 = parcel.box_px
        place = ((x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0) / scale
        rows.append(f"{parcel.kind} " + " ".join(f"{v:.6f}" for v in place) + "\n")
    return "".join(rows)
