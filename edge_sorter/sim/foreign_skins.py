"""Pictures that clothe foreign objects, gloves and sleeves.

Contract: as in `skins`: RGBA uint8, sRGB colours, the fourth channel is the surface's roughness (255 = matt). `COLOURS`
has the names a scenario may use for each kind.
"""

from __future__ import annotations

import cv2
import numpy as np

from edge_sorter.sim.hand_shape import SLEEVE_REPEAT_MM
from edge_sorter.sim.paint import Rgb, Skin, blank, blend, mottle, rgb

GLOVE_COLOURS: dict[str, Rgb] = {
    "grey": (168, 170, 172),
    "black": (44, 44, 48),
    "orange": (226, 104, 34),
    "yellow": (226, 208, 60),
    "blue": (58, 100, 168),
}
"""Of the knitted back; fingers are dipped into something darker."""
SLEEVE_COLOURS: dict[str, Rgb] = {
    "navy": (30, 40, 66),
    "orange": (236, 96, 28),
    "yellow": (214, 222, 40),
    "grey": (92, 96, 102),
    "red": (150, 30, 34),
}
COLOURS: dict[str, dict[str, Rgb]] = {
    "bottle": {"blue": (70, 140, 200), "clear": (186, 204, 212), "green": (60, 140, 84), "steel": (176, 180, 184)},
    "glove": GLOVE_COLOURS,
    "paper": {"white": (238, 238, 234), "yellow": (240, 224, 140), "pink": (236, 190, 200)},
    "strap": {"black": (30, 30, 32), "green": (30, 108, 60), "white": (226, 226, 222), "blue": (34, 84, 150)},
    "tape_roll": {"brown": (150, 104, 58), "clear": (196, 190, 170), "red": (178, 40, 36)},
}
PX_PER_MM = 1.4


def draw(kind: str, size_mm: tuple[float, float, float], colour: str | None, rng: np.random.Generator) -> Skin:
    """The skin of a kind of foreign object."""
    table = COLOURS[kind]
    base = table[colour if colour is not None else str(rng.choice(list(table)))]
    if kind == "glove":
        return glove(base, rng)
    wide, high = (max(48, round(side * PX_PER_MM)) for side in size_mm[:2])
    if kind == "bottle":
        return _bottle(base, wide, round(high * np.pi), rng)
    return {"paper": _paper, "tape_roll": _tape_roll, "strap": _strap}[kind](base, wide, high, rng)


def glove(knit: Rgb, rng: np.random.Generator) -> Skin:
    """A dipped work glove seen from above, cuff at the left: ribbed cuff with a coloured hem, knit, dipped fingers."""
    wide, high = 400, 300
    image = blank(wide, high, knit, 0.92)
    row, column = np.indices((high, wide))
    image[..., :3] = np.clip(
        image[..., :3] * (0.94 + 0.10 * (np.sin(row * 1.6) * np.sin(column * 1.6))[..., None]), 0, 255
    )
    ribbed = column < 0.24 * wide
    ribs = (0.80 + 0.24 * (np.mod(row, 9) < 5))[..., None]
    image[..., :3] = np.where(ribbed[..., None], np.clip(image[..., :3] * ribs, 0, 255), image[..., :3])
    hem = ((196, 40, 36), (226, 190, 40), (40, 120, 70), (50, 90, 170))[int(rng.integers(4))]
    blend(image, (0, 0, round(0.03 * wide), high), hem, 0.95, 0.9)
    dip = np.array((34, 36, 40)) if sum(knit) > 180 else np.array((44, 74, 120))
    edge = 0.66 * wide + 6.0 * np.sin(row / 17.0 + rng.uniform(0.0, 6.0)) + 5.0 * np.sin(row / 7.0)
    dipped = np.clip((column - edge) / 6.0, 0.0, 1.0)[..., None]
    coat = np.concatenate([np.broadcast_to(dip, (high, wide, 3)), np.full((high, wide, 1), 0.55 * 255)], axis=2)
    image[...] = (image * (1 - dipped) + coat * dipped).astype(np.uint8)
    mottle(image, rng, amount=0.07, cells=9)
    return image


def worn_glove(colour: str | None, rng: np.random.Generator) -> Skin:
    """The skin of a glove with a hand in it."""
    return glove(GLOVE_COLOURS[colour if colour is not None else str(rng.choice(list(GLOVE_COLOURS)))], rng)


def sleeve(colour: str | None, rng: np.random.Generator) -> Skin:
    """Workwear cloth, the cuff at the bottom of the picture; bright jackets have two silver bands."""
    name = colour if colour is not None else str(rng.choice(list(SLEEVE_COLOURS)))
    wide, high = 360, round(SLEEVE_REPEAT_MM * 0.9)
    image = blank(wide, high, SLEEVE_COLOURS[name], 0.88)
    row, column = np.indices((high, wide))
    twill = 0.05 * np.sign(np.sin((row + column) * 1.2))
    image[..., :3] = np.clip(image[..., :3] * (1 + twill[..., None]), 0, 255)
    mottle(image, rng, amount=0.06, cells=14)
    if name in ("orange", "yellow"):
        for at_mm in (120.0, 300.0):
            top = high - round((at_mm + 52.0) * 0.9)
            blend(image, (0, top, wide, top + round(52 * 0.9)), (172, 175, 180), 0.9, 0.3)
    cuff = high - round(30 * 0.9)
    blend(image, (0, cuff, wide, high), rgb(np.array(SLEEVE_COLOURS[name]) * 0.72), 0.6, 0.9)
    return image


def _bottle(base: Rgb, wide: int, high: int, rng: np.random.Generator) -> Skin:
    """Glossy plastic, a printed label round its waist, a cap; u along the bottle, v around."""
    image = blank(wide, high, base, 0.14)
    mottle(image, rng, amount=0.04)
    label = rgb(rng.uniform(120, 235, 3))
    left, right = round(0.262 * wide), round(0.56 * wide)
    blend(image, (left, 0, right, high), label, 0.97, 0.3)
    ink = rgb(np.array(label) * 0.25)
    for turn in (0.12, 0.45, 0.78):
        at = (left + (right - left) // 2, round(turn * high))
        cv2.ellipse(
            image, at, (round(0.42 * (right - left)), round(0.10 * high)), 0, 0, 360, (*ink, 70), -1, cv2.LINE_AA
        )
        word = (at[0] - round(0.3 * (right - left)), at[1] + 4)
        cv2.putText(image, "AQUA", word, cv2.FONT_HERSHEY_DUPLEX, wide / 640, (240, 240, 236, 70), 1, cv2.LINE_AA)
    cap = ((236, 238, 240), (40, 90, 180), (200, 40, 36))[int(rng.integers(3))]
    blend(image, (round(0.911 * wide), 0, wide, high), cap, 1.0, 0.35)
    return image


def _paper(base: Rgb, wide: int, high: int, rng: np.random.Generator) -> Skin:
    """A delivery note: a heading, lines of text, a table."""
    image = blank(wide, high, base, 0.8)
    ink = (58, 60, 66, 200)
    cv2.rectangle(image, (round(0.06 * wide), round(0.08 * high)), (round(0.42 * wide), round(0.17 * high)), ink, -1)
    for row in np.arange(0.26, 0.9, 0.065):
        end = rng.uniform(0.45, 0.92)
        at = round(row * high)
        cv2.line(image, (round(0.06 * wide), at), (round(end * wide), at), ink, max(1, round(0.012 * high)))
    mottle(image, rng, amount=0.012)
    return image


def _tape_roll(base: Rgb, wide: int, high: int, rng: np.random.Generator) -> Skin:
    """Windings around a cardboard core, seen from above."""
    image = blank(wide, high, base, 0.28)
    row, column = np.indices((high, wide))
    away = np.hypot((column + 0.5) / wide - 0.5, (row + 0.5) / high - 0.5) * 2.0
    windings = 1.0 + 0.10 * np.sin(away * 150.0) + 0.04 * np.sin(away * 37.0 + rng.uniform(0.0, 6.0))
    image[..., :3] = np.clip(image[..., :3] * windings[..., None], 0, 255)
    core = away < 0.745
    image[core, :3], image[core, 3] = (188, 158, 120), 210
    mottle(image, rng, amount=0.03)
    return image


def _strap(base: Rgb, wide: int, high: int, rng: np.random.Generator) -> Skin:
    """Embossed plastic band; v runs along it."""
    del wide, high
    image = blank(16, 512, base, 0.3)
    row, column = np.indices(image.shape[:2])
    emboss = 1.0 + 0.16 * np.sin((row + column) * 0.9) * np.sin((row - column) * 0.9)
    image[..., :3] = np.clip(image[..., :3] * emboss[..., None], 0, 255)
    mottle(image, rng, amount=0.02)
    return image
