"""The video room: where frames come from, whatever they come from.

Contract: `open_source` turns `video.source` into a `FrameSource`; iterating it yields real pictures with their true
time, or says that there is none, and never makes one up.
"""

from __future__ import annotations

from pathlib import Path

from edge_sorter.clock import Clock
from edge_sorter.config import VideoSection, is_file_source
from edge_sorter.errors import VideoError
from edge_sorter.video.health import HealthMonitor
from edge_sorter.video.source import FrameSource, ListSource

__all__ = ["FrameSource", "HealthMonitor", "ListSource", "open_source"]


def open_source(section: VideoSection, *, clock: Clock, realtime: bool = False) -> FrameSource:
    """Open the clip or camera a configuration names.

    Args:
        section: What to open and how.
        clock: Time axis of `captured_ns`: a `SystemClock` for cameras, a `ReplayClock` or `FileClock` for clips.
        realtime: Pace a clip as a camera would; cameras ignore it.

    Returns:
        A running source: its picture size is known, its first frame was seen. Close it, or use it in a ``with``.

    Raises:
        VideoError: The clip is missing, empty, truncated or no video.
        CameraError: The camera did not answer within `open_timeout_s`.
    """
    if section.source is None:
        raise VideoError("no clip and no camera: set video.source in the configuration, or name a clip to replay")
    if is_file_source(section.source):
        from edge_sorter.video.file import FileSource

        return FileSource(Path(section.source), clock=clock, realtime=realtime, max_width_px=section.max_width_px)
    from edge_sorter.video.camera import open_camera

    return open_camera(section, clock=clock)
