"""A gloved hand and the sleeve behind it, as they reach over a belt; and a glove that somebody lost.

Contract: the middle fingertip is at the origin and points along +x, palm down, thumb towards +y; the arm comes from -x
and rises. ``z`` counts from the lowest fingertip. Functions of their arguments alone.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from edge_sorter.sim import blobs
from edge_sorter.sim.shapes import FloatArray, Mesh, grid_quads

HAND_MM = 190.0
"""From the wrist to the middle fingertip."""
CUFF_MM = 262.0
"""Where the glove ends, behind the fingertip."""
SLEEVE_FROM_MM = 236.0
RISE_DEG = 15.0
"""How steeply the arm rises away from the hand."""
STEP_MM = 3.5
WIDTH_MM = 185.0
"""How broad a hand with its thumb is."""

Joint = tuple[float, float, float]
WRIST: Joint = (-HAND_MM, 0.0, 40.0)
# Knuckle, middle joint, last joint and tip of the fingers, from the index to the little one; radii below.
FINGERS: tuple[tuple[Joint, ...], ...] = (
    ((-98.0, 34.0, 42.0), (-54.0, 43.0, 38.0), (-30.0, 46.0, 24.0), (-15.0, 47.0, 12.0)),
    ((-94.0, 11.0, 44.0), (-46.0, 14.0, 40.0), (-18.0, 16.0, 25.0), (-2.0, 17.0, 12.0)),
    ((-98.0, -12.0, 43.0), (-54.0, -15.0, 38.0), (-28.0, -17.0, 24.0), (-13.0, -18.0, 12.0)),
    ((-108.0, -33.0, 40.0), (-74.0, -42.0, 34.0), (-54.0, -46.0, 22.0), (-42.0, -48.0, 11.0)),
)
FINGER_RADII = ((13.5, 12.0, 11.2, 9.5), (14.0, 12.4, 11.4, 9.8), (13.5, 12.0, 11.0, 9.4), (12.5, 10.8, 9.8, 8.6))
THUMB: tuple[Joint, ...] = ((-172.0, 26.0, 34.0), (-134.0, 62.0, 30.0), (-104.0, 80.0, 24.0), (-80.0, 88.0, 16.0))
THUMB_RADII = (19.0, 16.0, 13.5, 11.5)


def _glove_field(points: FloatArray) -> FloatArray:
    palm = np.full(points.shape[:-1], np.inf)
    for finger, across in zip(FINGERS, (20.0, 7.0, -7.0, -20.0), strict=True):
        heel = (WRIST[0] + 6.0, across, WRIST[2])
        bone = blobs.capsule(points, (heel, finger[0], 19.0, 16.0))
        palm = bone if np.isinf(palm).all() else blobs.melted(palm, bone, 16.0)
    palm = blobs.melted(palm, blobs.chain(points, THUMB, THUMB_RADII), 18.0)
    fingers = np.full(palm.shape, np.inf)
    for finger, radii in zip(FINGERS, FINGER_RADII, strict=True):
        fingers = np.minimum(fingers, blobs.chain(points, finger, radii))
    rise = np.tan(np.deg2rad(RISE_DEG))
    flat = points * [1.0, 0.82, 1.0]  # a wrist is broader than thick
    cuff_z = WRIST[2] + (CUFF_MM - HAND_MM) * rise
    cuff = blobs.capsule(flat, (WRIST, (-CUFF_MM, 0.0, cuff_z), 26.0, 34.0))
    return blobs.melted(blobs.melted(palm, fingers, 9.0), cuff, 22.0)


@lru_cache(maxsize=1)
def glove() -> Mesh:
    """The gloved hand; its skin lies on it from above, u along x from the cuff to the fingertips, v along y."""
    low, high = np.array([-CUFF_MM - 60.0, -90.0, -12.0]), np.array([24.0, 124.0, 120.0])
    points = blobs.grid(low, high, STEP_MM)
    field = np.maximum(_glove_field(points), -(points[..., 0] + CUFF_MM))  # the cuff ends straight
    vertices, quads = blobs.surface(field, points)
    vertices[:, 0] -= vertices[:, 0].max()
    vertices[:, 2] -= vertices[:, 2].min()
    return Mesh(vertices, quads, _from_above(vertices)[quads])


def lost_glove(size_mm: tuple[float, float, float]) -> Mesh:
    """An empty glove of this size lying on the belt: limp, so nearly flat."""
    worn = glove()
    low, span = worn.vertices_mm.min(axis=0), np.ptp(worn.vertices_mm, axis=0)
    unit = (worn.vertices_mm - low) / span
    # It has no arm to rise with, and nothing in it: take the rise out and let it fall flat towards its rim.
    unit[:, 2] -= 0.75 * np.clip(0.45 - unit[:, 0], 0.0, 1.0)
    unit[:, 2] = np.clip(unit[:, 2], 0.0, None) ** 0.8
    unit[:, 2] /= unit[:, 2].max()
    vertices = (unit - [0.5, 0.5, 0.0]) * size_mm
    return Mesh(vertices, worn.quads, worn.uv)


def sleeve(length_mm: float, rng: np.random.Generator) -> Mesh:
    """The sleeve from its cuff, with folds, to where nobody sees it any more; u runs round, v along from the cuff."""
    rise = np.tan(np.deg2rad(RISE_DEG))
    along = np.concatenate([[0.0, 0.0, 2.0, 8.0], np.arange(16.0, length_mm - SLEEVE_FROM_MM, 7.0)])
    radius = 46.0 + 16.0 * (1.0 - np.exp(-along / 160.0))
    radius[0] = 30.0  # the cuff's edge turns inwards, so that nobody looks into it
    turn = np.linspace(0.0, 2.0 * np.pi, 65)
    around, down = np.meshgrid(turn, along)
    folds = np.zeros_like(around)
    for _ in range(6):
        pitch, slant, phase = rng.uniform(45.0, 130.0), rng.integers(-2, 3), rng.uniform(0.0, 2.0 * np.pi)
        folds += np.sin(2.0 * np.pi * down / pitch + slant * around + phase)
    ridged = 1.0 - np.abs(folds / 1.6)
    gathered = np.clip((down - 14.0) / 60.0, 0.0, 1.0)
    swollen = radius[:, None] + 6.5 * gathered * ridged
    hem = 3.0 * np.exp(-(((down - 22.0) / 3.0) ** 2))  # stitched
    swollen[2:] -= hem[2:]
    x = -SLEEVE_FROM_MM - down
    z = WRIST[2] + (SLEEVE_FROM_MM - HAND_MM + down) * rise
    vertices = np.stack([x, -1.06 * swollen * np.sin(around), z + 0.94 * swollen * np.cos(around)], axis=-1)
    uv = np.stack([around / (2.0 * np.pi), np.clip(down / SLEEVE_REPEAT_MM, 0.0, None)], axis=-1)
    quads = grid_quads(len(along), len(turn))[:, ::-1]
    return Mesh(vertices.reshape(-1, 3), quads, uv.reshape(-1, 2)[quads])


SLEEVE_REPEAT_MM = 1600.0
"""Length of arm that a sleeve's skin covers."""


def _from_above(vertices: FloatArray) -> FloatArray:
    low, span = vertices.min(axis=0), np.ptp(vertices, axis=0)
    seen: FloatArray = ((vertices - low) / span)[:, :2]
    return seen
