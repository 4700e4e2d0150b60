"""From rendered frames to a shipped clip; needs no Blender.

Contract: the clip holds exactly the scenario's frames in order, and appears whole or not at all.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2

from edge_sorter.sim.scenario import Scenario


def frame_path(out_dir: Path, frame: int) -> Path:
    """Where a rendered frame lies."""
    return out_dir / f"frame_{frame:04d}.png"


def encode(scenario: Scenario, frames_dir: Path, clip_path: Path, *, crf: int = 19) -> None:
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
