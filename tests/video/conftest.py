"""Clips made here, on the spot, so that a test knows every stamp and every byte of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import pytest
from rtsp_server import numbered_image

ClipMaker = Callable[..., Path]


class ManualClock:
    """Time that moves only when told; remembers every wait."""

    def __init__(self) -> None:
        self.at_ns = 0
        self.waits: list[int] = []

    def now_ns(self) -> int:
        return self.at_ns

    def sleep_until(self, at_ns: int) -> None:
        self.waits.append(at_ns)
        self.at_ns = max(self.at_ns, at_ns)

    def wall(self, at_ns: int) -> object:
        raise AssertionError("video never needs wall time")


@pytest.fixture
def manual_clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def make_clip(tmp_path: Path) -> ClipMaker:
    """Write a clip of numbered pictures; `pts` are in units of 1/1000 s."""

    def make(
        name: str = "clip.mp4",
        *,
        pts: Sequence[int] = tuple(range(0, 1200, 40)),
        size: tuple[int, int] = (320, 240),
        form: str | None = None,
        faststart: bool = False,
        rotate: int | None = None,
        gop: int = 12,
    ) -> Path:
        path = tmp_path / name
        options = {"movflags": "faststart"} if faststart else {}
        with av.open(str(path), "w", format=form, options=options) as container:
            stream = container.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
            # AVI counts frames instead of stamping them, so it carries neither B-frames nor milliseconds.
            avi = path.suffix == ".avi"
            stream.options = {"preset": "ultrafast", "g": str(gop), "bf": "0" if avi else "2"}
            stream.codec_context.time_base = stream.time_base = Fraction(1, 25 if avi else 1000)
            if rotate is not None:
                stream.set_display_rotation(rotate)
            for number, at in enumerate(pts):
                frame = av.VideoFrame.from_ndarray(numbered_image(number), format="bgr24").reformat(*size)
                frame.pts, frame.time_base = at, Fraction(1, 1000)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path

    return make
