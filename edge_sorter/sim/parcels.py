"""Which mesh belongs to which parcel: one place, so that truth boxes and pixels come from the same geometry.

Contract: ``mesh_of`` depends only on its arguments; the same seed gives the same wrinkles.
"""

from __future__ import annotations

import numpy as np

from edge_sorter.sim import odd_shapes, shapes
from edge_sorter.sim.shapes import Mesh

SizeMm = tuple[float, float, float]


def mesh_of(kind: str, size_mm: SizeMm, seed: tuple[int, ...], *, damaged: bool = False, resolution: int = 40) -> Mesh:
    """The parcel's mesh, millimetres, standing on z = 0 with its footprint centred on the origin."""
    rng = np.random.default_rng([*seed, 11])
    length, width, height = size_mm
    if kind == "carton":
        return _carton(size_mm, rng, damaged=damaged)
    if kind == "polybag":
        taper = float(rng.uniform(0.15, 0.7)) if rng.random() < 0.4 else 0.0
        return shapes.pillow(
            size_mm,
            rng,
            flatness=float(rng.uniform(1.7, 3.2)),
            ears=float(rng.uniform(0.03, 0.10)),
            wrinkle_mm=float(rng.uniform(2.5, 7.0)),
            lumps=float(rng.uniform(0.15, 0.4)),
            taper=taper,
            resolution=resolution,
        )
    if kind == "mailer":
        return shapes.pillow(
            size_mm,
            rng,
            flatness=float(rng.uniform(4.5, 8.0)),
            ears=0.012,
            wrinkle_mm=float(rng.uniform(0.4, 1.2)),
            lumps=0.12,
            resolution=resolution,
        )
    if kind == "tube":
        return shapes.tube(length, (width + height) / 2)
    if kind in ("tote", "irregular"):
        return (odd_shapes.tote if kind == "tote" else odd_shapes.irregular)(size_mm, rng)
    return shapes.pillow(
        size_mm,
        rng,
        flatness=float(rng.uniform(2.2, 4.0)),
        ears=float(rng.uniform(0.02, 0.07)),
        wrinkle_mm=float(rng.uniform(3.0, 8.0)),
        lumps=float(rng.uniform(0.1, 0.25)),
        resolution=resolution,
    )


def _carton(size_mm: SizeMm, rng: np.random.Generator, *, damaged: bool) -> Mesh:
    radius = float(rng.uniform(1.5, 4.0))
    if damaged:
        return shapes.box(size_mm, radius_mm=radius, inner=12, crush=float(rng.uniform(0.55, 0.8)), rng=rng)
    return shapes.box(size_mm, radius_mm=radius, bulge_mm=float(rng.uniform(0, 0.012) * min(size_mm[:2])))
