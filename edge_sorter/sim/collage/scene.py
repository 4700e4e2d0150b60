"""Everything that is no parcel: the view, the hall behind, the belt, rails in front, and what the camera adds."""

from __future__ import annotations

import math

import cv2
import numpy as np

from edge_sorter.sim.collage.canvas import Canvas, Image, Rng, View
from edge_sorter.sim.collage.faces import noise


def random_view(rng: Rng, size_px: tuple[int, int]) -> View:
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


def background(rng: Rng, view: View) -> Image:
    """A wall, a floor and random clutter far away."""
    width, height = view.size_px
    tones = rng.uniform(15, 235, 2)
    tint = rng.normal(0, 10, (2, 3))
    image = np.empty((height, width, 3), np.float32)
    horizon = int(np.clip(height * rng.normal(0.15, 0.35), 0, height))
    image[:horizon], image[horizon:] = tones[0] + tint[0], tones[1] + tint[1]
    image += noise(rng, (height, width), 5, 14) + noise(rng, (height, width), 60, rng.uniform(1, 8))
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


def belt(rng: Rng, canvas: Canvas, view: View) -> None:
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
    texture = np.clip(colour.astype(np.float32) + noise(rng, (128, 128), 30, 5), 0, 255).astype(np.uint8)
    if rng.random() < 0.45:
        pitch = int(rng.integers(3, 12))
        texture[:, ::pitch] = np.clip(texture[:, ::pitch].astype(np.float32) * rng.uniform(0.2, 0.6), 0, 255)
        texture[:, 1::pitch] = np.clip(texture[:, 1::pitch].astype(np.float32) * 1.4, 0, 255)
    for edge in (0, -1):
        texture[edge * 5 : (edge * 5 + 5) or None][:] = rng.uniform(30, 230, 3)
    canvas.patch(texture, quad, owner=0)


def rails(rng: Rng, canvas: Canvas) -> None:
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


def camera_effects(rng: Rng, image: Image) -> Image:
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
