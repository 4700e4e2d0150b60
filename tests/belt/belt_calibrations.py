"""Cameras over a belt, as calibrations, for tests of what is built on them."""

from __future__ import annotations

import math

from edge_sorter.belt import Calibration

SIZE = (960, 540)

TRAPEZE = Calibration(  # camera at the belt's side, looking across: the far edge is shorter
    image_size_px=SIZE,
    image_points_px=((200, 100), (760, 100), (900, 500), (60, 500)),
    belt_points_mm=((0, 800), (1500, 800), (1500, 0), (0, 0)),
)
FLAT = Calibration(  # straight down, 0.5 px per mm
    image_size_px=SIZE,
    image_points_px=((0, 0), (960, 0), (960, 540), (0, 540)),
    belt_points_mm=((0, 0), (1920, 0), (1920, 1080), (0, 1080)),
)


def turned(degrees: float) -> Calibration:
    """A camera straight down, turned on its axis: 0.5 px per mm about the picture's middle."""
    angle = math.radians(degrees)
    mm = [(-400, -400), (400, -400), (400, 400), (-400, 400)]
    px = [
        (
            480 + 0.5 * (x * math.cos(angle) - y * math.sin(angle)),
            270 + 0.5 * (x * math.sin(angle) + y * math.cos(angle)),
        )
        for x, y in mm
    ]
    return Calibration(image_size_px=SIZE, image_points_px=tuple(px), belt_points_mm=tuple(mm))
