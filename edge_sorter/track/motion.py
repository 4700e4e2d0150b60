"""How tracked boxes move between two frames: with the belt where its motion is known, else at constant velocity.

Contract: pure functions on columns, one row a track; only elapsed time and belt travel enter, never a frame count.

Each axis of each box is a small Kalman filter (Kalman 1960) of two numbers: the centre, and its slope against an
`advance` that drives it. Without belt motion the advance is seconds and the slope a velocity in px/s. With it, the
belt's map moves the box first; the advance is the distance that moved it, in px, signed, and the slope is what the
object does beyond that, per px. So a tall parcel, nearer to the camera than the belt, is a little faster than the
belt, an object that jams has slope -1, and all of it stands still, and runs backwards, when the belt does.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

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


class Motion(NamedTuple):
    """State of n boxes, columns of equal length.

    Attributes:
        centre: (n, 2) px.
        size: (n, 2) width and height, px.
        slope: (n, 2) centre's change per advance: px/s, or px per px of belt-driven movement.
        rate: (n, 1) advance per second over the last prediction.
        velocity: (n, 2) px/s, whatever drives the box.
        var, cov, var_slope: (n, 2) covariance of centre and slope, per axis.
        var_size: (n, 2) variance of the size.
    """

    centre: Floats
    size: Floats
    slope: Floats
    rate: Floats
    velocity: Floats
    var: Floats
    cov: Floats
    var_slope: Floats
    var_size: Floats

    @property
    def xyxy(self) -> Floats:
        """Boxes (n, 4)."""
        half = self.size / 2.0
        return np.concatenate((self.centre - half, self.centre + half), axis=1)

    @property
    def length(self) -> Floats:
        """Typical length of each box (n, 1), px: what distances and speeds are measured against."""
        return np.sqrt(self.area)

    @property
    def area(self) -> Floats:
        """Area of each box (n, 1), px²."""
        return np.maximum(self.size[:, :1] * self.size[:, 1:], 1.0)

    def rows(self, index: NDArray[np.intp] | list[int]) -> Motion:
        """Return the rows picked by an index."""
        return Motion(*(column[index] for column in self))

    def joined(self, other: Motion) -> Motion:
        """Return these rows followed by those of `other`."""
        return Motion(*(np.concatenate(pair) for pair in zip(self, other, strict=True)))


def at_rest(xyxy: Floats, *, belt_known: bool) -> Motion:
    """Return the motion of newly seen boxes (n, 4): nothing known yet but where they are."""
    size = np.maximum(xyxy[:, 2:] - xyxy[:, :2], 1.0)
    zero = np.zeros_like(size)
    motion = Motion(
        centre=(xyxy[:, :2] + xyxy[:, 2:]) / 2.0,
        size=size,
        slope=zero,
        rate=zero[:, :1] + (0.0 if belt_known else 1.0),
        velocity=zero,
        var=zero,
        cov=zero,
        var_slope=zero,
        var_size=zero,
    )
    spread = SLIP if belt_known else NEWBORN_SPEED * motion.length
    return motion._replace(
        var=(CENTRE_NOISE * motion.length) ** 2 + zero,
        var_slope=spread**2 + zero,
        var_size=(NEWBORN_SIZE * motion.length) ** 2 + zero,
    )


def with_belt(motion: Motion) -> Motion:
    """Return the motion restated as slope against the belt: from now on its motion is known."""
    zero = np.zeros_like(motion.slope)
    return motion._replace(slope=zero, cov=zero, var_slope=zero + SLIP**2)


def without_belt(motion: Motion) -> Motion:
    """Return the motion restated as velocity: from now on the belt's motion is not known."""
    spread = 0.3 * np.hypot(motion.velocity[:, :1], motion.velocity[:, 1:]) + 0.5 * motion.length
    zero = np.zeros_like(motion.slope)
    return motion._replace(slope=motion.velocity, rate=zero[:, :1] + 1.0, cov=zero, var_slope=zero + spread**2)


def with_flow(motion: Motion, newborn: NDArray[np.bool_], velocities: Floats, *, dt_s: float = 0.0) -> Motion:
    """Return the motion with `newborn` rows (n,) expected to move like their neighbours, at `velocities` (k, 2) px/s.

    The median is the expectation; how much the neighbours disagree, and a part of it, is how far it is trusted.
    Give `dt_s` where the boxes were already predicted that far without knowing the flow.
    """
    if not newborn.any() or not len(velocities):
        return motion
    flow = np.median(velocities, axis=0)
    disagreement = float(np.median(np.hypot(*(velocities - flow).T)))
    trusted = 2.0 * disagreement + 0.3 * float(np.hypot(*flow)) + 0.5 * motion.length
    variance = np.minimum(trusted, NEWBORN_SPEED * motion.length) ** 2 + np.zeros_like(motion.slope)
    least = (CENTRE_NOISE * motion.length) ** 2
    flowing = motion._replace(
        centre=motion.centre + (flow - motion.slope) * dt_s,
        slope=flow + np.zeros_like(motion.slope),
        var=np.maximum(motion.var - motion.var_slope * dt_s**2, least) + variance * dt_s**2,
        cov=variance * dt_s,
        var_slope=variance,
    )
    rows = newborn[:, None]
    return Motion(*(np.where(rows, new, old) for new, old in zip(flowing, motion, strict=True)))


def predict(motion: Motion, *, dt_s: float) -> Motion:
    """Return where the boxes are `dt_s` later at constant velocity."""
    advance = np.full_like(motion.rate, dt_s)
    wander = (ACCELERATION * motion.length) ** 2
    return _advance(motion, np.zeros_like(motion.slope), advance, wander, dt_s=dt_s)


def predict_with_belt(motion: Motion, shifted: Floats, *, delta_mm: float, dt_s: float) -> Motion:
    """Return where the boxes are after the belt took them to `shifted` (n, 4) by moving `delta_mm` in `dt_s`."""
    base = (shifted[:, :2] + shifted[:, 2:]) / 2.0 - motion.centre
    advance = np.copysign(np.hypot(base[:, :1], base[:, 1:]), delta_mm)
    size = np.maximum(shifted[:, 2:] - shifted[:, :2], 1.0)
    return _advance(motion._replace(size=size), base, advance, SLIP_CHANGE**2 / motion.length, dt_s=dt_s)


def _advance(motion: Motion, base: Floats, advance: Floats, wander: Floats, *, dt_s: float) -> Motion:
    """Move the centres by `base` and by slope times `advance`; `wander` is the slope's variance per advance."""
    centre, size, slope, rate, velocity, var, cov, var_slope, var_size = motion
    moved = base + slope * advance
    distance = np.abs(advance)
    area, grown = motion.area, wander * distance
    gained = advance * var_slope
    if dt_s > 0.0:
        velocity, rate = moved / dt_s, advance / dt_s
    return Motion(
        centre=centre + moved,
        size=size,
        slope=slope,
        rate=rate,
        velocity=velocity,
        var=var + advance * (2.0 * cov + gained) + (grown * (distance * distance / 3.0) + area * (WANDER**2 * dt_s)),
        cov=cov + gained + grown * (advance / 2.0),
        var_slope=var_slope + grown,
        var_size=var_size + area * (GROWTH**2 * dt_s),
    )


def reach_px(motion: Motion, newborn: NDArray[np.bool_]) -> Floats:
    """Return how far (n, 2) from its prediction a box may be measured: 3 sigma, but never a teleport."""
    length = motion.length
    sigma = np.sqrt(motion.var + (CENTRE_NOISE * length) ** 2)
    return np.clip(3.0 * sigma, 0.5 * length, np.where(newborn[:, None], *REACH) * length)


def slack_px(motion: Motion, seen_centre: Floats) -> Floats:
    """Return how far (n, 2) from its prediction an edge of a box may be measured that the belt has carried.

    Args:
        motion: Where the boxes are predicted.
        seen_centre: Where (n, 2) their centres were measured last.
    """
    return EDGE_SLACK * np.maximum(motion.size, motion.length) + 3.0 * SLIP * np.abs(motion.centre - seen_centre)


def correct(
    motion: Motion,
    xyxy: Floats,
    first: NDArray[np.bool_],
    *,
    belt_known: bool,
    rows: list[int] | None = None,
) -> Motion:
    """Return the motion after all boxes, or those in `rows` (k,), were measured at `xyxy` (k, 4).

    Where a box changed size, its centre moved for that reason too, so the slope learns from the edge that agrees best
    with the prediction: a parcel that enters the picture, or passes behind something, keeps its speed. `first` (n,)
    marks boxes without any velocity yet; these learn from the centre.

    With the belt's motion known the slope needs no help from a smooth centre, so a box that jumps in size is believed
    as it is: its edges are then exact where it is cut by the picture's border.
    """
    area = motion.area
    noise, size_noise = CENTRE_NOISE**2 * area, SIZE_NOISE**2 * area
    predicted = motion.xyxy
    if rows is not None:
        unseen = np.ones(len(predicted), bool)
        unseen[rows] = False
        noise[unseen] = size_noise[unseen] = np.inf  # what was not looked at teaches nothing
        measured = predicted.copy()
        measured[rows] = xyxy
        xyxy = measured
    edges = xyxy - predicted
    low, high = edges[:, :2], edges[:, 2:]
    centre, change = (low + high) / 2.0, high - low
    # The lesser of both edges' moves where they agree on the direction, else none.
    moved = np.maximum(np.minimum(low, high), 0.0) + np.minimum(np.maximum(low, high), 0.0)
    if first.any():
        moved = np.where(first[:, None], centre, moved)
    total = motion.var + noise
    gain, size_gain = motion.var / total, motion.var_size / (motion.var_size + size_noise)
    if belt_known:
        jumped = np.abs(change) > JUMP * np.sqrt(area)
        if jumped.any():
            gain[jumped] = size_gain[jumped] = 1.0
    slope_gain = motion.cov / (total + (change / 2.0) ** 2)
    learnt, left = slope_gain * moved, 1.0 - gain
    return Motion(
        centre=motion.centre + gain * centre,
        size=np.maximum(motion.size + size_gain * change, 1.0),
        slope=motion.slope + learnt,
        rate=motion.rate,
        velocity=motion.velocity + learnt * motion.rate,
        var=left * motion.var,
        cov=left * motion.cov,
        var_slope=motion.var_slope - slope_gain * motion.cov,
        var_size=(1.0 - size_gain) * motion.var_size,
    )
