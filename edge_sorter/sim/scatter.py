"""Random parcel scenes: a camera, a belt or floor, light, clutter and parcels, all drawn from one generator.

Contract: ``build(seed, number)`` always builds the same scene.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_sorter.sim import conveyor
from edge_sorter.sim.camera import PinholeCamera
from edge_sorter.sim.paint import BELT_RGB
from edge_sorter.sim.scenario import CLASSES
from edge_sorter.sim.scene import SIZES_PX, Scene, footprint, hits, light, place
from edge_sorter.sim.stage import Quality, Stage


def random_camera(
    rng: np.random.Generator, view: str, image_px: tuple[int, int], target_mm: NDArray[np.float64]
) -> PinholeCamera:
    """A camera of one of three habits: ``overhead``, ``oblique`` or ``low``."""
    tilt, extent, fov = {
        "overhead": (rng.uniform(0, 25), rng.uniform(750, 2600), rng.uniform(38, 72)),
        "oblique": (rng.uniform(35, 65), rng.uniform(1000, 4200), rng.uniform(35, 65)),
        "low": (rng.uniform(70, 86), rng.uniform(520, 1700), rng.uniform(24, 48)),
    }[view]
    away = extent / 2 / np.tan(np.deg2rad(fov) / 2)
    azimuth = rng.choice([0, 90, 180, 270]) + rng.normal(scale=12 if view == "overhead" else 30)
    direction = np.array(
        [
            np.sin(np.deg2rad(tilt)) * np.cos(np.deg2rad(azimuth)),
            np.sin(np.deg2rad(tilt)) * np.sin(np.deg2rad(azimuth)),
            np.cos(np.deg2rad(tilt)),
        ]
    )
    position = target_mm + away * direction
    focal_px = image_px[0] / 2 / np.tan(np.deg2rad(fov) / 2)
    roll = float(np.deg2rad(rng.normal(scale=3 if view != "overhead" else 7)))
    return PinholeCamera(tuple(position.tolist()), tuple(target_mm.tolist()), float(focal_px), image_px, roll)


def random_size(rng: np.random.Generator, kind: str) -> tuple[float, float, float]:
    """Length, width and height of a plausible parcel of a kind, millimetres."""
    if kind == "carton":
        length = (
            float(np.exp(rng.uniform(np.log(110), np.log(760))))
            if rng.random() < 0.93
            else float(rng.uniform(760, 1200))
        )
        width = length * float(rng.uniform(0.42, 1.0))
        return length, width, float(np.clip(length * rng.uniform(0.18, 1.0), 40, 620))
    if kind == "polybag":
        length = float(rng.uniform(180, 560))
        return length, length * float(rng.uniform(0.5, 0.95)), float(rng.uniform(0.1, 0.32)) * length
    if kind == "mailer":
        length = float(rng.uniform(160, 430))
        return length, length * float(rng.uniform(0.5, 0.85)), float(rng.uniform(9, 42))
    if kind == "tube":
        diameter = float(rng.uniform(50, 140))
        return float(rng.uniform(3.2, 9) * diameter), diameter, diameter
    length = float(rng.uniform(400, 900))
    return length, length * float(rng.uniform(0.5, 0.72)), float(rng.uniform(0.14, 0.3)) * length


def build(seed: int, number: int, *, threads: int = 0, samples: int = 3) -> Scene:
    """Build the whole scene of one image on a fresh stage."""
    rng = np.random.default_rng([seed, number])
    view = str(rng.choice(["overhead", "oblique", "low"], p=[0.5, 0.3, 0.2]))
    image_px = SIZES_PX[rng.integers(0, len(SIZES_PX))]
    sacks = rng.random() < 0.15
    infrared = rng.random() < (0.5 if sacks else 0.07)
    belt_mm = float(rng.uniform(400, 1100) if not sacks else rng.uniform(520, 1000))
    height = 90.0 if view == "low" else 0.0
    target = np.array([rng.normal(scale=60), belt_mm / 2 + rng.normal(scale=0.12) * belt_mm, height])
    camera = random_camera(rng, view, image_px, target)
    quality = Quality(samples=samples, denoiser_quality="FAST")
    stage = Stage(image_px, quality, seed=number, threads=threads)
    scene = Scene(rng, view, camera, belt_mm, stage, infrared)
    away = float(np.linalg.norm(np.subtract(camera.look_at_mm, camera.position_mm)))
    if view == "low" and rng.random() < 0.75:
        stage.camera(
            camera,
            focus_mm=away * float(rng.uniform(0.85, 1.15)),
            f_stop=float(np.exp(rng.uniform(np.log(0.4), np.log(2.5)))),
        )
    else:
        stage.camera(camera)
    on_line = _surroundings(scene)
    light(scene)
    _parcels(scene, sacks=sacks, on_line=on_line)
    return scene


def _surroundings(scene: Scene) -> bool:
    """Belt, rollers or bare floor and what stands around; returns whether there is a conveyor."""
    rng, stage, low = scene.rng, scene.stage, scene.view == "low"
    floors = ["concrete", "asphalt", "carpet", "tiles", "boards", "epoxy"]
    choice = rng.random()
    on_line = bool(choice < 0.8)
    if not on_line:  # parcels on a floor or table: the same parcels, no conveyor to lean on
        conveyor.add_floor(stage, rng, str(rng.choice(floors)), z_mm=0.0, lines=bool(rng.random() < 0.3))
        for _ in range(int(rng.integers(0, 4))):
            tint = stage.material(tuple(rng.uniform(0.05, 0.9, 3)), rough=float(rng.uniform(0.3, 0.9)))
            away = -1.0 if scene.camera.position_mm[1] > scene.belt_mm / 2 else 1.0
            y = scene.belt_mm / 2 + away * float(rng.uniform(1100, 2600))
            stage.add_box(
                (3000, 120, 2400),
                tint,
                at_mm=(float(rng.uniform(-900, 900)), y, 0.0),
                yaw_rad=float(rng.normal(scale=0.25)),
            )
        return False
    conveyor.add_floor(
        stage, rng, str(rng.choice(floors, p=[0.5, 0.1, 0.05, 0.1, 0.05, 0.2])), lines=bool(rng.random() < 0.5)
    )
    reach = 6000.0 if scene.view != "overhead" else 3500.0
    if rng.random() < (0.5 if low else 0.2):
        conveyor.add_rollers(stage, rng, width_mm=scene.belt_mm, low_mm=-reach, high_mm=reach)
    else:
        names = list(BELT_RGB)
        name = str(rng.choice(names, p=[0.36, 0.24, 0.14, 0.12, 0.08, 0.06]))
        conveyor.add_belt(
            stage, rng, name, width_mm=scene.belt_mm, pitch_mm=float(rng.uniform(1800, 4200)), reach_mm=reach
        )
    rail = float(rng.uniform(30, 150)) if rng.random() < (0.8 if low else 0.6) else 0.0
    conveyor.add_frame(stage, rng, width_mm=scene.belt_mm, low_mm=-reach, high_mm=reach, rail_mm=rail)
    if rng.random() < 0.4:
        conveyor.add_sensor(stage, rng, at_x_mm=float(rng.uniform(-500, 500)), width_mm=scene.belt_mm)
    conveyor.add_clutter(stage, rng, width_mm=scene.belt_mm, count=int(rng.integers(2, 10)))
    for _ in range(int(rng.choice([0, 1, 2], p=[0.6, 0.28, 0.12]))):
        side = float(rng.choice([-1, 1]))
        y = scene.belt_mm / 2 + side * (scene.belt_mm / 2 + float(rng.uniform(420, 1500)))
        conveyor.add_figure(
            stage,
            rng,
            at_mm=(float(rng.uniform(-900, 900)), y),
            facing_rad=-side * np.pi / 2 + float(rng.normal(scale=0.3)),
        )
    return True


def _parcels(scene: Scene, *, sacks: bool, on_line: bool) -> None:
    """Scatter parcels on the belt, some stacked, some in the background, a hand now and then."""
    rng = scene.rng
    if rng.random() < 0.04:
        return
    if sacks:
        mix, count = [0.06, 0.06, 0.0, 0.0, 0.88], int(rng.integers(1, 5))
    else:
        mix, count = (
            [0.42, 0.25, 0.19, 0.14, 0.0],
            int(rng.choice([1, 2, 3, 4, 5, 6, 8, 10], p=[0.2, 0.2, 0.18, 0.13, 0.1, 0.08, 0.07, 0.04])),
        )
    if scene.view == "low":
        mix = [0.66, 0.14, 0.08, 0.12, 0.0] if not sacks else mix
    extent = _visible_half_mm(scene) * (0.6 if scene.view == "low" else 1.0)
    taken: list[NDArray[np.float64]] = []
    for _ in range(count):
        kind = CLASSES[rng.choice(len(CLASSES), p=mix)]
        size = random_size(rng, kind)
        for _attempt in range(12):
            reach = 0.5 * float(np.hypot(size[0], size[1]))
            room = scene.belt_mm / 2 - 0.35 * min(size[0], size[1])
            y = scene.belt_mm / 2 + float(rng.uniform(-1, 1)) * max(room, 20) * (1.0 if on_line else 1.8)
            centred = not taken and scene.view == "low"
            x = scene.camera.look_at_mm[0] + float(rng.uniform(-1, 1)) * extent * (0.3 if centred else 1.0)
            yaw = float(rng.normal(scale=0.3)) if rng.random() < 0.6 else float(rng.uniform(0, 2 * np.pi))
            corners = footprint(x, y, size, yaw)
            inside = corners[:, 1].min() > -30 and corners[:, 1].max() < scene.belt_mm + 30
            if (inside or not on_line or reach > 0.6 * scene.belt_mm) and not any(
                hits(corners, other) for other in taken
            ):
                taken.append(corners)
                place(scene, kind, size, (x, y, 0.0), yaw)
                if kind == "carton" and rng.random() < 0.10:
                    upper_kind = str(rng.choice(["carton", "polybag", "mailer"]))
                    upper = tuple(np.minimum(random_size(rng, upper_kind), (size[0] * 0.8, size[1] * 0.8, 400)))
                    place(scene, upper_kind, upper, (x, y, size[2]), yaw + float(rng.normal(scale=0.3)))
                break
    if taken and rng.random() < 0.12:
        spot = taken[0].mean(axis=0)
        conveyor.add_hand(
            scene.stage, rng, at_mm=(float(spot[0]), float(spot[1]) - 150, 180), yaw_rad=float(rng.uniform(0.6, 2.4))
        )
    if scene.view != "overhead" and rng.random() < 0.4 and on_line:
        _background_stack(scene)


def _visible_half_mm(scene: Scene) -> float:
    """Half of the belt's length that is in the picture, roughly; parcels may stick out of it."""
    width, height = scene.camera.image_px
    edges = np.array([[0, 0.6 * height], [width, 0.6 * height], [width / 2, height], [width / 2, 0.35 * height]], float)
    reached = scene.camera.on_belt(edges)
    half = float(np.nanpercentile(np.abs(reached[:, 0] - scene.camera.look_at_mm[0]), 75))
    return float(np.clip(half, 350, 2600))


def _background_stack(scene: Scene) -> None:
    """Cartons piled on a pallet behind the line: cartons too, so labelled where they can be seen."""
    rng = scene.rng
    side = -1.0 if scene.camera.position_mm[1] > scene.belt_mm / 2 else 1.0
    y0 = scene.belt_mm / 2 + side * (scene.belt_mm / 2 + float(rng.uniform(700, 2400)))
    size = (float(rng.uniform(300, 520)), float(rng.uniform(280, 420)), float(rng.uniform(220, 400)))
    for column in range(int(rng.integers(1, 4))):
        for level in range(int(rng.integers(1, 5))):
            at = (
                float(rng.uniform(-400, 0)) * 0.1 + column * (size[0] + 25) - 300,
                y0 + float(rng.normal(scale=12)),
                conveyor.FLOOR_MM + 144 + level * (size[2] + 2),
            )
            place(scene, "carton", size, at, float(rng.normal(scale=0.03)))
