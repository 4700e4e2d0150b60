"""One connection to a live camera: RTSP and other network streams through PyAV, USB and GStreamer through OpenCV.

Contract: `grab` returns the next picture with the time it reached us, or raises `Lost`; a connection is never
repaired, `CameraSource` makes a new one.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Protocol

import av
import cv2

from edge_sorter.clock import Clock
from edge_sorter.config import VideoSection
from edge_sorter.errors import CameraError
from edge_sorter.types import Image
from edge_sorter.video.lag import Lag
from edge_sorter.video.network import SILENT, Lost, knock, loss, stream_options
from edge_sorter.video.picture import PictureMaker, scaled_size, upright_size

BAD_PACKETS_IN_A_ROW = 100
HEALED_NS = 10_000_000_000
"""A damaged picture spoils all up to the next key frame; cameras that refresh bit by bit instead send none."""
TRUE_STAMPS = ("rtsp", "mpegts")
"""Containers whose stamps come from the camera; MJPEG over HTTP, for one, only counts frames."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Grab:
    """What one look at the camera brought.

    Attributes:
        captured_ns: When it reached us, on the clock's axis.
        image: The picture, or None when it could not be used.
        dropped: Why it could not be used: "decode_error" or "stale"; None for a good picture.
        age_ns: How late it is compared with the promptest frames, 0 where the stream does not tell.
    """

    captured_ns: int
    image: Image | None
    dropped: str | None = None


class Connection(Protocol):
    """An open camera. All calls come from one thread; none may block for much longer than the camera's timeout.

    Attributes:
        fps: Nominal frames per second, or None when the camera does not say.
    """

    fps: float | None

    def grab(self) -> Grab:
        """Wait for the next picture; raises Lost."""

    def close(self) -> None:
        """Let go of the camera."""


class StreamConnection:
    """A network stream through PyAV.

    An H.264 picture on RTP is known to be complete when the next one begins, so it is stamped one frame time late.

    Args:
        section: What to open.
        clock: Stamps arrivals.
        size_px: Size of the pictures to return, or None to take the camera's (scaled to `max_width_px`).
        limit_s: How long the handshake may take.
        stale_ns: Frames that arrive later than this, compared with the promptest, are dropped as stale.

    Raises:
        Lost: The stream does not open.
    """

    READ_TIMEOUT_S = 1.0

    def __init__(
        self,
        section: VideoSection,
        *,
        clock: Clock,
        size_px: tuple[int, int] | None,
        limit_s: float,
        stale_ns: int,
    ) -> None:
        source = str(section.source)
        self._clock = clock
        self._max_width_px = section.max_width_px
        self._stale_ns = stale_ns
        knock(source)
        started_ns = clock.now_ns()
        try:
            self._container = av.open(source, options=stream_options(source), timeout=(limit_s, self.READ_TIMEOUT_S))
        except av.FFmpegError as error:
            # FFmpeg takes a handshake that it gave up for a malformed one.
            gave_up = clock.now_ns() - started_ns >= 0.9e9 * limit_s
            raise loss(error, gave_up=gave_up) from error
        if clock.now_ns() - started_ns >= 0.9e9 * limit_s:
            self._container.close()  # it is told to give up, and then says that all is well
            raise Lost(SILENT)
        streams = self._container.streams.video
        if not streams:
            self._container.close()
            raise Lost("the stream has no video in it")
        stream = streams[0]
        stream.thread_type = "NONE"  # Frame threads would hold pictures back.
        stream.codec_context.thread_count = 1
        stream.codec_context.options = {"flags": "low_delay"}
        names = self._container.format.name.split(",")
        self._lag = Lag() if any(name in TRUE_STAMPS for name in names) else None
        self.fps = float(stream.average_rate) if stream.average_rate else None
        self._size_px = size_px
        self._maker: PictureMaker | None = None
        self._damaged_ns: int | None = None
        self._first = True
        self._grabs = self._run(stream)

    def grab(self) -> Grab:
        """Wait for the next picture."""
        try:
            return next(self._grabs)
        except StopIteration:
            raise Lost("the stream ended") from None
        except av.FFmpegError as error:
            raise loss(error) from error

    def close(self) -> None:
        """Close the stream."""
        self._grabs.close()
        self._container.close()

    def _run(self, stream: Any) -> Generator[Grab, None, None]:
        bad = 0
        for packet in self._container.demux(stream):
            # Stamped before decoding: decoding time is ours, not the camera's.
            arrived_ns = self._clock.now_ns()
            try:
                frames = packet.decode()
            except av.error.InvalidDataError:
                frames = []
                bad += 1
                self._damaged_ns = arrived_ns
                yield Grab(arrived_ns, None, "decode_error")
            for frame in frames:
                bad = bad + 1 if frame.is_corrupt else 0
                yield self._judged(frame, arrived_ns)
            if bad > BAD_PACKETS_IN_A_ROW:
                raise Lost(f"{bad} damaged pictures in a row")

    def _judged(self, frame: Any, arrived_ns: int) -> Grab:
        first, self._first = self._first, False
        if self._lag is not None and frame.pts is None and first:
            return Grab(arrived_ns, None, "stale")  # FFmpeg stamps only from the second on
        if self._lag is not None and frame.pts is not None:
            stamp_ns = round(frame.pts * frame.time_base * 1_000_000_000)
            age_ns = self._lag.age_ns(stamp_ns=stamp_ns, arrived_ns=arrived_ns)
            if age_ns is None or age_ns > self._stale_ns:
                return Grab(arrived_ns, None, "stale")
        if self._is_damaged(frame, arrived_ns):
            return Grab(arrived_ns, None, "decode_error")
        if self._maker is None:
            own_px = scaled_size(upright_size(frame), self._max_width_px)
            if self._size_px not in (None, own_px):
                log.warning("the camera came back with %s px instead of %s px; scaled to fit", own_px, self._size_px)
            self._maker = PictureMaker(self._size_px or own_px)
        return Grab(arrived_ns, self._maker.bgr(frame))

    def _is_damaged(self, frame: Any, arrived_ns: int) -> bool:
        """Tell whether a picture is damaged, or built on one that is, of which FFmpeg says nothing: a ghost."""
        if frame.is_corrupt:
            self._damaged_ns = arrived_ns
        elif frame.key_frame or (self._damaged_ns is not None and arrived_ns - self._damaged_ns > HEALED_NS):
            self._damaged_ns = None
        return self._damaged_ns is not None


class DeviceConnection:
    """A USB camera or a GStreamer pipeline through OpenCV.

    Args:
        device: Index, device path or pipeline.
        api: One of OpenCV's ``CAP_`` constants.
        wanted: Properties to ask the camera for, in this order.
        clock: Stamps arrivals.
        size_px: Size of the pictures to return, or None to take the camera's (scaled to `max_width_px`).
        max_width_px: See `VideoSection`.

    Raises:
        Lost: The device does not open.
    """

    def __init__(
        self,
        device: int | str,
        *,
        api: int,
        wanted: tuple[tuple[int, float], ...],
        clock: Clock,
        size_px: tuple[int, int] | None,
        max_width_px: int | None,
    ) -> None:
        self._clock = clock
        self._size_px = size_px
        self._max_width_px = max_width_px
        self._capture = cv2.VideoCapture(device, api)
        if not self._capture.isOpened():
            raise Lost("the device does not open: not plugged in, not readable for this user, or in use elsewhere")
        for key, value in wanted:
            self._capture.set(key, value)  # A camera that cannot do it keeps its nearest mode.
        self.fps: float | None = self._capture.get(cv2.CAP_PROP_FPS) or None

    def grab(self) -> Grab:
        """Wait for the next picture."""
        try:
            taken = self._capture.grab()
            captured_ns = self._clock.now_ns()
            if not taken:
                raise Lost("the device stopped sending pictures")
            decoded, image = self._capture.retrieve()
        except cv2.error as error:
            raise Lost(f"OpenCV: {error.err or error}") from error
        if not decoded or image is None or image.size == 0:
            return Grab(captured_ns, None, "decode_error")
        if image.ndim == 2:
            image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
        if self._size_px is None:
            self._size_px = scaled_size((image.shape[1], image.shape[0]), self._max_width_px)
        if (image.shape[1], image.shape[0]) != self._size_px:
            image = cv2.resize(image, self._size_px, interpolation=cv2.INTER_AREA)
        image.setflags(write=False)
        return Grab(captured_ns, image)

    def close(self) -> None:
        """Release the device."""
        self._capture.release()


def connect(section: VideoSection, *, clock: Clock, size_px: tuple[int, int] | None, limit_s: float) -> Connection:
    """Open the camera that `section.source` names, once; a network camera within `limit_s`.

    Raises:
        Lost: It does not answer.
        CameraError: It can never work on this machine.
    """
    source = str(section.source)
    if source.startswith("usb:"):
        name = source.removeprefix("usb:")
        device: int | str = int(name) if name.isdigit() else name
        return DeviceConnection(
            device,
            api=cv2.CAP_V4L2,
            wanted=_usb_properties(section),
            clock=clock,
            size_px=size_px,
            max_width_px=section.max_width_px,
        )
    if source.startswith("gst:"):
        refuse_gstreamer_if_absent(cv2.getBuildInformation())
        return DeviceConnection(
            source.removeprefix("gst:").strip(),
            api=cv2.CAP_GSTREAMER,
            wanted=(),
            clock=clock,
            size_px=size_px,
            max_width_px=section.max_width_px,
        )
    stale_ns = round(section.blind.no_frame_ms * 1e6)
    return StreamConnection(section, clock=clock, size_px=size_px, limit_s=limit_s, stale_ns=stale_ns)


def refuse_gstreamer_if_absent(build_information: str) -> None:
    """Raise CameraError unless OpenCV's build information says that it has GStreamer."""
    if not re.search(r"GStreamer:\s+YES", build_information):
        raise CameraError(
            f"video.source is a GStreamer pipeline, but this OpenCV ({cv2.__version__}) was built without it, as all "
            "wheels from PyPI are. On a Jetson use the OpenCV that JetPack installs; elsewhere use rtsp:// or usb:"
        )


def _usb_properties(section: VideoSection) -> tuple[tuple[int, float], ...]:
    wanted: list[tuple[int, float]] = [(cv2.CAP_PROP_BUFFERSIZE, 1)]
    if section.size_px is not None or section.fps is not None:
        # Uncompressed, USB 2 carries only about 10 frames/s at 720p.
        wanted.append((cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG")))
    if section.size_px is not None:
        wanted += [(cv2.CAP_PROP_FRAME_WIDTH, section.size_px[0]), (cv2.CAP_PROP_FRAME_HEIGHT, section.size_px[1])]
    if section.fps is not None:
        wanted.append((cv2.CAP_PROP_FPS, section.fps))
    return tuple(wanted)
