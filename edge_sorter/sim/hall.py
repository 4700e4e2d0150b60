"""The hall of the demo clips: a used belt in a sorter's steel, as a camera over a hub's line sees it.

Contract: `build` puts everything but parcels on the stage, the same for the same scenario. The belt on the stage is
plain (`belt_pattern` is laid in frame by frame) and carries the object number of `between.BELT`.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_sorter.sim import conveyor, shapes
from edge_sorter.sim.between import BELT
from edge_sorter.sim.scenario import Scenario
from edge_sorter.sim.stage import Stage

Skin = NDArray[np.uint8]


def build(stage: Stage, scenario: Scenario) -> Any:
    """Plain belt, frame, decks, floor and lights; returns the belt."""
    rng = np.random.default_rng([scenario.seed, 1])
    belt = scenario.belt
    low, high = -2600.0, 4600.0
    plain = stage.material((0.2, 0.2, 0.2), rough=0.5)
    moving = stage.add_plane((-6000, 0), (6000, belt.width_mm), 0.0, plain, (1000, 1000))
    moving.pass_index = BELT
    blue = (0.16, 0.3, 0.5)
    conveyor.add_frame(stage, rng, width_mm=belt.width_mm, low_mm=low, high_mm=high, rail_mm=52, colour=blue)
    conveyor.add_sensor(stage, rng, at_x_mm=belt.decision_line_mm, width_mm=belt.width_mm)
    _floor(stage, rng, belt.width_mm)
    _decks(stage, belt.width_mm, (low, high), belt.decision_line_mm)
    _lights(stage, scenario.camera.look_at_mm[0])
    return moving


def _floor(stage: Stage, rng: np.random.Generator, width_mm: float) -> None:
    skin = conveyor.floor_skin("concrete", rng, cracks=False)
    surface = stage.material((0.5, 0.5, 0.5), skin=skin)
    stage.add_plane((-14000, -14000), (16000, 16000), conveyor.FLOOR_MM, surface, (2400, 2400))
    paint = stage.material((0.85, 0.66, 0.06), rough=0.55)
    stage.add_plane((-9000, width_mm + 420), (9000, width_mm + 510), conveyor.FLOOR_MM + 2, paint, (900, 900))


def _decks(stage: Stage, width_mm: float, reach_mm: tuple[float, float], line_mm: float) -> None:
    """Sheet-metal decks along both sides with bolts, a cable duct, an emergency-stop rope and stickers."""
    low, high = reach_mm
    length, middle = high - low, (low + high) / 2
    sheet = stage.material((0.60, 0.62, 0.63), rough=0.42, metal=0.55)
    duct = stage.material((0.30, 0.31, 0.33), rough=0.6)
    red = stage.material((0.72, 0.06, 0.05), rough=0.45)
    steel = stage.material((0.66, 0.67, 0.68), rough=0.3, metal=0.95)
    far, near = width_mm + 62.0, -62.0
    stage.add_box((length, 150, 6), sheet, at_mm=(middle, far + 75, 6), radius_mm=2)
    stage.add_box((length, 56, 44), duct, at_mm=(middle, far + 118, 12), radius_mm=5)
    stage.add_box((length, 120, 6), sheet, at_mm=(middle, near - 60, -30), radius_mm=2)
    rope = shapes.tube(length, 7, segments=12)
    stage.add(rope, red, at_mm=(middle, far + 40, 64))
    bolt = post = None
    for x in np.arange(low + 90, high, 300.0):
        for y, z in ((far + 14, 12.0), (near - 14, -24.0)):
            at = (float(x), y, z)
            bolt = bolt or stage.add(shapes.tube(7, 13, segments=14), steel, at_mm=at)
            stage.add_again(bolt.data, at_mm=at)
    for x in np.arange(low + 240, high, 900.0):
        at = (float(x), far + 40, 12.0)
        post = post or stage.add_box((14, 26, 62), steel, at_mm=at, radius_mm=3)
        stage.add_again(post.data, at_mm=at)
    _stickers(stage, line_mm, far, near)


def _stickers(stage: Stage, line_mm: float, far_mm: float, near_mm: float) -> None:
    """Line name, direction of travel, hazard stripes at the divert line."""
    for text, x, y, z, size in (
        ("LINE 03  >>>", line_mm - 640, far_mm + 14, 12.8, (300, 62)),
        ("VIS01", line_mm + 330, far_mm + 14, 12.8, (140, 62)),
        ("L03-C07", line_mm - 420, near_mm - 100, -23.2, (170, 66)),
    ):
        skin = _plate(text, size)
        stage.add_plane((x, y), (x + size[0], y + size[1]), z, stage.material((0.5,) * 3, skin=skin, tile=False), size)
    stripes = _hazard((400, 66))
    surface = stage.material((0.5, 0.5, 0.5), skin=stripes, tile=False)
    for y, z in ((far_mm + 14, 12.6), (near_mm - 100, -23.4)):
        stage.add_plane((line_mm - 210, y), (line_mm + 190, y + 66), z, surface, (400, 66))


def _plate(text: str, size_mm: tuple[int, int]) -> Skin:
    scale = 3
    image = np.empty((size_mm[1] * scale, size_mm[0] * scale, 4), np.uint8)
    image[...] = (228, 226, 218, 110)
    (wide, high), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_DUPLEX, 1.0, 2)
    fit = min(0.86 * image.shape[1] / wide, 0.62 * image.shape[0] / high)
    at = (round((image.shape[1] - fit * wide) / 2), round((image.shape[0] + fit * high) / 2))
    cv2.putText(image, text, at, cv2.FONT_HERSHEY_DUPLEX, fit, (24, 30, 44, 110), round(3 * fit), cv2.LINE_AA)
    cv2.rectangle(image, (6, 6), (image.shape[1] - 7, image.shape[0] - 7), (24, 30, 44, 110), 3)
    return image


def _hazard(size_mm: tuple[int, int]) -> Skin:
    row, column = np.indices((size_mm[1] * 2, size_mm[0] * 2))
    image = np.empty((*row.shape, 4), np.uint8)
    image[...] = (214, 170, 22, 130)
    image[(row + column) // 44 % 2 == 0] = (26, 26, 26, 130)
    return image


def _lights(stage: Stage, middle_mm: float) -> None:
    """Two rows of tubes over the line and what comes in from the hall."""
    stage.world((0.80, 0.87, 1.0), 0.20)
    for shift in (-1300.0, 1300.0):
        at, towards = (middle_mm + shift, 1500, 2700), (middle_mm + shift * 0.5, 380, 0)
        stage.lamp(at, towards, watts=88, size_mm=(1500, 180), colour=(1.0, 0.96, 0.9))
    at = (middle_mm - 500, -1900, 2300)
    stage.lamp(at, (middle_mm, 400, 0), watts=20, size_mm=(1400, 700), colour=(0.92, 0.96, 1.0))
