"""A small belt with exact truth: rectangles in millimetres, seen by a camera that misses, jitters and is blocked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from edge_sorter.belt import BeltMap, Calibration
from edge_sorter.types import Detections

SIZE_PX = (960, 540)
VIEW_MM = 1920.0

OVERHEAD = Calibration(  # straight down, 0.5 px per mm
    image_size_px=SIZE_PX,
    image_points_px=((0, 0), (960, 0), (960, 540), (0, 540)),
    belt_points_mm=((0, 0), (1920, 0), (1920, 1080), (0, 1080)),
)
OBLIQUE = Calibration(  # looking along the belt from above its end: far parcels are half as large and as fast
    image_size_px=SIZE_PX,
    image_points_px=((300, 20), (660, 20), (960, 540), (0, 540)),
    belt_points_mm=((0, 0), (0, 1000), (1920, 1000), (1920, 0)),
)


@dataclass(frozen=True)
class Moment:
    """One frame: what the detector says, which parcel each of its boxes (k, 4) really is, and which are in view."""

    detections: Detections
    travel_mm: float
    parcels: tuple[int, ...]
    truth: np.ndarray
    in_view: frozenset[int]


@dataclass
class BeltWorld:
    """Parcels one behind another, with gaps and lateral places that vary."""

    fps: float
    travel_mm: Callable[[float], float]
    duration_s: float
    length_mm: float
    seed: int = 0
    calibration: Calibration = OVERHEAD
    gap_mm: tuple[float, float] = (100.0, 500.0)
    miss: float = 0.0
    jitter_mm: float = 0.0
    hidden_s: float = 0.0
    dropped: float = 0.0
    tall: float = 0.0  # apparent extra displacement, as a share: height / (camera height - height)
    map: BeltMap = field(init=False)

    def __post_init__(self) -> None:
        self.map = BeltMap(self.calibration, image_size_px=SIZE_PX)

    def __iter__(self) -> Iterator[Moment]:
        rng = np.random.default_rng(self.seed)
        times = np.arange(round(self.duration_s * self.fps)) / self.fps
        reach = max(self.travel_mm(t) for t in times)
        starts, x = [], VIEW_MM / 2
        while x > -reach - self.length_mm:
            starts.append(x)
            x -= self.length_mm + rng.uniform(*self.gap_mm)
        start = np.array(starts)
        lateral = rng.uniform(200, 800, len(start))
        width = self.length_mm * rng.uniform(0.6, 1.0, len(start))
        gain = 1.0 + self.tall * rng.uniform(0, 1, len(start))
        hidden_at = rng.uniform(0.25, 0.55, len(start)) * VIEW_MM
        hidden_since = np.full(len(start), np.inf)
        for t in times:
            centre = (start + self.travel_mm(t) - VIEW_MM / 2) * gain + VIEW_MM / 2
            hidden_since = np.where((centre >= hidden_at) & (start < 0), np.minimum(hidden_since, t), hidden_since)
            if rng.random() < self.dropped:
                continue
            boxes = self._seen(centre, lateral, width)
            visible = (np.abs(centre - VIEW_MM / 2) < VIEW_MM / 2 + self.length_mm) & (
                boxes[:, 2:] - boxes[:, :2] > 8
            ).all(axis=1)
            hidden = (t - hidden_since >= 0) & (t - hidden_since < self.hidden_s)
            seen = visible & ~hidden & (rng.random(len(start)) >= self.miss)
            scale = (boxes[:, 2] - boxes[:, 0]) / self.length_mm
            noise = (
                rng.normal(0, self.jitter_mm, boxes.shape) * np.minimum(scale, 1.0)[:, None] if self.jitter_mm else 0
            )
            noisy = np.clip(boxes + noise, 0, (*SIZE_PX, *SIZE_PX))
            count = int(seen.sum())
            yield Moment(
                Detections(round(t * 1e9), noisy[seen], np.full(count, 0.9), np.zeros(count)),
                float(self.travel_mm(t)),
                tuple(np.flatnonzero(seen).tolist()),
                noisy[seen],
                frozenset(np.flatnonzero(visible).tolist()),
            )

    def _seen(self, centre: np.ndarray, lateral: np.ndarray, width: np.ndarray) -> np.ndarray:
        corners = np.stack(
            [
                np.stack((centre + i * self.length_mm / 2, lateral + j * width / 2), axis=1)
                for i in (-1, 1)
                for j in (-1, 1)
            ],
            axis=1,
        )
        px = self.map.to_px(corners.reshape(-1, 2)).reshape(corners.shape)
        boxes = np.concatenate((px.min(axis=1), px.max(axis=1)), axis=1)
        return np.clip(boxes, 0, (*SIZE_PX, *SIZE_PX))


def steady(speed_mm_s: float) -> Callable[[float], float]:
    """Travel of a belt of constant speed."""
    return lambda t: speed_mm_s * t


def stop_and_reverse(speed_mm_s: float) -> Callable[[float], float]:
    """Travel of a belt that starts up, runs, stops, backs up for a while, rests, and runs on; for up to 20 s."""
    knots = [(0, 0), (2, 1), (2.2, 1), (3.5, 0), (3.7, 0), (4.5, -0.5), (4.7, -0.5), (5.2, 0), (5.4, 0), (5.8, 1)]
    knot_s, shares = zip(*knots, strict=True)
    grid_s = np.linspace(0, 20, 4001)
    speed = np.interp(grid_s, knot_s, shares) * speed_mm_s
    travelled = np.concatenate(([0.0], np.cumsum((speed[1:] + speed[:-1]) / 2 * np.diff(grid_s))))
    return lambda t: float(np.interp(t, grid_s, travelled))
