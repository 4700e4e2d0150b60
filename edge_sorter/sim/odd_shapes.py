"""Geometry of what is no ordinary parcel: open totes with goods in them, tyres, buckets, wrapped bundles.

Contract: as in `shapes`: closed meshes standing on z = 0, centred on their footprint, x along their length, of exactly
the size that is asked for. `irregular` picks the thing by its proportions, so a scenario says what it wants by size.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_sorter.sim import shapes
from edge_sorter.sim.shapes import FloatArray, Mesh, grid_quads

SizeMm = tuple[float, float, float]
Area = tuple[float, float, float, float]

RIM_MM, WALL_MM = 32.0, 9.0
"""Height of a tote's rim, and how thick it is."""
GOODS_TILES = (4, 2)
"""Columns and rows of pictures in a tote's skin; each thing in it wears one of them."""
WALLS: Area = (0.0, 0.5, 1.0, 0.5)
GOODS: Area = (0.0, 0.0, 1.0, 0.5)
"""Where walls and goods lie on a tote's skin: left, bottom, width, height as shares of it."""
ROUND = 0.93
"""A footprint whose shorter side is at least this share of the longer one is round."""
STRAPS = (0.3, 0.7)
"""Where a bundle is strapped, as shares of its length."""


def tote(size_mm: SizeMm, rng: np.random.Generator) -> Mesh:
    """An open plastic box: tapered ribbed walls, a thick rim, hand holds in the skin, and some goods inside."""
    length, width, height = size_mm
    taper = 0.035 * width
    floor_mm = 14.0
    rim_from = height - min(RIM_MM, 0.3 * height)
    lip = WALL_MM + 12.0
    # From the bottom's middle over wall and rim to the floor's middle: (inset, z); a sharp edge comes twice.
    outer = [(0.5 * width, 0.0), (taper + 20, 0.0), (taper + 20, 0.0), (taper + 14, 5.0)]
    outer += [(13.0 + taper * (1 - z / rim_from), z) for z in np.linspace(6.0, rim_from, 10)]
    rim = [(13.0, rim_from), (0.0, rim_from + 2), (0.0, rim_from + 2), (0.0, height - 4)]
    rim += [(1.5, height - 1), (5.0, height)]
    inner = [(lip - 4, height), (lip, height - 3), (lip, height - 3), (lip + taper, floor_mm), (lip + taper, floor_mm)]
    profile = np.array([*outer, *rim, *inner, (0.5 * width, floor_mm)])
    rings = []
    for number, (inset, z) in enumerate(profile):
        ring, ribbed = _rounded_rectangle(length, width, inset)
        if 0.12 * height < z < rim_from - 12 and number < len(outer):  # ribs stand out of the outer wall
            ring += ribbed * 6.0
        rings.append(np.column_stack([ring, np.full(len(ring), z)]))
    shell = _swept(np.array(rings), WALLS)
    inside = (length - 2 * (lip + taper), width - 2 * (lip + taper), 0.92 * height - floor_mm)
    return joined([shell, *_goods(inside, floor_mm, rng)])


def irregular(size_mm: SizeMm, rng: np.random.Generator) -> Mesh:
    """What belongs into no class: round and low is a tyre, round and high a bucket, all else a wrapped bundle."""
    return {"tyre": _tyre, "bucket": _bucket, "bundle": _bundle}[form_of(size_mm)](size_mm, rng)


def form_of(size_mm: SizeMm) -> str:
    """Which irregular thing has such proportions: "tyre", "bucket" or "bundle"."""
    length, width, height = size_mm
    if min(length, width) < ROUND * max(length, width):
        return "bundle"
    return "tyre" if height < 0.45 * length else "bucket"


def _tyre(size_mm: SizeMm, rng: np.random.Generator) -> Mesh:
    """A tyre lying flat: sidewalls, a tread with grooves and blocks, and a hole through which the belt shows."""
    height = size_mm[2]
    bead = float(rng.uniform(0.60, 0.68))
    side = [(bead, 0.16), (bead + 0.03, 0.05), (0.78, 0.0), (0.90, 0.05), (0.955, 0.13), (0.985, 0.2)]
    tread = [(0.99 - dip, z) for z in np.linspace(0.22, 0.78, 29) for dip in (0.035 if _groove(z) else 0.0,)]
    liner = [(bead, 0.84), (0.86, 0.7), (0.9, 0.5), (0.86, 0.3), (bead, 0.16)]
    profile = np.array([*side, *tread, *[(r, 1 - z) for r, z in reversed(side)], *liner])
    segments = 288
    turn = np.linspace(0.0, 2 * np.pi, segments + 1)
    blocks = 0.014 * (np.mod(turn * 72 / (2 * np.pi), 1.0) < 0.25)
    rings = []
    for number, (radius, z) in enumerate(profile):
        on_tread = len(side) <= number < len(side) + len(tread)
        around = radius - (blocks if on_tread and abs(z - 0.5) > 0.1 else 0.0)
        rings.append(np.column_stack([around * np.cos(turn), around * np.sin(turn), np.full(segments + 1, z * height)]))
    plan = np.array(rings)
    plan[-len(liner) :, :, :2] *= (bead / profile[-len(liner) :, 0])[:, None, None]  # inside it looks as at its bead
    return _from_above(np.array(rings), size_mm, plan=plan)


def _groove(z: float) -> bool:
    return min(abs(z - at) for at in (0.34, 0.45, 0.55, 0.66)) < 0.018


def _bucket(size_mm: SizeMm, rng: np.random.Generator) -> Mesh:
    """A pail: tapered body with two hoops under a lid whose edge stands out."""
    height = size_mm[2]
    low = float(rng.uniform(0.80, 0.88))
    body = [(0.02, 0.0), (low - 0.02, 0.0), (low - 0.02, 0.0), (low, 0.012)]
    body += [(low + (0.955 - low) * z, z) for z in np.linspace(0.02, 0.80, 6)]
    for at in (0.82, 0.87):
        body += [(0.945, at - 0.006), (0.975, at - 0.004), (0.975, at + 0.004), (0.948, at + 0.006)]
    lid = [(0.95, 0.90), (1.0, 0.905), (1.0, 0.905), (1.0, 0.985), (0.985, 1.0), (0.985, 1.0), (0.93, 1.0), (0.93, 1.0)]
    lid += [(0.91, 0.975), (0.91, 0.975), (0.5, 0.975), (0.02, 0.975)]
    turn = np.linspace(0.0, 2 * np.pi, 97)
    rings = [np.column_stack([r * np.cos(turn), r * np.sin(turn), np.full(97, z * height)]) for r, z in body + lid]
    return _from_above(np.array(rings), size_mm)


def _bundle(size_mm: SizeMm, rng: np.random.Generator) -> Mesh:
    """Something lumpy in stretch film, strapped twice: corners push through, the film runs in folds."""
    rows, columns = 64, 128
    turn, rise = np.meshgrid(np.linspace(0, 2 * np.pi, columns + 1), np.linspace(-1, 1, rows) * np.pi / 2)
    squareness = float(rng.uniform(0.42, 0.62))
    ball = np.stack([np.cos(turn) * np.cos(rise), np.sin(turn) * np.cos(rise), np.sin(rise)], axis=-1)
    body = np.sign(ball) * np.abs(ball) ** squareness
    lumps = 0.11 * _waves(ball, rng, count=7, pitch=2.4) + 0.05 * _waves(ball, rng, count=7, pitch=5.0)
    lean = ball @ rng.normal(scale=0.12, size=3)
    folds = 0.016 * (1 - 2 * np.abs(_waves(ball, rng, count=4, pitch=11.0)))
    body *= (1 + np.clip(lumps, -0.3, 0.3) + lean + folds)[..., None]
    along = (body[..., 0] - body[..., 0].min()) / np.ptp(body[..., 0])
    for at in STRAPS:
        body[..., 1:] *= (1 - 0.07 * np.exp(-(((along - at) / 0.022) ** 2)))[..., None]
    body[..., 2] = np.maximum(body[..., 2], np.quantile(body[..., 2], 0.18))  # it lies on what it weighs
    return _from_above(body, size_mm)


def _waves(at: FloatArray, rng: np.random.Generator, *, count: int, pitch: float) -> FloatArray:
    """Smooth noise in space without seam or pole, about -1..1."""
    ways = rng.normal(size=(count, 3)) * pitch / np.sqrt(3)
    phases = rng.uniform(0, 2 * np.pi, count)
    summed: FloatArray = np.sin(at @ ways.T + phases).sum(axis=-1) / np.sqrt(count / 2) / 1.6
    return summed


def _rounded_rectangle(length: float, width: float, inset: float) -> tuple[FloatArray, FloatArray]:
    """A closed outline so far inside the full size, and outward directions where ribs are: both (n + 1, 2)."""
    half = np.maximum(np.array([length, width]) / 2 - inset, 0.0)
    radius = min(max(0.07 * width - 0.5 * inset, 6.0), 0.9 * float(half.min()))
    points, ribs = [], []
    corners = ((1, 1, 0.0), (-1, 1, 0.5), (-1, -1, 1.0), (1, -1, 1.5))
    for number, (sx, sy, start) in enumerate(corners):
        middle = np.array([sx, sy]) * (half - radius)
        arc = np.linspace(start, start + 0.5, 7)[:, None] * np.pi
        points.append(middle + radius * np.column_stack([np.cos(arc), np.sin(arc)]))
        ribs.append(np.zeros((7, 2)))
        ahead = np.array(corners[(number + 1) % 4][:2]) * (half - radius)
        outward = np.array([np.cos((start + 0.5) * np.pi), np.sin((start + 0.5) * np.pi)])
        along = np.linspace(0, 1, 41)[1:-1, None]
        points.append((middle + radius * outward) * (1 - along) + (ahead + radius * outward) * along)
        ribs.append((np.mod(np.arange(39), 6) < 1)[:, None] * outward)
    outline, sticking = np.concatenate(points), np.concatenate(ribs)
    return np.concatenate([outline, outline[:1]]), np.concatenate([sticking, sticking[:1]])


def _goods(inside_mm: SizeMm, floor_mm: float, rng: np.random.Generator) -> list[Mesh]:
    """Boxes and bags that lie in a tote, one upon the other; each wears one tile of the skin."""
    length, width, height = inside_mm
    things: list[Mesh] = []
    columns, rows = int(rng.integers(2, 4)), int(rng.integers(1, 3))
    for column in range(columns):
        for row in range(rows):
            z = floor_mm + 0.5
            cell = np.array([length / columns, width / rows])
            for _ in range(int(rng.integers(0, 4))):
                flat = cell * rng.uniform(0.62, 0.93, 2)
                high = float(rng.uniform(0.12, 0.4)) * height
                if z + high > floor_mm + height:
                    break
                size = (float(flat[0]), float(flat[1]), high)
                if rng.random() < 0.35:
                    thing = shapes.pillow(size, rng, lumps=0.2, resolution=14)
                else:
                    thing = shapes.box(size, radius_mm=3.0, inner=1)
                centre = cell * (np.array([column, row]) + 0.5) - np.array([length, width]) / 2
                room = np.maximum((cell - flat) / 2 - 4, 0.0)
                centre += rng.uniform(-1, 1, 2) * room
                tile = rng.integers(0, GOODS_TILES, 2)
                things.append(_moved(_tiled(thing, tile), (float(centre[0]), float(centre[1]), z)))
                z += high
    return things


def _tiled(mesh: Mesh, tile: NDArray[np.int64]) -> Mesh:
    """Let a mesh wear one tile of the goods' part of the skin."""
    left, bottom, wide, high = GOODS
    share = np.array([wide / GOODS_TILES[0], high / GOODS_TILES[1]])
    uv = np.array([left, bottom]) + (tile + 0.04 + 0.92 * np.clip(mesh.uv, 0, 1)) * share
    return Mesh(mesh.vertices_mm, mesh.quads, uv, mesh.normals)


def _moved(mesh: Mesh, by_mm: tuple[float, float, float]) -> Mesh:
    return Mesh(mesh.vertices_mm + np.array(by_mm), mesh.quads, mesh.uv, mesh.normals)


def joined(parts: Sequence[Mesh]) -> Mesh:
    """Several meshes as one, each with the normals it would have by itself."""
    starts = np.cumsum([0, *(len(part.vertices_mm) for part in parts)])[:-1]
    return Mesh(
        np.concatenate([part.vertices_mm for part in parts]),
        np.concatenate([part.quads + start for part, start in zip(parts, starts, strict=True)]),
        np.concatenate([part.uv for part in parts]),
        np.concatenate([_normals(part) for part in parts]),
    )


def _normals(mesh: Mesh) -> FloatArray:
    """The mesh's own normals, or those of its faces averaged at each vertex by area."""
    if mesh.normals is not None:
        return mesh.normals
    a, b, c, d = (mesh.vertices_mm[mesh.quads[:, k]] for k in range(4))
    face = np.cross(c - a, d - b)
    total = np.zeros_like(mesh.vertices_mm)
    for k in range(4):
        np.add.at(total, mesh.quads[:, k], face)
    averaged: FloatArray = total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-9)
    return averaged


def _swept(rings: FloatArray, area: Area) -> Mesh:
    """A surface through closed rings, shape (rows, n + 1, 3), from the bottom outwards; u runs round, v along."""
    rows, columns = rings.shape[:2]
    steps = np.linalg.norm(np.diff(rings.mean(axis=1) * [0, 0, 1], axis=0), axis=1)
    steps += np.abs(np.diff(np.linalg.norm(rings[..., :2], axis=2).mean(axis=1)))
    along = np.concatenate([[0.0], np.cumsum(steps)]) / max(float(steps.sum()), 1e-9)
    around = np.linspace(0, 1, columns)
    uv = np.stack(np.meshgrid(around, along), axis=-1) * [area[2], area[3]] + [area[0], area[1]]
    quads = grid_quads(rows, columns)
    return Mesh(rings.reshape(-1, 3), quads, uv.reshape(-1, 2)[quads])


def _from_above(rings: FloatArray, size_mm: SizeMm, *, plan: FloatArray | None = None) -> Mesh:
    """A surface through closed rings, brought to a size exactly, clothed by its plan from above (or by another one)."""
    points = rings.reshape(-1, 3)
    low, span = points.min(axis=0), np.ptp(points, axis=0)
    vertices = ((points - low) / span - [0.5, 0.5, 0.0]) * size_mm
    uv = (((rings if plan is None else plan).reshape(-1, 3) - low) / span)[:, :2]
    quads = grid_quads(*rings.shape[:2])
    return Mesh(vertices, quads, np.clip(uv, 0, 1)[quads])
