"""Small data sets on disk, made on the spot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_sorter.lifecycle.dataset.importing import ClassMap, Imported, Source, write_dataset
from edge_sorter.lifecycle.dataset.reading import Reading
from edge_sorter.lifecycle.dataset.values import Corners, Draft, Groups

MIDDLE = Corners(0.25, 0.25, 0.75, 0.75)


def scene(seed: int, *, width: int = 320, height: int = 240, blocks: int = 12) -> NDArray[np.uint8]:
    """A sharp, well-lit picture; every seed another one."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), 70, np.uint8)
    for _ in range(blocks):
        x, y = rng.integers(0, width - 40), rng.integers(0, height - 40)
        colour = tuple(int(v) for v in rng.integers(20, 240, 3))
        cv2.rectangle(image, (int(x), int(y)), (int(x) + 40, int(y) + 40), colour, -1)
    return image


def save(path: Path, image: NDArray[np.uint8]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)
    return path


def draft(
    folder: Path,
    name: str,
    image: NDArray[np.uint8],
    boxes: Sequence[tuple[str, Corners]] | None = (("carton", MIDDLE),),
    *,
    groups: Groups | None = None,
    part: str = "",
) -> Draft:
    given = groups or Groups(original=name)
    return Draft(name, save(folder / name, image), None if boxes is None else tuple(boxes), given, part=part)


def make(out: Path, drafts: Sequence[Draft], *, classes: tuple[str, ...] = ("carton", "polybag")) -> Imported:
    reading = Reading("yolo", tuple(drafts), classes)
    return write_dataset(out, [Source("made", reading)], class_map=ClassMap(classes=classes))
