"""Starts `gst_camera.py` with clips made on the spot, and makes it misbehave."""

from __future__ import annotations

import signal
import struct
import subprocess
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from edge_sorter.clock import ReplayClock
from edge_sorter.config import VideoSection
from edge_sorter.types import Frame
from edge_sorter.video import open_source

PYTHON = "/usr/bin/python3"
"""The one Debian's GStreamer bindings belong to."""
FPS = 25
SIZE = (640, 360)
SERVER = Path(__file__).with_name("gst_camera.py")
PARTS = """
import gi
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gst, GstRtspServer
Gst.init(None)
raise SystemExit(not all(map(Gst.ElementFactory.find, ("appsrc", "rtph264pay"))))
"""
PACKAGES = "gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-plugins-base gstreamer1.0-plugins-good"


@cache
def installed() -> bool:
    try:
        return subprocess.run([PYTHON, "-c", PARTS], capture_output=True, timeout=120, check=False).returncode == 0
    except OSError:
        return False


def require() -> None:
    if not installed():
        pytest.skip(f"no foreign RTSP server here: apt-get install {PACKAGES}")


def pictures_of(clip: Path, count: int) -> list[np.ndarray]:
    """The first pictures of a clip, small."""
    with open_source(VideoSection(source=str(clip)), clock=ReplayClock()) as source:
        frames = (item.image for item in source if isinstance(item, Frame))
        return [cv2.resize(next(frames), SIZE, interpolation=cv2.INTER_AREA) for _ in range(count)]


def write_units(path: Path, images: list[np.ndarray], *, gop: int = FPS // 2) -> None:
    """Encode as a camera does: no B-frames, a key frame twice a second."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.height, encoder.width = images[0].shape[:2]
    encoder.pix_fmt, encoder.time_base, encoder.framerate = "yuv420p", Fraction(1, FPS), Fraction(FPS)
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency", "g": str(gop), "x264-params": "qp=24"}
    packets = []
    for number, image in enumerate(images):
        frame = av.VideoFrame.from_ndarray(image, format="bgr24")
        frame.pts = number
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    path.write_bytes(b"".join(struct.pack(">I", packet.size) + bytes(packet) for packet in packets))


def write_clips(folder: Path, clip: Path) -> None:
    """Write what the camera can show: the clip, one picture of it for ever, black, and another size."""
    images = pictures_of(clip, 2 * FPS)
    noise = np.random.default_rng(1)
    write_units(folder / "clip.au", images)
    write_units(folder / "frozen.au", [images[20]] * (8 * FPS), gop=8 * FPS)
    dark = [noise.integers(0, 4, image.shape).astype(np.uint8) for image in images[:FPS]]
    write_units(folder / "black.au", dark)
    write_units(folder / "large.au", [cv2.resize(image, (1280, 720)) for image in images[:FPS]])


class ForeignCamera:
    """One camera process on a port; it may be told, frozen, killed and started again there.

    Attributes:
        url: With user and password, where it wants them.
    """

    def __init__(self, folder: Path, *, port: int, password: str | None = None) -> None:
        self._folder, self._port, self._password = folder, port, password
        at = f"user:{password}@" if password else ""
        self.url = f"rtsp://{at}127.0.0.1:{port}/cam"
        self.start()

    def start(self) -> None:
        words = [PYTHON, str(SERVER), str(self._port), str(self._folder), str(FPS)]
        words += ["user", self._password] if self._password else []
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._line() == "ready"

    def tell(self, command: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        assert self._line() == "ok"

    def freeze(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def __enter__(self) -> ForeignCamera:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
