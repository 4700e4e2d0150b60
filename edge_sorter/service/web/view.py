"""The live picture as browsers get it: one JPEG for everybody, with what was found in that very frame.

Contract: a message is a little-endian uint32, that many bytes of JSON, then the JPEG; picture and boxes always belong
together. A frame is encoded at most once, off the event loop, and only when a viewer waits for it.
"""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from edge_sorter.service.status import LineStatus, Seen
from edge_sorter.service.web.notebook import Notebook
from edge_sorter.service.web.picture import VIEW_WIDTH_PX, Quality, jpeg, quality_of
from edge_sorter.service.web.scene import Scene
from edge_sorter.types import Image, Parcel, TrackState

FPS = 12.0
"""Fast enough to follow a parcel with the eye; a viewer gets no more, whatever the camera gives."""
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
        self._artist = ThreadPoolExecutor(1, thread_name_prefix="page-jpeg")
        self._busy = asyncio.Lock()
        self._message: tuple[int, bytes] | None = None

    def newest(self) -> int | None:
        """Return the number of the newest frame."""
        seen = self._status.seen()
        return None if seen is None else seen.frame.index

    async def message(self, scene: Scene) -> tuple[int, bytes] | None:
        """Return the newest frame's number and message, or None before the first frame."""
        async with self._busy:
            seen = self._status.seen()
            if seen is None:
                return None
            if self._message is None or self._message[0] != seen.frame.index:
                self._message = (seen.frame.index, await self._encode(seen, scene))
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
