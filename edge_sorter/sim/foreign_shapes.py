"""Geometry of what lies on a belt and is no parcel: a bottle, a glove, a sheet of paper, a loose strap, a roll of tape.

Contract: as in `shapes`: meshes standing on z = 0, centred on their footprint, x along their length, of exactly the
size that is asked for.
"""

from __future__ import annotations

import numpy as np

from edge_sorter.sim.hand_shape import lost_glove
from edge_sorter.sim.shapes import FloatArray, Mesh, grid_quads, smooth_noise

SizeMm = tuple[float, float, float]


def mesh_of(kind: str, size_mm: SizeMm, rng: np.random.Generator) -> Mesh:
    """The mesh of a kind of foreign object."""
    if kind == "glove":
        return _fitted(lost_glove(size_mm), size_mm)
    build = {"bottle": _bottle, "paper": _paper, "strap": _strap, "tape_roll": _tape_roll}[kind]
    return _fitted(build(size_mm, rng), size_mm)


def _fitted(mesh: Mesh, size_mm: SizeMm) -> Mesh:
    """Bring a mesh to a size exactly."""
    low, span = mesh.vertices_mm.min(axis=0), np.ptp(mesh.vertices_mm, axis=0)
    vertices = ((mesh.vertices_mm - low) / span - [0.5, 0.5, 0.0]) * size_mm
    return Mesh(vertices, mesh.quads, mesh.uv)


def _bottle(size_mm: SizeMm, rng: np.random.Generator) -> Mesh:
    """A drink's bottle on its side: foot, ribs, a waist for the label, shoulder, neck and cap; u along, v around."""
    del size_mm, rng
    # Along the bottle and its radius, as shares of length and half width; what comes twice is a sharp edge.
    profile = [(0.0, 0.0), (0.0, 0.62), (0.012, 0.80), (0.035, 0.96), (0.06, 1.0)]
    profile += [(at, 0.985 if number % 2 else 0.93) for number, at in enumerate(np.linspace(0.09, 0.24, 9))]
    profile += [(0.26, 0.97), (0.262, 0.955), (0.56, 0.955), (0.562, 0.98), (0.60, 1.0), (0.66, 0.97), (0.73, 0.85)]
    profile += [(0.80, 0.62), (0.855, 0.43), (0.875, 0.40), (0.885, 0.40), (0.886, 0.50), (0.897, 0.50), (0.898, 0.40)]
    profile += [(0.91, 0.40), (0.911, 0.46), (0.911, 0.46), (0.99, 0.46), (1.0, 0.42), (1.0, 0.42), (1.0, 0.0)]
    x, r = np.array(profile).T
    turn = np.linspace(0.0, 2.0 * np.pi, 41)
    rings = np.stack(
        [np.repeat(x[:, None], 41, axis=1), 0.5 * np.outer(r, -np.sin(turn)), 0.5 * np.outer(r, -np.cos(turn))], axis=-1
    )
    uv = np.stack([np.repeat(x[:, None], 41, axis=1), np.tile(turn / (2.0 * np.pi), (len(x), 1))], axis=-1)
    quads = grid_quads(*rings.shape[:2])[:, ::-1]
    return Mesh(rings.reshape(-1, 3), quads, uv.reshape(-1, 2)[quads])


def _tape_roll(size_mm: SizeMm, rng: np.random.Generator) -> Mesh:
    """A roll of parcel tape on its side, a hole in its middle; the skin lies on it from above."""
    del rng
    core, flank = 0.66, 1.0
    profile = [(core, 0.0), (core, 0.0), (flank, 0.0), (flank, 0.0), (flank, 1.0), (flank, 1.0), (0.745, 0.985)]
    profile += [(0.745, 1.0), (core, 1.0), (core, 1.0), (core, 0.0)]
    turn = np.linspace(0.0, 2.0 * np.pi, 73)
    rings = np.array([np.column_stack([r * np.cos(turn), r * np.sin(turn), np.full(73, z)]) for r, z in profile])
    rings[..., 2] *= size_mm[2] / size_mm[0]
    quads = grid_quads(*rings.shape[:2])
    return Mesh(rings.reshape(-1, 3), quads, _from_above(rings.reshape(-1, 3))[quads])


def _paper(size_mm: SizeMm, rng: np.random.Generator) -> Mesh:
    """A sheet that was folded twice and lies with its corners up; the skin is what is printed on it."""
    length, width, height = size_mm
    nodes = np.linspace(-1.0, 1.0, 41)
    v, u = np.meshgrid(nodes, nodes, indexing="ij")
    folds = 0.34 * np.abs(np.abs(u) - 0.33) + 0.12 * np.abs(v)
    corner = np.clip(u * rng.choice([-1, 1]) + v * rng.choice([-1, 1]) - 0.9, 0.0, None) ** 1.6
    rise = folds - folds.min() + 0.9 * corner + 0.05 * smooth_noise(rng, u.shape, 6, 2)
    top = height * (rise - rise.min()) / np.ptp(rise)
    sheet = np.column_stack([(u * length / 2).ravel(), (v * width / 2).ravel(), top.ravel()])
    under = sheet - [0.0, 0.0, 0.4]
    quads = grid_quads(41, 41)
    uv = np.column_stack([(u.ravel() + 1) / 2, (v.ravel() + 1) / 2])
    both = np.concatenate([sheet, under])
    return Mesh(both, np.concatenate([quads, quads[:, ::-1] + len(sheet)]), np.concatenate([uv[quads]] * 2))


def _strap(size_mm: SizeMm, rng: np.random.Generator) -> Mesh:
    """A cut end of strapping, 15 mm broad, that has sprung open into loops; u across, v along."""
    length, width, height = size_mm
    way = np.linspace(0.0, 1.0, 181)
    loops = float(rng.uniform(1.5, 1.9))
    angle = 2.0 * np.pi * loops * way + rng.uniform(0.0, 2.0 * np.pi)
    shrink = 1.0 - 0.42 * way
    x = length * (0.34 * shrink * np.cos(angle) + 0.30 * (way - 0.5))
    y = width * 0.46 * shrink * np.sin(angle)
    z = height * (0.12 + 0.5 * (0.5 + 0.5 * np.sin(2.0 * np.pi * way * 1.3 + rng.uniform(0.0, 6.0))))
    middle = np.column_stack([x, y, z])
    ahead = np.gradient(middle, axis=0)
    ahead /= np.linalg.norm(ahead, axis=1, keepdims=True)
    level = np.cross([0.0, 0.0, 1.0], ahead)
    level /= np.linalg.norm(level, axis=1, keepdims=True)
    roll = np.deg2rad(55.0) * np.sin(2.0 * np.pi * way * 0.9 + rng.uniform(0.0, 6.0))[:, None]
    broad = np.cos(roll) * level + np.sin(roll) * np.cross(ahead, level)
    thick = 0.6 * np.cross(ahead, broad)
    ring = [middle + 7.5 * a * broad + b * thick for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1))]
    rings = np.stack(ring, axis=1)
    uv = np.stack(np.meshgrid(np.linspace(0.0, 1.0, 5), way), axis=-1)
    quads = grid_quads(len(way), 5)
    return Mesh(rings.reshape(-1, 3), quads, uv.reshape(-1, 2)[quads])


def _from_above(points: FloatArray) -> FloatArray:
    low, span = points.min(axis=0), np.ptp(points, axis=0)
    seen: FloatArray = ((points - low) / span)[:, :2]
    return seen
