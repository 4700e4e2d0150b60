"""A clip's frames from its key pictures: which keys a clip needs, how they are kept, and the camera's film.

Contract: every file appears whole or not at all; a frame depends only on the scenario, the plate and its two keys.
Needs no Blender.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_sorter.errors import ConfigError
from edge_sorter.sim import film, lens, picture_file, shutter
from edge_sorter.sim.belt_pattern import pattern
from edge_sorter.sim.between import BELT, Between, FloatImage, Key, Plate
from edge_sorter.sim.encode import frame_path
from edge_sorter.sim.hands import PlacedHand, frames_with
from edge_sorter.sim.scenario import Scenario, expand_hands, load

KEY_STEP_MM = 160.0
"""Belt travel between key pictures: the perspective of a parcel hardly changes within half of it."""

SAME_MM = 0.05
"""A traced picture of a moment is of that moment if the belt has not moved more."""
STANDS_MM = 1e-6
"""A belt that moves no more than this between the first row and the last stands."""


def key_travels_mm(scenario: Scenario) -> list[float]:
    """Belt travel of every key picture: from the first frame to beyond the last in even steps."""
    video = scenario.video
    whole = scenario.belt.motion.travel_mm((video.frames - 1) / video.fps + (video.readout_ms or 0.0) / 1000)
    return [number * KEY_STEP_MM for number in range(int(np.ceil(whole / KEY_STEP_MM)) + 1)]


@dataclass(frozen=True)
class Moment:
    """When a frame is taken.

    Attributes:
        begins_s: the frame's own time: when its first row is read.
        middle_s: the middle of its readout.
        travel_mm: belt travel, the mean of its first and its last row's.
        further_mm: how much further than at the frame's own time the belt is when each row is read, shape (h,).
    """

    begins_s: float
    middle_s: float
    travel_mm: float
    further_mm: NDArray[np.float64]


def moment(scenario: Scenario, frame: int) -> Moment:
    """When a frame is taken, and where the belt is then."""
    video, motion, begins_s = scenario.video, scenario.belt.motion, frame / scenario.video.fps
    further = shutter.further_mm(video, motion, begins_s, rows_px(scenario))
    middle_mm = (further[0] + further[-1]) / 2
    middle_s = begins_s + (video.readout_ms or 0.0) / 2000.0
    return Moment(begins_s, middle_s, motion.travel_mm(begins_s) + float(middle_mm), further)


def rows_px(scenario: Scenario) -> NDArray[np.float64]:
    """Middles of the picture's rows."""
    return np.arange(scenario.video.height_px, dtype=np.float64) + 0.5


def hand_frames(scenario: Scenario) -> list[int]:
    """Frames with a hand: it goes its own way, so each of them is a picture of its own."""
    return frames_with(expand_hands(scenario), fps=scenario.video.fps, frames=scenario.video.frames)


def hand_path(folder: Path, frame: int) -> Path:
    """Where the traced picture of a frame with a hand lies."""
    return folder / f"hand_{frame:04d}.npz"


def key_path(folder: Path, number: int) -> Path:
    """Where a key picture lies."""
    return folder / f"key_{number:04d}.npz"


def plate_path(folder: Path) -> Path:
    """Where the picture of the empty line lies."""
    return folder / "plate.npz"


def mask_path(folder: Path, frame: int) -> Path:
    """Where a frame's mask lies."""
    return folder / "masks" / f"frame_{frame:04d}.png"


def write_key(path: Path, key: Key) -> None:
    """Keep a traced picture: light in half precision, places to a tenth of a millimetre."""
    places = np.clip(np.rint(key.place_mm * 10), -32_000, 32_000).astype(np.int16)
    _save(path, light=key.light.astype(np.float16), seen=key.seen.astype(np.int16), place=places, travel=key.travel_mm)


def read_key(path: Path) -> Key:
    """Read a traced picture back."""
    with np.load(path) as data:
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
        self._key = lru_cache(maxsize=3)(read_key)
        self._hands, self._hand_frames = expand_hands(scenario), frozenset(hand_frames(scenario))

    def save(self, frame: int) -> None:
        """Write one frame and, before it, its mask: the parcel's number in each pixel; each whole or not at all."""
        picture, ids = self.develop(frame)
        picture_file.write(mask_path(self._folder, frame), ids)
        picture_file.write(frame_path(self._folder, frame), picture, [cv2.IMWRITE_PNG_COMPRESSION, 1])

    def develop(self, frame: int) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
        """Return one frame as the camera gives it, BGR (h, w, 3), and which parcel, or 0, each pixel shows."""
        video, now = self._scenario.video, moment(self._scenario, frame)
        middle_mm = (now.further_mm[0] + now.further_mm[-1]) / 2
        rolling = now.further_mm - middle_mm if np.ptp(now.further_mm) > STANDS_MM else None
        own_mm = {hand.id: self._ways_mm(hand, now) for hand in self._hands if frame in self._hand_frames}
        keys = self._keys(frame, now, rolling=rolling is not None)
        light, seen = self._between.frame(now.travel_mm, keys, row_mm=rolling, own_mm=own_mm)
        for hand in self._hands if own_mm else ():
            light = self._smeared(light, hand, now, seen == hand.id)
        picture = film.develop(
            light,
            self._film(now.begins_s),
            np.random.default_rng([self._scenario.seed, frame, 5]),
            moving=(seen > 0) & ~np.isin(seen, list(own_mm)) if own_mm else seen > 0,
            lamps=shutter.lamps(video, now.begins_s, rows_px(self._scenario)) if video.flicker else None,
            dirt=self._dirt,
        )
        return picture, np.where(seen < BELT, seen, 0).astype(np.uint16)

    def _keys(self, frame: int, now: Moment, *, rolling: bool) -> tuple[Key, Key]:
        """The traced pictures that a frame is made of: those before and after, or its own."""
        if frame in self._hand_frames:
            path = hand_path(self._folder, frame)
            key = self._key(path)
            if abs(key.travel_mm - now.travel_mm) > SAME_MM:
                raise ConfigError(
                    f"{path} was traced when the belt was {key.travel_mm - now.travel_mm:+.1f} mm further than this "
                    "scenario has it; delete the hand_*.npz beside it and render them anew"
                )
            return key, key
        before = int(now.travel_mm // KEY_STEP_MM)
        after = before if not rolling and now.travel_mm == before * KEY_STEP_MM else before + 1
        return self._key(key_path(self._folder, before)), self._key(key_path(self._folder, after))

    def _ways_mm(self, hand: PlacedHand, now: Moment) -> NDArray[np.float64]:
        """From where a hand was traced to where it is when the first and the last row are read, shape (2, 3)."""
        traced, last_s = hand.tip_mm(now.middle_s), 2.0 * now.middle_s - now.begins_s
        return np.array([hand.tip_mm(now.begins_s) - traced, hand.tip_mm(last_s) - traced])

    def _smeared(self, light: FloatImage, hand: PlacedHand, now: Moment, mask: NDArray[np.bool_]) -> FloatImage:
        """The picture with a hand smeared along its own way during the exposure."""
        half_s = self._scenario.video.exposure_ms / 2000.0
        ends = np.array([hand.tip_mm(now.middle_s + at_s) for at_s in (-half_s, half_s)])
        x, y = np.diff(self._scenario.pinhole().project(ends), axis=0)[0]
        way_px = float(np.hypot(x, y))
        return film.smeared(light, way_px, float(np.arctan2(y, x)), mask) if way_px > 1 else light

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
