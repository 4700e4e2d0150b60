"""What is printed and stuck on the faces of things: colours, cardboard, tape, labels, designs, machine panels."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_sorter.sim.collage.canvas import Floats, Image, Rng

CARTON, POLYBAG, MAILER, TUBE = 0, 1, 2, 3
TEXTURE_PX = 96


def colour_of(rng: Rng, class_id: int | None) -> Floats:
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


def noise(rng: Rng, shape: tuple[int, int], cells: int, strength: float) -> NDArray[np.float32]:
    """Return smooth noise (h, w, 1) around zero with about `cells` bumps a side."""
    coarse = rng.normal(0, strength, (cells, cells)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)[..., None])


def cardboard(rng: Rng, colour: Floats) -> Image:
    """Return an uneven face (TEXTURE_PX a side) of a BGR colour."""
    shape = (TEXTURE_PX, TEXTURE_PX)
    image = colour.astype(np.float32) + noise(rng, shape, 4, 7) + noise(rng, shape, 40, 3)
    return np.clip(image, 0, 255).astype(np.uint8)


def tape(rng: Rng, texture: Image) -> None:
    """Stick packing tape across a face."""
    at, half = int(rng.uniform(0.4, 0.6) * TEXTURE_PX), int(rng.integers(3, 8))
    tone = rng.choice([1.15, 0.8, 1.3])
    strip = texture[at - half : at + half].astype(np.float32) * tone
    texture[at - half : at + half] = np.clip(strip, 0, 255).astype(np.uint8)
    cv2.line(texture, (0, at), (TEXTURE_PX, at), tuple(int(v * 0.7) for v in texture[at, 0]), 1)


def label(rng: Rng, texture: Image) -> None:
    """Stick a white label with bars and lines of text somewhere on a face."""
    w, h = int(rng.uniform(20, 48)), int(rng.uniform(16, 40))
    x, y = (int(rng.integers(2, TEXTURE_PX - side - 2)) for side in (w, h))
    texture[y : y + h, x : x + w] = rng.uniform(215, 255)
    bars = rng.random(w - 6) < 0.5
    bar_height = int(h * rng.uniform(0.25, 0.5))
    texture[y + 3 : y + 3 + bar_height, x + 3 : x + w - 3][:, bars] = 25
    for line in range(y + 6 + bar_height, y + h - 2, 4):
        cv2.line(texture, (x + 3, line), (x + int(w * rng.uniform(0.4, 0.9)), line), (90, 90, 90), 1)


def print_word(rng: Rng, texture: Image) -> None:
    """Print a word as packers do."""
    word = str(rng.choice(["FRAGILE", "UP", "EXPRESS", "PACK", "ECO", "24H"]))
    ink = tuple(int(v) for v in rng.uniform(0, 110, 3))
    at = (int(rng.integers(2, 50)), int(rng.integers(20, 90)))
    cv2.putText(
        texture, word, at, cv2.FONT_HERSHEY_SIMPLEX, rng.uniform(0.4, 0.9), ink, int(rng.integers(1, 3)), cv2.LINE_AA
    )


def artwork(rng: Rng, texture: Image) -> None:
    """Print a shop's design over a whole face: patches and bands of colour. A printed carton stays a carton."""
    for _ in range(int(rng.integers(1, 5))):
        x1, y1 = rng.integers(-10, TEXTURE_PX - 10, 2).tolist()
        x2, y2 = x1 + int(rng.integers(15, 96)), y1 + int(rng.integers(8, 80))
        ink = tuple(int(v) for v in rng.uniform(0, 255, 3))
        if rng.random() < 0.7:
            cv2.rectangle(texture, (x1, y1), (x2, y2), ink, cv2.FILLED)
        else:
            cv2.circle(texture, (x1, y1), (x2 - x1) // 2, ink, cv2.FILLED, cv2.LINE_AA)


def panel(rng: Rng, texture: Image) -> None:
    """Make a face look like a machine's: seams, a lamp, a dark opening."""
    for _ in range(int(rng.integers(0, 4))):
        x1, y1 = rng.integers(0, TEXTURE_PX - 10, 2).tolist()
        x2, y2 = x1 + int(rng.integers(5, 60)), y1 + int(rng.integers(5, 60))
        ink = tuple(int(v) for v in (rng.uniform(0, 255, 3) if rng.random() < 0.5 else np.full(3, rng.uniform(0, 120))))
        cv2.rectangle(texture, (x1, y1), (x2, y2), ink, cv2.FILLED if rng.random() < 0.5 else 1)
