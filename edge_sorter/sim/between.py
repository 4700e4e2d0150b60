"""Frames from few ray-traced pictures: parcels slide, so what the camera sees next is known pixel by pixel.

Ray tracing every frame of a clip costs hours on a CPU. Here a key picture is traced every few centimetres of belt
travel; the frames between are put together from the keys before and after. Nothing is guessed: the place in the world
of every traced pixel is known, and so is where it will be. The belt's own pattern is laid in exactly, the steel comes
from one fine picture of the empty line.

Contract: `Between.frame` gives linear light; it depends on its keys alone, and at a key's own travel it shows that key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_sorter.sim.camera import PinholeCamera
from edge_sorter.sim.going import FloatArray, Going, Rows, Way

FloatImage = NDArray[np.float32]
NOBODY: Mapping[int, Way] = {}
BELT = 10_000
"""Object number of the belt; parcels have theirs from 1, what stands still has 0."""
PAD_PX = 16


@dataclass(frozen=True, eq=False)
class Key:
    """One ray-traced picture.

    Attributes:
        travel_mm: how far the belt had moved.
        light: linear RGB, shape (h, w, 3); the belt is plain grey.
        seen: object number of each pixel.
        place_mm: the point of the world each pixel shows, shape (h, w, 3).
    """

    travel_mm: float
    light: FloatImage
    seen: NDArray[np.int32]
    place_mm: FloatImage


@dataclass(frozen=True, eq=False)
class Plate:
    """The line without parcels, its belt plain grey.

    Attributes:
        fine: many samples.
        gain: how much lighter each pixel gets by one unit of belt albedo.
        coarse: with a key's few samples, so that its errors cancel in a ratio.
        seen: object number of each pixel.
    """

    fine: FloatImage
    gain: FloatImage
    coarse: FloatImage
    seen: NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class BeltPattern:
    """The belt's albedo, linear RGB, one row per millimetre step across (top row far), repeating along travel."""

    albedo: FloatImage
    grey: float
    length_mm: float
    width_mm: float


class Between:
    """Puts frames together for one camera, one empty line and one belt."""

    def __init__(self, camera: PinholeCamera, plate: Plate, pattern: BeltPattern) -> None:
        self._camera, self._plate, self._pattern = camera, plate, pattern
        width, height = camera.image_px
        centres = np.stack(np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5), axis=-1)
        self._belt_mm = camera.on_belt(centres.reshape(-1, 2)).reshape(height, width, 2)
        self._on_belt = plate.seen == BELT
        # Belt pixels and one beyond, where the steel's edge is mixed with the belt; further away gain is only noise.
        reach = cv2.dilate(self._on_belt.astype(np.uint8), np.ones((3, 3), np.uint8))
        self._gain: FloatImage = plate.gain * reach[..., None]
        self._shade = lru_cache(maxsize=3)(self._shade_of)

    def frame(
        self, travel_mm: float, keys: tuple[Key, Key], *, row_mm: Rows = None, own_mm: Mapping[int, Way] = NOBODY
    ) -> tuple[FloatImage, NDArray[np.int32]]:
        """Return the light of a frame, shape (h, w, 3), and the object number of each of its pixels.

        Args:
            travel_mm: belt travel of the frame.
            keys: the keys before and after, in order; both the same where the frame is a key.
            row_mm: how much further (less, if negative) the belt was when each row was read, shape (h,); not the same
                for all. None: all rows were read at once.
            own_mm: of what does not go with the belt, by object number, where it is when the first and the last row
                are read: as ways from its place in the keys, shape (2, 3). Both are pictures of this very moment then.
        """
        span = keys[1].travel_mm - keys[0].travel_mm
        late = (travel_mm - keys[0].travel_mm) / span if span > 0 else 0.0
        weights = [(key, weight) for key, weight in zip(keys, (1.0 - late, late), strict=True) if weight > 1e-6]
        light = self._empty(travel_mm, row_mm) * self._shadows(travel_mm, weights, row_mm)
        seen = np.where(self._on_belt, BELT, 0).astype(np.int32)
        numbers = sorted(
            {int(n) for key, _ in weights for n in np.unique(key.seen) if 0 < n < BELT},
            key=lambda number: (number in own_mm, -max(self._distance_mm(key, number) for key, _ in weights)),
        )
        for number in numbers:
            going = Going(travel_mm, row_mm, own_mm.get(number), tuple(own_mm))
            colour, cover = self._parcel(number, weights, going)
            light = light * (1.0 - cover[..., None]) + colour * cover[..., None]
            seen[cover > 0.5] = number
        return np.asarray(light, np.float32), seen

    def _distance_mm(self, key: Key, number: int) -> float:
        mask = key.seen == number
        if not mask.any():
            return 0.0
        return float(np.linalg.norm(key.place_mm[mask].mean(axis=0) - np.asarray(self._camera.position_mm)))

    def _empty(self, travel_mm: float, row_mm: Rows) -> FloatImage:
        """The line without parcels, its belt's pattern moved along."""
        pattern = self._pattern
        travelled = travel_mm if row_mm is None else travel_mm + row_mm[:, None]
        rows, columns = pattern.albedo.shape[:2]
        along = np.mod(self._belt_mm[..., 0] - travelled, pattern.length_mm) / pattern.length_mm * columns - 0.5
        across = (1.0 - self._belt_mm[..., 1] / pattern.width_mm) * rows - 0.5
        albedo = cv2.remap(
            pattern.albedo,
            along.astype(np.float32),
            np.clip(across, 0, rows - 1).astype(np.float32),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_WRAP,
        )
        lit: FloatImage = self._plate.fine + self._gain * (albedo - pattern.grey)
        return np.maximum(lit, 0.0)

    def _shade_of(self, key: Key) -> tuple[FloatImage, FloatImage]:
        """How parcels darken (or tint) what stands and the belt: ratios of light, filled in beneath the parcels."""
        # Rows that were not traced are black: nothing ever happens there, so the plate stands as it is.
        traced = key.light.max(axis=(1, 2)) > 0
        known = (key.seen == 0) | (key.seen == BELT)
        known &= ~(traced[:, None] & (key.light.sum(axis=2) <= 0))
        ratio: FloatImage = np.clip(key.light / np.maximum(self._plate.coarse, 1e-4), 0.0, 1.5)
        ratio[~(known & traced[:, None])] = 1.0
        parts: list[FloatImage] = []
        for part in (known & ~self._on_belt, known & self._on_belt):
            # A pixel beside a parcel is mixed with it: fill from one further away.
            sure = cv2.erode(part.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
            spread = _filled(ratio, sure) if sure.any() else np.ones_like(ratio)
            parts.append(np.asarray(cv2.blur(spread, (3, 3)), np.float32))
        return parts[0], parts[1]

    def _shadows(self, travel_mm: float, weights: list[tuple[Key, float]], row_mm: Rows) -> FloatImage:
        total = np.zeros((*self._on_belt.shape, 3), np.float32)
        shares = np.zeros((*self._on_belt.shape, 1), np.float32)
        for key, weight in weights:
            still, belt = self._shade(key)
            moved, valid = self._on_with_belt(belt, travel_mm - key.travel_mm, row_mm)
            share: FloatImage = np.full_like(shares, weight)
            share[self._on_belt] = weight * valid[self._on_belt][:, None] + 1e-6
            shade: FloatImage = still.copy()
            shade[self._on_belt] = moved[self._on_belt]
            total += shade * share
            shares += share
        return np.asarray(total / shares, np.float32)

    def _on_with_belt(self, picture: FloatImage, shift_mm: float, row_mm: Rows) -> tuple[FloatImage, FloatImage]:
        """A picture of the belt's surface after the belt moved on, and how much of each pixel it reaches."""
        height, width = self._on_belt.shape
        ones: FloatImage = np.ones((height, width), np.float32)
        if row_mm is None:
            shift = self._belt_shift(shift_mm)
            moved, valid = (cv2.warpPerspective(each, shift, (width, height)) for each in (picture, ones))
            return np.asarray(moved, np.float32), np.asarray(valid, np.float32)
        before = self._belt_mm - np.stack([shift_mm + row_mm, np.zeros(height)], axis=-1)[:, None]
        points = np.column_stack([before.reshape(-1, 2), np.zeros(height * width)])
        came_from = np.nan_to_num(self._camera.project(points) - 0.5, nan=-1e4).astype(np.float32)
        x, y = np.moveaxis(came_from.reshape(height, width, 2), -1, 0)
        moved, valid = (cv2.remap(each, x, y, cv2.INTER_LINEAR) for each in (picture, ones))
        return np.asarray(moved, np.float32), np.asarray(valid, np.float32)

    def _belt_shift(self, shift_mm: float) -> NDArray[np.float64]:
        """The homography that moves pictures of the belt's surface along with it."""
        width, height = self._camera.image_px
        corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], float)
        on_belt = self._camera.on_belt(corners)
        moved = self._camera.project(np.column_stack([on_belt[:, 0] + shift_mm, on_belt[:, 1], np.zeros(4)]))
        return np.asarray(cv2.getPerspectiveTransform(_centres(corners), _centres(moved)), float)

    def _parcel(
        self, number: int, weights: list[tuple[Key, float]], going: Going
    ) -> tuple[FloatImage, NDArray[np.float32]]:
        """A parcel's colour and how much of each pixel it covers."""
        colour = np.zeros((*self._on_belt.shape, 3), np.float32)
        cover, shares, valid_shares = (np.zeros(self._on_belt.shape, np.float32) for _ in range(3))
        for key, weight in weights:
            warped = self._warped(key, number, going)
            if warped is None:
                continue
            area, part, alpha, valid = warped
            colour[area] += part * (alpha * valid * weight)[..., None]
            shares[area] += alpha * valid * weight
            valid_shares[area] += valid * weight
        cover = np.divide(shares, valid_shares, out=cover, where=valid_shares > 1e-6)
        colour = np.divide(colour, shares[..., None], out=colour, where=shares[..., None] > 1e-6)
        return colour, cover

    def _warped(
        self, key: Key, number: int, going: Going
    ) -> tuple[tuple[slice, slice], FloatImage, FloatImage, FloatImage] | None:
        """A key's parcel after the belt moved on: target area, colour, cover, and where the key knows."""
        mask, light = key.seen == number, key.light
        if int(mask.sum()) < 12:
            return None
        height, width = mask.shape
        x, y, w, h = cv2.boundingRect(mask.astype(np.uint8))
        y0, y1 = max(0, y - PAD_PX), min(height, y + h + PAD_PX)
        x0, x1 = max(0, x - PAD_PX), min(width, x + w + PAD_PX)
        inside = mask[y0:y1, x0:x1]
        ways, late_rows = going.ways_mm(key.travel_mm, height)
        flows = [self._flow(key.place_mm[y0:y1, x0:x1], inside, way_mm) for way_mm in ways]
        means = np.array([flow[inside].mean(axis=0) for flow in flows])
        top, bottom = np.clip([y0 + means[:, 1].min() - PAD_PX, y1 + means[:, 1].max() + PAD_PX], 0, height).astype(int)
        left, right = np.clip([x0 + means[:, 0].min() - PAD_PX, x1 + means[:, 0].max() + PAD_PX], 0, width).astype(int)
        if bottom <= top or right <= left:
            return None
        target = np.stack(np.meshgrid(np.arange(left, right), np.arange(top, bottom)), axis=-1).astype(np.float32)
        source = target - means.mean(axis=0).astype(np.float32)
        late = None if late_rows is None else late_rows[top:bottom, None, None]
        if late is not None and going.hands:
            mask, light = _behind_hands(key, mask, going.hands)
        for _ in range(4):  # where does the pixel come from that the flow carries here? A contraction: four rounds do
            local = source - np.array([x0, y0], np.float32)
            carried, *last = (
                cv2.remap(flow, local[..., 0], local[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
                for flow in flows
            )
            if late is not None:
                carried = carried + (last[0] - carried) * late
            source = target - carried
        maps = source[..., 0], source[..., 1]
        part = cv2.remap(light, *maps, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        alpha = cv2.remap(mask.astype(np.float32), *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        valid = ((maps[0] >= 0) & (maps[0] <= width - 1)).astype(np.float32)
        return (slice(top, bottom), slice(left, right)), np.maximum(part, 0.0), alpha, valid

    def _flow(self, place_mm: FloatImage, inside: NDArray[np.bool_], way_mm: FloatArray) -> FloatImage:
        """How far each pixel of a parcel goes in the picture; beyond its outline as its nearest pixel does."""
        points = place_mm.reshape(-1, 3).astype(float)
        way = self._camera.project(points + way_mm) - self._camera.project(points)
        flow = np.nan_to_num(way.reshape(*inside.shape, 2)).astype(np.float32)
        return cv2.blur(_filled(flow, inside), (3, 3))


def _behind_hands(key: Key, mask: NDArray[np.bool_], hands: tuple[int, ...]) -> tuple[NDArray[np.bool_], FloatImage]:
    """A parcel and its light, both continued a little behind a hand, which goes another way while rows are read."""
    near = cv2.dilate(mask.astype(np.uint8), np.ones((PAD_PX + 1, PAD_PX + 1), np.uint8)) > 0
    hidden = near & np.isin(key.seen, hands)
    return mask | hidden, np.where(hidden[..., None], _filled(key.light, mask), key.light)


def _centres(corners: NDArray[np.float64]) -> NDArray[np.float32]:
    """From coordinates of pixel edges to those of pixel centres, which OpenCV counts in."""
    return (corners - 0.5).astype(np.float32)


def _filled(values: FloatImage, known: NDArray[np.bool_]) -> FloatImage:
    """Give every unknown pixel the value of the nearest known one."""
    _, labels = cv2.distanceTransformWithLabels(
        (~known).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    table = np.zeros((int(labels.max()) + 1, values.shape[2]), np.float32)
    table[labels[known]] = values[known]
    return np.asarray(table[labels], np.float32)
