"""When a camera reads each row of a frame, how far the belt has moved by then, and how bright the lamps are.

A global shutter takes all rows at the frame's own time. A rolling one takes the top row then and each further row a
little later, so what moves leans, and lamps that flicker draw bands. An exposure is centred on its row's time.

Contract: functions of the scenario and a time; the composed pictures and the truth both take them from here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_sorter.sim.profile import SpeedProfile
from edge_sorter.sim.video_spec import VideoSpec

FloatArray = NDArray[np.float64]
KNOTS = 17
"""Travel within a readout is taken straight between so many times: with 10 m/s^2 and 40 ms, 0.01 mm off at most."""
ROLLING_ROUNDS = 4
"""A point's row tells how far it is, and that its row. A belt that crosses a tenth of the picture's height within a
readout brings both ten times nearer each round; where it runs along the rows the first round is exact."""


def delay_s(video: VideoSpec, y_px: FloatArray) -> FloatArray:
    """How long after the frame's time the camera sees what is at these heights of the picture (0: top edge)."""
    readout_s = (video.readout_ms or 0.0) / 1000.0
    return np.clip(y_px / video.height_px, 0.0, 1.0) * readout_s


def further_mm(video: VideoSpec, motion: SpeedProfile, time_s: float, y_px: FloatArray) -> FloatArray:
    """How much further than at the frame's time the belt is when the camera sees what is at these heights."""
    times = np.linspace(0.0, (video.readout_ms or 0.0) / 1000.0, KNOTS)
    start_mm = motion.travel_mm(time_s)
    travels = [motion.travel_mm(time_s + later) - start_mm for later in times]
    further: FloatArray = np.interp(delay_s(video, y_px), times, travels)
    return further


def lamps(video: VideoSpec, time_s: float, y_px: FloatArray) -> FloatArray:
    """How bright the lamps are, 1 on average, over the exposure of rows at these heights: the light's exact mean."""
    flicker = video.flicker
    if flicker is None:
        return np.ones_like(y_px)
    # The mean of a cosine over an exposure is its value in the middle times sin(x)/x of half the phase it goes through.
    swing = flicker.depth * np.sinc(flicker.hz * video.exposure_ms / 1000.0)
    bright: FloatArray = 1.0 + swing * np.cos(2.0 * np.pi * flicker.hz * (time_s + delay_s(video, y_px)))
    return bright
