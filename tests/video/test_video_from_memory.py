"""Pictures from memory are a source like any other."""

from __future__ import annotations

import numpy as np
import pytest

from edge_sorter.types import Blind, Frame
from edge_sorter.video import ListSource


def test_frames_from_memory_move_the_clock(manual_clock):
    image = np.zeros((4, 6, 3), np.uint8)
    pictures = (Frame(0, 10, image), None, Blind(20, "CAM_LOST"), Frame(1, 30, image))
    with ListSource(pictures, clock=manual_clock, fps=5) as source:
        assert tuple(source) == pictures
        assert (source.size_px, source.frames_total, source.duration_ns, source.fps) == ((6, 4), 2, 20, 5)
    assert manual_clock.waits == [10, 20, 30]


def test_a_source_from_memory_needs_a_frame():
    with pytest.raises(ValueError, match="at least one Frame"):
        ListSource([None])
