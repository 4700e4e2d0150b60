"""Draws a journal over its clip: boxes, identities, belt line, and the lane of every decided parcel.

A second pass after the run, so that drawing and encoding never touch what the run measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2

from edge_sorter.journal import JournalStep
from edge_sorter.types import Frame, Image
from edge_sorter.video.writer import video_writer

Colour = tuple[int, int, int]

_PENDING: Colour = (235, 235, 235)
_INK: Colour = (30, 30, 30)
_LINE: Colour = (60, 200, 255)
_PALETTE: tuple[Colour, ...] = (
    (80, 175, 76),
    (243, 150, 33),
    (0, 152, 255),
    (176, 39, 156),
    (150, 150, 0),
    (72, 85, 121),
    (99, 30, 233),
)
_EXCEPTION: Colour = (54, 67, 244)
_FONT = cv2.FONT_HERSHEY_SIMPLEX


@dataclass
class Overlay:
    """What to draw besides boxes, and what is known so far; bounded by the parcels in view and the lanes.

    Attributes:
        line_px: The decision line's two ends in the picture.
        classes: Names by class id.
        lanes: Lane ids in the order of their colours.
        exceptions: Lanes drawn in red.
        decided: The newest decision of each track in view, as the journal has it.
    """

    line_px: tuple[tuple[float, float], tuple[float, float]]
    classes: tuple[str, ...]
    lanes: tuple[str, ...]
    exceptions: frozenset[str] = frozenset()
    decided: dict[int, dict[str, Any]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    flash_until_ns: int = 0

    def colour(self, lane: str) -> Colour:
        """Return the colour of a lane."""
        if lane in self.exceptions or lane not in self.lanes:
            return _EXCEPTION
        return _PALETTE[self.lanes.index(lane) % len(_PALETTE)]

    def note(self, step: JournalStep) -> None:
        """Take in the decisions of a step and forget tracks that ended."""
        for decision in step.decisions:
            self.decided[decision["track"]] = decision
            self.counts[decision["lane"]] = self.counts.get(decision["lane"], 0) + 1
            self.flash_until_ns = step.detections.captured_ns + 200_000_000

    def draw(self, image: Image, step: JournalStep) -> None:
        """Draw one step onto its picture, in place."""
        self.note(step)
        scale = max(0.4, image.shape[0] / 1080)
        flashing = step.detections.captured_ns < self.flash_until_ns
        start, end = (tuple(round(v) for v in point) for point in self.line_px)
        cv2.line(
            image,
            start,
            end,
            _LINE if flashing else (255, 255, 255),
            max(1, round((4 if flashing else 2) * scale)),
            cv2.LINE_AA,
        )
        for track_id, state, x1, y1, x2, y2, class_id in step.tracks:
            self._draw_track(image, (track_id, state, class_id), (x1, y1, x2, y2), scale)
            if state == "ENDED":
                self.decided.pop(track_id, None)
        self._draw_counts(image, step, scale)

    def _draw_track(self, image: Image, who: tuple[int, str, int], box: tuple[float, ...], scale: float) -> None:
        track_id, state, class_id = who
        if state in ("TENTATIVE", "ENDED"):
            return
        decision = self.decided.get(track_id)
        colour = _PENDING if decision is None else self.colour(decision["lane"])
        x1, y1, x2, y2 = (round(v) for v in box)
        if x2 < 8 or y2 < 8 or x1 > image.shape[1] - 8 or y1 > image.shape[0] - 8:
            return  # it has left the picture
        thickness = max(1, round((1 if state == "LOST" else 3) * scale))
        cv2.rectangle(image, (x1, y1), (x2, y2), colour, thickness, cv2.LINE_AA)
        _label(image, self.name(track_id, class_id), (x1, y1), background=colour, size=0.75 * scale)

    def name(self, track_id: int, class_id: int) -> str:
        """Return what stands over a box: once decided, the class that was decided on, whatever it looks like now."""
        decision = self.decided.get(track_id)
        if decision is None:
            name = self.classes[class_id] if 0 <= class_id < len(self.classes) else str(class_id)
            return f"#{track_id} {name}"
        reason = decision["reason"]
        plain = reason in ("PLAN_MATCH", "DEFAULT")
        return f"#{track_id} {decision['class']} > {decision['lane']}" + ("" if plain else f" {reason}")

    def _draw_counts(self, image: Image, step: JournalStep, scale: float) -> None:
        x = round(12 * scale)
        y = image.shape[0] - round(14 * scale)
        total = sum(self.counts.values())
        x = _label(
            image,
            f"{step.detections.captured_ns / 1e9:5.1f} s   decisions {total}",
            (x, y),
            background=_INK,
            size=0.9 * scale,
        )
        for lane in (*self.lanes, *(lane for lane in self.counts if lane not in self.lanes)):
            x = _label(
                image,
                f"{lane} {self.counts.get(lane, 0)}",
                (x + round(8 * scale), y),
                background=self.colour(lane),
                size=0.9 * scale,
            )


def _label(image: Image, text: str, at: tuple[int, int], *, background: Colour, size: float) -> int:
    """Write text on a filled box whose lower left corner is `at`; returns its right edge."""
    weight = max(1, round(2 * size))
    (width, height), base = cv2.getTextSize(text, _FONT, size, weight)
    pad = round(6 * size)
    x = min(max(at[0], 0), max(0, image.shape[1] - width - 2 * pad))
    y = max(at[1], height + base + pad)
    cv2.rectangle(image, (x, y - height - base - pad), (x + width + 2 * pad, y), background, cv2.FILLED)
    ink = _INK if sum(background) > 330 else (255, 255, 255)
    cv2.putText(image, text, (x + pad, y - base), _FONT, size, ink, weight, cv2.LINE_AA)
    return int(x + width + 2 * pad)


def annotate(
    frames: Iterable[Frame],
    steps: Iterable[JournalStep],
    path: Path,
    *,
    overlay: Overlay,
    size_px: tuple[int, int],
    fps: float,
    progress: Callable[[int], None] = lambda _: None,
) -> None:
    """Write `path`: every frame that has a step, with the step drawn on it.

    Raises:
        VideoError: The clip cannot be read or the file cannot be written.
    """
    todo = iter(steps)
    step = next(todo, None)
    with video_writer(path, size_px=size_px, fps=fps) as write:
        for frame in frames:
            while step is not None and step.index < frame.index:
                step = next(todo, None)
            if step is None:
                break
            if step.index == frame.index:
                image = frame.image.copy()
                overlay.draw(image, step)
                write(image, frame.captured_ns)
                progress(frame.index + 1)
