"""What every frame source looks like, and the one that needs no video: frames from memory.

Contract: a source is a context manager and an iterator that may be run through once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Protocol, TypeVar

from edge_sorter.clock import Clock
from edge_sorter.types import Blind, Frame

Opened = TypeVar("Opened", bound="ClosedAfterWith")

Picture = Frame | Blind | None
"""What a source yields: a frame, the news that there is no usable picture, or None for "nothing new yet"."""


class FrameSource(Protocol):
    """Where frames come from.

    Iterating yields `Frame`, `Blind` or None. A camera yields at least every 50 ms, so its consumer can do its other
    work in between; a clip yields None only while it waits.

    Attributes:
        name: The source for humans, without any password.
        size_px: Width and height of every frame it yields.
        fps: Nominal frames per second, or None when the source does not say.
        frames_total: Number of frames the source should yield, or None when it has no end or does not say.
        duration_ns: How long the recording claims to be, or None.
    """

    name: str
    size_px: tuple[int, int]
    fps: float | None
    frames_total: int | None
    duration_ns: int | None

    @property
    def drops(self) -> dict[str, int]:
        """Return how many frames were not delivered, by reason."""

    @property
    def reconnects(self) -> int:
        """Return how often a lost camera was found again."""

    def __iter__(self) -> Iterator[Picture]: ...

    def __enter__(self) -> FrameSource: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def close(self) -> None:
        """Stop, and give back what was opened; safe to call twice."""


class ClosedAfterWith(ABC):
    """What the sources share: `with source:` closes it at the end, whatever happens."""

    def __enter__(self: Opened) -> Opened:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Stop, and give back what was opened; safe to call twice."""


class ListSource(ClosedAfterWith):
    """Frames from memory, in order: the shipped stand-in for a clip or a camera.

    Args:
        pictures: What to yield; a camera's trouble is written as `Blind` or None between the frames.
        clock: Moved to each picture's time before it is yielded, as a clip does; None leaves time alone.
        fps: What to claim as nominal rate.
    """

    def __init__(self, pictures: Iterable[Picture], *, clock: Clock | None = None, fps: float | None = None) -> None:
        self._pictures = tuple(pictures)
        self._clock = clock
        frames = [picture for picture in self._pictures if isinstance(picture, Frame)]
        if not frames:
            raise ValueError("a source without a single frame has no picture size; give at least one Frame")
        height_px, width_px = frames[0].image.shape[:2]
        self.name = "memory"
        self.size_px = (width_px, height_px)
        self.fps = fps
        self.frames_total: int | None = len(frames)
        self.duration_ns: int | None = frames[-1].captured_ns - frames[0].captured_ns
        self.drops: dict[str, int] = {}
        self.reconnects = 0

    def __iter__(self) -> Iterator[Picture]:
        for picture in self._pictures:
            if self._clock is not None and picture is not None:
                self._clock.sleep_until(picture.captured_ns if isinstance(picture, Frame) else picture.at_ns)
            yield picture

    def close(self) -> None:
        """Do nothing; memory needs no closing."""
