"""From pictures in memory to files on disk: a blurred clip and a blurred picture of the parcel.

Contract: a file appears under its name when it is whole. Runs on the keeper's thread, with one encoder thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from edge_sorter.atomic import write_bytes
from edge_sorter.service.evidence.privacy import blur
from edge_sorter.service.evidence.ring import Kept, Ring
from edge_sorter.types import Box, Image
from edge_sorter.video.writer import video_writer

SUBJECT, OTHERS = (0, 215, 255), (255, 255, 255)
MARGIN = 0.15
THUMB_PX = 240


def write_clip(path: Path, pictures: Sequence[Kept], ring: Ring, *, track_id: int | None, blurred: bool) -> None:
    """Write the pictures as a video, with an outline around every parcel; the one it is about in yellow.

    Raises:
        VideoError: It cannot be written.
    """
    height, width = pictures[0].image().shape[:2]
    spans_s = (pictures[-1].captured_ns - pictures[0].captured_ns) / 1e9
    fps = max(1.0, (len(pictures) - 1) / spans_s) if spans_s > 0 else 1.0
    with video_writer(path, size_px=(width, height), fps=fps, threads=1) as write:
        for kept in pictures:
            image = _shown(kept, ring, blurred=blurred)
            for track, box in kept.parcels:
                x1, y1, x2, y2 = (round(v) for v in box)
                colour = SUBJECT if track == track_id else OTHERS
                cv2.rectangle(image, (x1, y1), (x2, y2), colour, 2 if track == track_id else 1)
            write(image, kept.captured_ns - pictures[0].captured_ns)


def write_picture(path: Path, kept: Kept, box: Box, ring: Ring, *, blurred: bool) -> None:
    """Write the cut-out of one parcel.

    Raises:
        OSError: It cannot be written.
    """
    image = _shown(kept, ring, blurred=blurred)
    height, width = image.shape[:2]
    x1, y1, x2, y2 = box
    dx, dy = MARGIN * (x2 - x1), MARGIN * (y2 - y1)
    left, top = min(max(int(x1 - dx), 0), width - 1), min(max(int(y1 - dy), 0), height - 1)
    right, bottom = min(max(int(x2 + dx), left + 1), width), min(max(int(y2 + dy), top + 1), height)
    cut = image[top:bottom, left:right]
    shrink = min(1.0, THUMB_PX / max(cut.shape[:2]))
    size = (max(1, round(cut.shape[1] * shrink)), max(1, round(cut.shape[0] * shrink)))
    done, data = cv2.imencode(".jpg", cv2.resize(cut, size, interpolation=cv2.INTER_AREA))
    if not done:
        raise OSError(f"a picture of {size[0]} x {size[1]} pixels cannot be encoded")
    write_bytes(path, bytes(data))


def _shown(kept: Kept, ring: Ring, *, blurred: bool) -> Image:
    image = kept.image()
    return blur(image, ring.around(kept)) if blurred else np.ascontiguousarray(image)
