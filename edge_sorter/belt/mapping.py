"""Where a pixel is on the belt: one homography from four measured points, in both directions.

Contract: everything comes out finite, also beyond the horizon, and a box that did not move maps onto itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, field_validator

from edge_sorter.errors import ConfigError
from edge_sorter.yamlfile import Section, read_yaml

Point = tuple[float, float]
FourPoints = tuple[Point, Point, Point, Point]
Floats = NDArray[np.float64]

HORIZON = 0.02
"""Depth, as a share of that of the calibrated area, below which a point counts as at the horizon."""
SCALE_LIMIT = 10.0
"""A shift scales a box by no more than this; what it would bring past the camera stops there, out of the picture."""


class Calibration(Section):
    """Four points of the belt surface in the picture and on the belt; any four corners of a convex area do."""

    image_size_px: tuple[Annotated[int, Field(ge=16)], Annotated[int, Field(ge=16)]]
    image_points_px: FourPoints
    belt_points_mm: FourPoints
    note: str = ""

    @field_validator("image_points_px", "belt_points_mm")
    @classmethod
    def _points_enclose_an_area(cls, points: FourPoints) -> FourPoints:
        sides = np.roll(points, -1, axis=0) - np.asarray(points)
        after = np.roll(sides, -1, axis=0)
        turns = sides[:, 0] * after[:, 1] - sides[:, 1] * after[:, 0]
        lengths = np.hypot(sides[:, 0], sides[:, 1])
        sines = turns / np.maximum(lengths * np.roll(lengths, -1), 1e-12)
        if not (sines > 0.02).all() and not (sines < -0.02).all():
            raise ValueError(
                "the four points must be the corners of a convex area, in order around it; "
                "here three are on one line or the order crosses over"
            )
        return points


def load_calibration(path: Path) -> Calibration:
    """Read a camera-to-belt calibration file.

    Raises:
        ConfigError: The file is missing or wrong; lists every problem with its line.
    """
    return read_yaml(path, Calibration, what="calibration")


class BeltMap:
    """Converts between picture and belt surface for one camera; a homography, scaled to the picture in use."""

    def __init__(self, calibration: Calibration, *, image_size_px: tuple[int, int]) -> None:
        scale = np.asarray(image_size_px, float) / calibration.image_size_px
        if abs(scale[0] / scale[1] - 1.0) > 0.02:
            raise ConfigError(
                f"made on a {_size(calibration.image_size_px)} picture, the one in use is "
                f"{_size(image_size_px)}, which is another shape; calibrate again on this picture"
            )
        image_px = np.asarray(calibration.image_points_px) * scale
        belt_mm = np.asarray(calibration.belt_points_mm)
        self._to_mm = _homography(image_px, belt_mm)
        self._to_px = _homography(belt_mm, image_px)
        self._back_to_px = np.linalg.inv(self._to_mm)  # unlike _to_px it keeps the depth that _to_mm gave
        self._rows_to_mm, self._rows_to_px = self._to_mm.tolist(), self._to_px.tolist()
        self.middle_y_mm = float(belt_mm[:, 1].min() + belt_mm[:, 1].max()) / 2.0
        """Belt coordinate of the middle of the calibrated area, from which lateral offsets count."""
        self.across_mm = (float(belt_mm[:, 1].min()), float(belt_mm[:, 1].max()))
        """Extent of the calibrated area across travel."""

    def to_mm(self, points_px: ArrayLike) -> Floats:
        """Map picture points (n, 2) to the belt (n, 2); beyond the horizon they come out far away, but finite."""
        return _apply(self._to_mm, points_px)

    def to_px(self, points_mm: ArrayLike) -> Floats:
        """Map belt points (n, 2) to the picture (n, 2); behind the camera they come out far away, but finite."""
        return _apply(self._to_px, points_mm)

    def point_mm(self, point_px: Point) -> Point:
        """Map one picture point to the belt, as `to_mm` does, without the cost of arrays."""
        return _apply_to_one(self._rows_to_mm, point_px)

    def point_px(self, point_mm: Point) -> Point:
        """Map one belt point to the picture, as `to_px` does, without the cost of arrays."""
        return _apply_to_one(self._rows_to_px, point_mm)

    def shift(self, xyxy: NDArray[np.floating[Any]], delta_mm: float) -> Floats:
        """Return where boxes (n, 4) are after the belt moved `delta_mm` (negative: backwards).

        Every edge moves with the belt point under its middle, so place and size follow the perspective. What would
        come past the camera ends up far outside the picture; boxes beyond the horizon are returned unchanged.
        """
        boxes = np.asarray(xyxy, dtype=np.float64).reshape(-1, 4)
        on_belt = _homogeneous(_edge_middles(boxes)) @ self._to_mm.T
        in_front = on_belt[..., 2] > HORIZON
        on_belt[..., 0] += delta_mm * on_belt[..., 2]
        moved = on_belt @ self._back_to_px.T  # the third column is 1 for a box that did not move
        edges = moved[..., :2] / np.clip(moved[..., 2:], 1.0 / SCALE_LIMIT, SCALE_LIMIT)
        left, top, right, bottom = edges[:, 0, 0], edges[:, 1, 1], edges[:, 2, 0], edges[:, 3, 1]
        corners = np.minimum(left, right), np.minimum(top, bottom), np.maximum(left, right), np.maximum(top, bottom)
        return np.where(in_front.all(axis=1)[:, None], np.stack(corners, axis=1), boxes)

    def centre_mm(self, xyxy: ArrayLike) -> Floats:
        """Return the belt points (n, 2) under the centres of boxes (n, 4)."""
        boxes = np.asarray(xyxy, dtype=np.float64).reshape(-1, 4)
        return self.to_mm((boxes[:, :2] + boxes[:, 2:]) / 2.0)

    def size_mm(self, xyxy: ArrayLike) -> Floats:
        """Return length along travel and width across it (n, 2) of what fills boxes (n, 4).

        A parcel of length l and width w on the belt fills a box of |A| (l, w) pixels, where A is the local scale and
        skew; that is solved for (l, w). Where the camera is turned so far (about 45 degrees) that this has no sensible
        answer, the extent of the box itself stands in.
        """
        boxes = np.asarray(xyxy, dtype=np.float64).reshape(-1, 4)
        middles = self.to_mm(_edge_middles(boxes).reshape(-1, 2)).reshape(-1, 4, 2)
        right, down = middles[:, 2] - middles[:, 0], middles[:, 3] - middles[:, 1]
        extent = np.maximum(np.abs(right), np.abs(down))
        size_px = boxes[:, 2:] - boxes[:, :2]
        mm_per_px = np.stack((right, down), axis=2) / np.maximum(size_px, 1e-9)[:, None, :]
        mm_per_px_area = np.linalg.det(mm_per_px)
        (a, b), (c, d) = np.abs(np.moveaxis(mm_per_px, 0, 2))  # |inverse| shares these entries, swapped
        det = a * d - b * c  # of |A|, up to the factor area^2
        with np.errstate(divide="ignore", invalid="ignore"):
            factor = np.abs(mm_per_px_area) / det
            solved = np.stack((a * size_px[:, 0] - b * size_px[:, 1], d * size_px[:, 1] - c * size_px[:, 0]), axis=1)
            solved = solved * factor[:, None]
            sensible = ((solved > 0.5 * extent) & (solved < 2.0 * extent)).all(axis=1)
        return np.where(sensible[:, None], solved, extent)


def _homography(source: Floats, target: Floats) -> Floats:
    """Return the 3x3 map of four points onto four, scaled so that depth is 1 in the middle of the source points."""
    matrix: Floats = cv2.getPerspectiveTransform(source.astype(np.float32), target.astype(np.float32))
    return matrix / float(matrix[2] @ (*source.mean(axis=0), 1.0))


def _homogeneous(points: Floats) -> Floats:
    return np.concatenate((points, np.ones((*points.shape[:-1], 1))), axis=-1)


def _apply(matrix: Floats, points: ArrayLike) -> Floats:
    mapped = _homogeneous(np.asarray(points, dtype=np.float64).reshape(-1, 2)) @ matrix.T
    flat: Floats = mapped[:, :2] / np.maximum(mapped[:, 2:], HORIZON)
    return flat


def _apply_to_one(rows: list[list[float]], point: Point) -> Point:
    x, y = point
    u, v, depth = (row[0] * x + row[1] * y + row[2] for row in rows)
    depth = max(depth, HORIZON)
    return u / depth, v / depth


def _edge_middles(boxes: Floats) -> Floats:
    """Return the middles of the left, top, right and bottom edges (n, 4, 2) of boxes (n, 4)."""
    x1, y1, x2, y2 = boxes.T
    x, y = (x1 + x2) / 2.0, (y1 + y2) / 2.0
    return np.stack((np.stack((x1, x, x2, x), axis=1), np.stack((y, y1, y, y2), axis=1)), axis=2)


def _size(size_px: tuple[int, int]) -> str:
    return f"{size_px[0]}x{size_px[1]}"
