"""Parcels and clutter: where they stand, and how a carton, a bag and a tube are painted."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from edge_sorter.sim.collage.canvas import FAR_PX, Canvas, Floats, Rng, View
from edge_sorter.sim.collage.faces import (
    CARTON,
    MAILER,
    POLYBAG,
    TEXTURE_PX,
    TUBE,
    artwork,
    cardboard,
    colour_of,
    label,
    noise,
    panel,
    print_word,
    tape,
)

_FACES = ((4, 5, 6, 7), (0, 1, 5, 4), (1, 2, 6, 5), (2, 3, 7, 6), (3, 0, 4, 7))
_NORMALS = np.array([[0, 0, 1], [0, -1, 0], [1, 0, 0], [0, 1, 0], [-1, 0, 0]], dtype=np.float64)


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
        colour = colour_of(rng, self.class_id)
        spin = np.array(
            [[math.cos(self.yaw), -math.sin(self.yaw), 0], [math.sin(self.yaw), math.cos(self.yaw), 0], [0, 0, 1]]
        )
        corners = self.corners()
        texture = cardboard(rng, colour)
        for face, normal in zip(_FACES, _NORMALS @ spin.T, strict=True):
            if normal @ (view.position - corners[list(face)].mean(axis=0)) <= 0:
                continue
            shade = 0.45 + 0.65 * max(0.0, float(normal @ self.light))
            side = texture.copy()
            top = normal[2] > 0.5
            if self.class_id is None:
                panel(rng, side)
            else:
                if self.class_id == CARTON and (top or rng.random() < 0.4):
                    tape(rng, side)
                if rng.random() < (0.75 if top else 0.35):
                    label(rng, side)
                if self.class_id == CARTON and rng.random() < 0.15:
                    artwork(rng, side)
                if rng.random() < 0.3:
                    print_word(rng, side)
            lit = np.clip(side.astype(np.float32) * shade, 0, 255).astype(np.uint8)
            canvas.patch(lit, pixels[list(face)], owner=owner)


def scattered(rng: Rng, *, mailers: bool = True) -> list[Thing]:
    """Scatter parcels and clutter; some parcels stand in stacks.

    A mailer is painted as a flat box, which a carton on its side looks like from above: `mailers` leaves them out.
    """
    kinds = [CARTON, CARTON, CARTON, MAILER, MAILER, POLYBAG, POLYBAG, TUBE]
    if not mailers:
        kinds = [kind for kind in kinds if kind != MAILER]
    light = rng.normal(0, 1, 3)
    light[2] = abs(light[2]) + 0.8
    light /= np.linalg.norm(light)
    things: list[Thing] = []
    spread = rng.uniform(0.25, 1.2)
    for _ in range(int(rng.integers(0, 11))):
        class_id = int(rng.choice(kinds))
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
            upper_class = CARTON if upper[2] > 0.05 or not mailers else MAILER
            things.append(Thing(upper_class, upper, at, yaw + rng.normal(0, 0.1), light))
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


def _shadow(canvas: Canvas, base: Floats) -> None:
    if not np.isfinite(base).all() or np.abs(base).max() > FAR_PX:
        return
    center = base.mean(axis=0)
    mask = np.zeros(canvas.shape, np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(np.round(center + (base - center) * 1.12).astype(np.int32)), 90)
    soft = cv2.GaussianBlur(mask, (0, 0), 4).astype(np.float32)[..., None] / 255.0
    np.copyto(canvas.image, (canvas.image * (1.0 - soft)).astype(np.uint8))


def _paint_bag(rng: Rng, canvas: Canvas, quad: Floats, *, owner: int) -> None:
    """A soft outline inside the quadrilateral, wrinkled and with highlights."""
    if not np.isfinite(quad).all() or np.abs(quad).max() > FAR_PX:
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
    colour = colour_of(rng, POLYBAG).astype(np.float32)
    wrinkles = np.abs(noise(rng, shape, int(rng.integers(12, 40)), 22)) + noise(rng, shape, 8, 18)
    shine = np.maximum(noise(rng, shape, int(rng.integers(10, 30)), 1.0) - 1.2, 0) * rng.uniform(0, 150)
    painted = np.clip(colour - wrinkles + shine, 0, 255).astype(np.uint8)
    canvas.cover(painted, mask.astype(bool), owner=owner)
    if rng.random() < 0.8:
        texture = np.full((TEXTURE_PX, TEXTURE_PX, 3), 240, np.uint8)
        label(rng, texture)
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
    if not all(np.isfinite(p).all() and np.abs(p).max() < FAR_PX for p in pixels):
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
    colour = colour_of(rng, CARTON).astype(np.float32)
    painted = np.clip(colour * shade[..., None] + noise(rng, canvas.shape, 30, 4), 0, 255).astype(np.uint8)
    canvas.cover(painted, mask.astype(bool), owner=owner)
    near = int(np.argmin([np.linalg.norm(end.mean(axis=0) - view.position) for end in ends]))
    cv2.fillConvexPoly(
        canvas.image, np.round(pixels[near]).astype(np.int32), tuple(int(v) for v in rng.uniform(120, 250, 3))
    )
