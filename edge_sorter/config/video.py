"""Key `video`: the camera or clip, and when it counts as blind."""

from __future__ import annotations

from pydantic import Field

from edge_sorter.yamlfile import Section


class BlindSection(Section):
    """When a camera counts as blind: no usable picture, so no decision may be built on it."""

    no_frame_ms: float = Field(150, gt=0, description="silence after which a live camera is lost")
    frozen_frames: int = Field(7, ge=2, description="identical pictures in a row that mean a frozen camera")
    dark_luma: float = Field(8.0, ge=0, le=255, description="mean luma below this is a black picture")
    recovered_frames: int = Field(5, ge=1, description="good pictures in a row that end blindness")


class VideoSection(Section):
    """Where frames come from."""

    source: str | None = Field(
        None, min_length=1, description="clip path, rtsp://..., usb:0, or gst:<pipeline>; `replay CLIP` needs none"
    )
    fps: float | None = Field(None, gt=0, le=1000, description="ask a USB camera for this rate")
    size_px: tuple[int, int] | None = Field(None, description="ask a USB camera for this width and height")
    max_width_px: int | None = Field(None, ge=32, description="scale wider pictures down while decoding")
    open_timeout_s: float = Field(10.0, gt=0, description="a camera that never answers fails after this")
    reconnect_s: tuple[float, float] = Field((0.3, 1.5), description="first and longest wait between attempts")
    blind: BlindSection = BlindSection()


def is_file_source(source: str) -> bool:
    """Tell whether `video.source` names a clip rather than a camera."""
    return not source.startswith(("rtsp://", "rtsps://", "http://", "https://", "usb:", "gst:"))
