"""The last seconds in memory, as small JPEGs with the boxes that were found in them.

Contract: bounded by time and by bytes, the oldest go first; written and read by one thread.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import cv2
import numpy as np

from edge_sorter.types import Box, Frame, Image, Step, TrackState

QUALITY = 80
MOST_BYTES = 48_000_000
NEAR_NS = 250_000_000
"""A parcel that is not found in one picture lies nearly where it lay in those around it."""


@dataclass(frozen=True, slots=True)
class Kept:
    """One picture.

    Attributes:
        captured_ns: When it was taken.
        jpeg: The picture, small.
        parcels: Track and box of every parcel, in its pixels.
        found: Boxes of everything that was found, however unsure.
    """

    captured_ns: int
    jpeg: bytes
    parcels: tuple[tuple[int, Box], ...]
    found: tuple[Box, ...]

    def image(self) -> Image:
        """Return the picture: BGR uint8."""
        data = cv2.imdecode(np.frombuffer(self.jpeg, np.uint8), cv2.IMREAD_COLOR)
        if data is None:
            raise ValueError("a picture in memory is damaged")
        return np.asarray(data, np.uint8)


def keep(frame: Frame, step: Step, *, width_px: int) -> Kept:
    """Return a picture as it is kept, no wider than `width_px`; both sides even, as videos want it."""
    height, width = frame.image.shape[:2]
    scale = min(1.0, width_px / width)
    size = (max(2, int(width * scale) // 2 * 2), max(2, int(height * scale) // 2 * 2))
    small = frame.image if size == (width, height) else cv2.resize(frame.image, size, interpolation=cv2.INTER_AREA)
    done, data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not done:
        raise ValueError(f"a picture of {width} x {height} pixels cannot be encoded")
    sx, sy = size[0] / width, size[1] / height

    def scaled(box: Box) -> Box:
        x1, y1, x2, y2 = (float(v) for v in box)
        return x1 * sx, y1 * sy, x2 * sx, y2 * sy

    live = [track for track in step.tracks if track.state is not TrackState.ENDED]
    parcels = tuple((track.track_id, scaled(track.looked_xyxy if track.measured else track.xyxy)) for track in live)
    found = (*(scaled(track.xyxy) for track in live), *(scaled(tuple(box)) for box in step.detections.xyxy))
    return Kept(step.captured_ns, bytes(data), parcels, found)


class Ring:
    """The newest pictures.

    Args:
        seconds: How far back.
        most_bytes: How much memory at most.
    """

    def __init__(self, *, seconds: float, most_bytes: int = MOST_BYTES) -> None:
        self._span_ns, self._most_bytes = round(seconds * 1e9), most_bytes
        self._kept: deque[Kept] = deque()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def newest_ns(self) -> int | None:
        """When the newest picture was taken."""
        return self._kept[-1].captured_ns if self._kept else None

    def add(self, kept: Kept) -> None:
        """Add the newest picture, and let go of what is too old or too much."""
        self._kept.append(kept)
        self.bytes += len(kept.jpeg)
        while self._kept and (
            kept.captured_ns - self._kept[0].captured_ns > self._span_ns or self.bytes > self._most_bytes
        ):
            self.bytes -= len(self._kept.popleft().jpeg)

    def between(self, begin_ns: int, end_ns: int) -> list[Kept]:
        """Return the pictures of a stretch of time, oldest first."""
        return [kept for kept in self._kept if begin_ns <= kept.captured_ns <= end_ns]

    def around(self, kept: Kept) -> list[Box]:
        """Return every box found in a picture and in those just before and after it."""
        near = self.between(kept.captured_ns - NEAR_NS, kept.captured_ns + NEAR_NS)
        return [box for one in near for box in one.found]
