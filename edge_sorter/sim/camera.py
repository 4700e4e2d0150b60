"""The pinhole camera that both the truth and the renderer use, so that pixels and truth cannot disagree.

Contract: ``PinholeCamera.project`` maps belt-world millimetres to image pixels exactly as the renderer's lens does.

World: x along travel, y across the belt (0 at the near edge), z up from the belt surface, right-handed, millimetres.
Image: x right, y down, (0, 0) is the outer corner of the first pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class PinholeCamera:
    """An ideal camera without lens distortion.

    Attributes:
        position_mm: where the optical centre is, world millimetres.
        look_at_mm: the world point in the picture's centre.
        focal_px: focal length in pixels.
        image_px: width and height of the picture.
        roll_rad: turn of the picture about the optical axis.
    """

    position_mm: tuple[float, float, float]
    look_at_mm: tuple[float, float, float]
    focal_px: float
    image_px: tuple[int, int]
    roll_rad: float = 0.0

    def axes(self) -> FloatArray:
        """Rows are the camera's right, down and forward directions in the world, shape (3, 3)."""
        forward = np.asarray(self.look_at_mm, float) - np.asarray(self.position_mm, float)
        forward /= np.linalg.norm(forward)
        # Straight down has no horizon; then the picture's top is +y, as for every camera that looks along +y.
        reference = np.array([0.0, 0.0, 1.0]) if abs(forward[2]) < 0.9999 else np.array([0.0, 1.0, 0.0])
        right = np.cross(forward, reference)
        right /= np.linalg.norm(right)
        down = np.cross(forward, right)
        cos, sin = np.cos(self.roll_rad), np.sin(self.roll_rad)
        return np.stack([cos * right + sin * down, cos * down - sin * right, forward])

    def project(self, points_mm: FloatArray) -> FloatArray:
        """Project world points, shape (n, 3) in millimetres, to pixels, shape (n, 2).

        Points behind the camera come back as NaN: they have no place in the picture.
        """
        local = (np.asarray(points_mm, float) - np.asarray(self.position_mm, float)) @ self.axes().T
        depth = np.where(local[:, 2] > 1e-6, local[:, 2], np.nan)
        centre = np.asarray(self.image_px, float) / 2.0
        projected: FloatArray = self.focal_px * local[:, :2] / depth[:, None] + centre
        return projected

    def on_belt(self, pixels: FloatArray) -> FloatArray:
        """Where rays through pixels, shape (n, 2), meet the belt surface z = 0: millimetres (x, y), shape (n, 2)."""
        offsets = (np.asarray(pixels, float) - np.asarray(self.image_px, float) / 2.0) / self.focal_px
        rays = np.column_stack([offsets, np.ones(len(offsets))]) @ self.axes()
        origin = np.asarray(self.position_mm, float)
        reached: FloatArray = origin[:2] - rays[:, :2] * (origin[2] / rays[:, 2])[:, None]
        return reached
