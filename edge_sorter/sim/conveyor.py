"""What stands around the parcels: belt or rollers, rails, legs, floor, and clutter that is no parcel.

Contract: everything here has object number 0, so it never becomes a label; the belt's surface is z = 0.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_sorter.sim import shapes
from edge_sorter.sim.paint import BELT_RGB
from edge_sorter.sim.shapes import smooth_noise
from edge_sorter.sim.stage import Stage

FLOOR_MM = -820.0


def belt_skin(name: str, rng: np.random.Generator, size_px: tuple[int, int]) -> NDArray[np.uint8]:
    """A used belt, (length, width) pixels, repeating along its length: weave, worn tracks, scuffs, stains, one seam."""
    length, width = size_px
    base = np.array(BELT_RGB[name], float)
    shape = (width, length)
    tone = 0.05 * smooth_noise(rng, shape, 9, 3)
    tone += 0.05 * np.sin(np.indices(shape)[1] * 1.9) * np.sin(np.indices(shape)[0] * 1.9)
    tone += 0.05 * cv2.resize(rng.normal(size=(width // 3, 2)), (length, width), interpolation=cv2.INTER_LINEAR)
    tone += 0.025 * rng.normal(size=shape)
    wrap = min(length // 6, 160)  # cross-fade the ends, so that the repeat does not show as a step
    fade = np.linspace(0, 1, wrap)[None, :]
    tone[:, -wrap:] = tone[:, -wrap:] * (1 - fade) + tone[:, :wrap][:, ::-1] * fade
    image = np.empty((width, length, 4), np.uint8)
    image[..., :3] = np.clip(base * (1 + tone[..., None]) + 6 * tone[..., None], 0, 255)
    image[..., 3] = round(255 * rng.uniform(0.42, 0.7))
    _scuffs(image, base, rng)
    seam = length // 2
    slope = int(0.12 * width * rng.choice([-1, 1]))
    light = tuple(int(v) for v in np.clip(base * 1.5 + 14, 0, 255))
    dark = tuple(int(v) for v in base * 0.45)
    cv2.line(image, (seam - slope, 0), (seam + slope, width), (*dark, 120), max(2, width // 110), cv2.LINE_AA)
    cv2.line(image, (seam - slope + 6, 0), (seam + slope + 6, width), (*light, 120), max(1, width // 240), cv2.LINE_AA)
    return image


def _scuffs(image: NDArray[np.uint8], base: NDArray[np.float64], rng: np.random.Generator) -> None:
    width, length = image.shape[:2]
    layer = image[..., :3].copy()
    for _ in range(46):
        x, y = int(rng.uniform(0.02, 0.9) * length), int(rng.uniform(0, width))
        reach, drift = int(rng.uniform(0.01, 0.08) * length), int(rng.normal(scale=0.06) * width)
        change = rng.choice([-1, 1]) * rng.uniform(10, 38)
        colour = tuple(int(v) for v in np.clip(base + change, 0, 255))
        cv2.line(layer, (x, y), (x + reach, y + drift), colour, int(rng.choice([1, 2, 3, 5])), cv2.LINE_AA)
    stains = np.clip(smooth_noise(rng, (width, length), 26, 3) - 1.1, 0, 1)[..., None]
    layer = np.clip(layer * (1 - 0.35 * stains) + 26 * stains * rng.choice([0, 1]), 0, 255).astype(np.uint8)
    image[..., :3] = cv2.addWeighted(layer, 0.7, image[..., :3], 0.3, 0)


def floor_skin(kind: str, rng: np.random.Generator, size_px: int = 512, *, cracks: bool = True) -> NDArray[np.uint8]:
    """Concrete, asphalt, carpet, tiles or boards, square."""
    shape = (size_px, size_px)
    bases = {
        "concrete": (150, 150, 146),
        "asphalt": (70, 70, 72),
        "carpet": (104, 98, 98),
        "tiles": (196, 192, 184),
        "boards": (142, 104, 72),
        "epoxy": (120, 134, 140),
    }
    base = np.array(bases[kind], float) * rng.uniform(0.75, 1.15) + rng.normal(scale=2, size=3)
    tone = 0.06 * smooth_noise(rng, shape, 5, 4)
    if kind == "asphalt":
        tone += 0.22 * rng.normal(size=shape)
    if kind == "carpet":
        tone += 0.16 * np.sign(smooth_noise(rng, shape, 110)) + 0.1 * rng.normal(size=shape)
    if kind == "boards":
        tone += 0.12 * cv2.resize(rng.normal(size=(size_px, 6)), shape, interpolation=cv2.INTER_LINEAR)
        tone[:, :: size_px // 6] -= 0.4
    if kind == "tiles":
        tone[:: size_px // 4] -= 0.35
        tone[:, :: size_px // 4] -= 0.35
    image = np.empty((*shape, 4), np.uint8)
    image[..., :3] = np.clip(base * (1 + tone[..., None]), 0, 255)
    image[..., 3] = round(255 * rng.uniform(0.35, 0.9))
    if cracks and kind in ("concrete", "asphalt", "epoxy"):
        for _ in range(6):
            start = rng.uniform(0, size_px, 2)
            path = np.cumsum(np.vstack([start, rng.normal(scale=18, size=(12, 2))]), axis=0).astype(np.int32)
            cv2.polylines(image, [path], False, (*(int(v) for v in base * 0.7), 230), 1, cv2.LINE_AA)
    return image


def add_floor(stage: Stage, rng: np.random.Generator, kind: str, *, z_mm: float = FLOOR_MM, lines: bool = True) -> None:
    """The floor, with painted lines if wanted."""
    skin = floor_skin(kind, rng)
    stage.add_plane((-14000, -14000), (16000, 16000), z_mm, stage.material((0.5, 0.5, 0.5), skin=skin), (2400, 2400))
    if not lines:
        return
    paint = stage.material((0.9, 0.72, 0.08) if rng.random() < 0.7 else (0.86, 0.86, 0.86), rough=0.5)
    for _ in range(int(rng.integers(1, 3))):
        y = float(rng.uniform(900, 1600) * rng.choice([-1, 1])) + 400
        stage.add_plane((-12000, y), (14000, y + 80), z_mm + 2, paint, (1000, 1000))


def add_belt(
    stage: Stage, rng: np.random.Generator, name: str, *, width_mm: float, pitch_mm: float, reach_mm: float
) -> Any:
    """The moving belt; shifting the returned object along x by less than one pitch moves it."""
    skin = belt_skin(name, rng, (min(1600, int(pitch_mm * 0.62)), max(64, int(width_mm * 0.62))))
    surface = stage.material((0.1, 0.1, 0.1), skin=skin)
    periods = int(np.ceil(reach_mm / pitch_mm)) + 1
    return stage.add_plane((-periods * pitch_mm, 0), (periods * pitch_mm, width_mm), 0.0, surface, (pitch_mm, width_mm))


def add_rollers(stage: Stage, rng: np.random.Generator, *, width_mm: float, low_mm: float, high_mm: float) -> None:
    """A roller conveyor: parallel rollers whose tops are level with z = 0."""
    metal = rng.random() < 0.6
    grey = float(rng.uniform(0.35, 0.75)) if metal else float(rng.uniform(0.1, 0.8))
    tint = (grey, grey, grey * float(rng.uniform(0.9, 1.12)))
    surface = stage.material(tint, rough=float(rng.uniform(0.22, 0.5)), metal=0.9 if metal else 0.0)
    diameter = float(rng.uniform(45, 65))
    pitch = diameter * float(rng.uniform(1.15, 1.7))
    cylinder = shapes.tube(width_mm, diameter, segments=20)
    first = None
    for x in np.arange(low_mm, high_mm, pitch):
        at = (float(x), width_mm / 2, -diameter)
        if first is None:
            first = stage.add(cylinder, surface, at_mm=at, yaw_rad=np.pi / 2)
        else:
            stage.add_again(first.data, at_mm=at, yaw_rad=np.pi / 2)
    stage.add_box(
        (high_mm - low_mm, width_mm, 20),
        stage.material((0.06, 0.06, 0.07), rough=0.8),
        at_mm=((low_mm + high_mm) / 2, width_mm / 2, -diameter - 120),
    )


FRAME_COLOURS = (
    (0.62, 0.64, 0.66),
    (0.12, 0.28, 0.55),
    (0.55, 0.1, 0.12),
    (0.85, 0.55, 0.08),
    (0.2, 0.22, 0.24),
    (0.75, 0.76, 0.74),
    (0.1, 0.35, 0.22),
)


def add_frame(
    stage: Stage,
    rng: np.random.Generator,
    *,
    width_mm: float,
    low_mm: float,
    high_mm: float,
    rail_mm: float,
    colour: tuple[float, float, float] | None = None,
) -> None:
    """Side profiles, guide rails on posts, bolts, legs and cross members."""
    tint = colour or FRAME_COLOURS[rng.integers(0, len(FRAME_COLOURS))]
    bare = tint == FRAME_COLOURS[0]
    profile = stage.material(tint, rough=float(rng.uniform(0.3, 0.5)), metal=0.85 if bare else 0.1)
    steel = stage.material((0.62, 0.63, 0.64), rough=0.32, metal=0.95)
    dark = stage.material((0.06, 0.06, 0.065), rough=0.5)
    length, middle = high_mm - low_mm, (low_mm + high_mm) / 2
    for side, y in ((-1, -32.0), (1, width_mm + 32.0)):
        stage.add_box((length, 56, 170), profile, at_mm=(middle, y, -150), radius_mm=3)
        stage.add_box((length, 8, 12), dark, at_mm=(middle, y + side * 25, -40), radius_mm=1)
        if rail_mm > 0:
            stage.add_box((length, 22, 34), steel, at_mm=(middle, y, rail_mm), radius_mm=8)
        post = None
        for x in np.arange(low_mm + 200, high_mm, 620.0):
            if rail_mm > 0:
                at = (float(x), y + side * 16, 0.0)
                if post is None:
                    post = stage.add_box((34, 14, rail_mm + 30), dark, at_mm=at, radius_mm=3)
                else:
                    stage.add_again(post.data, at_mm=at)
        leg = stage.add_box((70, 50, -FLOOR_MM - 150), profile, at_mm=(low_mm + 300, y, FLOOR_MM))
        for x in np.arange(low_mm + 1800, high_mm, 1500.0):
            stage.add_again(leg.data, at_mm=(float(x), y, FLOOR_MM))


def add_sensor(stage: Stage, rng: np.random.Generator, *, at_x_mm: float, width_mm: float) -> None:
    """A photo-eye and its reflector across the belt."""
    body = stage.material((0.9, 0.62, 0.05) if rng.random() < 0.5 else (0.05, 0.2, 0.5), rough=0.4)
    dark = stage.material((0.04, 0.04, 0.05), rough=0.4)
    for y, material in ((-74.0, body), (width_mm + 74.0, dark)):
        stage.add_box((42, 30, 60), material, at_mm=(at_x_mm, y, 30), radius_mm=6)
        stage.add_box((20, 24, 160), dark, at_mm=(at_x_mm, y, -130), radius_mm=2)
        stage.add_box((10, 10, 10), stage.material((0.9, 0.05, 0.02), glow=4.0), at_mm=(at_x_mm, y, 92), radius_mm=3)


def add_figure(stage: Stage, rng: np.random.Generator, *, at_mm: tuple[float, float], facing_rad: float) -> None:
    """A person-like figure: legs, torso in workwear, arms, head. It is clutter, never a parcel."""
    shirt = stage.material(tuple(rng.uniform(0.05, 0.95, 3)) if rng.random() < 0.6 else (0.9, 0.85, 0.05), rough=0.9)
    trousers = stage.material(tuple(rng.uniform(0.03, 0.3, 3)), rough=0.9)
    skin = stage.material(tuple(np.array((0.85, 0.62, 0.5)) * rng.uniform(0.35, 1.1)), rough=0.6)
    x, y = at_mm
    floor = FLOOR_MM
    ahead = np.array([np.cos(facing_rad), np.sin(facing_rad)])
    across = np.array([-ahead[1], ahead[0]])
    for step in (-100, 100):
        px, py = np.array([x, y]) + across * step
        stage.add_box((170, 150, 860), trousers, at_mm=(px, py, floor), yaw_rad=facing_rad, radius_mm=70)
        ax, ay = np.array([x, y]) + across * step * 2.3 + ahead * 180
        stage.add_box((480, 95, 95), shirt, at_mm=(ax, ay, floor + 1080), yaw_rad=facing_rad, radius_mm=45)
        hx, hy = np.array([x, y]) + across * step * 2.1 + ahead * 470
        stage.add_box((180, 85, 60), skin, at_mm=(hx, hy, floor + 1085), yaw_rad=facing_rad, radius_mm=28)
    stage.add_box((250, 430, 640), shirt, at_mm=(x, y, floor + 820), yaw_rad=facing_rad, radius_mm=110)
    hx, hy = np.array([x, y]) + ahead * 20
    stage.add_box((200, 165, 250), skin, at_mm=(hx, hy, floor + 1490), radius_mm=80)


def add_hand(stage: Stage, rng: np.random.Generator, *, at_mm: tuple[float, float, float], yaw_rad: float) -> None:
    """A hand and forearm reaching in from above."""
    skin = stage.material(tuple(np.array((0.85, 0.62, 0.5)) * rng.uniform(0.35, 1.1)), rough=0.6)
    sleeve = stage.material(tuple(rng.uniform(0.03, 0.9, 3)), rough=0.9)
    x, y, z = at_mm
    back = np.array([np.cos(yaw_rad), np.sin(yaw_rad)])
    stage.add_box((170, 95, 42), skin, at_mm=(x, y, z), yaw_rad=yaw_rad, radius_mm=20)
    fx, fy = np.array([x, y]) - back * 330
    stage.add_box((520, 95, 95), sleeve, at_mm=(fx, fy, z + 20), yaw_rad=yaw_rad, radius_mm=44)


def add_clutter(stage: Stage, rng: np.random.Generator, *, width_mm: float, count: int) -> None:
    """Machines, cabinets, totes, pallets, posts and wall panels beside the line."""
    for _ in range(count):
        far = 1 if rng.random() < 0.7 else -1
        y = width_mm / 2 + far * float(rng.uniform(width_mm / 2 + 450, width_mm / 2 + 3200))
        x = float(rng.uniform(-2500, 4200))
        tint = (
            tuple(rng.uniform(0.08, 0.8, 3) * rng.uniform(0.4, 1))
            if rng.random() < 0.5
            else (float(rng.uniform(0.1, 0.8)),) * 3
        )
        surface = stage.material(tint, rough=float(rng.uniform(0.25, 0.8)), metal=float(rng.choice([0.0, 0.9])))
        choice = rng.integers(0, 5)
        if choice == 0:
            size = tuple(rng.uniform((300, 300, 500), (1200, 900, 1900)))
            stage.add_box(size, surface, at_mm=(x, y, FLOOR_MM), yaw_rad=float(rng.normal(scale=0.2)), radius_mm=12)
            lamp = stage.material((float(rng.random()), 0.8, 0.3), glow=float(rng.uniform(0.5, 4)))
            stage.add_box((160, 20, 110), lamp, at_mm=(x, y - far * (size[1] / 2 + 8), FLOOR_MM + size[2] * 0.75))
        elif choice == 1:
            _tote(stage, rng, surface, (x, y))
        elif choice == 2:
            _pallet(stage, rng, (x, y))
        elif choice == 3:
            stage.add_box((70, 70, 2600), surface, at_mm=(x, y, FLOOR_MM))
            stage.add_box((1500, 60, 60), surface, at_mm=(x, y, FLOOR_MM + float(rng.uniform(900, 2200))))
        else:
            stage.add_box((2600, 60, 2400), surface, at_mm=(x, width_mm / 2 + far * 4200, FLOOR_MM))


def _tote(stage: Stage, rng: np.random.Generator, surface: Any, at: tuple[float, float]) -> None:
    height, base = float(rng.uniform(180, 340)), FLOOR_MM + float(rng.choice([0, 150, 700]))
    for dx, dy, sx, sy in ((0, 190, 600, 14), (0, -190, 600, 14), (293, 0, 14, 380), (-293, 0, 14, 380)):
        stage.add_box((sx, sy, height), surface, at_mm=(at[0] + dx, at[1] + dy, base), radius_mm=3)
    stage.add_box((590, 380, 12), surface, at_mm=(at[0], at[1], base), radius_mm=3)


def _pallet(stage: Stage, rng: np.random.Generator, at: tuple[float, float]) -> None:
    wood = stage.material(tuple(np.array((0.72, 0.56, 0.38)) * rng.uniform(0.6, 1.1)), rough=0.8)
    for step in np.linspace(-350, 350, 6):
        stage.add_box((1200, 95, 22), wood, at_mm=(at[0], at[1] + float(step), FLOOR_MM + 122), radius_mm=2)
    for step in (-550, 0, 550):
        stage.add_box((100, 800, 120), wood, at_mm=(at[0] + step, at[1], FLOOR_MM), radius_mm=2)
