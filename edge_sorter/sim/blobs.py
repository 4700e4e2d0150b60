"""Soft shapes from capsules that melt into one another: hands and gloves, which no box or tube resembles.

Contract: `surface` turns a distance field on a grid into a closed mesh of quads by naive surface nets (Gibson 1998):
one vertex in each cell the surface passes, one quad for each grid edge it crosses. Millimetres throughout.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_sorter.sim.shapes import FloatArray

Capsule = tuple[tuple[float, float, float], tuple[float, float, float], float, float]
"""From, to, and the radius at either end."""


def capsule(points: FloatArray, shape: Capsule) -> FloatArray:
    """Distance of points (..., 3) to a capsule's skin, negative inside."""
    start, end = np.array(shape[0]), np.array(shape[1])
    way = end - start
    along = np.clip((points - start) @ way / max(float(way @ way), 1e-9), 0.0, 1.0)
    away: FloatArray = np.linalg.norm(points - start - along[..., None] * way, axis=-1)
    return away - (shape[2] + (shape[3] - shape[2]) * along)


def melted(first: FloatArray, second: FloatArray, reach_mm: float) -> FloatArray:
    """Union of two fields whose seam is rounded within this reach."""
    share = np.clip(0.5 + 0.5 * (second - first) / reach_mm, 0.0, 1.0)
    union: FloatArray = second + (first - second) * share - reach_mm * share * (1.0 - share)
    return union


def chain(points: FloatArray, joints: Sequence[tuple[float, float, float]], radii: Sequence[float]) -> FloatArray:
    """Distance to a bent limb: capsules from joint to joint."""
    links = zip(joints, joints[1:], radii, radii[1:], strict=False)
    fields = [capsule(points, (a, b, ra, rb)) for a, b, ra, rb in links]
    nearest: FloatArray = np.min(fields, axis=0)
    return nearest


def grid(low_mm: FloatArray, high_mm: FloatArray, step_mm: float) -> FloatArray:
    """Points of a regular grid, shape (nx, ny, nz, 3)."""
    axes = [np.arange(low, high + step_mm, step_mm) for low, high in zip(low_mm, high_mm, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)


def surface(field: FloatArray, points: FloatArray) -> tuple[FloatArray, NDArray[np.int64]]:
    """Vertices (n, 3) and quads (m, 4), seen from outside counter-clockwise, where the field is zero.

    Args:
        field: distances, shape (nx, ny, nz); positive all around its border.
        points: the grid's points, shape (nx, ny, nz, 3).
    """
    step = float(points[1, 0, 0, 0] - points[0, 0, 0, 0])
    inside, shape = field < 0.0, field.shape
    cells, places, quads = [], [], []
    for axis in range(3):
        low = tuple(slice(None, -1) if k == axis else slice(None) for k in range(3))
        high = tuple(slice(1, None) if k == axis else slice(None) for k in range(3))
        edges = np.argwhere(inside[low] != inside[high])
        before, after = field[low][tuple(edges.T)], field[high][tuple(edges.T)]
        crossing = edges.astype(float)
        crossing[:, axis] += before / (before - after)
        u, v = np.eye(3, dtype=np.int64)[(axis + 1) % 3], np.eye(3, dtype=np.int64)[(axis + 2) % 3]
        around = np.stack([edges - u - v, edges - v, edges, edges - u], axis=1)  # counter-clockwise about the axis
        numbers = np.ravel_multi_index(tuple(np.moveaxis(around, -1, 0)), shape)
        cells.append(numbers.ravel())
        places.append(np.repeat(crossing, 4, axis=0))
        quads.append(np.where((before < 0.0)[:, None], numbers, numbers[:, ::-1]))
    used, index = np.unique(np.concatenate(cells), return_inverse=True)
    count = np.bincount(index, minlength=len(used))
    every = np.concatenate(places)
    mean = np.column_stack([np.bincount(index, every[:, k], len(used)) / count for k in range(3)])
    return points[0, 0, 0] + step * mean, np.searchsorted(used, np.concatenate(quads))
