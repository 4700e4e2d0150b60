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

from edge_sorter.sim import film, lens, picture_file, shutter
from edge_sorter.sim.belt_pattern import pattern
from edge_sorter.sim.between import BELT, Between, Key, Plate
from edge_sorter.sim.encode import frame_path
from edge_sorter.sim.scenario import Scenario, load

KEY_STEP_MM = 160.0
"""Belt travel between key pictures: the perspective of a parcel hardly changes within half of it."""

STANDS_MM = 1e-6
"""A belt that moves no more than this between the first row and the last stands."""


def key_travels_mm(scenario: Scenario) -> list[float]:
    """Belt travel of every key picture: from the first frame to beyond the last in even steps."""
    video = scenario.video
    whole = scenario.belt.motion.travel_mm((video.frames - 1) / video.fps + (video.readout_ms or 0.0) / 1000)
    return [number * KEY_STEP_MM for number in range(int(np.ceil(whole / KEY_STEP_MM)) + 1)]


def key_path(folder: Path, number: int) -> Path:
    """Where a key picture lies."""
    return folder / f"key_{number:04d}.npz"


def plate_path(folder: Path) -> Path:
    """Where the picture of the empty line lies."""
    return folder / "plate.npz"


def mask_path(folder: Path, frame: int) -> Path:
    """Where a frame's mask lies."""
    return folder / "masks" / f"frame_{frame:04d}.png"


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
        video = scenario.video
        self._dirt = lens.draw(video.dirt, (video.width_px, video.height_px), scenario.seed) if video.dirt else None
        self._key = lru_cache(maxsize=3)(lambda number: read_key(folder, number))

    def save(self, frame: int) -> None:
        """Write one frame and, before it, its mask: the parcel's number in each pixel; each whole or not at all."""
        picture, ids = self.develop(frame)
        picture_file.write(mask_path(self._folder, frame), ids)
        picture_file.write(frame_path(self._folder, frame), picture, [cv2.IMWRITE_PNG_COMPRESSION, 1])

    def develop(self, frame: int) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
        """Return one frame as the camera gives it, BGR (h, w, 3), and which parcel, or 0, each pixel shows."""
        video, motion = self._scenario.video, self._scenario.belt.motion
        time_s = frame / video.fps
        rows = np.arange(video.height_px, dtype=np.float64) + 0.5
        further = shutter.further_mm(video, motion, time_s, rows)
        middle_mm = (further[0] + further[-1]) / 2
        travel_mm = motion.travel_mm(time_s) + float(middle_mm)
        rolling = further - middle_mm if np.ptp(further) > STANDS_MM else None
        before = int(travel_mm // KEY_STEP_MM)
        after = before if rolling is None and travel_mm == before * KEY_STEP_MM else before + 1
        light, seen = self._between.frame(travel_mm, (self._key(before), self._key(after)), row_mm=rolling)
        picture = film.develop(
            light,
            self._film(time_s),
            np.random.default_rng([self._scenario.seed, frame, 5]),
            moving=seen > 0,
            lamps=shutter.lamps(video, time_s, rows) if video.flicker else None,
            dirt=self._dirt,
        )
        return picture, np.where(seen < BELT, seen, 0).astype(np.uint16)

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
