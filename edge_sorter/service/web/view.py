"""The live picture as browsers get it: one JPEG for everybody, with what was found in that very frame.

Contract: a message is a little-endian uint32, that many bytes of JSON, then the JPEG; picture and boxes always belong
together. A frame is encoded at most once, off the event loop, and only when a viewer waits for it.
"""

from __future__ import annotations

import asyncio
import json
import os
import struct
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from edge_sorter.clock import stopwatch_ns
from edge_sorter.service.status import LineStatus, Seen
from edge_sorter.service.web.notebook import Notebook
from edge_sorter.service.web.picture import VIEW_WIDTH_PX, Quality, jpeg, quality_of
from edge_sorter.service.web.scene import Scene
from edge_sorter.types import Image, Parcel, TrackState

FPS = 12.0
"""Fast enough to follow a parcel with the eye; a viewer gets no more, whatever the camera gives."""
BREATH = 15
"""After a picture, so many times as long as it took: on a busy machine viewers get fewer, not the line slower."""
NICENESS = 10
JUDGE_EVERY = 6
"""Picture quality changes slowly: every so many pictures shown, it is judged again."""

T = TypeVar("T")


class View:
    """Encodes the newest frame for all viewers.

    Attributes:
        quality: How good the picture was when somebody last looked.
        encoded: Pictures encoded so far.
    """

    def __init__(self, status: LineStatus, notebook: Notebook) -> None:
        self.quality: Quality | None = None
        self.encoded = 0
        self._status, self._notebook = status, notebook
        self._artist = ThreadPoolExecutor(1, thread_name_prefix="page-jpeg", initializer=_step_back)
        self._busy = asyncio.Lock()
        self._message: tuple[int, bytes] | None = None
        self._not_before_ns = 0

    def newer_than(self, frame: int | None) -> bool:
        """Tell whether there is a newer frame than this one to show, and time enough to show it."""
        seen = self._status.seen()
        if seen is None or seen.frame.index == frame:
            return False
        encoded = self._message is not None and self._message[0] != frame
        return encoded or stopwatch_ns() >= self._not_before_ns

    async def message(self, scene: Scene) -> tuple[int, bytes] | None:
        """Return the newest frame's number and message, or None before the first frame."""
        async with self._busy:
            seen = self._status.seen()
            if seen is None:
                return None
            now_ns = stopwatch_ns()
            if self._message is None or (self._message[0] != seen.frame.index and now_ns >= self._not_before_ns):
                self._message = (seen.frame.index, await self._encode(seen, scene))
                took_ns = stopwatch_ns() - now_ns
                self._not_before_ns = now_ns + max(round(1e9 / FPS), BREATH * took_ns)
            return self._message

    async def still(self) -> bytes | None:
        """Return the newest frame alone, at full size."""
        seen = self._status.seen()
        if seen is None:
            return None
        return await self._work(jpeg, seen.frame.image)

    def close(self) -> None:
        """Let the thread go."""
        self._artist.shutdown(wait=False, cancel_futures=True)

    async def _encode(self, seen: Seen, scene: Scene) -> bytes:
        if self.encoded % JUDGE_EVERY == 0:
            self.quality = await self._work(quality_of, seen.frame.image)
        self.encoded += 1
        picture = await self._work(lambda image: jpeg(image, width_px=VIEW_WIDTH_PX), seen.frame.image)
        head = json.dumps(self._head(seen, scene), separators=(",", ":"), allow_nan=False).encode()
        return struct.pack("<I", len(head)) + head + picture

    async def _work(self, work: Callable[[Image], T], image: Image) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._artist, work, image)

    def _head(self, seen: Seen, scene: Scene) -> dict[str, Any]:
        step = seen.step
        shown = [parcel for parcel in step.parcels if parcel.track.state is not TrackState.ENDED]
        on_belt = _on_belt(shown, scene)
        return {
            "index": seen.frame.index,
            "captured_ms": step.captured_ns / 1e6,
            "travel_mm": step.travel_mm,
            "tracks": [self._track(parcel) | ({"mm": on_belt[i]} if on_belt else {}) for i, parcel in enumerate(shown)],
        }

    def _track(self, parcel: Parcel) -> dict[str, Any]:
        track = parcel.track
        decided = self._notebook.lane_of(track.track_id)
        return {
            "id": track.track_id,
            "state": track.state.value,
            "box": [round(v, 1) for v in track.xyxy],
            "class": parcel.class_name,
            "conf": round(track.confidence, 2),
            "size_mm": parcel.size_mm,
            "lane": decided and decided[0],
            "reason": decided and decided[1],
            "uid": decided and decided[2],
        }


def _step_back() -> None:
    """Give this thread less of a busy processor; it hardly ever holds Python's lock, so nobody waits for it."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


def _on_belt(parcels: list[Parcel], scene: Scene) -> list[list[float]]:
    """Return centre x, y and length, width of every parcel in belt millimetres; nothing without a calibration."""
    belt_map = scene.belt.map
    if belt_map is None or not parcels:
        return []
    boxes = [parcel.track.xyxy for parcel in parcels]
    centres, sizes = belt_map.centre_mm(boxes), belt_map.size_mm(boxes)
    return [
        [round(float(v), 1) for v in (*centre, *(parcel.size_mm or size))]
        for centre, size, parcel in zip(centres, sizes, parcels, strict=True)
    ]
