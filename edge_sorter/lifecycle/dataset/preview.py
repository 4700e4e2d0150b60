"""See what augmentation does to pictures before hours are spent on training with it.

Contract: runs the functions that training runs (`lifecycle.augment`), on the given pictures with their boxes. The first
tile of a row is the picture as it is; then what the camera effects do at their worst, one at a time; then what training
draws. Only the last part needs ultralytics.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_sorter.errors import DatasetError
from edge_sorter.lifecycle import augment
from edge_sorter.lifecycle.augment import CameraEffects
from edge_sorter.lifecycle.dataset import pictures
from edge_sorter.lifecycle.dataset.progress import Progress, silent
from edge_sorter.lifecycle.dataset.reading.own import read_labels
from edge_sorter.lifecycle.dataset.record import load_record
from edge_sorter.lifecycle.dataset.sheet import Tile
from edge_sorter.lifecycle.dataset.untrusted import Problems
from edge_sorter.lifecycle.dataset.values import SUFFIXES, Corners, label_path
from edge_sorter.lifecycle.recipe import Recipe
from edge_sorter.types import Image

ANY_CLASS = 1 << 16
Labelled = tuple[str, Image, list[tuple[Corners, int]]]


def choose(data: Path, names: Sequence[str], count: int, *, seed: int = 0) -> list[Path]:
    """Return the pictures to show: those named, else some of the data set's labelled ones, drawn with `seed`.

    Args:
        data: A data set, a folder of pictures, or one picture.
        names: File names or parts of them; () draws.
        count: How many to draw.
        seed: Draws.

    Raises:
        DatasetError: Nothing there, or a name that no picture has.
    """
    if data.is_file():
        return [data]
    if (data / "dataset.json").is_file():
        found = [data / str(row["file"]) for row in load_record(data)["images"] if row["boxes"]]
    else:
        found = sorted(path for path in data.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not found:
        raise DatasetError(f"{data} holds no labelled picture")
    if not names:
        return sorted(random.Random(seed).sample(found, min(count, len(found))))
    chosen = []
    for name in names:
        matching = [path for path in found if name in path.name]
        if not matching:
            raise DatasetError(f"no picture in {data} has a name with '{name}'")
        chosen.append(matching[0])
    return chosen


def recipe_with(pairs: Sequence[str]) -> Recipe:
    """Return the training recipe with `NAME=VALUE` set.

    Raises:
        DatasetError: No such field, or not a value of its kind.
    """
    known = asdict(Recipe())
    changes = {}
    for pair in pairs:
        name, _, text = pair.partition("=")
        if name not in known:
            raise DatasetError(f"--set '{pair}': the recipe has no '{name}'. It has: {', '.join(known)}")
        try:
            changes[name] = type(known[name])(text)
        except ValueError:
            raise DatasetError(f"--set '{pair}': '{text}' is no {type(known[name]).__name__}") from None
    return replace(Recipe(), **changes)


def effects_at_worst(recipe: Recipe) -> list[tuple[str, CameraEffects]]:
    """Return each camera effect of a recipe by itself, always done."""
    camera = recipe.camera()
    nothing = CameraEffects(share=1.0)
    shown = [
        (f"exposure x1/{camera.exposure:g} .. x{camera.exposure:g}", replace(nothing, exposure=camera.exposure)),
        (f"motion blur <= {camera.blur_px:.1f} px", replace(nothing, blur_px=camera.blur_px, blur_deg=camera.blur_deg)),
        (f"noise <= {camera.noise:g} grey levels", replace(nothing, noise=camera.noise)),
        (f"JPEG quality >= {camera.jpeg_quality}", replace(nothing, jpeg_quality=camera.jpeg_quality)),
    ]
    return [(text, effect) for text, effect in shown if augment.camera_effects(effect)]


def rows(
    paths: Sequence[Path], recipe: Recipe, *, variants: int, seed: int = 0, progress: Progress = silent
) -> list[list[Tile]]:
    """Return one row of tiles a picture.

    Args:
        paths: Pictures; their YOLO labels are found where a data set has them.
        recipe: What training would use.
        variants: How many draws of the whole augmentation; 0 needs no ultralytics.
        seed: Draws.
        progress: Told pictures done and all.

    Raises:
        DatasetError: A picture or its labels cannot be read.
        ModelError: `variants` asked for without ultralytics.
    """
    table = []
    for done, path in enumerate(paths, start=1):
        name, image, boxes = _load(path)
        small = _resized(image, recipe.imgsz)
        row = [Tile(small, boxes, name)]
        for text, effect in effects_at_worst(recipe):
            # the worst of many draws is near the limit, and shows it without a second way to apply an effect
            draws = [
                augment.apply(small, augment.camera_effects(effect), np.random.default_rng([seed, n])) for n in range(8)
            ]
            row.append(Tile(max(draws, key=lambda seen: _difference(seen, small)), boxes, text))
        row += [_variant(image, boxes, recipe, seed=seed + 1000 * done + n) for n in range(variants)]
        table.append(row)
        progress(done, len(paths))
    return table


def _variant(image: Image, boxes: list[tuple[Corners, int]], recipe: Recipe, *, seed: int) -> Tile:
    height, width = image.shape[:2]
    table = np.array(
        [[class_id, at.x1 * width, at.y1 * height, at.x2 * width, at.y2 * height] for at, class_id in boxes], np.float32
    ).reshape(-1, 5)
    seen, kept = augment.varied(image, table, recipe, seed=seed)
    side = float(seen.shape[0])
    corners = [(Corners(*(float(v) / side for v in row[1:])), int(row[0])) for row in kept]
    return Tile(np.asarray(seen, dtype=np.uint8), corners, f"training sees, seed {seed}")


def _load(path: Path) -> Labelled:
    image = pictures.load(path)
    problems = Problems(f"labels of {path}")
    label = Path(label_path(path.as_posix()))
    boxes = read_labels(label, classes=ANY_CLASS, problems=problems)
    if boxes is None:
        boxes = read_labels(path.with_suffix(".txt"), classes=ANY_CLASS, problems=problems)
    problems.raise_any()
    return path.name, image, [(at, class_id) for class_id, at in boxes or ()]


def _resized(image: Image, side_px: int) -> Image:
    factor = side_px / max(image.shape[:2])
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, None, fx=factor, fy=factor, interpolation=how), dtype=np.uint8)


def _difference(one: Image, two: NDArray[np.uint8]) -> float:
    return float(cv2.absdiff(one, two).mean())
