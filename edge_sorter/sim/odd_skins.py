"""Pictures that clothe totes and irregular things: moulded plastic, rubber, stretch film.

Contract: as in `skins`: RGBA uint8, sRGB, the fourth channel is roughness. How a picture lies on its thing is said by
`odd_shapes`: a tote has its walls above and its goods below, all else is seen as from above.
"""

from __future__ import annotations

import cv2
import numpy as np

from edge_sorter.sim.odd_shapes import GOODS_TILES, STRAPS, SizeMm, form_of
from edge_sorter.sim.paint import Rgb, Skin, blank, blend, mottle, paste_label, print_marks, rgb, shade

TOTE_COLOURS: dict[str, Rgb] = {
    "blue": (28, 72, 150),
    "grey": (112, 117, 122),
    "red": (168, 32, 30),
    "green": (30, 112, 66),
    "yellow": (226, 176, 24),
    "black": (34, 35, 38),
}
FILM_COLOURS: dict[str, Rgb] = {"black": (26, 26, 30), "white": (216, 218, 220), "grey": (128, 132, 136)}
PAIL_COLOURS: dict[str, Rgb] = {"white": (230, 230, 226), "blue": (40, 84, 160), "grey": (140, 143, 146)}


def tote(size_mm: SizeMm, rng: np.random.Generator, *, code: str | None, colour: str | None, px_per_mm: float) -> Skin:
    """Walls in one moulded colour with worn edges, hand holds and a label on a long side; below it the goods' tiles."""
    length, width, height = size_mm
    wide, high = round(2 * (length + width) * px_per_mm), round((2 * height + width) * px_per_mm)
    base = TOTE_COLOURS[_chosen(TOTE_COLOURS, colour, rng)]
    image = blank(wide, 2 * high, rgb(c * rng.uniform(0.9, 1.08) for c in base), rng.uniform(0.34, 0.5))
    mottle(image[:high], rng, amount=0.03, cells=9)
    for _ in range(60):  # scuffs of years on conveyors
        x, y = int(rng.integers(0, wide)), int(rng.integers(0, high))
        reach = int(rng.integers(10, 60) * px_per_mm)
        tone = tuple(int(min(255, c + rng.integers(10, 50))) for c in base)
        cv2.line(image, (x, y), (x + reach, y + int(rng.normal(scale=6))), (*tone, 150), 1, cv2.LINE_AA)
    # Round the walls: far side, left end, near side, right end, a quarter each after a corner; v runs up from below.
    share = (width / 2 + height * 0.72) / (2 * height + width)
    y = round(high * (1 - share))
    for turn in (0.394, 0.894):
        x = round(wide * turn)
        half = (round(58 * px_per_mm), round(13 * px_per_mm))
        cv2.rectangle(image, (x - half[0], y - half[1]), (x + half[0], y + half[1]), (14, 14, 16, 240), -1)
    if code is not None:
        left, top = round(wide * 0.58), max(0, y - round(20 * px_per_mm))
        area = (left, top, left + round(170 * px_per_mm), top + round(125 * px_per_mm))
        paste_label(image, code, rng, px_per_mm=px_per_mm, area=area)
    _goods_tiles(image, (0, high, wide, 2 * high), rng, px_per_mm)
    return image


def _goods_tiles(image: Skin, area: tuple[int, int, int, int], rng: np.random.Generator, px_per_mm: float) -> None:
    """What things in a tote look like: small cartons, printed boxes, bags."""
    x0, y0, x1, y1 = area
    columns, rows = GOODS_TILES
    for column in range(columns):
        for row in range(rows):
            left, right = x0 + (x1 - x0) * column // columns, x0 + (x1 - x0) * (column + 1) // columns
            top, bottom = y0 + (y1 - y0) * row // rows, y0 + (y1 - y0) * (row + 1) // rows
            tile = image[top:bottom, left:right]
            plain = rng.random() < 0.45
            tint = np.array((188, 152, 114)) * rng.uniform(0.85, 1.1)
            if not plain:
                tint = rng.uniform(30, 215) + 0.4 * rng.uniform(-90, 90, 3)
            tile[..., :3], tile[..., 3] = np.array(rgb(tint)), int(rng.uniform(0.3, 0.8) * 255)
            mottle(tile, rng, amount=0.03)
            ink = rgb(tint * 0.3) if sum(tint) > 330 else (228, 228, 224)
            if rng.random() < 0.5:
                print_marks(tile, rng, (0, 0, (right - left) // 3, (bottom - top) // 3), px_per_mm, ink)


def irregular(
    size_mm: SizeMm, rng: np.random.Generator, *, code: str | None, colour: str | None, px_per_mm: float
) -> Skin:
    """The skin of whatever thing has these proportions, seen from above."""
    draw = {"tyre": _tyre, "bucket": _bucket, "bundle": _bundle}[form_of(size_mm)]
    wide, high = max(16, round(size_mm[0] * px_per_mm)), max(16, round(size_mm[1] * px_per_mm))
    image, label = draw((wide, high), rng, colour, px_per_mm)
    if code is not None:
        paste_label(image, code, rng, px_per_mm=px_per_mm, area=label)
    return image


Drawn = tuple[Skin, tuple[int, int, int, int]]


def _tyre(size_px: tuple[int, int], rng: np.random.Generator, colour: str | None, px_per_mm: float) -> Drawn:
    """Rubber with rings and raised letters on its side; `colour` has no say."""
    del colour
    wide, high = size_px
    image = blank(wide, high, rgb(np.array((30, 30, 32)) * rng.uniform(0.85, 1.25)), rng.uniform(0.6, 0.75))
    mottle(image, rng, amount=0.05, cells=8)
    centre = (wide / 2, high / 2)
    for radius in (0.70, 0.74, 0.93):
        axes = (round(radius * wide / 2), round(radius * high / 2))
        cv2.ellipse(
            image, (wide // 2, high // 2), axes, 0, 0, 360, (56, 56, 58, 130), max(1, int(px_per_mm)), cv2.LINE_AA
        )
    text, start = str(rng.choice(["205/55 R16  91V", "225/45 R17  94W", "195/65 R15  91H"])), rng.uniform(0, 360)
    for number, letter in enumerate(text):
        angle = np.deg2rad(start + number * 6.0)
        at = (centre[0] + 0.83 * wide / 2 * np.cos(angle), centre[1] + 0.83 * high / 2 * np.sin(angle))
        _letter(image, letter, at, 90 + float(np.rad2deg(angle)), 0.9 * px_per_mm)
    room = round(0.145 * high)
    return image, (round(0.36 * wide), round(0.02 * high), round(0.64 * wide), round(0.02 * high) + room)


def _letter(image: Skin, letter: str, at: tuple[float, float], angle_deg: float, scale: float) -> None:
    size = max(9, int(36 * scale)) | 1
    stamp = np.zeros((size, size), np.uint8)
    cv2.putText(stamp, letter, (size // 5, 4 * size // 5), cv2.FONT_HERSHEY_DUPLEX, size / 38, 255, 2, cv2.LINE_AA)
    turn = cv2.getRotationMatrix2D((size / 2, size / 2), -angle_deg, 1.0)
    stamp = cv2.warpAffine(stamp, turn, (size, size))
    x, y = int(at[0]) - size // 2, int(at[1]) - size // 2
    if x < 0 or y < 0 or x + size > image.shape[1] or y + size > image.shape[0]:
        return
    part = image[y : y + size, x : x + size, :3]
    weight = stamp[..., None] / 255.0 * 0.5
    part[...] = (part * (1 - weight) + 150 * weight).astype(np.uint8)


def _bucket(size_px: tuple[int, int], rng: np.random.Generator, colour: str | None, px_per_mm: float) -> Drawn:
    """Smooth plastic with a lid of another tone and a maker's disc on it."""
    wide, high = size_px
    body = PAIL_COLOURS[_chosen(PAIL_COLOURS, colour, rng)]
    image = blank(wide, high, body, rng.uniform(0.22, 0.4))
    lid = body if rng.random() < 0.5 else rgb(rng.uniform(20, 220, 3))
    middle, reach = (wide // 2, high // 2), (round(0.46 * wide), round(0.46 * high))
    cv2.ellipse(image, middle, reach, 0, 0, 360, (*lid, 80), -1, cv2.LINE_AA)
    for radius in (0.30, 0.40):
        axes = (round(radius * wide), round(radius * high))
        tone = tuple(int(c * 0.8) for c in lid)
        cv2.ellipse(image, middle, axes, 0, 0, 360, (*tone, 90), max(1, round(2 * px_per_mm)), cv2.LINE_AA)
    mottle(image, rng, amount=0.015)
    return image, (round(0.25 * wide), round(0.28 * high), round(0.75 * wide), round(0.72 * high))


def _bundle(size_px: tuple[int, int], rng: np.random.Generator, colour: str | None, px_per_mm: float) -> Drawn:
    """Stretch film in slanting layers, two straps, strips of tape."""
    wide, high = size_px
    base = np.array(FILM_COLOURS[_chosen(FILM_COLOURS, colour, rng)], float)
    image = blank(wide, high, rgb(base), rng.uniform(0.16, 0.3))
    row, column = np.indices((high, wide))
    for _ in range(9):  # edges of the film's layers, and light that they catch
        slant, pitch = rng.uniform(-0.6, 0.6), rng.uniform(60, 160) * px_per_mm
        layer = np.mod(column + slant * row + rng.uniform(0, pitch), pitch) < pitch * rng.uniform(0.05, 0.4)
        image[layer, :3] = np.clip(image[layer, :3] * rng.uniform(0.86, 1.14) + rng.uniform(-3, 6), 0, 255)
    mottle(image, rng, amount=0.06, cells=10)
    strap = (28, 96, 52) if rng.random() < 0.4 else (24, 24, 26) if base.sum() > 300 else (225, 225, 225)
    half = max(1, round(7 * px_per_mm))
    for at in STRAPS:
        blend(image, (round(at * wide) - half, 0, round(at * wide) + half, high), strap, 0.95, 0.3)
    if rng.random() < 0.6:
        top = round(rng.uniform(0.2, 0.7) * high)
        blend(image, (0, top, wide, top + round(48 * px_per_mm)), (170, 128, 80), 0.75, 0.25)
        shade(image, (0, top, wide, top + 1), 0.7)
    return image, (round(0.36 * wide), round(0.25 * high), round(0.64 * wide), round(0.75 * high))


def _chosen(table: dict[str, Rgb], name: str | None, rng: np.random.Generator) -> str:
    return name if name in table else str(rng.choice(list(table)))
