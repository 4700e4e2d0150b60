"""How tracked boxes move between two frames: with the belt where its motion is known, else at constant velocity.

Contract: the state of one box depends on what it was told and nothing else; only elapsed time and belt travel enter,
never a frame count. Plain floats, because a line has a handful of parcels in view, for which arrays cost more than they
save.

Each axis of each box is a small Kalman filter (Kalman 1960) of two numbers: the centre, and its slope against an
`advance` that drives it. Without belt motion the advance is seconds and the slope a velocity in px/s. With it, the
belt's map moves the box first; the advance is the distance that moved it, in px, signed, and the slope is what the
object does beyond that, per px. So a tall parcel, nearer to the camera than the belt, is a little faster than the
belt, an object that jams has slope -1, and all of it stands still, and runs backwards, when the belt does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

from edge_sorter.types import Box

Vector = tuple[float, float]

CENTRE_NOISE = 0.05
"""Standard deviation of a measured centre, in box lengths."""
SIZE_NOISE = 0.05
"""Standard deviation of a measured width or height, in box lengths."""
NEWBORN_SIZE = 0.5
"""Standard deviation of a newborn's size, in box lengths: the first box is often only a part of the object."""
GROWTH = 0.2
"""How much a size wanders, in box lengths per root second."""
NEWBORN_SPEED = 7.0
"""Standard deviation of an unknown velocity, in box lengths per second: 3 m/s for a 150 mm parcel is 3 of them."""
ACCELERATION = 3.0
"""How much a velocity wanders without known belt motion, in box lengths per second, per root second."""
SLIP = 0.04
"""Standard deviation of the slope against a known belt motion before anything was measured: the middle of a box around
a parcel 300 mm high, seen from 2.5 m, goes 6 % faster than the belt, and a flat one as fast as it."""
EDGE_SLACK = 0.2
"""How far off an edge of a parcel may be measured, as a share of its side, before it is another object's."""
SLIP_CHANGE = 0.1
"""How much that slope wanders over one box length of advance."""
REACH = (3.0, 1.5)
"""A newborn box, and one whose velocity is known, never match further than this from their prediction, in lengths."""
JUMP = 0.15
"""A change of size beyond this, in box lengths, is no noise: another part of the object is in view."""
WANDER = 0.1
"""How far an object strays whatever the belt does, in box lengths per root second."""


@dataclass(slots=True)
class Axis:
    """State of one box along one axis of the picture.

    Attributes:
        centre: px.
        size: Width or height, px.
        slope: Centre's change per advance: px/s, or px per px of belt-driven movement.
        velocity: px/s, whatever drives the box.
        var, cov, var_slope: Covariance of centre and slope.
        var_size: Variance of the size.
    """

    centre: float
    size: float
    slope: float
    velocity: float
    var: float
    cov: float
    var_slope: float
    var_size: float

    def advance(self, base: float, advance: float, *, wander: float, area: float, dt_s: float) -> None:
        """Move the centre by `base` and by slope times `advance`; `wander` is the slope's variance per advance."""
        moved = base + self.slope * advance
        distance = abs(advance)
        grown, gained = wander * distance, advance * self.var_slope
        self.centre += moved
        if dt_s > 0.0:
            self.velocity = moved / dt_s
        strayed = grown * (distance * distance / 3.0) + area * (WANDER**2 * dt_s)
        self.var = self.var + advance * (2.0 * self.cov + gained) + strayed
        self.cov = self.cov + gained + grown * (advance / 2.0)
        self.var_slope += grown
        self.var_size += area * (GROWTH**2 * dt_s)

    def flow(self, velocity: float, *, variance: float, least: float, dt_s: float) -> None:
        """Expect a velocity with a variance, from `dt_s` ago on; the centre is known no better than to `least`."""
        self.centre += (velocity - self.slope) * dt_s
        self.slope = velocity
        self.var = max(self.var - self.var_slope * dt_s**2, least) + variance * dt_s**2
        self.cov, self.var_slope = variance * dt_s, variance

    def learn(self, low: float, high: float, *, first: bool, area: float, jump: float, rate: float) -> None:
        """Take the measured edges; a change of size by more than `jump` px is believed as it is."""
        half = self.size / 2.0
        low, high = low - (self.centre - half), high - (self.centre + half)
        off, change = (low + high) / 2.0, high - low
        # The lesser of both edges' moves where they agree on the direction, else none.
        moved = off if first else max(min(low, high), 0.0) + min(max(low, high), 0.0)
        total = self.var + CENTRE_NOISE**2 * area
        gain, size_gain = self.var / total, self.var_size / (self.var_size + SIZE_NOISE**2 * area)
        if abs(change) > jump:
            gain = size_gain = 1.0
        slope_gain = self.cov / (total + _square(change / 2.0))
        learnt = slope_gain * moved
        self.centre += gain * off
        self.size = max(self.size + size_gain * change, 1.0)
        self.slope += learnt
        self.velocity += learnt * rate
        self.var_slope -= slope_gain * self.cov
        self.var *= 1.0 - gain
        self.cov *= 1.0 - gain
        self.var_size *= 1.0 - size_gain


class Flow(NamedTuple):
    """How neighbours move: their median velocity, px/s, and by how much they typically disagree with it."""

    velocity: Vector
    disagreement: float

    @staticmethod
    def of(velocities: Sequence[Vector]) -> Flow:
        """Return how boxes with these velocities, at least one, move together."""
        x, y = (median(along) for along in zip(*velocities, strict=True))
        return Flow((x, y), median(_norm(vx - x, vy - y) for vx, vy in velocities))


@dataclass(slots=True)
class Motion:
    """State of one box: both axes, and the advance per second over the last prediction."""

    x: Axis
    y: Axis
    rate: float

    @staticmethod
    def at_rest(xyxy: Box, *, belt_known: bool) -> Motion:
        """Return the motion of a newly seen box: nothing known yet but where it is."""
        x1, y1, x2, y2 = xyxy
        width, height = max(x2 - x1, 1.0), max(y2 - y1, 1.0)
        length = math.sqrt(max(width * height, 1.0))
        x, y = (
            Axis(
                centre=centre,
                size=size,
                slope=0.0,
                velocity=0.0,
                var=_square(CENTRE_NOISE * length),
                cov=0.0,
                var_slope=SLIP**2 if belt_known else _square(NEWBORN_SPEED * length),
                var_size=_square(NEWBORN_SIZE * length),
            )
            for centre, size in (((x1 + x2) / 2.0, width), ((y1 + y2) / 2.0, height))
        )
        return Motion(x, y, 0.0 if belt_known else 1.0)

    @property
    def xyxy(self) -> Box:
        """The box."""
        x, y = self.x, self.y
        half_x, half_y = x.size / 2.0, y.size / 2.0
        return x.centre - half_x, y.centre - half_y, x.centre + half_x, y.centre + half_y

    @property
    def velocity(self) -> Vector:
        """Velocity of the centre, px/s."""
        return self.x.velocity, self.y.velocity

    @property
    def area(self) -> float:
        """Area of the box, px²."""
        return max(self.x.size * self.y.size, 1.0)

    @property
    def length(self) -> float:
        """Typical length of the box, px: what distances and speeds are measured against."""
        return math.sqrt(self.area)

    def with_belt(self) -> None:
        """Restate it as slope against the belt: from now on its motion is known."""
        for axis in (self.x, self.y):
            axis.slope, axis.cov, axis.var_slope = 0.0, 0.0, SLIP**2

    def without_belt(self) -> None:
        """Restate it as velocity: from now on the belt's motion is not known."""
        spread = 0.3 * _norm(*self.velocity) + 0.5 * self.length
        for axis in (self.x, self.y):
            axis.slope, axis.cov, axis.var_slope = axis.velocity, 0.0, _square(spread)
        self.rate = 1.0

    def with_flow(self, flow: Flow, *, dt_s: float = 0.0) -> None:
        """Expect a newborn to move like its neighbours.

        Their median is the expectation; how much they disagree, and a part of it, is how far it is trusted.
        Give `dt_s` where the box was already predicted that far without knowing the flow.
        """
        length = self.length
        trusted = 2.0 * flow.disagreement + 0.3 * _norm(*flow.velocity) + 0.5 * length
        variance = _square(min(trusted, NEWBORN_SPEED * length))
        for axis, velocity in zip((self.x, self.y), flow.velocity, strict=True):
            axis.flow(velocity, variance=variance, least=_square(CENTRE_NOISE * length), dt_s=dt_s)

    def predict(self, *, dt_s: float) -> None:
        """Move on by `dt_s` at constant velocity."""
        area, wander = self.area, _square(ACCELERATION * self.length)
        for axis in (self.x, self.y):
            axis.advance(0.0, dt_s, wander=wander, area=area, dt_s=dt_s)
        if dt_s > 0.0:
            self.rate = 1.0

    def predict_with_belt(self, shifted: Box, *, delta_mm: float, dt_s: float) -> None:
        """Move on by `dt_s`, in which the belt took the box to `shifted` by moving `delta_mm`."""
        x, y = self.x, self.y
        x1, y1, x2, y2 = shifted
        base_x, base_y = (x1 + x2) / 2.0 - x.centre, (y1 + y2) / 2.0 - y.centre
        advance = math.copysign(_norm(base_x, base_y), delta_mm)
        wander = SLIP_CHANGE**2 / self.length
        x.size, y.size = max(x2 - x1, 1.0), max(y2 - y1, 1.0)
        area = self.area
        x.advance(base_x, advance, wander=wander, area=area, dt_s=dt_s)
        y.advance(base_y, advance, wander=wander, area=area, dt_s=dt_s)
        if dt_s > 0.0:
            self.rate = advance / dt_s

    def correct(self, xyxy: Box, *, first: bool, belt_known: bool) -> None:
        """Learn that the box was measured at `xyxy`.

        Where it changed size, its centre moved for that reason too, so the slope learns from the edge that agrees best
        with the prediction: a parcel that enters the picture, or passes behind something, keeps its speed. A box that
        was seen only once before (`first`) is without any velocity yet and learns from the centre.

        With the belt's motion known the slope needs no help from a smooth centre, so a box that jumps in size is
        believed as it is: its edges are then exact where it is cut by the picture's border.
        """
        x1, y1, x2, y2 = xyxy
        area = self.area
        jump = JUMP * math.sqrt(area) if belt_known else math.inf
        self.x.learn(x1, x2, first=first, area=area, jump=jump, rate=self.rate)
        self.y.learn(y1, y2, first=first, area=area, jump=jump, rate=self.rate)

    def moved_px_s(self, xyxy: Box, *, dt_s: float) -> Vector:
        """Return how fast a box moved that was predicted `dt_s` ahead, without the belt, and measured at `xyxy`."""
        x, y = self.x, self.y
        x1, y1, x2, y2 = xyxy
        return x.slope + ((x1 + x2) / 2.0 - x.centre) / dt_s, y.slope + ((y1 + y2) / 2.0 - y.centre) / dt_s

    def reach_px(self, *, newborn: bool) -> Vector:
        """Return how far from its prediction a box may be measured: 3 sigma, but never a teleport."""
        length = self.length
        noise, furthest = _square(CENTRE_NOISE * length), REACH[0 if newborn else 1] * length
        x, y = (min(max(3.0 * math.sqrt(axis.var + noise), 0.5 * length), furthest) for axis in (self.x, self.y))
        return x, y

    def slack_px(self, seen: Box) -> Vector:
        """Return how far from its prediction an edge of a box may be measured that the belt carried on from `seen`."""
        x1, y1, x2, y2 = seen
        length = self.length
        x, y = (
            EDGE_SLACK * max(axis.size, length) + 3.0 * SLIP * abs(axis.centre - before)
            for axis, before in ((self.x, (x1 + x2) / 2.0), (self.y, (y1 + y2) / 2.0))
        )
        return x, y


def _square(value: float) -> float:
    return value * value  # value**2 rounds differently from one machine's library to another's


def _norm(x: float, y: float) -> float:
    return abs(complex(x, y))  # as C does; math.hypot differs in the last bit, and journals would not replay alike
