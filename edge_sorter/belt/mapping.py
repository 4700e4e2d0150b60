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
Rows = tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]

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
        to_mm, to_px = _homography(image_px, belt_mm), _homography(belt_mm, image_px)
        back_to_px = np.linalg.inv(to_mm)  # unlike to_px it keeps the depth that to_mm gave
        self._to_mm, self._to_px, self._back_to_px = (_rows(matrix) for matrix in (to_mm, to_px, back_to_px))
        self.middle_y_mm = float(belt_mm[:, 1].min() + belt_mm[:, 1].max()) / 2.0
        """Belt coordinate of the middle of the calibrated area, from which lateral offsets count."""
        self.across_mm = (float(belt_mm[:, 1].min()), float(belt_mm[:, 1].max()))
        """Extent of the calibrated area across travel."""

    def to_mm(self, points_px: ArrayLike) -> Floats:
        """Map picture points (n, 2) to the belt (n, 2); beyond the horizon they come out far away, but finite."""
        return _apply_to_points(self._to_mm, points_px)

    def to_px(self, points_mm: ArrayLike) -> Floats:
        """Map belt points (n, 2) to the picture (n, 2); behind the camera they come out far away, but finite."""
        return _apply_to_points(self._to_px, points_mm)

    def point_mm(self, point_px: Point) -> Point:
        """Map one picture point to the belt, as `to_mm` does, without the cost of arrays."""
        return _apply_to_one(self._to_mm, point_px)

    def point_px(self, point_mm: Point) -> Point:
        """Map one belt point to the picture, as `to_px` does, without the cost of arrays."""
        return _apply_to_one(self._to_px, point_mm)

    def shift(self, xyxy: NDArray[np.floating[Any]], delta_mm: float) -> Floats:
        """Return where boxes (n, 4) are after the belt moved `delta_mm` (negative: backwards).

        Every edge moves with the belt point under its middle, so place and size follow the perspective. What would
        come past the camera ends up far outside the picture; boxes beyond the horizon are returned unchanged.
        """
        boxes = np.asarray(xyxy, dtype=np.float64).reshape(-1, 4)
        u, v, depth = _times(self._to_mm, *_edge_middles(boxes))
        in_front = (depth > HORIZON).all(axis=0)
        x, y, scale = _times(self._back_to_px, u + delta_mm * depth, v, depth)
        scale = np.minimum(np.maximum(scale, 1.0 / SCALE_LIMIT), SCALE_LIMIT)  # 1 for a box that did not move
        x, y = x / scale, y / scale
        shifted = np.empty_like(boxes)
        np.minimum(x[0], x[2], out=shifted[:, 0])
        np.minimum(y[1], y[3], out=shifted[:, 1])
        np.maximum(x[0], x[2], out=shifted[:, 2])
        np.maximum(y[1], y[3], out=shifted[:, 3])
        return shifted if in_front.all() else np.where(in_front[:, None], shifted, boxes)

    def centre_mm(self, xyxy: ArrayLike) -> Floats:
        """Return the belt points (n, 2) under the centres of boxes (n, 4)."""
        boxes = np.asarray(xyxy, dtype=np.float64).reshape(-1, 4)
        return self.to_mm((boxes[:, :2] + boxes[:, 2:]) / 2.0)

    def edges_mm(self, xyxy: ArrayLike) -> tuple[Floats, Floats]:
        """Return the belt points, x (4, n) and y (4, n), under the middles of left, top, right and bottom edges."""
        return _apply(self._to_mm, *_edge_middles(np.asarray(xyxy, dtype=np.float64).reshape(-1, 4)))

    def size_mm(self, xyxy: ArrayLike) -> Floats:
        """Return length along travel and width across it (n, 2) of what fills boxes (n, 4).

        A parcel of length l and width w on the belt fills a box of |A| (l, w) pixels, where A is the local scale and
        skew; that is solved for (l, w). Where the camera is turned so far (about 45 degrees) that this has no sensible
        answer, the extent of the box itself stands in.
        """
        boxes = np.asarray(xyxy, dtype=np.float64).reshape(-1, 4)
        x, y = self.edges_mm(boxes)
        right_x, right_y, down_x, down_y = x[2] - x[0], y[2] - y[0], x[3] - x[1], y[3] - y[1]
        area = np.abs(right_x * down_y - down_x * right_y)
        right_x, right_y, down_x, down_y = np.abs((right_x, right_y, down_x, down_y))
        solved = np.array((right_x - down_x, down_y - right_y))
        extent = np.maximum((right_x, right_y), (down_x, down_y))
        with np.errstate(divide="ignore", invalid="ignore"):
            solved *= area / (right_x * down_y - down_x * right_y)  # |A|^-1 has the entries of |A^-1|, up to this
            sensible = (solved > 0.5 * extent) & (solved < 2.0 * extent)
        if not sensible.all():
            solved = np.where(sensible.all(axis=0), solved, extent)
        size: Floats = solved.T
        return size


def _homography(source: Floats, target: Floats) -> Floats:
    """Return the 3x3 map of four points onto four, scaled so that depth is 1 in the middle of the source points."""
    matrix: Floats = cv2.getPerspectiveTransform(source.astype(np.float32), target.astype(np.float32))
    return matrix / float(matrix[2] @ (*source.mean(axis=0), 1.0))


def _rows(matrix: NDArray[np.floating[Any]]) -> Rows:
    a, b, c = (tuple(row) for row in matrix.tolist())
    return a, b, c


def _times(rows: Rows, x: Any, y: Any, w: Any = 1.0) -> tuple[Any, Any, Any]:
    """Return a 3x3 matrix times (x, y, w), of numbers or of columns.

    Written out, because a general matrix product may round differently from one machine's library to another's.
    """
    (a, b, c), (d, e, f), (g, h, i) = rows
    return a * x + b * y + c * w, d * x + e * y + f * w, g * x + h * y + i * w


def _apply(rows: Rows, x: Any, y: Any) -> tuple[Any, Any]:
    u, v, depth = _times(rows, x, y)
    depth = np.maximum(depth, HORIZON)
    return u / depth, v / depth


def _apply_to_points(rows: Rows, points: ArrayLike) -> Floats:
    columns = np.asarray(points, dtype=np.float64).reshape(-1, 2).T
    mapped: Floats = np.array(_apply(rows, columns[0], columns[1])).T
    return mapped


def _apply_to_one(rows: Rows, point: Point) -> Point:
    u, v, depth = _times(rows, *point)
    depth = max(depth, HORIZON)
    return u / depth, v / depth


def _edge_middles(boxes: Floats) -> tuple[Floats, Floats]:
    """Return the middles, x (4, n) and y (4, n), of the left, top, right and bottom edges of boxes (n, 4)."""
    x1, y1, x2, y2 = boxes.T
    x, y = (x1 + x2) / 2.0, (y1 + y2) / 2.0
    return np.array((x1, x, x2, x)), np.array((y, y1, y, y2))


def _size(size_px: tuple[int, int]) -> str:
    return f"{size_px[0]}x{size_px[1]}"
