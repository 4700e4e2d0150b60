"""A picture's scene while it is being built: its camera and stage, the parcels on it, the lamps above.

Contract: all that is random comes from the scene's own generator; only parcels carry object numbers (from 1).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_sorter.sim import skins
from edge_sorter.sim.camera import PinholeCamera
from edge_sorter.sim.parcels import mesh_of
from edge_sorter.sim.stage import Stage

SIZES_PX = ((448, 256), (448, 256), (448, 336), (416, 288), (384, 384), (352, 448))  # no larger than what is trained at


@dataclass
class Scene:
    """One random scene while it is being built."""

    rng: np.random.Generator
    view: str
    camera: PinholeCamera
    belt_mm: float
    stage: Stage
    infrared: bool = False
    vertices_mm: dict[int, NDArray[np.float64]] = field(default_factory=dict)
    kinds: dict[int, str] = field(default_factory=dict)

    @property
    def px_per_mm(self) -> float:
        """How fine a skin must be to look sharp in this picture."""
        away = float(np.linalg.norm(np.subtract(self.camera.look_at_mm, self.camera.position_mm)))
        return float(np.clip(1.4 * self.camera.focal_px / away, 0.25, 1.3))


def light(scene: Scene) -> None:
    """Hang one to three lamps over the scene, warm or cold, near or far; in infra-red only one, beside the lens."""
    rng, stage = scene.rng, scene.stage
    if scene.infrared:  # a lamp beside the lens, everything else dark
        x, y, z = scene.camera.position_mm
        stage.world((1, 1, 1), float(rng.uniform(0.004, 0.08)))
        stage.lamp((x + 60, y + 40, z), scene.camera.look_at_mm, watts=120, size_mm=(90, 90))
        return
    warm = float(rng.normal(scale=0.1))
    stage.world((1 + warm / 2, 1.0, 1 - warm / 2), float(rng.uniform(0.08, 1.0)))
    for _ in range(int(rng.integers(1, 4))):
        size = (
            (float(rng.uniform(100, 400)),) * 2 if rng.random() < 0.3 else tuple(rng.uniform((800, 200), (2600, 1200)))
        )
        at = (float(rng.normal(scale=1400)), float(rng.normal(scale=1400)) + 300, float(rng.uniform(1700, 3800)))
        tint = float(rng.normal(scale=0.1))
        stage.lamp(
            at,
            (float(rng.normal(scale=300)), 300, 0),
            watts=float(rng.uniform(30, 220)),
            size_mm=size,
            colour=(1 + min(tint, 0), 1 - abs(tint) * 0.3, 1 - max(tint, 0)),
        )


def place(
    scene: Scene,
    kind: str,
    size: tuple[float, ...],
    at_mm: tuple[float, float, float],
    yaw: float,
    *,
    bare: float = 0.2,
    colour: str | None = None,
    look: skins.Look = skins.AS_PACKED,
) -> None:
    """Put a parcel into the scene.

    Args:
        scene: the scene; the parcel gets its next object number.
        kind: kind of parcel.
        size: length, width, height, mm.
        at_mm: where its footprint's centre stands.
        yaw: turn around the vertical, radians.
        bare: share of parcels without a shipping label.
        colour: a colour name of its kind, or None to draw one.
        look: how it lies and is printed.
    """
    number = len(scene.kinds) + 1
    seed = tuple(int(v) for v in scene.rng.integers(0, 2**31, 2))
    size3 = (float(size[0]), float(size[1]), float(size[2]))
    damaged = kind == "carton" and scene.rng.random() < 0.08
    code = (
        None if scene.rng.random() < (0.85 if kind == "sack" else bare) else f"JD{scene.rng.integers(10**10, 10**11)}"
    )
    spec = skins.SkinSpec(kind, size3, code, colour, damaged, scene.px_per_mm, look)
    skin = skins.draw(spec, np.random.default_rng(seed))
    mesh = mesh_of(kind, size3, seed, damaged=damaged, resolution=32)
    scene.stage.add(
        mesh, scene.stage.material((0.5, 0.5, 0.5), skin=skin, tile=False), at_mm=at_mm, yaw_rad=yaw, number=number
    )
    cos, sin = np.cos(yaw), np.sin(yaw)
    x, y, z = mesh.vertices_mm.T
    scene.vertices_mm[number] = np.column_stack([cos * x - sin * y, sin * x + cos * y, z]) + at_mm
    scene.kinds[number] = kind


def footprint(x: float, y: float, size: tuple[float, ...], yaw: float) -> NDArray[np.float64]:
    """The four corners (4, 2), mm, of a parcel of this length and width that stands at x, y, turned by yaw."""
    half = np.array([size[0], size[1]]) / 2
    turn = np.array([[np.cos(yaw), np.sin(yaw)], [-np.sin(yaw), np.cos(yaw)]])
    placed: NDArray[np.float64] = (np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half) @ turn + [x, y]
    return placed


def hits(first: NDArray[np.float64], second: NDArray[np.float64]) -> bool:
    """Whether two convex footprints (4, 2) overlap."""
    area, _ = cv2.intersectConvexConvex(first.astype(np.float32), second.astype(np.float32))
    return bool(area > 0)
