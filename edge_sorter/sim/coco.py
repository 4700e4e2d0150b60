"""Training images as COCO: boxes, instance masks, areas and classes, from the label files and masks beside them.

Contract: a folder with ``images/PART``, ``labels/PART`` and, where the renderer left them, ``masks/PART`` gives
``annotations/PART.json``, whole or not at all. Number n of a mask is row n of its label file. An image without a mask
(drawn before there were any) gets boxes only. Needs no Blender.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_sorter.atomic import write_text
from edge_sorter.errors import DatasetError
from edge_sorter.sim.scenario import CLASSES

PARTS = ("train", "valid")
ByteImage = NDArray[np.uint8]


@dataclass(frozen=True)
class Written:
    """One file that was written: how many images, parcels, and images that had no mask."""

    path: Path
    images: int
    parcels: int
    boxes_only: int


def write(root: Path) -> tuple[Written, ...]:
    """Write ``annotations/PART.json`` for every part that has images.

    Raises:
        DatasetError: there are no images, or a label, mask or image cannot be read.
    """
    parts = [part for part in PARTS if any((root / "images" / part).glob("*.jpg"))]
    if not parts:
        raise DatasetError(f"{root}: no images in images/train or images/valid. Render some with `render dataset`.")
    return tuple(_write_part(root, part) for part in parts)


def forget(root: Path) -> None:
    """Remove what `write` wrote: while images are being added it would silently be too short a list of them."""
    for part in PARTS:
        (root / "annotations" / f"{part}.json").unlink(missing_ok=True)


def run_lengths(mask: NDArray[np.bool_]) -> list[int]:
    """COCO's uncompressed run lengths: column by column, starting with the pixels outside."""
    flat = mask.ravel(order="F")
    changes = np.flatnonzero(flat != np.concatenate([[False], flat[:-1]]))
    return [int(count) for count in np.diff([0, *changes, flat.size])]


def _write_part(root: Path, part: str) -> Written:
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    boxes_only = 0
    for path in sorted((root / "images" / part).glob("*.jpg")):
        mask = _mask(root, part, path.stem)
        boxes_only += mask is None
        height, width = _read(path, cv2.IMREAD_GRAYSCALE).shape if mask is None else mask.shape
        image_id = len(images) + 1
        images.append({"id": image_id, "file_name": path.name, "width": width, "height": height})
        for row in _annotations(root / "labels" / part / f"{path.stem}.txt", mask, (width, height)):
            annotations.append({"id": len(annotations) + 1, "image_id": image_id, **row})
    content = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for number, name in enumerate(CLASSES, start=1)],
    }
    target = root / "annotations" / f"{part}.json"
    write_text(target, json.dumps(content, separators=(",", ":")) + "\n")
    return Written(target, len(images), len(annotations), boxes_only)


def _mask(root: Path, part: str, name: str) -> ByteImage | None:
    path = root / "masks" / part / f"{name}.png"
    return _read(path, cv2.IMREAD_UNCHANGED) if path.exists() else None


def _read(path: Path, how: int) -> ByteImage:
    picture = cv2.imread(str(path), how)
    if picture is None or picture.ndim != 2 or picture.dtype != np.uint8:
        raise DatasetError(f"{path}: not a whole 8-bit picture. Delete this image and render it again.")
    return np.asarray(picture, np.uint8)


def _annotations(label: Path, mask: ByteImage | None, image_px: tuple[int, int]) -> Iterator[dict[str, Any]]:
    try:
        rows = label.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DatasetError(f"{label}: cannot read the labels ({error.strerror}). Render the image again.") from error
    for number, row in enumerate(rows, start=1):
        kind, x, y, w, h = _numbers(row, f"{label}, line {number}")
        width, height = w * image_px[0], h * image_px[1]
        left, top = x * image_px[0] - width / 2, y * image_px[1] - height / 2
        found: dict[str, Any] = {
            "category_id": kind + 1,
            "bbox": [round(v, 2) for v in (left, top, width, height)],
            "area": round(width * height, 2),
            "segmentation": [],
            "iscrowd": 0,
        }
        own = mask == number if mask is not None else np.zeros((1, 1), bool)
        if own.any():
            found["area"] = int(own.sum())
            found["segmentation"] = {"size": list(own.shape), "counts": run_lengths(own)}
        yield found


def _numbers(row: str, where: str) -> tuple[int, float, float, float, float]:
    try:
        kind, x, y, w, h = row.split()
        if not 0 <= int(kind) < len(CLASSES):
            raise ValueError(kind)
        return int(kind), float(x), float(y), float(w), float(h)
    except ValueError as error:
        raise DatasetError(f"{where}: is not 'class x y width height' of one of {len(CLASSES)} classes") from error
