"""Where the camera sees what travels on the belt: the exact box of a mesh in a frame, whatever the shutter.

Contract: boxes come from a mesh's vertices, the scenario's camera and its belt alone; never from pixels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_sorter.sim import shutter
from edge_sorter.sim.scenario import Scenario

FloatArray = NDArray[np.float64]
Box = tuple[float, float, float, float, float]
"""x, y, width, height in pixels, clipped to the picture, and the share of the whole that is inside."""


def box_of(scenario: Scenario, vertices_mm: FloatArray, time_s: float) -> Box | None:
    """The box of what lies on the belt with these vertices (n, 3) at time zero, or None if it is outside."""
    moved = vertices_mm + np.array([scenario.belt.motion.travel_mm(time_s), 0.0, 0.0])
    pixels = scenario.pinhole().project(moved)
    if scenario.video.shutter == "rolling":
        pixels = _rolled(scenario, moved, pixels, time_s)
    return clipped(pixels, (scenario.video.width_px, scenario.video.height_px))


def clipped(pixels: FloatArray, image_px: tuple[int, int]) -> Box | None:
    """The box around points of the picture (n, 2), or None if less than a pixel of it is inside."""
    low, high = pixels.min(axis=0), pixels.max(axis=0)
    clipped_low = np.clip(low, 0, image_px)
    clipped_high = np.clip(high, 0, image_px)
    size = clipped_high - clipped_low
    if np.any(size < 1.0):
        return None
    share = float(np.prod(size) / np.prod(high - low))
    return float(clipped_low[0]), float(clipped_low[1]), float(size[0]), float(size[1]), share


def visible(pixels: FloatArray, edges: NDArray[np.int64], image_px: tuple[int, int]) -> Box | None:
    """The box around what is inside the picture of a mesh that goes on far beyond its edge, such as an arm.

    Args:
        pixels: where its vertices are, shape (n, 2).
        edges: which of them are joined, shape (m, 2); each edge is cut at the picture's border.
        image_px: width and height of the picture.
    """
    start, way = pixels[edges[:, 0]], pixels[edges[:, 1]] - pixels[edges[:, 0]]
    with np.errstate(divide="ignore", invalid="ignore"):
        cuts = np.stack([-start / way, (np.array(image_px) - start) / way])  # at which shares it meets the borders
    enters = np.nanmax(cuts.min(axis=0), axis=1, initial=0.0)
    leaves = np.nanmin(cuts.max(axis=0), axis=1, initial=1.0)
    inside = enters <= leaves
    ends = [start[inside] + share[inside, None] * way[inside] for share in (enters, leaves)]
    return clipped(np.concatenate(ends), image_px) if inside.any() else None


def _rolled(scenario: Scenario, vertices_mm: FloatArray, pixels: FloatArray, time_s: float) -> FloatArray:
    """Where points are seen row by row: each by the row it falls into, which is read while the belt moves on."""
    camera, motion = scenario.pinhole(), scenario.belt.motion
    for _ in range(shutter.ROLLING_ROUNDS):
        further = shutter.further_mm(scenario.video, motion, time_s, pixels[:, 1])
        pixels = camera.project(vertices_mm + further[:, None] * np.array([1.0, 0.0, 0.0]))
    return pixels
