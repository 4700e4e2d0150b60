"""Pictures that clothe the parcels: cardboard with tape and print, printed film, paper, woven cloth.

Contract: every skin is RGBA uint8, sRGB colours, and its fourth channel is the surface's roughness (255 = matt).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from edge_sorter.sim import odd_skins
from edge_sorter.sim.paint import Rgb, Skin, blank, blend, mottle, paste_label, print_marks, rgb, shade
from edge_sorter.sim.prints import handling_symbol, logo
from edge_sorter.sim.shapes import box_atlas

FILM_COLOURS: dict[str, Rgb] = {
    "white": (232, 234, 236),
    "grey": (150, 154, 160),
    "black": (28, 28, 32),
    "blue": (34, 78, 160),
    "yellow": (238, 196, 32),
    "pink": (228, 110, 160),
    "green": (50, 140, 84),
    "silver": (186, 190, 196),
    "purple": (98, 60, 140),
    "orange": (236, 120, 30),
    "red": (190, 32, 36),
    "clear": (205, 210, 214),
}
MAILER_COLOURS: dict[str, Rgb] = {
    "kraft": (186, 148, 104),
    "yellow": (240, 188, 44),
    "white": (238, 238, 234),
    "blue": (90, 140, 200),
    "grey": (190, 190, 190),
}
SACK_COLOURS: dict[str, Rgb] = {
    "white": (226, 224, 216),
    "brown": (170, 138, 98),
    "grey": (196, 196, 192),
    "green": (120, 160, 110),
    "paper": (200, 168, 124),
}


@dataclass(frozen=True)
class Look:
    """How a parcel lies and what its sender printed on it.

    Attributes:
        on_side: a carton lies on a side: its seam and tape are not on top.
        symbol: a framed handling symbol on the top face (ISO 780).
        logo: a sender's large logo over the top.
    """

    on_side: bool = False
    symbol: bool = False
    logo: bool = False


AS_PACKED = Look()


@dataclass(frozen=True)
class SkinSpec:
    """What a skin shows.

    Attributes:
        kind: kind of parcel, as in a scenario.
        size_mm: length, width and height of the parcel.
        code: text of its label's barcodes; None for no label.
        colour: a colour name of its kind, or None to draw one.
        damaged: whether the cardboard is torn.
        px_per_mm: how finely to draw.
        look: how it lies and is printed.
    """

    kind: str
    size_mm: tuple[float, float, float]
    code: str | None
    colour: str | None = None
    damaged: bool = False
    px_per_mm: float = 1.0
    look: Look = AS_PACKED


def draw(spec: SkinSpec, rng: np.random.Generator) -> Skin:
    """Draw the skin of one parcel."""
    if spec.kind in ("tote", "irregular"):
        odd = odd_skins.tote if spec.kind == "tote" else odd_skins.irregular
        return odd(spec.size_mm, rng, code=spec.code, colour=spec.colour, px_per_mm=spec.px_per_mm)
    painter = {"carton": _carton, "polybag": _polybag, "mailer": _mailer, "tube": _tube}.get(spec.kind, _sack)
    return painter(spec, rng)


def _carton(spec: SkinSpec, rng: np.random.Generator) -> Skin:
    places, total_w, total_h = box_atlas(spec.size_mm)
    s = spec.px_per_mm
    tone = rng.uniform(0.80, 1.12)
    base = np.array((188, 152, 114)) * tone + rng.normal(scale=3, size=3)
    if spec.colour == "white" or (spec.colour is None and rng.random() < 0.1):
        base = np.array((228, 226, 222)) * rng.uniform(0.88, 1.02)
    elif spec.colour is None and rng.random() < 0.14:  # a shop's own printed carton
        base = rng.uniform(30, 225, size=3)
    image = blank(round(total_w * s), round(total_h * s), (190, 150, 108), rng.uniform(0.6, 0.85))
    image[..., :3] = np.clip(base, 0, 255)
    mottle(image, rng, amount=0.035)
    flutes = 0.012 * np.sin(np.arange(image.shape[1]) * (2 * np.pi / max(4.0, 7 * s)))
    image[..., :3] = np.clip(image[..., :3] * (1 + flutes[None, :, None]), 0, 255)
    boxes = {
        name: (int(x * s), int(y * s), int((x + w) * s), int((y + h) * s)) for name, (x, y, w, h) in places.items()
    }
    ink = rgb(base * 0.35 if rng.random() < 0.7 else rng.uniform(0, 200, 3))
    for name, area in boxes.items():
        if name != "bottom":
            edge = max(1, int(2 * s))
            for side in (
                (area[0], area[1], area[2], area[1] + edge),
                (area[0], area[3] - edge, area[2], area[3]),
                (area[0], area[1], area[0] + edge, area[3]),
                (area[2] - edge, area[1], area[2], area[3]),
            ):
                shade(image, side, float(rng.uniform(0.86, 1.06)))
        if name in ("front", "back", "left", "right") and rng.random() < 0.5:
            print_marks(image, rng, area, s, ink)
    if rng.random() < 0.25:
        print_marks(image, rng, boxes["top"], s, ink)
    if not spec.look.on_side:
        _tape(image, boxes, spec, rng)
    if spec.look.symbol:
        handling_symbol(image, rng, boxes["top"], s, ink)
    if spec.damaged:
        _tear(image, boxes["top"], rng)
    if spec.code is not None:
        on_top = rng.random() < 0.8
        paste_label(image, spec.code, rng, px_per_mm=spec.px_per_mm, area=boxes["top"])
        if not on_top or rng.random() < 0.35:
            paste_label(
                image,
                spec.code,
                rng,
                px_per_mm=spec.px_per_mm,
                area=boxes[str(rng.choice(["front", "back", "left", "right"]))],
            )
    return image


def _tape(image: Skin, boxes: dict[str, tuple[int, int, int, int]], spec: SkinSpec, rng: np.random.Generator) -> None:
    """The flaps' seam along the top and the tape over it, folded down the ends."""
    s = spec.px_per_mm
    x0, y0, x1, y1 = boxes["top"]
    middle = (y0 + y1) // 2
    shade(image, (x0, middle - max(1, int(1.2 * s)), x1, middle + max(1, int(1.2 * s))), 0.42)
    if rng.random() < 0.12:
        return
    half = max(2, int(rng.uniform(22, 38) * s * (0.6 if spec.size_mm[1] < 180 else 1)))
    colours: list[Rgb] = [(176, 132, 84), (150, 110, 64), (222, 214, 196), (238, 238, 236), (196, 150, 90)]
    colour = colours[rng.integers(0, len(colours))]
    opacity, rough = float(rng.uniform(0.35, 0.85)), float(rng.uniform(0.12, 0.35))
    blend(image, (x0, max(y0, middle - half), x1, min(y1, middle + half)), colour, opacity, rough)
    shade(image, (x0, middle - max(1, int(0.7 * s)), x1, middle + max(1, int(0.7 * s))), 0.75)
    for name in ("left", "right"):
        ex0, ey0, ex1, ey1 = boxes[name]
        centre, drop = (ex0 + ex1) // 2, int(rng.uniform(40, 80) * s)
        blend(
            image, (max(ex0, centre - half), ey0, min(ex1, centre + half), min(ey1, ey0 + drop)), colour, opacity, rough
        )


def _tear(image: Skin, area: tuple[int, int, int, int], rng: np.random.Generator) -> None:
    """A torn, dark hole with a pale ragged rim in the top face."""
    x0, y0, x1, y1 = area
    radius = 0.2 * min(x1 - x0, y1 - y0)
    centre = np.array([x0 + rng.uniform(0.25, 0.75) * (x1 - x0), y1 - 0.8 * radius])
    angles = np.sort(rng.uniform(0, 2 * np.pi, 18))
    ragged = centre + (radius * rng.uniform(0.5, 1.15, 18))[:, None] * np.column_stack(
        [np.cos(angles) * 1.5, np.sin(angles)]
    )
    cv2.fillPoly(image, [ragged.astype(np.int32)], (208, 178, 140, 240), cv2.LINE_AA)
    inner = centre + (ragged - centre) * 0.72
    cv2.fillPoly(image, [inner.astype(np.int32)], (36, 26, 20, 255), cv2.LINE_AA)


def _flat(spec: SkinSpec) -> tuple[int, int]:
    return max(16, round(spec.size_mm[0] * spec.px_per_mm)), max(16, round(spec.size_mm[1] * spec.px_per_mm))


def _colour(table: dict[str, Rgb], name: str | None, rng: np.random.Generator, weights: list[float]) -> tuple[str, Rgb]:
    if name not in table:
        share = np.array(weights + [1.0] * (len(table) - len(weights)))
        name = str(rng.choice(list(table), p=share / share.sum()))
    return name, table[name]


def _polybag(spec: SkinSpec, rng: np.random.Generator) -> Skin:
    width, height = _flat(spec)
    name, colour = _colour(FILM_COLOURS, spec.colour, rng, [8, 4, 4, 2, 2])
    image = blank(width, height, colour, rng.uniform(0.16, 0.4))
    mottle(image, rng, amount=0.02)
    if name == "clear":  # a transparent bag: what lies in it shows through, dulled
        inside = rng.uniform(30, 230, size=3)
        cv2.rectangle(image, (width // 6, height // 6), (width * 5 // 6, height * 5 // 6), (*map(int, inside), 90), -1)
    ink: Rgb = (40, 40, 44) if sum(colour) > 330 else (225, 225, 225)
    if rng.random() < 0.35:
        ink = (190, 36, 40)
    for _ in range(int(rng.integers(0, 4))):
        print_marks(image, rng, (width // 10, height // 10, width * 9 // 10, height * 9 // 10), spec.px_per_mm, ink)
    if spec.look.logo:
        logo(image, rng, (0, 0, width, height))
    seam = max(2, int(0.035 * width))
    shade(image, (0, 0, seam, height), 0.88)
    shade(image, (width - seam, 0, width, height), 0.88)
    if spec.code is not None:
        paste_label(
            image,
            spec.code,
            rng,
            px_per_mm=spec.px_per_mm,
            area=(width // 7, height // 8, width * 6 // 7, height * 7 // 8),
        )
    return image


def _mailer(spec: SkinSpec, rng: np.random.Generator) -> Skin:
    width, height = _flat(spec)
    name, colour = _colour(MAILER_COLOURS, spec.colour, rng, [4, 3, 3])
    image = blank(width, height, rgb(c * rng.uniform(0.9, 1.05) for c in colour), rng.uniform(0.45, 0.8))
    mottle(image, rng, amount=0.02 if name != "kraft" else 0.03)
    if rng.random() < 0.7:  # the flap and its adhesive strip
        fold = int(width * rng.uniform(0.76, 0.86))
        shade(image, (fold, 0, fold + max(1, int(2 * spec.px_per_mm)), height), 0.62)
        shade(image, (fold + max(1, int(2 * spec.px_per_mm)), 0, width, height), 0.95)
    if rng.random() < 0.5:
        print_marks(image, rng, (0, 0, width, height), spec.px_per_mm, (60, 50, 46))
    if spec.code is not None:
        paste_label(
            image,
            spec.code,
            rng,
            px_per_mm=spec.px_per_mm,
            area=(width // 12, height // 10, width * 3 // 4, height * 9 // 10),
        )
    return image


def _tube(spec: SkinSpec, rng: np.random.Generator) -> Skin:
    length, around = (
        max(16, round(spec.size_mm[0] * spec.px_per_mm)),
        max(16, round(spec.size_mm[1] * 3.1416 * spec.px_per_mm)),
    )
    white = spec.colour == "white" or (spec.colour is None and rng.random() < 0.35)
    base: Rgb = (232, 230, 226) if white else rgb(c * rng.uniform(0.85, 1.08) for c in (184, 146, 104))
    image = blank(length, around, base, rng.uniform(0.5, 0.8))
    mottle(image, rng, amount=0.02)
    column, row = np.meshgrid(np.arange(length), np.arange(around))
    pitch = max(20.0, 110 * spec.px_per_mm)
    spiral = np.mod(column + row * pitch / around, pitch) < 1.6 * spec.px_per_mm
    image[spiral, :3] = (image[spiral, :3] * 0.84).astype(np.uint8)
    cap = max(1, int(0.05 * length))
    cap_colour = (238, 238, 238, 90) if rng.random() < 0.6 else (30, 30, 34, 90)
    image[:, :cap], image[:, -cap:] = cap_colour, cap_colour
    if spec.code is not None:
        # The seam of the skin lies below; half way round is the top.
        top = (int(0.15 * length), int(0.36 * around), int(0.85 * length), int(0.64 * around))
        paste_label(image, spec.code, rng, px_per_mm=spec.px_per_mm, area=top)
    return image


def _sack(spec: SkinSpec, rng: np.random.Generator) -> Skin:
    width, height = _flat(spec)
    name, colour = _colour(SACK_COLOURS, spec.colour, rng, [4, 2, 2])
    image = blank(width, height, colour, rng.uniform(0.4, 0.8))
    mottle(image, rng, amount=0.025)
    if name != "paper":
        weave = np.indices((height, width)).sum(axis=0) // max(1, int(2 * spec.px_per_mm)) % 2
        image[..., :3] = (image[..., :3] * (1 - 0.05 * weave[..., None])).astype(np.uint8)
    if rng.random() < 0.6:
        ink = rgb(rng.uniform(10, 170, 3))
        for _ in range(int(rng.integers(1, 4))):
            print_marks(image, rng, (width // 8, height // 8, width * 7 // 8, height * 7 // 8), spec.px_per_mm, ink)
    for stitch in (int(0.03 * width), int(0.97 * width)):
        cv2.line(image, (stitch, 0), (stitch, height), (90, 80, 70, 230), max(1, int(3 * spec.px_per_mm)))
    if spec.code is not None:
        paste_label(
            image,
            spec.code,
            rng,
            px_per_mm=spec.px_per_mm,
            area=(width // 4, height // 4, width * 3 // 4, height * 3 // 4),
        )
    return image
