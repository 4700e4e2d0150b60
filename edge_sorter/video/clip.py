"""A video file as a row of decoded frames with true presentation times, and plain words for what is wrong with it.

Contract: `Clip.frames` yields every frame that decodes, in order; if the file turns out damaged it raises VideoError
after the last of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from edge_sorter.errors import VideoError

MAX_SIDE_PX = 8192
NOMINAL_STEP_NS = 40_000_000
SECOND_NS = 1_000_000_000
# Larger pictures are decoded on all cores. Up to 1080p one core gives 350 frames/s, and FFmpeg's frame threads
# cost 6 % more processor time than they save where the engine already keeps every core busy.
ONE_THREAD_PX = 1920 * 1088
PICTURE_FORMATS = ("image2", "gif", "apng", "webp")


class Clip:
    """One opened video file. Not thread-safe; `close` belongs to the thread that iterates.

    Args:
        path: The file.

    Attributes:
        fps: Average frames per second as the container says, or None.
        frames_total: Number of frames: exact where the container counts them, else from its duration, or None.
        duration_ns: Duration as the container says, or None.
        repaired_times: Frames so far whose presentation time was missing or ran backwards and was filled in.

    Raises:
        VideoError: The file is missing, empty, truncated before its index, or no video.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        _refuse_what_is_no_file(path)
        try:
            # The protocol prefix keeps a colon in a file name from being read as one.
            self._container = av.open(f"file:{path}")
        except av.FFmpegError as error:
            raise VideoError(_why_it_does_not_open(path, error)) from error
        try:
            self._stream = self._video_stream()
        except BaseException:
            self._container.close()
            raise
        rate = self._stream.average_rate or self._stream.guessed_rate
        self.fps = float(rate) if rate else None
        self.duration_ns = self._claimed_duration_ns()
        self.frames_total = self._frame_count()
        self._timeline = Timeline(step_ns=round(SECOND_NS / self.fps) if self.fps else NOMINAL_STEP_NS)
        self._damage: str | None = None
        self._damaged_packets = 0
        self._delivered = 0
        self._clean_seen = False

    @property
    def repaired_times(self) -> int:
        """Return how many presentation times had to be filled in."""
        return self._timeline.repaired

    def frames(self) -> Iterator[tuple[int, Any]]:
        """Decode the file from its start to its end; may be called once.

        Yields:
            Presentation time in ns, 0 for the first frame and growing strictly, and the `av.VideoFrame`.

        Raises:
            VideoError: After the last frame, if packets could not be read or decoded, or the file ends early.
        """
        end_pts: int | None = None
        for packet in self._packets():
            for frame in self._decode(packet):
                at_ns = self._timeline.stamp(frame.pts, frame.time_base or self._stream.time_base)
                self._delivered += 1
                yield at_ns, frame
            if packet is not None and packet.pts is not None:
                end_pts = max(end_pts or 0, packet.pts + (packet.duration or 0))
        self._check_that_all_came(end_pts)
        if self._damage is not None:
            more = f" ({self._damaged_packets} damaged places in all)" if self._damaged_packets > 1 else ""
            raise VideoError(
                f"{self.path}: {self._damage}{more}. {self._delivered} frames were delivered; what follows or lies "
                "between them is lost: use an undamaged copy of the recording"
            )

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def _packets(self) -> Iterator[Any]:
        """Yield the packets and last one that flushes the decoder, also where the file cannot be read to its end."""
        try:
            yield from self._container.demux(self._stream)
        except av.FFmpegError as error:
            self._note_damage(f"cannot be read further ({error.strerror})")
            yield None

    def _decode(self, packet: Any) -> Iterator[Any]:
        try:
            frames = self._stream.decode(packet)
        except av.FFmpegError as error:
            self._note_damage(f"cannot be decoded ({error.strerror})")
            return
        if packet is not None and packet.is_corrupt:
            self._note_damage("is cut off or damaged")
        for frame in frames:
            # Recordings often start between two key frames; only what breaks after a whole picture is damage.
            if not frame.is_corrupt:
                self._clean_seen = True
            elif self._clean_seen:
                self._note_damage("holds damaged pictures")
            yield frame

    def _note_damage(self, what: str) -> None:
        self._damaged_packets += 1
        if self._damage is None:
            at_s = (self._timeline.last_ns or 0) / SECOND_NS
            where = f"after frame {self._delivered - 1} ({at_s:.2f} s)" if self._delivered else "before its first frame"
            self._damage = f"the file {what} {where}"

    def _check_that_all_came(self, end_pts: int | None) -> None:
        """Compare how far the packets reached with what the container promised, where that promise is stored in it."""
        if end_pts is None or self._damage is not None:
            return
        promised = self._promised_end_pts()
        if promised is None:
            return
        missing_s = float((promised - end_pts) * self._stream.time_base)
        if missing_s > max(0.25, 3 * self._timeline.step_ns / SECOND_NS):
            self._note_damage(f"is cut off: it promises {missing_s:.2f} s more; it ends")

    def _promised_end_pts(self) -> int | None:
        names = self._container.format.name.split(",")
        if "mov" in names and self._stream.duration:
            end: int = self._stream.duration + (self._stream.start_time or 0)
            return end
        if "matroska" in names:
            tag_ns = _clock_text_ns(self._stream.metadata.get("DURATION", ""))
            return None if tag_ns is None else int(tag_ns / (SECOND_NS * Fraction(self._stream.time_base)))
        return None  # Others only guess it from the file itself.

    def _video_stream(self) -> Any:
        container = self._container
        name = container.format.name
        if name.endswith("_pipe") or name in PICTURE_FORMATS:
            raise VideoError(f"{self.path} is a picture ({name}), not a video; give a clip such as MP4, MKV, AVI or TS")
        if name == "tty":
            raise VideoError(f"{self.path} is a text file, not a video; give a clip such as MP4, MKV, AVI or TS")
        streams = [stream for stream in container.streams.video if not _is_cover_art(stream)]
        if not streams:
            kinds = sorted({stream.type for stream in container.streams})
            raise VideoError(
                f"{self.path} holds no video, only {' and '.join(kinds) or 'nothing'}; give a clip with pictures"
            )
        stream = streams[0]
        width, height = stream.codec_context.width, stream.codec_context.height
        if max(width, height) > MAX_SIDE_PX:
            raise VideoError(
                f"{self.path}: pictures of {width} x {height} px are larger than {MAX_SIDE_PX} px a side; scale it down"
            )
        stream.thread_type = "NONE" if width * height <= ONE_THREAD_PX else "AUTO"
        if stream.thread_type.name == "NONE":
            stream.codec_context.thread_count = 1
        return stream

    def _claimed_duration_ns(self) -> int | None:
        stream, container = self._stream, self._container
        if stream.duration:
            return _rounded_ns(stream.duration, stream.time_base)
        return _rounded_ns(container.duration, Fraction(1, av.time_base)) if container.duration else None

    def _frame_count(self) -> int | None:
        counted: int | None = self._stream.frames or None
        if self.duration_ns is None or self.fps is None:
            return counted
        by_duration = max(1, round(self.duration_ns * self.fps / SECOND_NS))
        # A clip that was cut without encoding it again stores more frames than its edit list shows.
        return by_duration if counted is None or counted > by_duration + 1 else counted


class Timeline:
    """Turns presentation stamps into nanoseconds since the first frame, growing strictly.

    Args:
        step_ns: What to assume between two frames where a stamp is missing.

    Attributes:
        last_ns: Time of the newest frame, or None before the first.
        repaired: Number of stamps that were missing or not after the previous one.
    """

    JUMP_NS = 500_000_000
    """A stamp further back than this is a new recording joined on, not a glitch."""

    def __init__(self, *, step_ns: int) -> None:
        self.step_ns = step_ns
        self.last_ns: int | None = None
        self.repaired = 0
        self._zero_ns: int | None = None

    def stamp(self, pts: int | None, time_base: Fraction | None) -> int:
        """Return the time of the next frame in ns.

        Args:
            pts: Presentation stamp in units of `time_base` seconds, or None if the file has none for this frame.
            time_base: Length of one unit in seconds.
        """
        raw_ns = None if pts is None or time_base is None else _rounded_ns(pts, time_base)
        if self.last_ns is None:
            self._zero_ns = raw_ns
            self.repaired += raw_ns is None
            self.last_ns = 0
            return 0
        expected_ns = self.last_ns + self.step_ns
        if raw_ns is not None and self._zero_ns is None:
            self._zero_ns = raw_ns - expected_ns  # the first stamp of a file that began without any
        at_ns = expected_ns if raw_ns is None or self._zero_ns is None else raw_ns - self._zero_ns
        if raw_ns is None or at_ns <= self.last_ns:
            self.repaired += 1
        if raw_ns is not None and at_ns <= self.last_ns - self.JUMP_NS:
            self._zero_ns = raw_ns - expected_ns
            at_ns = expected_ns
        elif at_ns <= self.last_ns:
            # Half a step keeps room for the next frame's true stamp.
            at_ns = self.last_ns + max(1, self.step_ns // 2)
        self.last_ns = at_ns
        return at_ns


def _rounded_ns(pts: int, time_base: Fraction) -> int:
    return (2 * pts * time_base.numerator * SECOND_NS + time_base.denominator) // (2 * time_base.denominator)


def _clock_text_ns(text: str) -> int | None:
    """Read "00:00:02.400000000"; None when it is something else."""
    try:
        hours, minutes, seconds = text.split(":")
        return round((int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds)) * SECOND_NS)
    except ValueError:
        return None


def _is_cover_art(stream: Any) -> bool:
    return bool(int(stream.disposition) & 0x0400)  # AV_DISPOSITION_ATTACHED_PIC


def _refuse_what_is_no_file(path: Path) -> None:
    if path.is_dir():
        raise VideoError(f"{path} is a folder; video.source must name one clip in it")
    if not path.exists():
        near = next((parent for parent in path.parents if parent.exists()), path)
        raise VideoError(
            f"{path} does not exist (the path is right up to {near}); relative paths in a configuration start at its "
            "own folder. Check video.source or the clip you named"
        )
    try:
        with path.open("rb") as file:
            head = file.read(1)
    except OSError as error:
        raise VideoError(f"{path} cannot be read: {error.strerror}; check its permissions") from error
    if not head:
        raise VideoError(f"{path} is empty (0 bytes); copy or record the clip again")


def _why_it_does_not_open(path: Path, error: Any) -> str:
    with path.open("rb") as file:
        head = file.read(12)
    if head[4:8] == b"ftyp":
        return (
            f"{path} is a truncated MP4: its index (moov) is missing, because the recording or the copy was cut off. "
            "Copy it again; a recorder that may lose power should write MKV, TS or fragmented MP4"
        )
    return (
        f"{path} is not a video, or its header is damaged ({error.strerror}); give a clip such as MP4, MKV, AVI or TS"
    )
