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
from edge_sorter.types import Box
from edge_sorter.yamlfile import Section, read_yaml

Point = tuple[float, float]
FourPoints = tuple[Point, Point, Point, Point]
Floats = NDArray[np.float64]
Rows = tuple[tuple[float, ...], ...]
Columns = tuple[Floats, Floats, Floats]
MIDDLES = np.array([[0, 4, 2, 4], [5, 1, 5, 3]])
"""Where x and y of a box's left, top, right and bottom edge middles stand among x1, y1, x2, y2 and its centre's."""

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
        self._to_mm, self._to_px = _columns(to_mm), _columns(to_px)
        self._rows_to_mm, self._rows_to_px, self._rows_back_to_px = map(_rows, (to_mm, to_px, back_to_px))
        self.middle_y_mm = float(belt_mm[:, 1].min() + belt_mm[:, 1].max()) / 2.0
        """Belt coordinate of the middle of the calibrated area, from which lateral offsets count."""
        self.across_mm = (float(belt_mm[:, 1].min()), float(belt_mm[:, 1].max()))
        """Extent of the calibrated area across travel."""
        width, height = image_size_px
        edges_px = ((0.0, height / 2.0), (float(width), height / 2.0), (width / 2.0, 0.0), (width / 2.0, float(height)))
        self.entry_mm = min(self.point_mm(edge)[0] for edge in edges_px)
        """Belt coordinate where things come into the picture."""

    def to_mm(self, points_px: ArrayLike) -> Floats:
        """Map picture points (n, 2) to the belt (n, 2); beyond the horizon they come out far away, but finite."""
        return _apply_to_points(self._to_mm, points_px)

    def to_px(self, points_mm: ArrayLike) -> Floats:
        """Map belt points (n, 2) to the picture (n, 2); behind the camera they come out far away, but finite."""
        return _apply_to_points(self._to_px, points_mm)

    def point_mm(self, point_px: Point) -> Point:
        """Map one picture point to the belt, as `to_mm` does, without the cost of arrays."""
        return _apply_to_one(self._rows_to_mm, point_px)

    def point_px(self, point_mm: Point) -> Point:
        """Map one belt point to the picture, as `to_px` does, without the cost of arrays."""
        return _apply_to_one(self._rows_to_px, point_mm)

    def shift(self, xyxy: Box, delta_mm: float) -> Box:
        """Return where a box is after the belt moved `delta_mm` (negative: backwards).

        Every edge moves with the belt point under its middle, so place and size follow the perspective. What would
        come past the camera ends up far outside the picture; a box beyond the horizon is returned unchanged.
        """
        x1, y1, x2, y2 = xyxy
        x, y = (x1 + x2) / 2.0, (y1 + y2) / 2.0
        (a, b, c), (d, e, f), (g, h, i) = self._rows_to_mm
        (p, q, r), (s, t, u), (v, w, z) = self._rows_back_to_px
        places = []
        for x_px, y_px in ((x1, y), (x, y1), (x2, y), (x, y2)):
            depth = g * x_px + h * y_px + i
            if depth <= HORIZON:
                return xyxy
            along, across = a * x_px + b * y_px + c + delta_mm * depth, d * x_px + e * y_px + f
            scale = v * along + w * across + z * depth  # 1 for a box that did not move
            scale = min(max(scale, 1.0 / SCALE_LIMIT), SCALE_LIMIT)
            places.append(((p * along + q * across + r * depth) / scale, (s * along + t * across + u * depth) / scale))
        left, top, right, bottom = places
        return min(left[0], right[0]), min(top[1], bottom[1]), max(left[0], right[0]), max(top[1], bottom[1])

    def centre_mm(self, xyxy: ArrayLike) -> Floats:
        """Return the belt points (n, 2) under the centres of boxes (n, 4)."""
        boxes = np.asarray(xyxy, dtype=np.float64).reshape(-1, 4)
        return self.to_mm((boxes[:, :2] + boxes[:, 2:]) / 2.0)

    def edges_mm(self, xyxy: ArrayLike) -> Floats:
        """Return the belt points (2, 4, n), x and y, under the middles of left, top, right and bottom edges."""
        boxes = np.asarray(xyxy, dtype=np.float64).reshape(-1, 4)
        return _apply(self._to_mm, *_edge_middles(boxes)).reshape(2, 4, -1)

    def size_mm(self, xyxy: ArrayLike) -> Floats:
        """Return length along travel and width across it (n, 2) of what fills boxes (n, 4).

        A parcel of length l and width w on the belt fills a box of |A| (l, w) pixels, where A is the local scale and
        skew; that is solved for (l, w). Where the camera is turned so far (about 45 degrees) that this has no sensible
        answer, the extent of the box itself stands in.
        """
        edges = self.edges_mm(xyxy)
        right, down = edges[:, 2] - edges[:, 0], edges[:, 3] - edges[:, 1]  # where |A|'s columns point, as (2, n)
        area = np.abs(right[0] * down[1] - down[0] * right[1])
        right, down = np.abs(right), np.abs(down)
        solved, extent = right - down, np.maximum(right, down)
        np.negative(solved[1], out=solved[1])
        with np.errstate(divide="ignore", invalid="ignore"):
            solved *= area / (right[0] * down[1] - down[0] * right[1])  # |A|^-1 has the entries of |A^-1|, up to this
            sensible = (solved > 0.5 * extent) & (solved < 2.0 * extent)
        if not sensible.all():
            solved = np.where(sensible.all(axis=0), solved, extent)
        size: Floats = solved.T
        return size

    def size_of(self, xyxy: tuple[float, float, float, float]) -> tuple[float, float]:
        """Return length and width of what fills one box, to the last bit as `size_mm` does, without arrays' cost."""
        x1, y1, x2, y2 = xyxy
        x, y = (x1 + x2) / 2.0, (y1 + y2) / 2.0
        left, top, right, bottom = map(self.point_mm, ((x1, y), (x, y1), (x2, y), (x, y2)))
        rx, ry, dx, dy = right[0] - left[0], right[1] - left[1], bottom[0] - top[0], bottom[1] - top[1]
        area = abs(rx * dy - dx * ry)
        rx, ry, dx, dy = abs(rx), abs(ry), abs(dx), abs(dy)
        length, width = max(rx, dx), max(ry, dy)
        if rx * dy != dx * ry:
            scale = area / (rx * dy - dx * ry)
            along, across = (rx - dx) * scale, (dy - ry) * scale
            if 0.5 * length < along < 2.0 * length and 0.5 * width < across < 2.0 * width:
                return along, across
        return length, width


def _homography(source: Floats, target: Floats) -> Floats:
    """Return the 3x3 map of four points onto four, scaled so that depth is 1 in the middle of the source points."""
    matrix: Floats = cv2.getPerspectiveTransform(source.astype(np.float32), target.astype(np.float32))
    return matrix / float(matrix[2] @ (*source.mean(axis=0), 1.0))


def _columns(matrix: NDArray[np.floating[Any]]) -> Columns:
    """Return the three columns of a matrix, each (3, 1)."""
    a, b, c = np.asarray(matrix, np.float64).T[:, :, None]
    return a, b, c


def _rows(matrix: NDArray[np.floating[Any]]) -> Rows:
    """Return the three rows of a matrix as plain numbers."""
    a, b, c = (tuple(row) for row in np.asarray(matrix, np.float64).tolist())
    return a, b, c


def _apply(columns: Columns, x: Floats, y: Floats) -> Floats:
    """Return where a homography takes points, as (2, n).

    Written out, because a general matrix product may round differently from one machine's library to another's.
    """
    a, b, c = columns
    mapped = a * x + b * y + c
    applied: Floats = mapped[:2] / np.maximum(mapped[2], HORIZON)
    return applied


def _apply_to_points(columns: Columns, points: ArrayLike) -> Floats:
    x, y = np.asarray(points, dtype=np.float64).reshape(-1, 2).T
    applied: Floats = _apply(columns, x, y).T
    return applied


def _apply_to_one(rows: Rows, point: Point) -> Point:
    (a, b, c), (d, e, f), (g, h, i) = rows
    x, y = point
    depth = max(g * x + h * y + i, HORIZON)
    return (a * x + b * y + c) / depth, (d * x + e * y + f) / depth


def _edge_middles(boxes: Floats) -> Floats:
    """Return the middles, x and y as (2, 4n), of all left, then top, right and bottom edges of boxes (n, 4)."""
    known = np.concatenate((boxes, (boxes[:, :2] + boxes[:, 2:]) / 2.0), axis=1)
    middles: Floats = known.T.take(MIDDLES, axis=0).reshape(2, -1)
    return middles


def _size(size_px: tuple[int, int]) -> str:
    return f"{size_px[0]}x{size_px[1]}"
