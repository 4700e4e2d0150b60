"""Pictures into an H.264 file that every player and browser shows; whole or not at all."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from edge_sorter.errors import VideoError
from edge_sorter.types import Image


@contextlib.contextmanager
def video_writer(
    path: Path, *, size_px: tuple[int, int], fps: float, threads: int = 0
) -> Iterator[Callable[[Image, int], None]]:
    """Open an H.264 file for writing; yields `write(image, at_ns)`. The file appears under its name when complete.

    Args:
        path: The file; its folder is made where it is missing.
        size_px: Width and height; an odd side loses its last pixel.
        fps: Pictures a second, about; each has its own time.
        threads: Of the encoder; 0 lets it choose.

    Raises:
        VideoError: The file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.stem}.part{path.suffix}")
    time_base = Fraction(1, 90_000)
    try:
        with av.open(str(partial), "w") as container:
            stream: Any = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
            stream.width, stream.height = size_px[0] // 2 * 2, size_px[1] // 2 * 2
            stream.pix_fmt = "yuv420p"
            stream.options = {"preset": "veryfast", "crf": "23"}
            stream.codec_context.time_base = time_base
            stream.codec_context.thread_count = threads

            def write(image: NDArray[np.uint8], at_ns: int) -> None:
                frame = av.VideoFrame.from_ndarray(
                    np.ascontiguousarray(image[: stream.height, : stream.width]), format="bgr24"
                )
                frame.pts, frame.time_base = round(at_ns * 9 / 100_000), time_base
                container.mux(stream.encode(frame))

            yield write
            container.mux(stream.encode(None))
        partial.replace(path)
    except (av.error.FFmpegError, OSError) as error:
        raise VideoError(f"video {path} cannot be written: {error}") from None
    finally:
        partial.unlink(missing_ok=True)
