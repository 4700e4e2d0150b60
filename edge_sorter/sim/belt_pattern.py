"""What a conveyor belt looks like after a year, as one repeat of its pattern.

Contract: `pattern` depends on the scenario alone; it holds linear albedo, softened to what the camera can resolve.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_sorter.sim.between import BeltPattern
from edge_sorter.sim.paint import BELT_RGB
from edge_sorter.sim.scenario import Scenario
from edge_sorter.sim.shapes import smooth_noise

PX_PER_MM = 1.0
CONTRAST = 1.3
"""Wear shows more in sheen than in colour, and the belt is traced with an even sheen."""
Skin = NDArray[np.uint8]


def pattern(scenario: Scenario) -> BeltPattern:
    """The belt's pattern as linear albedo, softened to what the camera can resolve."""
    belt = scenario.belt
    rng = np.random.default_rng([scenario.seed, 2])
    skin = worn_belt(belt.material, rng, (round(belt.seam_pitch_mm * PX_PER_MM), round(belt.width_mm * PX_PER_MM)))
    srgb = skin.astype(np.float32) / 255
    albedo = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4).astype(np.float32)
    albedo = np.maximum(albedo.mean() + CONTRAST * (albedo - albedo.mean()), 0.0).astype(np.float32)
    return BeltPattern(
        cv2.GaussianBlur(albedo, (0, 0), 0.8, borderType=cv2.BORDER_REFLECT),
        float(albedo.mean()),
        belt.seam_pitch_mm,
        belt.width_mm,
    )


def worn_belt(name: str, rng: np.random.Generator, size_px: tuple[int, int]) -> Skin:
    """A belt after a year: fabric grain, tracks where parcels run, grazes, dust at its edges, one vulcanised seam."""
    length, width = size_px
    shape = (width, length)
    base = np.array(BELT_RGB[name], float) * 0.86
    row, column = np.indices(shape)
    tone = 0.035 * np.sin(row * 2.1) * np.sin(column * 2.1) + 0.03 * rng.normal(size=shape)
    # Wear runs along the travel: noise drawn out lengthwise, which also repeats without a step.
    lanes = cv2.GaussianBlur(rng.normal(size=(width, 1)), (1, 0), 1, sigmaY=9, borderType=cv2.BORDER_REFLECT)
    tone += 0.30 * lanes + 0.05 * cv2.resize(rng.normal(size=(width, 1)), (length, width))
    tone += 0.06 * _around(smooth_noise(rng, (width, length), 7, 3))
    across = np.abs(row / width - 0.5) * 2
    dust = np.clip((across - 0.90) / 0.10, 0, 1) ** 1.5 * np.clip(0.6 + 0.5 * smooth_noise(rng, shape, 40, 2), 0, 1)
    polish = np.exp(-((across / 0.62) ** 4))
    image = np.empty((width, length, 3), np.uint8)
    colour = base * (1 + tone[..., None]) + 10 * polish[..., None]
    image[...] = np.clip(
        colour * (1 - 0.45 * dust[..., None]) + np.array([124, 116, 104]) * 0.45 * dust[..., None], 0, 255
    )
    _grazes(image, rng)
    _residue(image, rng)
    _seam(image, base)
    return image


def _around(tone: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cross-fade the ends of a texture, so that its repeat does not show as a step."""
    wrap = tone.shape[1] // 6
    fade = np.linspace(0, 1, wrap)[None, :]
    tone[:, -wrap:] = tone[:, -wrap:] * (1 - fade) + tone[:, :wrap][:, ::-1] * fade
    return tone


def _grazes(image: Skin, rng: np.random.Generator) -> None:
    """Hair-thin scratches and rubbed spots, each fading out along its way; most run with the belt."""
    width, length = image.shape[:2]
    layer = np.zeros((width, length), np.float32)
    for _ in range(520):
        x, y = rng.uniform(0.02, 0.97) * length, rng.uniform(0, width)
        reach = float(rng.exponential(0.02)) * length + 6
        turn = rng.normal(scale=0.10) if rng.random() < 0.8 else rng.normal(scale=0.9)
        bow = rng.normal(scale=0.12)
        steps = np.linspace(0, 1, 12)
        path = np.column_stack(
            [x + reach * steps * np.cos(turn + bow * steps), y + reach * steps * np.sin(turn + bow * steps)]
        )
        strength = float(rng.choice([-1, 1], p=[0.35, 0.65]) * rng.exponential(0.10))
        for i, (a, b) in enumerate(zip(path[:-1].astype(int), path[1:].astype(int), strict=True)):
            fading = strength * float(np.sin(np.pi * (i + 1) / 12))
            cv2.line(layer, tuple(map(int, a)), tuple(map(int, b)), fading, int(rng.choice([1, 1, 1, 2])), cv2.LINE_AA)
    rubbed = np.clip(_around(smooth_noise(rng, (width, length), 30, 3)) - 1.3, 0, 1)
    layer = cv2.GaussianBlur(layer, (0, 0), 0.7) + 0.16 * rubbed.astype(np.float32)
    light = image[...].astype(np.float32) * (1 + layer[..., None]) + 46 * np.clip(layer, 0, 1)[..., None]
    image[...] = np.clip(light, 0, 255)


def _residue(image: Skin, rng: np.random.Generator) -> None:
    """What labels and tape leave behind: a few pale, torn scraps stuck to the belt."""
    width, length = image.shape[:2]
    for _ in range(5):
        x, y = rng.uniform(0.04, 0.42) * length + rng.choice([0, 0.5]) * length, rng.uniform(0.08, 0.92) * width
        size = rng.uniform(7, 22)
        angles = np.sort(rng.uniform(0, 2 * np.pi, 9))
        spread = size * rng.uniform(0.35, 1, 9)
        points = np.column_stack([x + 1.6 * spread * np.cos(angles), y + spread * np.sin(angles)]).astype(np.int32)
        grey = float(rng.uniform(105, 170))
        mask = np.zeros(image.shape[:2], np.uint8)
        cv2.fillPoly(mask, [points], 255, cv2.LINE_AA)
        share = (mask / 255.0 * rng.uniform(0.35, 0.75))[..., None]
        image[...] = image[...] * (1 - share) + np.array([grey, grey * 0.97, grey * 0.92]) * share


def _seam(image: Skin, base: NDArray[np.float64]) -> None:
    """A vulcanised finger splice: a zigzag over the belt, a little lighter and smoother than the rest."""
    width, length = image.shape[:2]
    at, teeth, reach = length // 2, 26, int(34 * PX_PER_MM)
    rows = np.linspace(0, width, 2 * teeth + 1)
    zigzag = np.column_stack([at + reach * (np.arange(len(rows)) % 2), rows]).astype(np.int32)
    band = image[:, at - 8 : at + reach + 8]
    band[...] = np.clip(band[...] * 1.08 + 3, 0, 255).astype(np.uint8)
    cv2.polylines(image, [zigzag], False, tuple(int(v) for v in base * 0.5), 2, cv2.LINE_AA)
    cv2.polylines(image, [zigzag + np.array([3, 0])], False, tuple(int(v) for v in base * 1.35 + 8), 1, cv2.LINE_AA)
