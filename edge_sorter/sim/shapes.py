"""Parcel geometry as plain arrays, shared by the renderer and the truth boxes.

Contract: every builder returns a closed ``Mesh`` standing on z = 0, centred on its footprint, x along its length.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Mesh:
    """A polygon mesh: vertices (n, 3) in mm, quads (m, 4) of indices, uv (m, 4, 2) in 0..1, normals (n, 3) or None."""

    vertices_mm: FloatArray
    quads: NDArray[np.int64]
    uv: FloatArray
    normals: FloatArray | None = None


def grid_quads(rows: int, columns: int) -> NDArray[np.int64]:
    """Quads of a row-major grid of rows x columns vertices, counter-clockwise for (column, row) as (x, y)."""
    row, column = np.meshgrid(np.arange(rows - 1), np.arange(columns - 1), indexing="ij")
    first = (row * columns + column).ravel()
    return np.column_stack([first, first + 1, first + columns + 1, first + columns])


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], cells: int, octaves: int = 1) -> FloatArray:
    """Fractal noise of zero mean, about unit amplitude, shape (rows, columns)."""
    total = np.zeros(shape)
    for octave in range(octaves):
        size = min(cells * 2**octave, *shape)
        coarse = rng.normal(size=(max(2, size), max(2, size)))
        total += cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC) * 0.5**octave
    return total


def _axis_nodes(half: float, radius: float, inner: int) -> FloatArray:
    """Grid nodes along one box axis, dense where the edge is rounded."""
    edge = half - radius
    middle = np.linspace(-edge, edge, inner + 1)
    return np.concatenate([[-half, -half + 0.4 * radius], middle, [half - 0.4 * radius, half]])


def _weld(vertices: FloatArray, quads: NDArray[np.int64]) -> tuple[FloatArray, NDArray[np.int64]]:
    """Merge vertices that lie on the same spot; faces of a box then share their edges."""
    keys = np.round(vertices * 50.0).astype(np.int64)
    _, first, inverse = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    return vertices[first], inverse.reshape(-1)[quads]


# Faces of a box: (normal axis, sign, u axis and sign, v axis and sign), in the order the carton skin draws them.
BOX_FACES = (
    ("top", 2, 1, (0, 1), (1, 1)),
    ("front", 1, -1, (0, 1), (2, 1)),
    ("back", 1, 1, (0, -1), (2, 1)),
    ("right", 0, 1, (1, 1), (2, 1)),
    ("left", 0, -1, (1, -1), (2, 1)),
    ("bottom", 2, -1, (0, -1), (1, 1)),
)


def box_atlas(size_mm: tuple[float, float, float]) -> tuple[dict[str, tuple[float, float, float, float]], float, float]:
    """Where each face lies on a box's skin: (x, y, width, height) in mm from its top left; the skin's size in mm."""
    length, width, height = size_mm
    places = {
        "top": (0.0, 0.0, length, width),
        "front": (0.0, width, length, height),
        "back": (0.0, width + height, length, height),
        "right": (length, 0.0, width, height),
        "left": (length, height, width, height),
        "bottom": (0.0, 0.0, length, width),
    }
    return places, length + width, max(width, 0.0) + 2 * height


def box(
    size_mm: tuple[float, float, float],
    *,
    radius_mm: float = 3.0,
    inner: int = 4,
    bulge_mm: float = 0.0,
    crush: float = 0.0,
    rng: np.random.Generator | None = None,
) -> Mesh:
    """A box with rounded edges; ``bulge_mm`` swells its faces, ``crush`` (0..1) dents one top corner."""
    half = np.asarray(size_mm, float) / 2.0
    radius = min(radius_mm, 0.45 * float(half.min()))
    places, atlas_width, atlas_height = box_atlas(size_mm)
    parts, quads, uvs, start = [], [], [], 0
    for name, axis, sign, (u_axis, u_sign), (v_axis, v_sign) in BOX_FACES:
        u = _axis_nodes(half[u_axis], radius, inner)
        v = _axis_nodes(half[v_axis], radius, inner)
        grid_v, grid_u = np.meshgrid(v, u, indexing="ij")
        points = np.empty((grid_u.size, 3))
        points[:, axis] = sign * half[axis]
        points[:, u_axis], points[:, v_axis] = u_sign * grid_u.ravel(), v_sign * grid_v.ravel()
        x, y, face_width, face_height = places[name]
        face_u = (x + (grid_u.ravel() / half[u_axis] + 1) / 2 * face_width) / atlas_width
        face_v = 1.0 - (y + (1 - grid_v.ravel() / half[v_axis]) / 2 * face_height) / atlas_height
        face_quads = grid_quads(len(v), len(u))
        parts.append(points)
        quads.append(face_quads + start)
        uvs.append(np.column_stack([face_u, face_v])[face_quads])
        start += len(points)
    vertices = np.concatenate(parts)
    core = np.clip(vertices, -(half - radius), half - radius)
    offset = vertices - core
    normals = offset / np.linalg.norm(offset, axis=1, keepdims=True)
    vertices = core + radius * normals
    if bulge_mm:
        inside = np.prod(np.clip(1 - (core / half) ** 2, 0, 1) + (np.abs(normals) > 0.9), axis=1)
        vertices = vertices + normals * (bulge_mm * np.clip(inside, 0, 1))[:, None]
    if crush and rng is not None:
        vertices = _crush_corner(vertices, half, crush, rng)
    vertices[:, 2] += half[2]
    vertices[:, 2] = np.maximum(vertices[:, 2], 0.0)
    normals_kept = None if crush else normals
    welded, welded_quads = _weld(vertices, np.concatenate(quads))
    if normals_kept is not None:
        _, first = np.unique(np.round(vertices * 50.0).astype(np.int64), axis=0, return_index=True)
        normals_kept = normals_kept[first]
    return Mesh(welded, welded_quads, np.concatenate(uvs), normals_kept)


def _crush_corner(vertices: FloatArray, half: FloatArray, crush: float, rng: np.random.Generator) -> FloatArray:
    """Push the material near one top corner inwards, crumpled as a dropped carton is."""
    corner = half * np.array([rng.choice([-1.0, 1.0]), -1.0, 1.0])
    reach = 0.9 * float(np.sort(half)[1])
    distance = np.linalg.norm(vertices - corner, axis=1)
    weight = np.clip(1 - distance / reach, 0, 1) ** 1.2
    crumple = 1 + 0.5 * np.sin(vertices @ rng.normal(size=3) * (14.0 / reach) + rng.uniform(0, 6))
    inward = -corner / np.linalg.norm(corner)
    dented: FloatArray = vertices + inward * (crush * 0.62 * reach * weight * crumple)[:, None]
    return dented


def pillow(
    size_mm: tuple[float, float, float],
    rng: np.random.Generator,
    *,
    flatness: float = 2.2,
    ears: float = 0.07,
    wrinkle_mm: float = 3.0,
    lumps: float = 0.25,
    taper: float = 0.0,
    resolution: int = 40,
) -> Mesh:
    """A soft bag: thick in the middle, sealed at its rim, wrinkled.

    Args:
        size_mm: length, width, height of the filled bag.
        rng: source of lumps and wrinkles.
        flatness: exponent of the thickness profile; high gives a flat padded envelope.
        ears: how far the rim is drawn in between the corners, as a share of the size.
        wrinkle_mm: amplitude of the folds.
        lumps: unevenness of the filling.
        taper: how far the two ends are gathered, 0..1; a half-filled bag is a lens, not a rectangle.
        resolution: grid cells along each side.
    """
    length, width, height = size_mm
    nodes = np.sin(np.linspace(-1, 1, resolution + 1) * np.pi / 2)  # dense at the rim, where the folds are
    nodes = 0.6 * nodes + 0.4 * np.linspace(-1, 1, resolution + 1)
    v, u = np.meshgrid(nodes, nodes, indexing="ij")
    rim_u = 1 - ears * (1 - v**2) + 0.015 * smooth_noise(rng, u.shape, 5)
    rim_v = 1 - ears * (1 - u**2) + (0.015 + 0.05 * taper) * smooth_noise(rng, u.shape, 5)
    rim_v *= 1 - taper * np.abs(u) ** 2.4
    seal = 0.93
    profile_u = np.clip(1 - np.abs(u / seal) ** flatness, 0, 1)
    profile_v = np.clip(1 - np.abs(v / 0.97) ** flatness, 0, 1)
    thickness = np.sqrt(profile_u * profile_v)
    filling = np.clip(1 + lumps * smooth_noise(rng, u.shape, 4, 2), 0.35, 1.6)
    upper = thickness * filling
    upper /= max(float(upper.max()), 1e-6)
    folds = _folds(u, v, rng)
    seam = 0.22 * height
    x, y = u * rim_u * length / 2, v * rim_v * width / 2
    amplitude = wrinkle_mm * (0.35 + 0.65 * (1 - thickness))
    top = seam + (height - seam) * upper + amplitude * folds
    bottom = np.minimum(seam * (1 - thickness) + 0.5 * amplitude * folds, top - 0.4)
    top_vertices = np.column_stack([x.ravel(), y.ravel(), np.clip(top, 0.8, None).ravel()])
    bottom_vertices = np.column_stack([x.ravel(), y.ravel(), np.clip(bottom, 0.0, None).ravel()])
    quads = grid_quads(len(nodes), len(nodes))
    flat_uv = np.column_stack([(u.ravel() + 1) / 2, (v.ravel() + 1) / 2])
    vertices = np.concatenate([top_vertices, bottom_vertices])
    vertices[:, 2] -= vertices[:, 2].min()
    return Mesh(
        vertices,
        np.concatenate([quads, quads[:, ::-1] + len(top_vertices)]),
        np.concatenate([flat_uv[quads], flat_uv[quads[:, ::-1]]]),
    )


def _folds(u: FloatArray, v: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Folds that run in from the rim and a crumple over all, about -1..1."""
    angle = np.arctan2(v, u)
    radial = np.sin(angle * rng.integers(9, 16) + 2.0 * smooth_noise(rng, u.shape, 4) + rng.uniform(0, 6))
    radial *= np.clip(np.hypot(u, v) - 0.25, 0, 1)
    ridges = np.zeros_like(u)
    for _ in range(7):
        direction = rng.normal(size=2)
        direction *= rng.uniform(3, 8) / np.linalg.norm(direction)
        wave = np.abs(np.sin(u * direction[0] + v * direction[1] + 1.2 * smooth_noise(rng, u.shape, 3)))
        ridges += (1 - wave) ** 3
    folded: FloatArray = 0.55 * radial + 0.5 * (ridges - ridges.mean()) + 0.25 * smooth_noise(rng, u.shape, 8, 2)
    return folded


def tube(length_mm: float, diameter_mm: float, *, segments: int = 36) -> Mesh:
    """A round tube lying along x, with end caps that stand out a little."""
    radius = diameter_mm / 2
    cap = min(12.0, 0.05 * length_mm)
    half = length_mm / 2
    # Profile from the left cap's middle over the shell to the right cap's middle: (x, radius, u on the skin).
    profile = [
        (-half, 0.0, 0.0),
        (-half, 0.90, 0.012),
        (-half + 1, 1.0, 0.016),
        (-half + cap, 1.0, 0.05),
        (-half + cap, 0.97, 0.051),
        (half - cap, 0.97, 0.949),
        (half - cap, 1.0, 0.95),
        (half - 1, 1.0, 0.984),
        (half, 0.90, 0.988),
        (half, 0.0, 1.0),
    ]
    turn = np.linspace(0, 2 * np.pi, segments + 1)
    x = np.repeat([p[0] for p in profile], segments + 1)
    r = radius * np.repeat([p[1] for p in profile], segments + 1)
    around = np.tile(turn, len(profile))
    vertices = np.column_stack([x, -r * np.sin(around), radius - r * np.cos(around)])
    quads = grid_quads(len(profile), segments + 1)[:, ::-1]
    uv = np.column_stack([np.repeat([p[2] for p in profile], segments + 1), np.tile(turn / (2 * np.pi), len(profile))])
    return Mesh(vertices, quads, uv[quads])
