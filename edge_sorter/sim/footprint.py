"""What a thing on the belt covers, seen from above: its corners, and whether two things share a place.

Contract: functions of plain numbers in belt millimetres; outlines are convex, shape (n, 2).
"""

from __future__ import annotations

from math import cos, radians, sin

import numpy as np
from numpy.typing import NDArray

Outline = NDArray[np.float64]


def corners_mm(size_mm: tuple[float, float], *, skew_deg: float, at_mm: tuple[float, float]) -> Outline:
    """Corners (4, 2) of a rectangle of this length and width around a place, turned."""
    half = np.array(size_mm) / 2
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half
    angle = radians(skew_deg)
    turn = np.array([[cos(angle), sin(angle)], [-sin(angle), cos(angle)]])
    placed: Outline = corners @ turn + at_mm
    return placed


def reach_mm(size_mm: tuple[float, float], skew_deg: float) -> float:
    """Half of a rectangle's extent along the belt."""
    angle = radians(skew_deg)
    return (abs(cos(angle)) * size_mm[0] + abs(sin(angle)) * size_mm[1]) / 2


def overlap(first: Outline, second: Outline) -> bool:
    """Whether two convex outlines share area (separating axis theorem)."""
    for corners in (first, second):
        for edge in np.roll(corners, -1, axis=0) - corners:
            normal = np.array([-edge[1], edge[0]])
            one, two = first @ normal, second @ normal
            if one.max() <= two.min() or two.max() <= one.min():
                return False
    return True
