"""Ray-trace a scenario's key pictures: fixed camera and light, parcels moved by exactly the belt's travel.

A hand does not move with the belt, so no key shows one: a frame with a hand is traced by itself.

Contract: pictures are written one by one and whole (a killed render resumes where it stopped); each depends only on the
scenario and its number. `compose` makes the frames from them. Needs ``bpy`` and ``OpenEXR``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sorter.sim import foreign_skins, hall, skins
from edge_sorter.sim.belt_pattern import pattern
from edge_sorter.sim.between import Key, Plate
from edge_sorter.sim.compose import hand_path, key_path, key_travels_mm, moment, write_key, write_plate
from edge_sorter.sim.foreign import PlacedForeign
from edge_sorter.sim.hands import PlacedHand
from edge_sorter.sim.parcels import mesh_of
from edge_sorter.sim.scenario import PlacedParcel, Scenario, expand, expand_foreign, expand_hands, load
from edge_sorter.sim.stage import MM, Quality, Stage
from edge_sorter.sim.truth import placed_vertices_mm

PLATE_SAMPLES = 40
BRIGHTER = 2.0
"""The plate's second picture has a belt so many times as bright: their difference is what the belt's colour does."""
UNSEEN_MM = 700.0
"""A parcel so far outside the picture throws no shadow into it."""


@dataclass(frozen=True)
class Actor:
    """A parcel or a foreign object on the stage: where its centre is, and its vertices, before the belt moved."""

    start_mm: float
    vertices_mm: NDArray[np.float64]
    thing: Any


@dataclass(frozen=True)
class Reacher:
    """A hand on the stage: its glove and its sleeve."""

    hand: PlacedHand
    things: tuple[Any, ...]


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
        self._actors += [_foreign_actor(self._stage, thing) for thing in expand_foreign(scenario)]
        self._reachers = [_reacher(self._stage, hand) for hand in expand_hands(scenario)]
        width, height = self._camera.image_px
        corners = np.array([[0, 0], [width, 0], [0, height], [width, height]], float)
        reach = self._camera.on_belt(corners)[:, 0]
        self._view_mm = float(reach.min()) - UNSEEN_MM, float(reach.max()) + UNSEEN_MM

    def save_plate(self, out_dir: Path) -> None:
        """Photograph the empty line, once as coarse as every key, once fine, once fine with a brighter belt."""
        scratch, seed = out_dir / ".scratch_plate.exr", self.scenario.seed
        for actor in self._actors:
            actor.thing.hide_render = True
        self._show_hands(None)
        self._stage.paint(self._belt, self._grey)
        coarse = self._stage.shoot(scratch, seed=seed)
        fine = self._stage.shoot(scratch, seed=seed, samples=PLATE_SAMPLES)
        self._stage.paint(self._belt, BRIGHTER * self._grey)
        bright = self._stage.shoot(scratch, seed=seed, samples=PLATE_SAMPLES)
        gain = (bright.light - fine.light) / ((BRIGHTER - 1.0) * self._grey)
        write_plate(out_dir, Plate(fine.light, np.maximum(gain, 0.0), coarse.light, coarse.seen))

    def save_key(self, number: int, out_dir: Path) -> None:
        """Photograph one key picture into ``out_dir``."""
        self._show_hands(None)
        self._stage.show_rows(*self._busy_rows())
        write_key(
            key_path(out_dir, number), self._shot(key_travels_mm(self.scenario)[number], out_dir, f"{number:04d}")
        )

    def save_hand(self, frame: int, out_dir: Path) -> None:
        """Photograph a frame with a hand in it, as it is in the middle of the frame's readout."""
        now = moment(self.scenario, frame)
        self._show_hands(now.middle_s)
        self._stage.show_rows(0, self._camera.image_px[1])  # an arm comes from beyond the picture's edge
        write_key(hand_path(out_dir, frame), self._shot(now.travel_mm, out_dir, f"hand_{frame:04d}"))

    def _shot(self, travel_mm: float, out_dir: Path, name: str) -> Key:
        self._stage.paint(self._belt, self._grey)
        for actor in self._actors:
            place_mm = actor.start_mm + travel_mm
            actor.thing.hide_render = not self._view_mm[0] < place_mm < self._view_mm[1]
            actor.thing.location.x = place_mm * MM
        # The same light paths for every picture: what stands still must not flicker.
        shot = self._stage.shoot(out_dir / f".scratch_{name}.exr", seed=self.scenario.seed)
        assert shot.place_mm is not None
        return Key(travel_mm, shot.light, shot.seen, shot.place_mm)

    def _show_hands(self, at_s: float | None) -> None:
        """Put every hand where it is at a time, or away."""
        for reacher in self._reachers:
            out = at_s is None or not reacher.hand.spec.at_s <= at_s <= reacher.hand.until_s
            for thing in reacher.things:
                thing.hide_render = out
                if at_s is not None:
                    thing.location = (reacher.hand.tip_mm(at_s) * MM).tolist()

    @lru_cache(maxsize=1)  # noqa: B019  one clip lives as long as its process
    def _busy_rows(self) -> tuple[int, int]:
        """Rows of the picture in which anything ever moves or falls into shade."""
        middle = self._camera.look_at_mm[0]
        points = [
            actor.vertices_mm + np.array([x_mm - actor.start_mm, 0.0, 0.0])
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
    return Actor(parcel.start_mm, placed_vertices_mm(parcel), thing)


def _foreign_actor(stage: Stage, placed: PlacedForeign) -> Actor:
    spec = placed.spec
    skin = foreign_skins.draw(spec.kind, spec.size_mm, spec.colour, np.random.default_rng([*placed.seed, 13]))
    thing = stage.add(
        placed.mesh,
        stage.material((0.5, 0.5, 0.5), skin=skin, tile=False),
        at_mm=(placed.start_mm, spec.lateral_mm, 0.0),
        yaw_rad=float(np.deg2rad(spec.skew_deg)),
        number=placed.id,
        smooth=spec.kind != "strap",  # flat, though so thin that shading could not tell
    )
    return Actor(placed.start_mm, placed.vertices_mm, thing)


def _reacher(stage: Stage, hand: PlacedHand) -> Reacher:
    rng = np.random.default_rng([*hand.seed, 13])
    skins_ = foreign_skins.worn_glove(hand.spec.glove, rng), foreign_skins.sleeve(hand.spec.sleeve, rng)
    things = [
        stage.add(part, stage.material((0.5, 0.5, 0.5), skin=skin, tile=False), yaw_rad=hand.yaw_rad, number=hand.id)
        for part, skin in zip(hand.parts, skins_, strict=True)
    ]
    return Reacher(hand, tuple(things))


@lru_cache(maxsize=1)
def clip_of(scenario_path: Path, samples: int) -> Clip:
    """The stage of this process: built once, used for every picture it renders."""
    # One bounce and the fast denoiser: seen from above in an open hall, more light transport changes nothing visible.
    quality = Quality(samples=samples, bounces=1, denoiser_quality="FAST", persistent=True, places=True)
    return Clip(load(scenario_path), quality, threads=1)
