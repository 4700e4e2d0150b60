"""A live camera as a frame source: the newest picture, or the plain statement that there is none.

Contract: after it answered once, a camera never ends and never raises for being away: it yields `Blind` while it is
silent and is called again with growing pauses. Only a bug in the capture thread ends the process, loudly.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Iterator

from edge_sorter.clock import Clock
from edge_sorter.config import VideoSection
from edge_sorter.errors import CameraError
from edge_sorter.types import Blind, Frame
from edge_sorter.video.capture import Connection, Grab, connect
from edge_sorter.video.network import Lost, Refused, redacted
from edge_sorter.video.slot import NewestSlot
from edge_sorter.video.source import ClosedAfterWith, Picture

TICK_S = 0.05
REFUSED_WAIT_S = 30.0
"""Cameras lock an account after a few wrong passwords in a row."""
HURRIED_S = 2.0

Connect = Callable[[tuple[int, int] | None], Connection]
"""Opens the camera once, for pictures of the given size (None: the camera's own); raises Lost."""

log = logging.getLogger(__name__)


class CameraSource(ClosedAfterWith):
    """Frames of one live camera, taken on a thread of its own.

    A frame that is not fetched in time is replaced by the next one; its number is then missing in `Frame.index`.

    Args:
        section: Limits and waits; `source` names the camera.
        clock: Stamps frames and measures silence.
        connect: How to open the camera, several times in its life.
        jitter: Spreads the attempts of several stations that lost the same switch.

    Attributes:
        name, size_px, fps, frames_total, duration_ns: See `FrameSource`; a camera has no end.

    Raises:
        CameraError: Nothing came within `open_timeout_s`, or this machine cannot open such a source at all.
    """

    def __init__(
        self, section: VideoSection, *, clock: Clock, connect: Connect, jitter: random.Random | None = None
    ) -> None:
        self.name = redacted(str(section.source))
        self.size_px = (0, 0)
        self.fps: float | None = None
        self.frames_total: int | None = None
        self.duration_ns: int | None = None
        self._clock = clock
        self._connect = connect
        self._silence_ns = round(section.blind.no_frame_ms * 1e6)
        self._backoff = Backoff(section.reconnect_s, jitter=jitter or random.Random())
        self._slot: NewestSlot[Frame] = NewestSlot()
        self._index = -1
        self._unusable = {"stale": 0, "decode_error": 0}
        self._connections = 0
        self._newest_ns = 0
        self._newest_stale_ns: int | None = None
        self._why = "no answer in time"
        self._news = ""
        self._failure: BaseException | None = None
        self._answered = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"capture {self.name}", daemon=True)
        self._thread.start()
        try:
            self._await_first_frame(section.open_timeout_s)
        except BaseException:
            self.close()
            raise

    @property
    def drops(self) -> dict[str, int]:
        """Return how many frames were not delivered: replaced by a newer one, stale, or not decodable."""
        return {"replaced": self._slot.replaced, **self._unusable}

    @property
    def reconnects(self) -> int:
        """Return how often the camera was lost and found again."""
        return max(0, self._connections - 1)

    def __iter__(self) -> Iterator[Picture]:
        while not self._stopping.is_set():
            silent_ns = self._clock.now_ns() - self._newest_ns
            until_blind_s = (self._silence_ns - silent_ns) / 1e9 + 0.001
            frame = self._slot.get(timeout_s=min(TICK_S, until_blind_s) if until_blind_s > 0 else TICK_S)
            if self._stopping.is_set():
                return
            yield frame or self._blind_or_waiting()

    def close(self) -> None:
        """Let go of the camera; safe to call twice."""
        self._stopping.set()
        self._thread.join(timeout=1.0)
        if self._thread.is_alive():
            log.info("%s: still waiting for the camera; that ends with its own timeout", self.name)

    def _blind_or_waiting(self) -> Blind | None:
        now_ns = self._clock.now_ns()
        if now_ns - self._newest_ns <= self._silence_ns:
            return None
        stale_ns = self._newest_stale_ns
        late = stale_ns is not None and now_ns - stale_ns <= self._silence_ns
        return Blind(now_ns, "CAM_STALE" if late else "CAM_LOST")

    def _await_first_frame(self, timeout_s: float) -> None:
        started_ns = self._clock.now_ns()
        while not self._answered.wait(TICK_S):
            if self._clock.now_ns() - started_ns > timeout_s * 1e9:
                raise CameraError(
                    f"camera {self.name} gave no picture within {timeout_s:g} s ({self._why}); check that it is on, "
                    "that address and password are right, or raise video.open_timeout_s"
                )
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._stopping.wait(self._one_connection())
        except BaseException as error:  # not swallowed: the consumer raises it
            self._failure = error
            self._slot.fail(error)
            self._answered.set()

    def _one_connection(self) -> float:
        """Use one connection until it is lost; return how long to wait before the next, in seconds."""
        try:
            connection = self._connect(self.size_px if self._connections else None)
        except Refused as refused:
            self._note_loss("does not let us in", refused)
            return REFUSED_WAIT_S
        except Lost as lost:
            self._note_loss("does not answer", lost)
            return self._backoff.next_s()
        delivered = False
        try:
            while not self._stopping.is_set():
                frame = self._numbered(connection.grab())
                if frame is None:
                    continue
                if not delivered:
                    delivered = True
                    self._welcome(frame, connection)
                self._newest_ns = frame.captured_ns
                self._slot.put(frame)
                self._answered.set()
        except Lost as lost:
            self._note_loss("was lost", lost)
        finally:
            connection.close()
        return self._backoff.next_s()

    def _numbered(self, grab: Grab) -> Frame | None:
        self._index += 1
        if grab.image is not None:
            return Frame(self._index, grab.captured_ns, grab.image)
        reason = grab.dropped or "decode_error"
        self._unusable[reason] += 1
        if reason == "stale":
            self._newest_stale_ns = grab.captured_ns
        return None

    def _welcome(self, frame: Frame, connection: Connection) -> None:
        if self._connections == 0:
            self.size_px = (frame.image.shape[1], frame.image.shape[0])
            self.fps = connection.fps
        self._connections += 1
        self._backoff.reset()
        self._news = ""
        log.info("camera %s answers, %d x %d px", self.name, *self.size_px)

    def _note_loss(self, what: str, lost: Lost) -> None:
        news = f"{what}: {lost}"
        # Said once, then only when something else is wrong: a camera may be away for a weekend.
        log.log(logging.WARNING if news != self._news else logging.DEBUG, "camera %s %s", self.name, news)
        self._news, self._why = news, str(lost)


class Backoff:
    """Waits between attempts: doubling from the first to the longest, each shortened at random by up to a half.

    Args:
        limits_s: First and longest wait.
        jitter: Source of the randomness.
    """

    def __init__(self, limits_s: tuple[float, float], *, jitter: random.Random) -> None:
        self._first_s, self._longest_s = limits_s
        self._jitter = jitter
        self._wait_s = self._first_s

    def next_s(self) -> float:
        """Return how long to wait before the next attempt."""
        wait_s, self._wait_s = self._wait_s, min(self._longest_s, 2 * self._wait_s)
        return min(wait_s, self._longest_s) * self._jitter.uniform(0.5, 1.0)

    def reset(self) -> None:
        """Start again from the first wait, after a connection that worked."""
        self._wait_s = self._first_s


def open_camera(section: VideoSection, *, clock: Clock) -> CameraSource:
    """Open the network, USB or GStreamer camera that `section.source` names.

    Every other call gives up early: a camera that is just starting may take a call and never answer it, while the next
    one is answered at once. A slow one still gets all its time, at the call after.

    Raises:
        CameraError: It did not answer in time, or needs what this machine lacks.
    """
    hurried = False

    def call(size_px: tuple[int, int] | None) -> Connection:
        nonlocal hurried
        hurried = not hurried
        limit_s = min(HURRIED_S, section.open_timeout_s) if hurried else section.open_timeout_s
        connection = connect(section, clock=clock, size_px=size_px, limit_s=limit_s)
        hurried = False
        return connection

    return CameraSource(section, clock=clock, connect=call)
