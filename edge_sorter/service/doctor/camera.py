"""The camera: does it open, how fast and how evenly do pictures come, are they worth looking at."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from statistics import quantiles

import av
import cv2

from edge_sorter.clock import Clock, ReplayClock, SystemClock, stopwatch_ns
from edge_sorter.config import Config, is_file_source
from edge_sorter.errors import VideoError
from edge_sorter.service.doctor.finding import Finding, fail, ok, warn
from edge_sorter.types import Frame, Image
from edge_sorter.video import FrameSource, HealthMonitor, open_source
from edge_sorter.video.health import luma

LOOK_S = 3.0
CLIP_FRAMES = 60
LEAST_FPS = 15.0
SOFT = 20.0
"""Variance of the Laplacian at 640 px width below which a picture of a belt with parcels is rarely in focus."""


class CameraExam:
    """Looks at `video.source` for a few seconds.

    Attributes:
        findings: What was seen.
        pictures: Some of the pictures, for the model to look at.
        fps: Pictures a second as they came, None without two of them.
    """

    def __init__(self, config: Config) -> None:
        self.findings: list[Finding] = []
        self.pictures: list[Frame] = []
        self.fps: float | None = None
        source = config.video.source
        if source is None:
            self.findings.append(warn("camera", "video.source is not set", "name a camera; only `run` needs one"))
            return
        clock: Clock = ReplayClock() if is_file_source(source) else SystemClock()
        try:
            with open_source(config.video, clock=clock) as opened:
                self._look(config, opened, clip=is_file_source(source))
        except VideoError as error:
            self.findings.append(fail("camera", error, "USB and CSI cameras serve one program: is the line running?"))

    def _look(self, config: Config, source: FrameSource, *, clip: bool) -> None:
        health = HealthMonitor(config.video.blind, watch_frozen=not clip)
        began_ns, times_ns, blind = stopwatch_ns(), list[int](), dict[str, int]()
        for item in source:
            spent_s = (stopwatch_ns() - began_ns) / 1e9
            if isinstance(item, Frame):
                times_ns.append(item.captured_ns)
                if (reason := health.check(item)) is not None:
                    blind[reason] = blind.get(reason, 0) + 1
                if len(times_ns) % 10 == 1:
                    self.pictures.append(item)
            elif item is not None:
                blind[item.reason] = blind.get(item.reason, 0) + 1
            if spent_s > LOOK_S or (clip and len(times_ns) >= CLIP_FRAMES):
                break
        spent_s = (stopwatch_ns() - began_ns) / 1e9
        self.fps = source.fps if clip else _rate(times_ns)
        width, height = source.size_px
        fact = f"{source.name}, {width} x {height} px"
        self.findings.append(ok("camera", f"{fact}, clip, {len(times_ns) / spent_s:.0f} frames/s decoded")
                             if clip else _pace(fact, times_ns, self.fps, source))  # fmt: skip
        self.findings += self._sight(blind)
        self.findings.append(ok("decoding", _decoder(config.video.source or "")))

    def _sight(self, blind: dict[str, int]) -> Iterator[Finding]:
        if blind:
            seen = ", ".join(f"{reason} {count} times" for reason, count in sorted(blind.items()))
            yield warn("picture", f"no usable picture: {seen}", "look at light, lens cap, cable; see video.blind")
        if not self.pictures:
            return
        image = self.pictures[-1].image
        brightness, edges = luma(image), sharpness(image)
        fact = f"brightness {brightness:.0f} of 255, sharpness {edges:.0f}"
        if brightness > 230:
            yield warn("picture", fact, "nearly white: close the aperture or shorten the exposure")
        elif edges < SOFT:
            yield warn("picture", fact, "looks out of focus, unless the belt is empty: put a parcel there and look")
        elif not blind:
            yield ok("picture", fact)


def sharpness(image: Image) -> float:
    """Return the variance of the Laplacian of a BGR picture at 640 px width; the more, the sharper."""
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    height, width = grey.shape
    small = cv2.resize(grey, (640, max(1, round(640 * height / width))), interpolation=cv2.INTER_AREA)
    return float(cv2.Laplacian(small, cv2.CV_64F).var())


def _rate(times_ns: list[int]) -> float | None:
    return (len(times_ns) - 1) * 1e9 / (times_ns[-1] - times_ns[0]) if len(times_ns) > 1 else None


def _pace(fact: str, times_ns: list[int], fps: float | None, source: FrameSource) -> Finding:
    if fps is None or len(times_ns) < 5:
        return warn("camera", f"{fact}, but only {len(times_ns)} pictures in {LOOK_S:g} s", "check cable and network")
    gaps_ms = [(after - before) / 1e6 for before, after in pairwise(times_ns)]
    longest_ms = quantiles(gaps_ms, n=20)[-1]
    lost = ", ".join(f"{count} {reason}" for reason, count in source.drops.items() if count)
    fact += f", {fps:.1f} pictures/s, 95 % within {longest_ms:.0f} ms of the one before" + (f"; {lost}" if lost else "")
    if fps < LEAST_FPS:
        return warn("camera", fact, f"below {LEAST_FPS:g} a second a fast parcel is seen too seldom: raise the rate")
    if longest_ms > 2.5 * 1000 / fps:
        return warn("camera", fact, "they come unevenly: look at the network, or at what else uses this processor")
    return ok("camera", fact)


def _decoder(source: str) -> str:
    if source.startswith("gst:"):
        return f"GStreamer through OpenCV {cv2.__version__}"
    if source.startswith("usb:"):
        return f"Video4Linux through OpenCV {cv2.__version__}"
    return f"FFmpeg through PyAV {av.__version__}, on the CPU"
