"""A clip as a frame source: every frame, in order, with its true time; decoding runs ahead on a thread of its own.

Contract: nothing is dropped or made up. The decoder waits when it is `AHEAD` frames in front; whatever ends it
(the end, a damaged file, a bug) reaches the consumer in its place in the row.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from edge_sorter.clock import Clock
from edge_sorter.errors import VideoError
from edge_sorter.types import Frame
from edge_sorter.video.clip import MAX_SIDE_PX, Clip
from edge_sorter.video.picture import PictureMaker, scaled_size, upright_size
from edge_sorter.video.source import ClosedAfterWith, Picture

AHEAD = 3
TICK_NS = 50_000_000

log = logging.getLogger(__name__)


class FileSource(ClosedAfterWith):
    """Frames of one video file.

    Args:
        path: The clip.
        clock: Moved to each frame's time before the frame is yielded; a `FileClock` really waits.
        realtime: Wait in slices and yield None in between, so that the consumer can do its other work.
        max_width_px: Scale wider pictures down to this.

    Attributes:
        name, size_px, fps, frames_total, duration_ns, drops, reconnects: See `FrameSource`; nothing is ever dropped.

    Raises:
        VideoError: The clip is missing, empty, truncated before its first frame, or no video.
    """

    def __init__(self, path: Path, *, clock: Clock, realtime: bool = False, max_width_px: int | None = None) -> None:
        self._clock = clock
        self._realtime = realtime
        self._clip = Clip(path)
        decoded = self._clip.frames()
        try:
            first = self._first(decoded)
            self.size_px = scaled_size(upright_size(first[1]), max_width_px)
        except BaseException:
            self._clip.close()
            raise
        self.name = path.name
        self.fps = self._clip.fps
        self.frames_total = self._clip.frames_total
        self.duration_ns = self._clip.duration_ns
        self.drops: dict[str, int] = {}
        self.reconnects = 0
        self._native_px = (first[1].width, first[1].height)
        self._ahead: queue.Queue[Frame | BaseException | None] = queue.Queue(AHEAD)
        self._stopping = threading.Event()
        self._decoder = threading.Thread(
            target=self._run, args=(chain([first], decoded),), name=f"decode {path.name}", daemon=True
        )
        self._decoder.start()

    @property
    def repaired_times(self) -> int:
        """Return how many frames had a missing or backward presentation time that was filled in."""
        return self._clip.repaired_times

    def __iter__(self) -> Iterator[Picture]:
        while not self._stopping.is_set():
            try:
                item = self._ahead.get(timeout=TICK_NS / 1e9)
            except queue.Empty:
                yield None
                continue
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield from self._until(item.captured_ns)
            yield item

    def close(self) -> None:
        """Stop decoding and close the file; safe to call twice and from any thread."""
        self._stopping.set()
        while True:  # make room, so that a waiting decoder sees the stop at once
            try:
                self._ahead.get_nowait()
            except queue.Empty:
                break
        if self._decoder is not threading.current_thread():
            self._decoder.join(timeout=1.0)
        if self._decoder.is_alive():
            log.warning("%s: the decoder hangs in a read; it ends when the disk answers", self.name)

    def _until(self, at_ns: int) -> Iterator[None]:
        while self._realtime and not self._stopping.is_set():
            now_ns = self._clock.now_ns()
            if at_ns - now_ns <= TICK_NS:
                break
            self._clock.sleep_until(now_ns + TICK_NS)
            yield None
        self._clock.sleep_until(at_ns)

    def _first(self, decoded: Iterator[tuple[int, Any]]) -> tuple[int, Any]:
        first = next(decoded, None)
        path = self._clip.path
        if first is None:
            raise VideoError(f"{path} holds a video stream without a single frame; record the clip again")
        width, height = first[1].width, first[1].height
        if max(width, height) > MAX_SIDE_PX:
            raise VideoError(
                f"{path}: pictures of {width} x {height} px are larger than {MAX_SIDE_PX} px a side; scale it down"
            )
        return first

    def _run(self, decoded: Iterator[tuple[int, Any]]) -> None:
        try:
            maker = PictureMaker(self.size_px)
            for index, (captured_ns, raw) in enumerate(decoded):
                self._refuse_another_size(index, captured_ns, raw)
                if not self._offer(Frame(index, captured_ns, maker.bgr(raw))):
                    return
            self._offer(None)
        except BaseException as error:  # not swallowed: the consumer raises it
            self._offer(error)
        finally:
            self._clip.close()

    def _refuse_another_size(self, index: int, captured_ns: int, raw: Any) -> None:
        if (raw.width, raw.height) != self._native_px:
            raise VideoError(
                f"{self._clip.path}: the picture changes from {self._native_px[0]} x {self._native_px[1]} to "
                f"{raw.width} x {raw.height} px at frame {index} ({captured_ns / 1e9:.2f} s), so belt and lines would "
                "no longer fit; cut the clip there"
            )

    def _offer(self, item: Frame | BaseException | None) -> bool:
        while not self._stopping.is_set():
            try:
                self._ahead.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False
