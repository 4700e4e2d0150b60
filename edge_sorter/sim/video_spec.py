"""The `video` section of a scenario: picture size, rate, and what the camera and the lamps do to every frame.

Contract: `VideoSpec` takes one key by one; `problems` says what keys together get wrong.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class FlickerSpec(BaseModel):
    """Lamps on mains current: light that swings `hz` times a second; `depth` is (most - least) / (most + least)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    hz: float = Field(gt=0, le=10_000)
    depth: float = Field(gt=0, le=1)


class VideoSpec(BaseModel):
    """Picture size, rate and length of the clip, and its camera's faults."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    width_px: int = Field(ge=64, le=4096, multiple_of=2)
    height_px: int = Field(ge=36, le=4096, multiple_of=2)
    fps: float = Field(gt=0, le=240)
    duration_s: float = Field(gt=0, le=3600)
    exposure_ms: float = Field(default=0.0, ge=0, le=100)
    shutter: Literal["global", "rolling"] = "global"
    readout_ms: float | None = Field(default=None, gt=0, le=1000)
    flicker: FlickerSpec | None = None
    dirt: int = Field(default=0, ge=0, le=100)

    @property
    def frames(self) -> int:
        """Number of frames in the clip."""
        return round(self.duration_s * self.fps)


def problems(video: VideoSpec) -> list[str]:
    """What is wrong with keys that are right by themselves; empty when nothing is."""
    frame_ms = 1000.0 / video.fps
    if video.shutter == "global":
        wrong = video.readout_ms is not None
        return ["video.readout_ms: a global shutter has none; remove it or set shutter: rolling"] if wrong else []
    if video.readout_ms is None:
        return ["video.readout_ms: a rolling shutter needs it, the time from the first row to the last"]
    if video.readout_ms > frame_ms:
        return [f"video.readout_ms: {video.readout_ms:g} ms is longer than a frame, {frame_ms:.4g} ms"]
    return []
