"""Training pictures in milliseconds, without Blender: flat-shaded parcels on invented scenes, exact boxes beside them.

They look like nothing real and are not meant to: shapes, colours, views, backgrounds and clutter vary so widely that
the real world is one more variation (domain randomisation, Tobin et al. 2017, Tremblay et al. 2018). What they teach is
the geometry that a few hundred ray-traced pictures cannot cover: cuboids and flat packs from every side, behind rails,
cut off, in stacks, small and huge.

`python -m edge_sorter.sim.collage --out DIR --count N --seed S` writes DIR/images and DIR/labels (YOLO); the same seed
gives the same pictures.
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Floats = NDArray[np.float64]
Rng = np.random.Generator

CARTON, POLYBAG, MAILER, TUBE = 0, 1, 2, 3
LEAST_VISIBLE, LEAST_AREA_PX = 0.25, 80
TEXTURE_PX = 96
_FACES = ((4, 5, 6, 7), (0, 1, 5, 4), (1, 2, 6, 5), (2, 3, 7, 6), (3, 0, 4, 7))
_NORMALS = np.array([[0, 0, 1], [0, -1, 0], [1, 0, 0], [0, 1, 0], [-1, 0, 0]], dtype=np.float64)


@dataclass(frozen=True)
class View:
    """A pinhole camera above a floor (z = 0, metres): world to pixels."""

    rotation: Floats
    position: Floats
    focal_px: float
    size_px: tuple[int, int]

    def project(self, points: Floats) -> Floats:
        """Map world points (n, 3) to pixels (n, 2); NaN where a point is not in front of the camera."""
        local = (points - self.position) @ self.rotation.T
        depth = np.where(local[:, 2:] > 0.05, local[:, 2:], np.nan)
        return np.asarray(local[:, :2] / depth * self.focal_px + np.array(self.size_px) / 2.0)


class Canvas:
    """A picture being painted, far things first, with a map of which parcel each pixel shows."""

    def __init__(self, image: Image) -> None:
        self.image = image
        self.shape: tuple[int, int] = (image.shape[0], image.shape[1])
        self.owner = np.zeros(self.shape, np.int32)
        self.full_area: dict[int, int] = {}
        self.classes: dict[int, int] = {}

    def patch(self, texture: Image, corners: Floats, *, owner: int) -> None:
        """Paint a texture onto a convex quadrilateral (4, 2) px."""
        height, width = texture.shape[:2]
        if not np.isfinite(corners).all() or np.abs(corners).max() > 8000:
            return
        flat = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
        matrix = cv2.getPerspectiveTransform(flat, corners.astype(np.float32))
        size = (self.image.shape[1], self.image.shape[0])
        painted = cv2.warpPerspective(texture, matrix, size, flags=cv2.INTER_AREA)
        mask = np.zeros(self.shape, np.uint8)
        cv2.fillConvexPoly(mask, np.round(corners).astype(np.int32), 1)
        self.cover(painted, mask.astype(bool), owner=owner)

    def cover(self, painted: Image, mask: NDArray[np.bool_], *, owner: int) -> None:
        """Take over the masked pixels for a parcel (or for clutter, owner 0)."""
        np.copyto(self.image, painted, where=mask[..., None])
        self.owner[mask] = owner
        if owner:
            self.full_area[owner] = self.full_area.get(owner, 0) + int(mask.sum())

    def boxes(self) -> list[tuple[int, tuple[int, int, int, int]]]:
        """Return class and visible box (x1, y1, x2, y2) of every parcel that shows enough of itself."""
        found = []
        for owner, class_id in self.classes.items():
            mask = (self.owner == owner).astype(np.uint8)
            area = int(mask.sum())
            if area >= LEAST_AREA_PX and area >= LEAST_VISIBLE * self.full_area.get(owner, 0):
                x, y, w, h = cv2.boundingRect(mask)
                found.append((class_id, (x, y, x + w, y + h)))
        return found


def picture(rng: Rng) -> tuple[Image, list[tuple[int, tuple[int, int, int, int]]]]:
    """Invent one picture; return it (BGR) and its parcels as (class id, visible box)."""
    width = int(rng.choice([384, 416, 448, 512]))
    height = int(width * rng.choice([0.5625, 0.5625, 0.667, 0.75]) // 2 * 2)
    view = _view(rng, (width, height))
    canvas = Canvas(_background(rng, view))
    if rng.random() < 0.75:
        _belt(rng, canvas, view)
    things = _things(rng)
    distance = [-float(np.linalg.norm(thing.center - view.position)) for thing in things]
    for number in np.argsort(distance, kind="stable").tolist():
        things[number].paint(rng, canvas, view, owner=number + 1)
    _rails(rng, canvas)
    boxes = canvas.boxes()
    return _camera_effects(rng, canvas.image), boxes


@dataclass(frozen=True)
class Thing:
    """A parcel, or clutter (class None), standing on the floor or on another one."""

    class_id: int | None
    size: tuple[float, float, float]
    center: Floats
    yaw: float
    light: Floats

    def corners(self) -> Floats:
        """Return the eight corners (8, 3): four below, four above, counter-clockwise."""
        half = np.array(self.size) / 2.0
        signs = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], dtype=np.float64)
        spin = np.array([[math.cos(self.yaw), -math.sin(self.yaw)], [math.sin(self.yaw), math.cos(self.yaw)]])
        flat = (signs * half[:2]) @ spin.T + self.center[:2]
        low, high = self.center[2] - half[2], self.center[2] + half[2]
        return np.vstack([np.column_stack([flat, np.full(4, z)]) for z in (low, high)])

    def paint(self, rng: Rng, canvas: Canvas, view: View, *, owner: int) -> None:
        """Paint the visible faces; a parcel is labelled as `owner`."""
        number = 0 if self.class_id is None else owner
        if self.class_id is not None:
            canvas.classes[owner] = self.class_id
        pixels = view.project(self.corners())
        if self.class_id is not None and rng.random() < 0.7:
            _shadow(canvas, pixels[:4])
        if self.class_id == POLYBAG:
            _paint_bag(rng, canvas, pixels[4:], owner=number)
        elif self.class_id == TUBE:
            _paint_tube(rng, canvas, view, self, owner=number)
        else:
            self._paint_faces(rng, canvas, view, pixels, owner=number)

    def _paint_faces(self, rng: Rng, canvas: Canvas, view: View, pixels: Floats, *, owner: int) -> None:
        colour = _colour(rng, self.class_id)
        spin = np.array(
            [[math.cos(self.yaw), -math.sin(self.yaw), 0], [math.sin(self.yaw), math.cos(self.yaw), 0], [0, 0, 1]]
        )
        corners = self.corners()
        texture = _cardboard(rng, colour)
        for face, normal in zip(_FACES, _NORMALS @ spin.T, strict=True):
            if normal @ (view.position - corners[list(face)].mean(axis=0)) <= 0:
                continue
            shade = 0.45 + 0.65 * max(0.0, float(normal @ self.light))
            side = texture.copy()
            top = normal[2] > 0.5
            if self.class_id is None:
                _panel(rng, side)
            else:
                if self.class_id == CARTON and (top or rng.random() < 0.4):
                    _tape(rng, side)
                if rng.random() < (0.75 if top else 0.35):
                    _label(rng, side)
                if self.class_id == CARTON and rng.random() < 0.15:
                    _artwork(rng, side)
                if rng.random() < 0.3:
                    _print(rng, side)
            lit = np.clip(side.astype(np.float32) * shade, 0, 255).astype(np.uint8)
            canvas.patch(lit, pixels[list(face)], owner=owner)


def _view(rng: Rng, size_px: tuple[int, int]) -> View:
    """Look at the origin from anywhere above the floor, mostly steeply."""
    steep = rng.random()
    pitch = math.radians(
        rng.uniform(60, 90) if steep < 0.4 else rng.uniform(22, 60) if steep < 0.75 else rng.uniform(3, 22)
    )
    heading = rng.uniform(0, 2 * math.pi)
    distance = float(np.exp(rng.uniform(math.log(0.5), math.log(3.8))))
    target = np.array([rng.normal(0, 0.15), rng.normal(0, 0.15), rng.uniform(0, 0.25)])
    back = np.array([math.cos(pitch) * math.cos(heading), math.cos(pitch) * math.sin(heading), math.sin(pitch)])
    right = np.array([-math.sin(heading), math.cos(heading), 0.0])
    roll = rng.normal(0, 0.06)
    down = np.cross(-back, right)
    turned_right = math.cos(roll) * right + math.sin(roll) * down
    rotation = np.vstack([turned_right, np.cross(-back, turned_right), -back])
    return View(rotation, target + back * distance, size_px[0] * rng.uniform(0.7, 1.5), size_px)


def _things(rng: Rng) -> list[Thing]:
    """Scatter parcels and clutter; some parcels stand in stacks."""
    light = rng.normal(0, 1, 3)
    light[2] = abs(light[2]) + 0.8
    light /= np.linalg.norm(light)
    things: list[Thing] = []
    spread = rng.uniform(0.25, 1.2)
    for _ in range(int(rng.integers(0, 11))):
        class_id = int(rng.choice([CARTON, CARTON, CARTON, MAILER, MAILER, POLYBAG, POLYBAG, TUBE]))
        size = _size(rng, class_id)
        place = rng.normal(0, spread, 2)
        if any(np.linalg.norm(place - t.center[:2]) < 0.45 * (max(size[:2]) + max(t.size[:2])) for t in things):
            continue
        yaw = rng.uniform(0, math.pi)
        things.append(Thing(class_id, size, np.array([*place, size[2] / 2]), yaw, light))
        if class_id == CARTON and rng.random() < 0.2:
            upper = _size(rng, int(rng.choice([CARTON, MAILER])))
            scale = min(1.0, size[0] / upper[0], size[1] / upper[1])
            upper = (upper[0] * scale, upper[1] * scale, upper[2])
            at = np.array([*place, size[2] + upper[2] / 2])
            things.append(Thing(CARTON if upper[2] > 0.05 else MAILER, upper, at, yaw + rng.normal(0, 0.1), light))
    for _ in range(int(rng.integers(0, 6))):
        size = tuple(rng.uniform(0.05, 0.9, 3).tolist())
        angle, far = rng.uniform(0, 2 * math.pi), rng.uniform(0.8, 3.0)
        at = np.array([far * math.cos(angle), far * math.sin(angle), size[2] / 2])
        things.append(Thing(None, size, at, rng.uniform(0, math.pi), light))
    return things


def _size(rng: Rng, class_id: int) -> tuple[float, float, float]:
    """Return length, width and height in metres."""
    if class_id == CARTON:
        length = rng.uniform(0.16, 0.65)
        return length, length * rng.uniform(0.5, 1.0), rng.uniform(0.07, 0.5)
    if class_id == TUBE:
        thick = rng.uniform(0.05, 0.12)
        return rng.uniform(0.35, 0.9), thick, thick
    length = rng.uniform(0.18, 0.45)
    return length, length * rng.uniform(0.55, 0.95), rng.uniform(0.006, 0.035)


def _colour(rng: Rng, class_id: int | None) -> Floats:
    """Return a BGR colour that such a thing may have."""
    if class_id is None:
        grey = rng.uniform(15, 225)
        if rng.random() < 0.6:
            return np.array([grey, grey, grey]) + rng.normal(0, 6, 3)
        return rng.uniform(10, 240, 3)
    kraft = np.array([rng.uniform(80, 150), 0.0, 0.0])
    kraft[1] = kraft[0] + rng.uniform(20, 45)
    kraft[2] = kraft[1] + rng.uniform(12, 40)
    choice = rng.random()
    if class_id == CARTON:
        return (
            kraft if choice < 0.72 else np.full(3, rng.uniform(170, 245)) if choice < 0.84 else rng.uniform(15, 235, 3)
        )
    if class_id == MAILER:
        yellow = np.array([rng.uniform(0, 90), rng.uniform(170, 225), rng.uniform(205, 255)])
        return kraft if choice < 0.35 else yellow if choice < 0.75 else np.full(3, rng.uniform(200, 250))
    if choice < 0.45:
        return np.full(3, rng.uniform(185, 250)) + rng.normal(0, 5, 3)
    return np.full(3, rng.uniform(20, 160)) if choice < 0.7 else rng.uniform(20, 240, 3)


def _noise(rng: Rng, shape: tuple[int, int], cells: int, strength: float) -> NDArray[np.float32]:
    """Return smooth noise (h, w, 1) around zero with about `cells` bumps a side."""
    coarse = rng.normal(0, strength, (cells, cells)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)[..., None])


def _cardboard(rng: Rng, colour: Floats) -> Image:
    shape = (TEXTURE_PX, TEXTURE_PX)
    image = colour.astype(np.float32) + _noise(rng, shape, 4, 7) + _noise(rng, shape, 40, 3)
    return np.clip(image, 0, 255).astype(np.uint8)


def _tape(rng: Rng, texture: Image) -> None:
    at, half = int(rng.uniform(0.4, 0.6) * TEXTURE_PX), int(rng.integers(3, 8))
    tone = rng.choice([1.15, 0.8, 1.3])
    strip = texture[at - half : at + half].astype(np.float32) * tone
    texture[at - half : at + half] = np.clip(strip, 0, 255).astype(np.uint8)
    cv2.line(texture, (0, at), (TEXTURE_PX, at), tuple(int(v * 0.7) for v in texture[at, 0]), 1)


def _label(rng: Rng, texture: Image) -> None:
    w, h = int(rng.uniform(20, 48)), int(rng.uniform(16, 40))
    x, y = (int(rng.integers(2, TEXTURE_PX - side - 2)) for side in (w, h))
    texture[y : y + h, x : x + w] = rng.uniform(215, 255)
    bars = rng.random(w - 6) < 0.5
    bar_height = int(h * rng.uniform(0.25, 0.5))
    texture[y + 3 : y + 3 + bar_height, x + 3 : x + w - 3][:, bars] = 25
    for line in range(y + 6 + bar_height, y + h - 2, 4):
        cv2.line(texture, (x + 3, line), (x + int(w * rng.uniform(0.4, 0.9)), line), (90, 90, 90), 1)


def _print(rng: Rng, texture: Image) -> None:
    word = str(rng.choice(["FRAGILE", "UP", "EXPRESS", "PACK", "ECO", "24H"]))
    ink = tuple(int(v) for v in rng.uniform(0, 110, 3))
    at = (int(rng.integers(2, 50)), int(rng.integers(20, 90)))
    cv2.putText(
        texture, word, at, cv2.FONT_HERSHEY_SIMPLEX, rng.uniform(0.4, 0.9), ink, int(rng.integers(1, 3)), cv2.LINE_AA
    )


def _artwork(rng: Rng, texture: Image) -> None:
    """Print a shop's design over a whole face: patches and bands of colour. A printed carton stays a carton."""
    for _ in range(int(rng.integers(1, 5))):
        x1, y1 = rng.integers(-10, TEXTURE_PX - 10, 2).tolist()
        x2, y2 = x1 + int(rng.integers(15, 96)), y1 + int(rng.integers(8, 80))
        ink = tuple(int(v) for v in rng.uniform(0, 255, 3))
        if rng.random() < 0.7:
            cv2.rectangle(texture, (x1, y1), (x2, y2), ink, cv2.FILLED)
        else:
            cv2.circle(texture, (x1, y1), (x2 - x1) // 2, ink, cv2.FILLED, cv2.LINE_AA)


def _panel(rng: Rng, texture: Image) -> None:
    """Make a face look like a machine's: seams, a lamp, a dark opening."""
    for _ in range(int(rng.integers(0, 4))):
        x1, y1 = rng.integers(0, TEXTURE_PX - 10, 2).tolist()
        x2, y2 = x1 + int(rng.integers(5, 60)), y1 + int(rng.integers(5, 60))
        ink = tuple(int(v) for v in (rng.uniform(0, 255, 3) if rng.random() < 0.5 else np.full(3, rng.uniform(0, 120))))
        cv2.rectangle(texture, (x1, y1), (x2, y2), ink, cv2.FILLED if rng.random() < 0.5 else 1)


def _shadow(canvas: Canvas, base: Floats) -> None:
    if not np.isfinite(base).all() or np.abs(base).max() > 8000:
        return
    center = base.mean(axis=0)
    mask = np.zeros(canvas.shape, np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(np.round(center + (base - center) * 1.12).astype(np.int32)), 90)
    soft = cv2.GaussianBlur(mask, (0, 0), 4).astype(np.float32)[..., None] / 255.0
    np.copyto(canvas.image, (canvas.image * (1.0 - soft)).astype(np.uint8))


def _paint_bag(rng: Rng, canvas: Canvas, quad: Floats, *, owner: int) -> None:
    """A soft outline inside the quadrilateral, wrinkled and with highlights."""
    if not np.isfinite(quad).all() or np.abs(quad).max() > 8000:
        return
    turns = np.linspace(0, 2 * math.pi, 40, endpoint=False)
    round_off = rng.uniform(0.25, 0.7)
    u = np.sign(np.cos(turns)) * np.abs(np.cos(turns)) ** round_off
    v = np.sign(np.sin(turns)) * np.abs(np.sin(turns)) ** round_off
    wobble = 1.0 + rng.normal(0, 0.025, 40)
    u, v = (u * wobble + 1) / 2, (v * wobble + 1) / 2
    a, b, c, d = quad
    outline = np.outer((1 - u) * (1 - v), a) + np.outer(u * (1 - v), b) + np.outer(u * v, c) + np.outer((1 - u) * v, d)
    shape = canvas.shape
    mask = np.zeros(shape, np.uint8)
    cv2.fillPoly(mask, [np.round(outline).astype(np.int32)], 1)
    colour = _colour(rng, POLYBAG).astype(np.float32)
    wrinkles = np.abs(_noise(rng, shape, int(rng.integers(12, 40)), 22)) + _noise(rng, shape, 8, 18)
    shine = np.maximum(_noise(rng, shape, int(rng.integers(10, 30)), 1.0) - 1.2, 0) * rng.uniform(0, 150)
    painted = np.clip(colour - wrinkles + shine, 0, 255).astype(np.uint8)
    canvas.cover(painted, mask.astype(bool), owner=owner)
    if rng.random() < 0.8:
        texture = np.full((TEXTURE_PX, TEXTURE_PX, 3), 240, np.uint8)
        _label(rng, texture)
        low, high = rng.uniform(0.2, 0.4), rng.uniform(0.55, 0.8)
        spots = np.array([[low, low], [high, low], [high, high], [low, high]])
        weights = np.column_stack(
            [
                (1 - spots[:, 0]) * (1 - spots[:, 1]),
                spots[:, 0] * (1 - spots[:, 1]),
                spots[:, 0] * spots[:, 1],
                (1 - spots[:, 0]) * spots[:, 1],
            ]
        )
        before = canvas.full_area.get(owner, 0)
        canvas.patch(texture, weights @ quad, owner=owner)
        canvas.full_area[owner] = before


def _paint_tube(rng: Rng, canvas: Canvas, view: View, thing: Thing, *, owner: int) -> None:
    """A lying cylinder: its silhouette from two end circles, shaded across."""
    axis = np.array([math.cos(thing.yaw), math.sin(thing.yaw), 0.0])
    across = np.array([-axis[1], axis[0], 0.0])
    turns = np.linspace(0, 2 * math.pi, 16, endpoint=False)
    ring = np.outer(np.cos(turns), across) + np.outer(np.sin(turns), [0.0, 0.0, 1.0])
    ends = [thing.center + side * axis * thing.size[0] / 2 + ring * thing.size[2] / 2 for side in (-1, 1)]
    pixels = [view.project(end) for end in ends]
    if not all(np.isfinite(p).all() and np.abs(p).max() < 8000 for p in pixels):
        return
    hull = cv2.convexHull(np.round(np.vstack(pixels)).astype(np.int32))
    mask = np.zeros(canvas.shape, np.uint8)
    cv2.fillConvexPoly(mask, hull, 1)
    middle = [p.mean(axis=0) for p in pixels]
    along = middle[1] - middle[0]
    normal = np.array([-along[1], along[0]]) / max(float(np.linalg.norm(along)), 1e-6)
    ys, xs = np.indices(canvas.shape, dtype=np.float32)
    offset = (xs - middle[0][0]) * normal[0] + (ys - middle[0][1]) * normal[1]
    reach = max(float(np.abs(offset[mask > 0]).max()) if mask.any() else 1.0, 1.0)
    shade = 1.05 - 0.55 * (offset / reach - rng.uniform(-0.3, 0.3)) ** 2
    colour = _colour(rng, CARTON).astype(np.float32)
    painted = np.clip(colour * shade[..., None] + _noise(rng, canvas.shape, 30, 4), 0, 255).astype(np.uint8)
    canvas.cover(painted, mask.astype(bool), owner=owner)
    near = int(np.argmin([np.linalg.norm(end.mean(axis=0) - view.position) for end in ends]))
    cv2.fillConvexPoly(
        canvas.image, np.round(pixels[near]).astype(np.int32), tuple(int(v) for v in rng.uniform(120, 250, 3))
    )


def _background(rng: Rng, view: View) -> Image:
    """A wall, a floor and random clutter far away."""
    width, height = view.size_px
    tones = rng.uniform(15, 235, 2)
    tint = rng.normal(0, 10, (2, 3))
    image = np.empty((height, width, 3), np.float32)
    horizon = int(np.clip(height * rng.normal(0.15, 0.35), 0, height))
    image[:horizon], image[horizon:] = tones[0] + tint[0], tones[1] + tint[1]
    image += _noise(rng, (height, width), 5, 14) + _noise(rng, (height, width), 60, rng.uniform(1, 8))
    canvas = np.clip(image, 0, 255).astype(np.uint8)
    for _ in range(int(rng.integers(0, 26))):
        x, y = int(rng.integers(-20, width)), int(rng.integers(-20, max(horizon, 1) + height // 4))
        w, h = int(rng.exponential(50)) + 4, int(rng.exponential(50)) + 4
        ink = tuple(int(v) for v in np.clip(rng.uniform(0, 255) + rng.normal(0, 25, 3), 0, 255))
        if rng.random() < 0.6:
            cv2.rectangle(canvas, (x, y), (x + w, y + h), ink, cv2.FILLED)
        elif rng.random() < 0.5:
            cv2.ellipse(canvas, (x, y), (w // 2, h // 2), rng.uniform(0, 180), 0, 360, ink, cv2.FILLED)
        else:
            cv2.line(canvas, (x, y), tuple(rng.integers(0, [width, height]).tolist()), ink, int(rng.integers(1, 8)))
    return np.asarray(cv2.GaussianBlur(canvas, (0, 0), float(rng.uniform(0.3, 5))), dtype=np.uint8)


def _belt(rng: Rng, canvas: Canvas, view: View) -> None:
    """A strip of belt or rollers through the middle, with side rails; it owns no pixels."""
    heading, half = rng.uniform(0, math.pi), rng.uniform(0.25, 0.9)
    axis = np.array([math.cos(heading), math.sin(heading), 0.0])
    across = np.array([-axis[1], axis[0], 0.0])
    reach = rng.uniform(1.2, 4.0)
    quad = view.project(
        np.array([s * axis * reach + t * across * half for s, t in ((-1, -1), (1, -1), (1, 1), (-1, 1))])
    )
    tone = float(rng.choice([rng.uniform(15, 60), rng.uniform(60, 140), rng.uniform(180, 245)]))
    colour = (
        np.full(3, tone) + rng.normal(0, 4, 3) + (np.array([0, rng.uniform(0, 50), 0]) if rng.random() < 0.2 else 0)
    )
    texture = np.clip(colour.astype(np.float32) + _noise(rng, (128, 128), 30, 5), 0, 255).astype(np.uint8)
    if rng.random() < 0.45:
        pitch = int(rng.integers(3, 12))
        texture[:, ::pitch] = np.clip(texture[:, ::pitch].astype(np.float32) * rng.uniform(0.2, 0.6), 0, 255)
        texture[:, 1::pitch] = np.clip(texture[:, 1::pitch].astype(np.float32) * 1.4, 0, 255)
    for edge in (0, -1):
        texture[edge * 5 : (edge * 5 + 5) or None][:] = rng.uniform(30, 230, 3)
    canvas.patch(texture, quad, owner=0)


def _rails(rng: Rng, canvas: Canvas) -> None:
    """Bars, cables and posts in front of everything."""
    height, width = canvas.shape
    for _ in range(int(rng.integers(0, 4)) if rng.random() < 0.5 else 0):
        ends = rng.integers(-40, [width + 40, height + 40], (2, 2)).tolist()
        thick = int(rng.integers(2, max(3, width // 30)))
        mask = np.zeros(canvas.shape, np.uint8)
        cv2.line(mask, tuple(ends[0]), tuple(ends[1]), 1, thick)
        tone = rng.uniform(20, 220)
        painted = np.broadcast_to(np.uint8(tone), canvas.image.shape)
        np.copyto(canvas.image, painted, where=mask.astype(bool)[..., None])
        canvas.owner[mask.astype(bool)] = 0


def _camera_effects(rng: Rng, image: Image) -> Image:
    """Blur, exposure, colour of light, noise; sometimes grey as an infra-red camera."""
    if rng.random() < 0.5:
        image = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.3, 1.8)))
    if rng.random() < 0.2:
        length = int(rng.integers(3, 9))
        kernel = np.zeros((length, length), np.float32)
        kernel[length // 2] = 1.0 / length
        image = cv2.filter2D(image, -1, kernel if rng.random() < 0.5 else kernel.T)
    value = image.astype(np.float32) * rng.normal(1, 0.06, 3).astype(np.float32)
    value = (value - 128) * rng.uniform(0.7, 1.35) + 128 + rng.normal(0, 18)
    value += rng.normal(0, rng.uniform(0, 7), value.shape).astype(np.float32)
    image = np.clip(value, 0, 255).astype(np.uint8)
    if rng.random() < 0.1:
        image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    return np.asarray(image, dtype=np.uint8)


def write(out: Path, *, count: int, seed: int) -> None:
    """Write `count` pictures and labels; label first, so that every picture present has its label."""
    images, labels = out / "images", out / "labels"
    for folder in (images, labels):
        folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        image, boxes = picture(rng)
        height, width = image.shape[:2]
        rows = [
            f"{class_id} {(x1 + x2) / 2 / width:.6f} {(y1 + y2) / 2 / height:.6f} "
            f"{(x2 - x1) / width:.6f} {(y2 - y1) / height:.6f}\n"
            for class_id, (x1, y1, x2, y2) in boxes
        ]
        name = f"collage_{seed}_{number:05d}"
        (labels / f"{name}.txt").write_text("".join(rows), encoding="ascii")
        quality = int(rng.integers(55, 96))
        cv2.imwrite(str(images / f"{name}.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, quality])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m edge_sorter.sim.collage", description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for images/ and labels/")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    write(options.out, count=options.count, seed=options.seed)
    sys.stderr.write(f"wrote {options.count} pictures to {options.out}\n")


if __name__ == "__main__":
    main()
