"""Brushes for parcel skins: stains, shades, tape, printed marks and stuck-on shipping labels.

Contract: every brush paints into an RGBA skin (fourth channel: roughness, 255 is matt) inside the given pixel area.
"""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_sorter.sim.labels import shipping_label
from edge_sorter.sim.shapes import smooth_noise

Skin = NDArray[np.uint8]
Rgb = tuple[int, int, int]
Area = tuple[int, int, int, int]

BELT_RGB = {
    "black": (26, 27, 29),
    "dark_grey": (52, 54, 57),
    "green": (34, 84, 62),
    "white": (214, 214, 208),
    "beige": (198, 168, 138),
    "blue": (40, 70, 120),
}
_WORDS = ("FRAGILE", "THIS SIDE UP", "HANDLE WITH CARE", "BOX 24", "ECO", "RECYCLE", "PRIME GOODS", "KEEP DRY")


def rgb(values: Iterable[float]) -> Rgb:
    """Three channel values as a colour, clipped to 0..255."""
    red, green, blue = (int(np.clip(value, 0, 255)) for value in values)
    return red, green, blue


def blank(width_px: int, height_px: int, colour: Rgb, rough: float) -> Skin:
    """A skin of one colour and one roughness (0..1)."""
    image = np.empty((max(8, height_px), max(8, width_px), 4), np.uint8)
    image[..., :3] = colour
    image[..., 3] = round(rough * 255)
    return image


def mottle(image: Skin, rng: np.random.Generator, *, amount: float, cells: int = 6) -> None:
    """Uneven tone over the whole skin: stains, fibres, dust."""
    shape = (image.shape[0], image.shape[1])
    tone = amount * smooth_noise(rng, shape, cells, 3) + 0.4 * amount * rng.normal(size=shape)
    image[..., :3] = np.clip(image[..., :3].astype(np.float32) * (1 + tone[..., None]), 0, 255)


def shade(image: Skin, box: Area, factor: float) -> None:
    """Multiply the colours in a pixel box (x0, y0, x1, y1)."""
    x0, y0, x1, y1 = box
    part = image[y0:y1, x0:x1, :3]
    part[...] = np.clip(part.astype(np.float32) * factor, 0, 255).astype(np.uint8)


def blend(image: Skin, box: Area, colour: Rgb, opacity: float, rough: float) -> None:
    """Lay a translucent film, such as tape, over a pixel box."""
    x0, y0, x1, y1 = box
    part = image[y0:y1, x0:x1, :3]
    part[...] = (part * (1 - opacity) + np.array(colour) * opacity).astype(np.uint8)
    image[y0:y1, x0:x1, 3] = round(rough * 255)


def paste_label(image: Skin, code: str, rng: np.random.Generator, *, px_per_mm: float, area: Area) -> None:
    """Stick a shipping label somewhere into a pixel area (x0, y0, x1, y1), turned a little."""
    x0, y0, x1, y1 = area
    room_w, room_h = x1 - x0, y1 - y0
    width = min(rng.uniform(95, 155) * px_per_mm, 0.92 * room_w)
    height = min(width * rng.uniform(0.62, 0.8), 0.92 * room_h)
    width = min(width, height / 0.55)
    if width < 8 or height < 8:
        return
    art = shipping_label(code, rng)
    if rng.random() < 0.4:
        art = np.rot90(art)
        width, height = (height, width) if room_w < room_h or width < room_h * 0.9 else (width, height)
    art = cv2.resize(np.ascontiguousarray(art), (round(width), round(height)), interpolation=cv2.INTER_AREA)
    angle = rng.normal(scale=4) if rng.random() < 0.8 else rng.uniform(-30, 30)
    centre_x = x0 + rng.uniform(0.5 * width, max(room_w - 0.5 * width, 0.5 * width + 1))
    centre_y = y0 + rng.uniform(0.5 * height, max(room_h - 0.5 * height, 0.5 * height + 1))
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1.0)
    turn[:, 2] += [centre_x - width / 2, centre_y - height / 2]
    size = (image.shape[1], image.shape[0])
    mask = cv2.warpAffine(np.full(art.shape, 255, np.uint8), turn, size, flags=cv2.INTER_LINEAR)
    ink = cv2.warpAffine(art, turn, size, flags=cv2.INTER_LINEAR)
    weight = (mask / 255.0)[..., None]
    tint = np.array(rng.choice([(255, 255, 252), (250, 250, 255), (255, 244, 200)], p=[0.6, 0.3, 0.1])) / 255.0
    paper = np.concatenate([ink[..., None] * tint, np.full((*ink.shape, 1), 0.45 * 255)], axis=2)
    image[...] = (image * (1 - weight) + paper * weight).astype(np.uint8)


def print_marks(image: Skin, rng: np.random.Generator, area: Area, scale: float, ink: Rgb) -> None:
    """Printed words, stripes, arrows or a logo blob in a pixel area."""
    x0, y0, x1, y1 = area
    width, height = x1 - x0, y1 - y0
    if min(width, height) < 24:
        return
    choice = rng.integers(0, 4)
    colour = (*ink, 235)
    centre = (int(x0 + rng.uniform(0.25, 0.75) * width), int(y0 + rng.uniform(0.3, 0.75) * height))
    if choice == 0:
        size = min(width / 220, height / 60) * rng.uniform(0.7, 1.3)
        cv2.putText(
            image,
            str(rng.choice(_WORDS)),
            (x0 + int(0.08 * width), centre[1]),
            cv2.FONT_HERSHEY_TRIPLEX,
            size,
            colour,
            max(1, int(2 * size)),
            cv2.LINE_AA,
        )
    elif choice == 1:
        for step in (-1, 1):
            x = int(centre[0] + step * 18 * scale)
            cv2.arrowedLine(
                image,
                (x, int(centre[1] + 22 * scale)),
                (x, int(centre[1] - 22 * scale)),
                colour,
                max(1, int(5 * scale)),
                cv2.LINE_AA,
                tipLength=0.45,
            )
        cv2.line(
            image,
            (int(centre[0] - 34 * scale), int(centre[1] + 28 * scale)),
            (int(centre[0] + 34 * scale), int(centre[1] + 28 * scale)),
            colour,
            max(1, int(4 * scale)),
        )
    elif choice == 2:
        radius = int(min(width, height) * rng.uniform(0.12, 0.3))
        cv2.ellipse(
            image,
            centre,
            (radius, int(radius * rng.uniform(0.4, 1))),
            float(rng.uniform(0, 90)),
            0,
            int(rng.choice([360, 180])),
            colour,
            -1 if rng.random() < 0.5 else max(2, radius // 5),
            cv2.LINE_AA,
        )
    else:
        thick = max(2, int(height * rng.uniform(0.04, 0.12)))
        cv2.line(image, (x0, centre[1]), (x1 - 1, centre[1]), colour, thick)
