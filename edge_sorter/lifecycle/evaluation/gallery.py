"""Pictures of errors for the report: the part of the picture that matters, with what was there and what was found.

Contract: every function reads only the pictures it shows, returns JPEG bytes as data URIs of at most `TILE_PX` or
`WHOLE_PX`, and draws the truth dashed white-green and found boxes solid, so that colour is not the only difference.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from edge_sorter.errors import ModelError
from edge_sorter.lifecycle.evaluation.faults import Fault
from edge_sorter.lifecycle.evaluation.labelled import Labelled
from edge_sorter.types import Box, Detections, Image

TILE_PX = 240
WHOLE_PX = 420
QUALITY = 72
TRUE_BGR = (90, 230, 60)
FOUND_BGR = (40, 80, 255)
CONTEXT = 0.6
"""A crop shows this share of a box's longer side around it."""


def tile(fault: Fault, truth: Labelled, detections: Detections, *, confidence: float) -> str:
    """Return the crop around one error as a data URI, its own boxes thick, its neighbours' thin."""
    picture = _read(truth.path)
    boxes = [box for box in (fault.true_xyxy, fault.found_xyxy) if box is not None]
    x1, y1, x2, y2 = _window(boxes, picture)
    scale = TILE_PX / max(x2 - x1, y2 - y1)
    size = (max(round((x2 - x1) * scale), 1), max(round((y2 - y1) * scale), 1))
    crop = cv2.resize(picture[y1:y2, x1:x2], size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    shift = (x1, y1)
    for box in truth.xyxy:
        _draw(crop, box, shift=shift, scale=scale, colour=TRUE_BGR, thick=1, dashed=True)
    for box in detections.xyxy[detections.confidence >= confidence]:
        _draw(crop, box, shift=shift, scale=scale, colour=FOUND_BGR, thick=1)
    if fault.true_xyxy is not None:
        _draw(crop, fault.true_xyxy, shift=shift, scale=scale, colour=TRUE_BGR, thick=2, dashed=True)
    if fault.found_xyxy is not None:
        _draw(crop, fault.found_xyxy, shift=shift, scale=scale, colour=FOUND_BGR, thick=2)
    return _uri(crop)


def whole(truth: Labelled, detections: Detections, *, confidence: float) -> str:
    """Return one whole picture with the truth and the boxes of at least `confidence`, as a data URI."""
    picture = _read(truth.path)
    scale = min(WHOLE_PX / max(picture.shape[:2]), 1.0)
    size = (max(round(picture.shape[1] * scale), 1), max(round(picture.shape[0] * scale), 1))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    for box in truth.xyxy:
        _draw(small, box, shift=(0, 0), scale=scale, colour=TRUE_BGR, thick=2, dashed=True)
    for box in detections.xyxy[detections.confidence >= confidence]:
        _draw(small, box, shift=(0, 0), scale=scale, colour=FOUND_BGR, thick=2)
    return _uri(small)


def _read(path: Path) -> Image:
    picture = cv2.imread(str(path))
    if picture is None:
        raise ModelError(f"{path} could be read before and cannot now; was it moved?")
    return np.asarray(picture, np.uint8)


def _window(boxes: Sequence[Box], picture: Image) -> tuple[int, int, int, int]:
    height, width = picture.shape[:2]
    x1, y1 = min(box[0] for box in boxes), min(box[1] for box in boxes)
    x2, y2 = max(box[2] for box in boxes), max(box[3] for box in boxes)
    room = CONTEXT * max(x2 - x1, y2 - y1, 16.0)
    left, top = int(np.clip(x1 - room, 0, width - 1)), int(np.clip(y1 - room, 0, height - 1))
    right, bottom = int(np.clip(x2 + room, left + 1, width)), int(np.clip(y2 + room, top + 1, height))
    return left, top, right, bottom


def _draw(
    picture: Image,
    box: Sequence[float],
    *,
    shift: tuple[int, int],
    scale: float,
    colour: tuple[int, int, int],
    thick: int,
    dashed: bool = False,
) -> None:
    x1, x2 = (round((float(box[i]) - shift[0]) * scale) for i in (0, 2))
    y1, y2 = (round((float(box[i]) - shift[1]) * scale) for i in (1, 3))
    if not dashed:
        cv2.rectangle(picture, (x1, y1), (x2, y2), colour, thick)
        return
    for start, end in (((x1, y1), (x2, y1)), ((x2, y1), (x2, y2)), ((x2, y2), (x1, y2)), ((x1, y2), (x1, y1))):
        steps = max(int(np.hypot(end[0] - start[0], end[1] - start[1]) // 5), 1)
        ends = np.linspace(start, end, steps + 1).round().astype(int)
        for one, two in zip(ends[:-1:2], ends[1::2], strict=False):
            cv2.line(picture, tuple(map(int, one)), tuple(map(int, two)), colour, thick)


def _uri(picture: Image) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(
        cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
    ).decode("ascii")
