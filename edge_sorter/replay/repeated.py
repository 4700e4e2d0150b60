"""A clip played several times over as one long recording, for soak runs; frame index and time keep rising."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from edge_sorter.types import Blind, Frame
from edge_sorter.video import FrameSource
from edge_sorter.video.source import ClosedAfterWith


class Repeated(ClosedAfterWith):
    """A `FrameSource` made of `times` passes over the same clip.

    Args:
        open_at: Opens the clip for a pass that begins at this time of the long recording, in ns.
        times: Number of passes.
    """

    def __init__(self, open_at: Callable[[int], FrameSource], times: int) -> None:
        self._open_at, self._times = open_at, times
        self._source = open_at(0)
        first = self._source
        self.name, self.size_px, self.fps = first.name, first.size_px, first.fps
        self.frames_total = None if first.frames_total is None else first.frames_total * times
        self.duration_ns = None if first.duration_ns is None else first.duration_ns * times
        self.reconnects = 0

    @property
    def drops(self) -> dict[str, int]:
        """A clip drops nothing."""
        return {}

    def __iter__(self) -> Iterator[Frame | Blind | None]:
        index = at_ns = 0
        period_ns = round(1e9 / (self.fps or 25))
        for turn in range(self._times):
            if turn:
                self._source = self._open_at(at_ns)
            first_index, first_ns = index, at_ns
            with self._source as source:
                for item in source:
                    if isinstance(item, Frame):
                        index, at_ns = first_index + item.index + 1, first_ns + item.captured_ns + period_ns
                        yield Frame(first_index + item.index, first_ns + item.captured_ns, item.image)
                    else:
                        yield item

    def close(self) -> None:
        """Stop the present pass."""
        self._source.close()
