"""The picture of a soak run: memory, threads and files, latency, frames over time, drawn with what a box has anyway."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

WIDTH, PANEL, LEFT, RIGHT, TOP, FOOT = 1280, 210, 96, 24, 34, 34
FINE = 2
"""Drawn so many times larger, then averaged down: OpenCV's letters want it."""
INK, GREY, GRID = (60, 50, 40), (140, 135, 130), (232, 230, 228)
BLUE, ORANGE, GREEN = (180, 105, 30), (20, 110, 225), (90, 150, 40)

Series = tuple[str, list[float | None], tuple[int, int, int]]


def draw(report: dict[str, Any], path: Path) -> None:
    """Write a PNG of panels over one time axis.

    Raises:
        OSError: The picture cannot be written.
    """
    samples = report["samples"]
    minutes = [sample["at_s"] / 60 for sample in samples]

    def column(name: str) -> list[float | None]:
        return [sample[name] for sample in samples]

    panels: list[tuple[str, list[Series]]] = [
        ("resident memory, MB" + _slope(report["memory_mb_h"], "MB"), [("", column("memory_mb"), BLUE)]),
        ("threads, open files", [("threads", column("threads"), GREEN), ("files", column("files"), ORANGE)]),
        (
            "capture to publish, ms" + _slope(report["latency_p50_ms_h"], "ms, median"),
            [("median", column("p50_ms"), BLUE), ("p99", column("p99_ms"), ORANGE)],
        ),
        ("processor time for a frame, ms" + _slope(report["cpu_ms_a_frame_h"], "ms"), [("", column("cpu_ms"), BLUE)]),
        (
            "frames decided a second; other work on the machine (load)",
            [
                ("frames/s", [sample["frames"] / 10 for sample in samples], BLUE),
                ("load", column("load"), GREY),
            ],
        ),
    ]
    canvas = np.full(((PANEL * len(panels) + FOOT) * FINE, WIDTH * FINE, 3), 255, np.uint8)
    for number, (title, series) in enumerate(panels):
        _panel(canvas, number * PANEL, title, series, minutes=minutes)
    _text(canvas, "minutes", (WIDTH // 2, PANEL * len(panels) + FOOT - 10), GREY)
    small = cv2.resize(canvas, (canvas.shape[1] // FINE, canvas.shape[0] // FINE), interpolation=cv2.INTER_AREA)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), small):
        raise OSError(f"the picture {path} cannot be written")


def _slope(found: dict[str, float] | None, unit: str) -> str:
    if found is None:
        return ""
    return f"   {found['per_h']:+.2f} {unit} an hour ({found['low']:+.2f} to {found['high']:+.2f})"


def _panel(canvas: NDArray[np.uint8], top: int, title: str, series: list[Series], *, minutes: list[float]) -> None:
    values = [value for _, column, _ in series for value in column if value is not None]
    if not values:
        return
    low, high, step = _scale(min(values), max(values))
    y0, y1 = top + PANEL - 22, top + TOP
    x_end = max(minutes[-1], 1e-6)

    def at(minute: float, value: float) -> tuple[int, int]:
        x = LEFT + (WIDTH - LEFT - RIGHT) * minute / x_end
        return round(x * FINE), round((y0 - (y0 - y1) * (value - low) / (high - low)) * FINE)

    tick = low
    while tick <= high + step / 2:
        cv2.line(canvas, at(0, tick), at(x_end, tick), GRID, FINE)
        _text(canvas, f"{tick:g}", (8, at(0, tick)[1] // FINE + 4), GREY)
        tick = round(tick + step, 9)
    for minute in np.arange(0, x_end + 1e-9, _scale(0, x_end)[2]):
        _text(canvas, f"{minute:g}", (at(float(minute), low)[0] // FINE - 6, y0 + 16), GREY)
    _text(canvas, title, (LEFT, top + 22), INK)
    for index, (name, column, colour) in enumerate(series):
        _text(canvas, name, (WIDTH - RIGHT - 90 * (len(series) - index), top + 22), colour)
        points = [at(minute, value) for minute, value in zip(minutes, column, strict=True) if value is not None]
        cv2.polylines(canvas, [np.array(points, np.int32)], False, colour, FINE, cv2.LINE_AA)


def _scale(low: float, high: float) -> tuple[float, float, float]:
    """Return round ends around some values, and the step between lines: about four of them."""
    span = max(high - low, abs(high) * 0.02, 1.0)
    rough = span / 4
    unit = 10.0 ** math.floor(math.log10(rough))
    step = unit * next(factor for factor in (1, 2, 5, 10) if factor * unit >= rough)
    return math.floor(low / step) * step, math.ceil((high + step * 0.05) / step) * step, step


def _text(canvas: NDArray[np.uint8], words: str, at: tuple[int, int], colour: tuple[int, int, int]) -> None:
    place = (at[0] * FINE, at[1] * FINE)
    cv2.putText(canvas, words, place, cv2.FONT_HERSHEY_SIMPLEX, 0.45 * FINE, colour, FINE, cv2.LINE_AA)
