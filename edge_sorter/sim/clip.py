"""Render a scenario to a video: fixed camera and light, parcels and belt move by exactly speed x time.

Contract: frames are written one by one and whole (a killed render resumes where it stopped); the picture of a frame
depends only on the scenario and the frame's number.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_sorter.sim import conveyor, film, skins
from edge_sorter.sim.encode import frame_path
from edge_sorter.sim.parcels import mesh_of
from edge_sorter.sim.scenario import PlacedParcel, Scenario, expand, load
from edge_sorter.sim.stage import MM, Quality, Stage
from edge_sorter.sim.truth import box_at, placed_vertices_mm


@dataclass(frozen=True)
class Actor:
    """A parcel on the stage and the frames in which it can be seen."""

    parcel: PlacedParcel
    thing: Any
    first_frame: int
    last_frame: int


class Clip:
    """A scenario built on the stage, ready to be photographed at any frame."""

    def __init__(self, scenario: Scenario, quality: Quality, *, threads: int = 0) -> None:
        self.scenario = scenario
        camera = scenario.pinhole()
        self._stage = Stage(camera.image_px, quality, threads=threads)
        self._stage.camera(camera)
        self._belt = _set(self._stage, scenario)
        self._actors = [_actor(self._stage, scenario, parcel) for parcel in expand(scenario)]
        self._exposure: float | None = None

    def shoot(self, frame: int, scratch: Path) -> NDArray[np.uint8]:
        """Photograph one frame: BGR, shape (height, width, 3)."""
        belt = self.scenario.belt
        travelled = belt.speed_mm_s * frame / self.scenario.video.fps
        self._belt.location.x = (travelled % belt.seam_pitch_mm) * MM
        for actor in self._actors:
            visible = actor.first_frame <= frame <= actor.last_frame
            place = actor.parcel.start_mm + travelled
            actor.thing.hide_render = not visible
            actor.thing.location.x = place * MM
        # The same light paths for every frame: what stands still must not flicker.
        light, _ = self._stage.shoot(scratch, seed=self.scenario.seed)
        rng = np.random.default_rng([self.scenario.seed, frame, 5])
        return film.develop(light, film.Film(exposure=0.87, contrast=1.06, noise=0.9, vignette=0.1), rng)

    def save(self, frame: int, out_dir: Path) -> None:
        """Photograph one frame into ``out_dir``; the file appears whole or not at all."""
        picture = self.shoot(frame, out_dir / f".scratch_{frame:04d}.exr")
        partial = out_dir / f".partial_{frame:04d}.png"
        cv2.imwrite(str(partial), picture, [cv2.IMWRITE_PNG_COMPRESSION, 1])
        partial.replace(frame_path(out_dir, frame))


def _actor(stage: Stage, scenario: Scenario, parcel: PlacedParcel) -> Actor:
    spec = parcel.spec
    size = (spec.length_mm, spec.width_mm, spec.height_mm)
    rng = np.random.default_rng([*parcel.seed, 13])
    skin = skins.draw(skins.SkinSpec(spec.kind, size, parcel.label_code, spec.colour, spec.damaged, px_per_mm=1.4), rng)
    mesh = mesh_of(spec.kind, size, parcel.seed, damaged=spec.damaged)
    thing = stage.add(
        mesh,
        stage.material((0.5, 0.5, 0.5), skin=skin, tile=False),
        at_mm=(parcel.start_mm, spec.lateral_mm, 0.0),
        yaw_rad=float(np.deg2rad(spec.skew_deg)),
        number=parcel.id,
    )
    vertices = placed_vertices_mm(parcel)
    # A parcel just outside the picture still throws its shadow into it: keep it a little longer.
    spare = int(0.5 * scenario.video.fps * 1000 / scenario.belt.speed_mm_s)
    seen = [
        frame
        for frame in range(scenario.video.frames)
        if box_at(scenario, parcel, frame / scenario.video.fps, vertices) is not None
    ]
    first, last = (seen[0] - spare, seen[-1] + spare) if seen else (1, 0)
    return Actor(parcel, thing, first, last)


def _set(stage: Stage, scenario: Scenario) -> Any:
    """Belt, frame, floor and lights of the demo hall; returns the belt."""
    rng = np.random.default_rng([scenario.seed, 1])
    belt = scenario.belt
    thing = conveyor.add_belt(
        stage, rng, belt.material, width_mm=belt.width_mm, pitch_mm=belt.seam_pitch_mm, reach_mm=4600
    )
    conveyor.add_frame(
        stage, rng, width_mm=belt.width_mm, low_mm=-2600, high_mm=4600, rail_mm=52, colour=(0.16, 0.3, 0.5)
    )
    conveyor.add_sensor(stage, rng, at_x_mm=belt.decision_line_mm, width_mm=belt.width_mm)
    conveyor.add_floor(stage, rng, "concrete", lines=False)
    paint = stage.material((0.85, 0.66, 0.06), rough=0.55)
    stage.add_plane((-9000, belt.width_mm + 420), (9000, belt.width_mm + 510), conveyor.FLOOR_MM + 2, paint, (900, 900))
    middle = scenario.camera.look_at_mm[0]
    stage.world((0.80, 0.87, 1.0), 0.22)
    for shift in (-1300.0, 1300.0):
        at, towards = (middle + shift, 1500, 2700), (middle + shift * 0.5, 380, 0)
        stage.lamp(at, towards, watts=88, size_mm=(1500, 180), colour=(1.0, 0.96, 0.9))
    stage.lamp((middle - 500, -1900, 2300), (middle, 400, 0), watts=20, size_mm=(1400, 700), colour=(0.92, 0.96, 1.0))
    return thing


@lru_cache(maxsize=1)
def clip_of(scenario_path: Path, samples: int) -> Clip:
    """The stage of this process: built once, used for every frame it renders."""
    # One bounce and the fast denoiser: seen from above in an open hall, more light transport changes nothing visible.
    quality = Quality(samples=samples, bounces=1, denoiser_quality="FAST", persistent=True)
    return Clip(load(scenario_path), quality, threads=1)
