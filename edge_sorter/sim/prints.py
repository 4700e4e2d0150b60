"""What senders print on their packaging: framed handling symbols on cartons, logos across film.

Contract: as in ``paint``: every brush paints into an RGBA skin, inside the given pixel area.
"""

from __future__ import annotations

import cv2
import numpy as np

from edge_sorter.sim.paint import Area, Rgb, Skin

_INKS: tuple[Rgb, ...] = ((196, 30, 40), (24, 24, 28), (20, 60, 150), (226, 96, 20), (20, 120, 70))
_NAMES = ("mode", "shop", "nova", "ONLINE", "loop", "Zala", "outlet", "B&W", "ok", "S")


def handling_symbol(image: Skin, rng: np.random.Generator, area: Area, px_per_mm: float, ink: Rgb) -> None:
    """A framed pictogram of 60 to 130 mm: glass, umbrella or arrows (ISO 780), near the middle of an area."""
    x0, y0, x1, y1 = area
    side = min(float(rng.uniform(60, 130)) * px_per_mm, 0.7 * min(x1 - x0, y1 - y0))
    if side < 8:
        return
    tile = np.zeros((64, 64), np.uint8)
    cv2.rectangle(tile, (2, 2), (61, 61), 255, 2)
    which = int(rng.integers(0, 3))
    if which == 0:  # fragile
        cv2.ellipse(tile, (32, 16), (14, 20), 0, 0, 180, 255, -1)
        cv2.line(tile, (32, 34), (32, 50), 255, 3)
        cv2.line(tile, (20, 52), (44, 52), 255, 4)
    elif which == 1:  # keep dry
        cv2.ellipse(tile, (32, 32), (20, 16), 0, 180, 360, 255, -1)
        cv2.line(tile, (32, 32), (32, 50), 255, 2)
        cv2.ellipse(tile, (36, 50), (4, 4), 0, 0, 180, 255, 2)
    else:  # this way up
        for x in (20, 44):
            cv2.arrowedLine(tile, (x, 46), (x, 12), 255, 4, tipLength=0.4)
        cv2.line(tile, (10, 52), (54, 52), 255, 3)
    tile = np.rot90(tile, int(rng.choice([0, 0, 1, 2, 3])))
    centre = (x0 + x1) / 2 + rng.normal(scale=0.1) * (x1 - x0), (y0 + y1) / 2 + rng.normal(scale=0.1) * (y1 - y0)
    _print(image, np.ascontiguousarray(tile), centre, (side, side), float(rng.normal(scale=2)), ink, area)


def logo(image: Skin, rng: np.random.Generator, area: Area) -> None:
    """One to three large marks, a name in one ink, a ring or a part of a letter in another, some over the edge."""
    x0, y0, x1, y1 = area
    for _ in range(int(rng.integers(1, 4))):
        tile = np.zeros((96, 192), np.uint8)
        name = str(rng.choice(_NAMES))
        if rng.random() < 0.35:
            cv2.ellipse(tile, (96, 48), (44, 44), 0, 0, int(rng.choice([360, 290])), 255, int(rng.integers(8, 22)))
        else:
            font = int(rng.choice([cv2.FONT_HERSHEY_SCRIPT_COMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_TRIPLEX]))
            thick = int(rng.integers(3, 9))
            (width, height), _ = cv2.getTextSize(name, font, 1.0, thick)
            scale = min(170 / width, 70 / height)
            cv2.putText(tile, name, (10, 76), font, scale, 255, thick, cv2.LINE_AA)
        across = float(rng.uniform(0.25, 0.75)) * (x1 - x0)
        centre = float(rng.uniform(x0, x1)), float(rng.uniform(y0, y1))
        turn = float(rng.choice([0, 90, 180, 270]) + rng.normal(scale=6))
        _print(image, tile, centre, (across, across / 2), turn, _INKS[rng.integers(0, len(_INKS))], area)


def _print(
    image: Skin,
    tile: Skin,
    centre: tuple[float, float],
    size: tuple[float, float],
    turn_deg: float,
    ink: Rgb,
    area: Area,
) -> None:
    """Print a one-channel tile in one ink, turned, as large as ``size``; nothing outside the area."""
    high, wide = tile.shape
    move = cv2.getRotationMatrix2D((wide / 2, high / 2), turn_deg, 1.0)
    move[:, 2] -= (wide / 2, high / 2)
    move = np.diag([size[0] / wide, size[1] / high]) @ move
    move[:, 2] += centre
    shape = (image.shape[1], image.shape[0])
    weight = cv2.warpAffine(tile, move, shape, flags=cv2.INTER_LINEAR)[..., None] / 255.0 * 0.92
    x0, y0, x1, y1 = area
    part = image[y0:y1, x0:x1, :3]
    share = weight[y0:y1, x0:x1]
    part[...] = (part * (1 - share) + np.array(ink) * share).astype(np.uint8)
