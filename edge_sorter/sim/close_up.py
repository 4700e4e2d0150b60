"""Random scenes as a scan tunnel's camera sees them: one to three parcels, near, from above, on a belt.

What ``scatter`` rarely shows: cartons that lie on a side, so that no tape tells them from a padded envelope; film bags
as large as cartons, bright and printed; parcels without a label on top.

Contract: as ``scatter.build``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_sorter.sim import conveyor, skins
from edge_sorter.sim.camera import PinholeCamera
from edge_sorter.sim.paint import BELT_RGB
from edge_sorter.sim.scene import SIZES_PX, Scene, footprint, hits, light, place
from edge_sorter.sim.stage import Quality, Stage

_KINDS = ("carton", "polybag", "mailer")


def build(seed: int, number: int, *, threads: int = 0, samples: int = 3) -> Scene:
    """Build the whole scene of one image on a fresh stage."""
    rng = np.random.default_rng([seed, number, 7])
    image_px = SIZES_PX[rng.integers(0, len(SIZES_PX))]
    belt_mm = float(rng.uniform(450, 1000))
    target = np.array([0.0, belt_mm / 2 + rng.normal(scale=0.06) * belt_mm, 0.0])
    seen_mm = float(rng.uniform(700, 2000))
    fov = np.deg2rad(rng.uniform(38, 72))
    away = seen_mm / 2 / np.tan(fov / 2)
    tilt, azimuth = np.deg2rad(rng.uniform(0, 15)), np.deg2rad(rng.choice([0, 90, 180, 270]) + rng.normal(scale=5))
    direction = np.array([np.sin(tilt) * np.cos(azimuth), np.sin(tilt) * np.sin(azimuth), np.cos(tilt)])
    position = target + away * direction
    camera = PinholeCamera(
        tuple(position.tolist()),
        tuple(target.tolist()),
        float(image_px[0] / 2 / np.tan(fov / 2)),
        image_px,
        float(np.deg2rad(rng.choice([0, 90]) + rng.normal(scale=4))),
    )
    stage = Stage(image_px, Quality(samples=samples, denoiser_quality="FAST"), seed=number, threads=threads)
    scene = Scene(rng, "overhead", camera, belt_mm, stage)
    stage.camera(camera)
    _line(scene)
    light(scene)
    _parcels(scene, seen_mm=seen_mm)
    return scene


def _line(scene: Scene) -> None:
    """A belt, black or grey as most are, its frame and what stands around."""
    rng, stage = scene.rng, scene.stage
    conveyor.add_floor(stage, rng, str(rng.choice(["concrete", "epoxy", "tiles"])), lines=bool(rng.random() < 0.3))
    name = str(rng.choice(list(BELT_RGB), p=[0.45, 0.22, 0.12, 0.08, 0.06, 0.07]))
    conveyor.add_belt(
        stage, rng, name, width_mm=scene.belt_mm, pitch_mm=float(rng.uniform(1800, 4200)), reach_mm=3500.0
    )
    rail = float(rng.uniform(30, 250)) if rng.random() < 0.7 else 0.0
    conveyor.add_frame(stage, rng, width_mm=scene.belt_mm, low_mm=-3500.0, high_mm=3500.0, rail_mm=rail)
    conveyor.add_clutter(stage, rng, width_mm=scene.belt_mm, count=int(rng.integers(0, 6)))


def _parcels(scene: Scene, *, seen_mm: float) -> None:
    rng = scene.rng
    half = 0.4 * seen_mm * scene.camera.image_px[1] / max(scene.camera.image_px)
    taken: list[NDArray[np.float64]] = []
    for _ in range(int(rng.choice([1, 2, 3], p=[0.5, 0.3, 0.2]))):
        kind = str(rng.choice(_KINDS, p=[0.42, 0.36, 0.22]))
        size, look, bare = _parcel(rng, kind)
        colour = "white" if kind == "polybag" and rng.random() < 0.4 else None
        for _attempt in range(12):
            x, y = float(rng.uniform(-half, half)), scene.belt_mm / 2 + float(rng.uniform(-0.3, 0.3)) * scene.belt_mm
            yaw = float(rng.choice([0, np.pi / 2]) + rng.normal(scale=0.25))
            corners = footprint(x, y, size, yaw)
            if not any(hits(corners, other) for other in taken):
                taken.append(corners)
                place(scene, kind, size, (x, y, 0.0), yaw, bare=bare, colour=colour, look=look)
                break


def _parcel(rng: np.random.Generator, kind: str) -> tuple[tuple[float, float, float], skins.Look, float]:
    """Size in mm, look and share without label of a parcel of this kind."""
    if kind == "carton":
        length = float(rng.uniform(180, 620))
        size = length, length * float(rng.uniform(0.45, 1.0)), length * float(rng.uniform(0.15, 0.9))
        on_side = bool(rng.random() < 0.5)
        return size, skins.Look(on_side=on_side, symbol=bool(rng.random() < 0.5)), 0.6
    if kind == "polybag":
        length = float(rng.uniform(220, 640))
        size = length, length * float(rng.uniform(0.4, 1.0)), length * float(rng.uniform(0.12, 0.42))
        return size, skins.Look(logo=bool(rng.random() < 0.6)), 0.5
    length = float(rng.uniform(180, 430))
    return (length, length * float(rng.uniform(0.5, 0.85)), float(rng.uniform(9, 42))), skins.AS_PACKED, 0.2
