"""The decision line, and the instant at which something moving crosses it.

Contract: the way between two positions either crosses downstream, once, at an interpolated time and place, or not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sorter.belt.mapping import BeltMap, Point
from edge_sorter.config import DecisionLineSection
from edge_sorter.errors import ConfigError

LINE_MARGIN = 0.1
"""A drawn decision line reaches this share of its length past both ends."""


@dataclass(frozen=True, slots=True)
class Crossing:
    """Where and when a swept point met the line; `fraction` is its share of the way from the first to the second."""

    at_ns: int
    point_px: Point
    fraction: float


class DecisionLine:
    """The line a parcel is decided at, with a side upstream (negative) and one downstream.

    With a calibration all geometry is done in belt millimetres, so interpolated times are right in perspective. Given
    as `at_mm` the line spans the belt without end. Drawn between two points it ends a tenth of its length past them:
    wide enough for a parcel that rides on the belt's edge, yet it leaves out a second belt in the same picture.
    Crossing is a fact about two positions: jitter around the line crosses again, so deciding once is the router's job.
    """

    def __init__(
        self,
        section: DecisionLineSection,
        *,
        belt_map: BeltMap | None,
        image_size_px: tuple[int, int],
        direction: Point = (1.0, 0.0),
    ) -> None:
        self._map = belt_map
        self._bottom = section.anchor == "bottom_center"
        self._endless = section.points is None
        if section.points is not None:
            ends = np.asarray(section.points) * image_size_px
            ends = ends if belt_map is None else belt_map.to_mm(ends)
        elif belt_map is None:
            raise ConfigError(
                "decision_line.at_mm needs a calibration (belt.calibration); or give decision_line.points"
            )
        else:
            ends = np.array([(section.at_mm, y) for y in belt_map.across_mm])
        self._start, end = _point(ends[0]), _point(ends[1])
        self._length = math.dist(self._start, end)
        self._along = unit_vector((end[0] - self._start[0], end[1] - self._start[1]))
        travel = (1.0, 0.0) if belt_map is not None else unit_vector(direction)
        facing = self._along[0] * travel[1] - self._along[1] * travel[0]
        if self._length < 1e-6 or abs(facing) < 0.1:
            raise ConfigError("decision_line must go across the belt, not along it: move one of its two points")
        self._normal = (-self._along[1], self._along[0]) if facing > 0.0 else (self._along[1], -self._along[0])
        corners = ends if belt_map is None else belt_map.to_px(ends)
        self.ends_px: tuple[Point, Point] = (_point(corners[0]), _point(corners[1]))
        """The line in the picture, for drawing."""

    def anchor(self, xyxy: Sequence[float] | NDArray[np.floating[Any]]) -> Point:
        """Return the point of a box (4,) that has to cross."""
        x1, y1, x2, y2 = xyxy
        return float(x1 + x2) / 2.0, float(y2) if self._bottom else float(y1 + y2) / 2.0

    def side(self, point_px: Point) -> float:
        """Return the signed distance to the line: negative upstream; millimetres if calibrated, else pixels."""
        return self._distance(self._plane(point_px), self._normal)

    def crossing(self, p0_px: Point, t0_ns: int, p1_px: Point, t1_ns: int) -> Crossing | None:
        """Return where the way from `p0_px` to `p1_px` crosses downstream, or None.

        The upstream side is open and the line itself counts as downstream, so a chain of positions that goes over
        the line once crosses exactly once, wherever the frames happen to fall.
        """
        p0, p1 = self._plane(p0_px), self._plane(p1_px)
        before, after = self._distance(p0, self._normal), self._distance(p1, self._normal)
        if not before < 0.0 <= after:
            return None
        fraction = before / (before - after)
        point = p0[0] + fraction * (p1[0] - p0[0]), p0[1] + fraction * (p1[1] - p0[1])
        place = self._distance(point, self._along) / self._length
        if not self._endless and not -LINE_MARGIN <= place <= 1.0 + LINE_MARGIN:
            return None
        at_px = point if self._map is None else self._map.point_px(point)
        return Crossing(t0_ns + round(fraction * (t1_ns - t0_ns)), at_px, fraction)

    def _plane(self, point_px: Point) -> Point:
        return point_px if self._map is None else self._map.point_mm(point_px)

    def _distance(self, point: Point, axis: Point) -> float:
        return (point[0] - self._start[0]) * axis[0] + (point[1] - self._start[1]) * axis[1]


def unit_vector(vector: Point) -> Point:
    """Return the vector scaled to length 1."""
    length = max(math.hypot(*vector), 1e-12)
    return vector[0] / length, vector[1] / length


def _point(values: NDArray[np.float64]) -> Point:
    return float(values[0]), float(values[1])
