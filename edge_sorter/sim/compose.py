"""A clip's frames from its key pictures: which keys a clip needs, how they are kept, and the camera's film.

Contract: every file appears whole or not at all; a frame depends only on the scenario, the plate and its two keys.
Needs no Blender.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_sorter.sim import film
from edge_sorter.sim.belt_pattern import pattern
from edge_sorter.sim.between import Between, Key, Plate
from edge_sorter.sim.encode import frame_path
from edge_sorter.sim.scenario import Scenario, load

KEY_STEP_MM = 160.0
"""Belt travel between key pictures: the perspective of a parcel hardly changes within half of it."""


def key_travels_mm(scenario: Scenario) -> list[float]:
    """Belt travel of every key picture: from the first frame to beyond the last in even steps."""
    video = scenario.video
    whole = scenario.belt.motion.travel_mm((video.frames - 1) / video.fps)
    return [number * KEY_STEP_MM for number in range(int(np.ceil(whole / KEY_STEP_MM)) + 1)]


def key_path(folder: Path, number: int) -> Path:
    """Where a key picture lies."""
    return folder / f"key_{number:04d}.npz"


def plate_path(folder: Path) -> Path:
    """Where the picture of the empty line lies."""
    return folder / "plate.npz"


def write_key(folder: Path, number: int, key: Key) -> None:
    """Keep a key picture: light in half precision, places to a tenth of a millimetre."""
    places = np.clip(np.rint(key.place_mm * 10), -32_000, 32_000).astype(np.int16)
    path = key_path(folder, number)
    _save(path, light=key.light.astype(np.float16), seen=key.seen.astype(np.int16), place=places, travel=key.travel_mm)


def read_key(folder: Path, number: int) -> Key:
    """Read a key picture back."""
    with np.load(key_path(folder, number)) as data:
        return Key(
            float(data["travel"]),
            data["light"].astype(np.float32),
            data["seen"].astype(np.int32),
            data["place"].astype(np.float32) / 10,
        )


def write_plate(folder: Path, plate: Plate) -> None:
    """Keep the pictures of the empty line."""
    _save(plate_path(folder), fine=plate.fine, gain=plate.gain, coarse=plate.coarse, seen=plate.seen)


def read_plate(folder: Path) -> Plate:
    """Read the pictures of the empty line back."""
    with np.load(plate_path(folder)) as data:
        return Plate(data["fine"], data["gain"], data["coarse"], data["seen"])


def _save(path: Path, **arrays: NDArray[np.generic] | float) -> None:
    partial = path.with_name(f".partial_{os.getpid()}_{path.name}")
    np.savez(partial, **arrays)  # type: ignore[arg-type]
    partial.replace(path)


class Composer:
    """Develops the frames of one clip."""

    def __init__(self, scenario: Scenario, folder: Path) -> None:
        self._scenario, self._folder = scenario, folder
        self._between = Between(scenario.pinhole(), read_plate(folder), pattern(scenario))
        self._key = lru_cache(maxsize=3)(lambda number: read_key(folder, number))

    def save(self, frame: int) -> None:
        """Write one frame; the file appears whole or not at all."""
        partial = self._folder / f".partial_{frame:04d}.png"
        cv2.imwrite(str(partial), self.develop(frame), [cv2.IMWRITE_PNG_COMPRESSION, 1])
        partial.replace(frame_path(self._folder, frame))

    def develop(self, frame: int) -> NDArray[np.uint8]:
        """Return one frame as the camera gives it: BGR, shape (height, width, 3)."""
        time_s = frame / self._scenario.video.fps
        travel_mm = self._scenario.belt.motion.travel_mm(time_s)
        before = int(travel_mm // KEY_STEP_MM)
        after = before if travel_mm == before * KEY_STEP_MM else before + 1
        light, moving = self._between.frame(travel_mm, (self._key(before), self._key(after)))
        rng = np.random.default_rng([self._scenario.seed, frame, 5])
        return film.develop(light, self._film(time_s), rng, moving=moving)

    def _film(self, time_s: float) -> film.Film:
        """The camera: what moves during the exposure is smeared along its way."""
        scenario = self._scenario
        middle = np.array([*scenario.camera.look_at_mm[:2], 0.0])
        way_mm = scenario.belt.motion.speed_mm_s(time_s) * scenario.video.exposure_ms / 1000
        x, y = np.diff(scenario.pinhole().project(np.stack([middle, middle + np.array([100.0, 0.0, 0.0])])), axis=0)[0]
        return film.Film(
            exposure=0.87,
            contrast=1.06,
            noise=0.9,
            vignette=0.1,
            blur_px=float(np.hypot(x, y)) / 100 * way_mm,
            blur_rad=float(np.arctan2(y, x)),
        )


@lru_cache(maxsize=1)
def composer_of(scenario_path: Path, folder: Path) -> Composer:
    """The composer of this process."""
    return Composer(load(scenario_path), folder)
