"""The beginning of a clip, counted in pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from edge_sorter.types import Frame
from edge_sorter.video.source import Picture


def first_frames(source: Iterable[Picture], count: int | None) -> Iterator[Picture]:
    """Yield what a source yields, up to its `count`-th picture (None: all).

    A tick without a picture, as while a starved machine decodes, counts nothing: tests that counted what the main loop
    asked for ended pictures too early on one.
    """
    for item in source:
        yield item
        if count is not None and isinstance(item, Frame):
            count -= 1
            if count == 0:
                return
