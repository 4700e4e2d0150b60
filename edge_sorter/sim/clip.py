"""Render a scenario to a video: fixed camera and light, parcels and belt move by exactly speed x time.

Contract: frames are written one by one and whole (a killed render resumes where it stopped); the picture of a frame
depends only on the scenario and the frame's number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from edge_sorter.sim import conveyor, film, skins
from edge_sorter.sim.parcels import mesh_of
from edge_sorter.sim.scenario import PlacedParcel, Scenario, expand
from edge_sorter.sim.stage import MM, Quality, Stage
from edge_sorter.sim.truth import box_at, placed_vertices_mm

AWAY_MM = 60_000.0


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
        light, _ = self._stage.shoot(scratch, seed=frame)
        rng = np.random.default_rng([self.scenario.seed, frame, 5])
        return film.develop(light, film.Film(exposure=1.0, contrast=1.06, noise=0.9, vignette=0.1), rng)


def _actor(stage: Stage, scenario: Scenario, parcel: PlacedParcel) -> Actor:
    spec = parcel.spec
    size = (spec.length_mm, spec.width_mm, spec.height_mm)
    rng = np.random.default_rng([*parcel.seed, 13])
    skin = skins.draw(
        skins.SkinSpec(spec.kind, size, parcel.label_code, spec.colour, spec.damaged, px_per_mm=1.4), rng
    )
    mesh = mesh_of(spec.kind, size, parcel.seed, damaged=spec.damaged)
    thing = stage.add(
        mesh, stage.material((0.5, 0.5, 0.5), skin=skin, tile=False),
        at_mm=(parcel.start_mm, spec.lateral_mm, 0.0), yaw_rad=float(np.deg2rad(spec.skew_deg)), number=parcel.id,
    )
    vertices = placed_vertices_mm(parcel)
    # A parcel just outside the picture still throws its shadow into it: keep it a little longer.
    spare = int(0.5 * scenario.video.fps * 1000 / scenario.belt.speed_mm_s)
    seen = [
        frame for frame in range(scenario.video.frames)
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
    conveyor.add_frame(stage, rng, width_mm=belt.width_mm, low_mm=-2600, high_mm=4600, rail_mm=52, colour=(0.16, 0.3, 0.5))
    conveyor.add_sensor(stage, rng, at_x_mm=belt.decision_line_mm, width_mm=belt.width_mm)
    conveyor.add_floor(stage, rng, "concrete", lines=False)
    paint = stage.material((0.85, 0.66, 0.06), rough=0.55)
    stage.add_plane((-9000, belt.width_mm + 420), (9000, belt.width_mm + 510), conveyor.FLOOR_MM + 2, paint, (900, 900))
    middle = scenario.camera.look_at_mm[0]
    stage.world((0.78, 0.86, 1.0), 0.28)
    for shift in (-1500.0, 1500.0):
        stage.lamp((middle + shift, 1250, 2900), (middle + shift * 0.6, 400, 0), watts=62, size_mm=(1800, 260), colour=(1.0, 0.96, 0.9))
    stage.lamp((middle - 300, -1700, 2300), (middle, 400, 0), watts=26, size_mm=(1400, 700), colour=(0.92, 0.96, 1.0))
    return thing


def render_frames(
    scenario: Scenario, out_dir: Path, *, frames: range, quality: Quality, threads: int = 0,
    progress: Callable[[int], None] = lambda _: None,
) -> None:
    """Render the frames that ``out_dir`` lacks as frame_NNNN.png."""
    out_dir.mkdir(parents=True, exist_ok=True)
    missing = [frame for frame in frames if not frame_path(out_dir, frame).exists()]
    progress(len(frames) - len(missing))
    if not missing:
        return
    clip = Clip(scenario, quality, threads=threads)
    for frame in missing:
        picture = clip.shoot(frame, out_dir / f".scratch_{frame:04d}.exr")
        partial = out_dir / f".partial_{frame:04d}.png"
        cv2.imwrite(str(partial), picture, [cv2.IMWRITE_PNG_COMPRESSION, 1])
        partial.replace(frame_path(out_dir, frame))
        progress(1)


def frame_path(out_dir: Path, frame: int) -> Path:
    """Where a rendered frame lies."""
    return out_dir / f"frame_{frame:04d}.png"


def encode(scenario: Scenario, frames_dir: Path, clip_path: Path, *, crf: int = 24) -> None:
    """Encode all frames as H.264 High, yuv420p; the file appears whole or not at all."""
    video = scenario.video
    clip_path.parent.mkdir(parents=True, exist_ok=True)
    partial = clip_path.with_name(clip_path.stem + ".partial" + clip_path.suffix)
    with av.open(str(partial), "w", options={"movflags": "+faststart"}) as container:
        stream: Any = container.add_stream("libx264", rate=Fraction(video.fps).limit_denominator(1001))
        stream.width, stream.height, stream.pix_fmt = video.width_px, video.height_px, "yuv420p"
        stream.options = {"crf": str(crf), "preset": "slow", "profile": "high", "g": "50"}
        for index in range(video.frames):
            picture = cv2.imread(str(frame_path(frames_dir, index)), cv2.IMREAD_COLOR)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode())
    partial.replace(clip_path)
