"""Ray-trace a scenario's key pictures: fixed camera and light, parcels moved by exactly the belt's travel.

Contract: pictures are written one by one and whole (a killed render resumes where it stopped); each depends only on the
scenario and its number. `compose` makes the frames from them. Needs ``bpy`` and ``OpenEXR``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from edge_sorter.sim import hall, skins
from edge_sorter.sim.belt_pattern import pattern
from edge_sorter.sim.between import Key, Plate
from edge_sorter.sim.compose import key_travels_mm, write_key, write_plate
from edge_sorter.sim.parcels import mesh_of
from edge_sorter.sim.scenario import PlacedParcel, Scenario, expand, load
from edge_sorter.sim.stage import MM, Quality, Stage
from edge_sorter.sim.truth import placed_vertices_mm

PLATE_SAMPLES = 40
BRIGHTER = 2.0
"""The plate's second picture has a belt so many times as bright: their difference is what the belt's colour does."""
UNSEEN_MM = 700.0
"""A parcel so far outside the picture throws no shadow into it."""


@dataclass(frozen=True)
class Actor:
    """A parcel on the stage."""

    parcel: PlacedParcel
    thing: Any


class Clip:
    """A scenario built on the stage, ready to be photographed at any belt travel."""

    def __init__(self, scenario: Scenario, quality: Quality, *, threads: int = 0) -> None:
        self.scenario = scenario
        self._camera = scenario.pinhole()
        self._stage = Stage(self._camera.image_px, quality, threads=threads)
        self._stage.camera(self._camera)
        self._grey = pattern(scenario).grey
        self._belt = hall.build(self._stage, scenario)
        self._actors = [_actor(self._stage, parcel) for parcel in expand(scenario)]
        width, height = self._camera.image_px
        corners = np.array([[0, 0], [width, 0], [0, height], [width, height]], float)
        reach = self._camera.on_belt(corners)[:, 0]
        self._view_mm = float(reach.min()) - UNSEEN_MM, float(reach.max()) + UNSEEN_MM

    def save_plate(self, out_dir: Path) -> None:
        """Photograph the empty line, once as coarse as every key, once fine, once fine with a brighter belt."""
        scratch, seed = out_dir / ".scratch_plate.exr", self.scenario.seed
        for actor in self._actors:
            actor.thing.hide_render = True
        self._stage.paint(self._belt, self._grey)
        coarse = self._stage.shoot(scratch, seed=seed)
        fine = self._stage.shoot(scratch, seed=seed, samples=PLATE_SAMPLES)
        self._stage.paint(self._belt, BRIGHTER * self._grey)
        bright = self._stage.shoot(scratch, seed=seed, samples=PLATE_SAMPLES)
        gain = (bright.light - fine.light) / ((BRIGHTER - 1.0) * self._grey)
        write_plate(out_dir, Plate(fine.light, np.maximum(gain, 0.0), coarse.light, coarse.seen))

    def save_key(self, number: int, out_dir: Path) -> None:
        """Photograph one key picture into ``out_dir``."""
        travel_mm = key_travels_mm(self.scenario)[number]
        self._stage.paint(self._belt, self._grey)
        self._stage.show_rows(*self._busy_rows())
        for actor in self._actors:
            place_mm = actor.parcel.start_mm + travel_mm
            actor.thing.hide_render = not self._view_mm[0] < place_mm < self._view_mm[1]
            actor.thing.location.x = place_mm * MM
        # The same light paths for every picture: what stands still must not flicker.
        shot = self._stage.shoot(out_dir / f".scratch_{number:04d}.exr", seed=self.scenario.seed)
        assert shot.place_mm is not None
        write_key(out_dir, number, Key(travel_mm, shot.light, shot.seen, shot.place_mm))

    @lru_cache(maxsize=1)  # noqa: B019  one clip lives as long as its process
    def _busy_rows(self) -> tuple[int, int]:
        """Rows of the picture in which anything ever moves or falls into shade."""
        middle = self._camera.look_at_mm[0]
        points = [
            placed_vertices_mm(actor.parcel) + np.array([x_mm - actor.parcel.start_mm, 0.0, 0.0])
            for actor in self._actors
            for x_mm in (middle - 900, middle, middle + 900)
        ]
        belt = np.array([[middle, 0.0, 0.0], [middle, self.scenario.belt.width_mm, 0.0]])
        rows = self._camera.project(np.concatenate([*points, belt]))[:, 1]
        return max(0, int(rows.min()) - 20), min(self._camera.image_px[1], int(rows.max()) + 30)


def _actor(stage: Stage, parcel: PlacedParcel) -> Actor:
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
    return Actor(parcel, thing)


@lru_cache(maxsize=1)
def clip_of(scenario_path: Path, samples: int) -> Clip:
    """The stage of this process: built once, used for every picture it renders."""
    # One bounce and the fast denoiser: seen from above in an open hall, more light transport changes nothing visible.
    quality = Quality(samples=samples, bounces=1, denoiser_quality="FAST", persistent=True, places=True)
    return Clip(load(scenario_path), quality, threads=1)
