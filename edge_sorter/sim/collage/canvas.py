"""Where a picture is painted: the camera's view of the floor, and a canvas that knows which parcel each pixel shows."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Floats = NDArray[np.float64]
Rng = np.random.Generator

LEAST_VISIBLE, LEAST_AREA_PX = 0.25, 80
FAR_PX = 8000
"""Corners further out than this belong to something beside or behind the camera: it is not painted."""


@dataclass(frozen=True)
class View:
    """A pinhole camera above a floor (z = 0, metres): world to pixels."""

    rotation: Floats
    position: Floats
    focal_px: float
    size_px: tuple[int, int]

    def project(self, points: Floats) -> Floats:
        """Map world points (n, 3) to pixels (n, 2); NaN where a point is not in front of the camera."""
        local = (points - self.position) @ self.rotation.T
        depth = np.where(local[:, 2:] > 0.05, local[:, 2:], np.nan)
        return np.asarray(local[:, :2] / depth * self.focal_px + np.array(self.size_px) / 2.0)


class Canvas:
    """A picture being painted, far things first, with a map of which parcel each pixel shows."""

    def __init__(self, image: Image) -> None:
        self.image = image
        self.shape: tuple[int, int] = (image.shape[0], image.shape[1])
        self.owner = np.zeros(self.shape, np.int32)
        self.full_area: dict[int, int] = {}
        self.classes: dict[int, int] = {}

    def patch(self, texture: Image, corners: Floats, *, owner: int) -> None:
        """Paint a texture onto a convex quadrilateral (4, 2) px."""
        height, width = texture.shape[:2]
        if not np.isfinite(corners).all() or np.abs(corners).max() > FAR_PX:
            return
        flat = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
        matrix = cv2.getPerspectiveTransform(flat, corners.astype(np.float32))
        size = (self.image.shape[1], self.image.shape[0])
        painted = cv2.warpPerspective(texture, matrix, size, flags=cv2.INTER_AREA)
        mask = np.zeros(self.shape, np.uint8)
        cv2.fillConvexPoly(mask, np.round(corners).astype(np.int32), 1)
        self.cover(painted, mask.astype(bool), owner=owner)

    def cover(self, painted: Image, mask: NDArray[np.bool_], *, owner: int) -> None:
        """Take over the masked pixels for a parcel (or for clutter, owner 0)."""
        np.copyto(self.image, painted, where=mask[..., None])
        self.owner[mask] = owner
        if owner:
            self.full_area[owner] = self.full_area.get(owner, 0) + int(mask.sum())

    def boxes(self) -> list[tuple[int, tuple[int, int, int, int]]]:
        """Return class and visible box (x1, y1, x2, y2) of every parcel that shows enough of itself."""
        found = []
        for owner, class_id in self.classes.items():
            mask = (self.owner == owner).astype(np.uint8)
            area = int(mask.sum())
            if area >= LEAST_AREA_PX and area >= LEAST_VISIBLE * self.full_area.get(owner, 0):
                x, y, w, h = cv2.boundingRect(mask)
                found.append((class_id, (x, y, x + w, y + h)))
        return found
