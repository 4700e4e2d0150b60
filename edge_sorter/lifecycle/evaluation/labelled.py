"""Labelled pictures: a folder of images and one of YOLO labels, read as boxes in pixels and in our classes.

Contract: `read_set` yields one truth with its picture at a time and raises at the first thing it cannot read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edge_sorter.errors import DatasetError
from edge_sorter.lifecycle.shipped_data import find_images, read_labels
from edge_sorter.types import Detections, FloatArray, Image, IntArray

FLOOR_CONFIDENCE = 0.01
"""Recall is measured down to here; lower boxes only cost time."""

Predict = Callable[[Image], Detections]


@dataclass(frozen=True)
class Labelled:
    """One image with its truth: boxes xyxy in pixels (n, 4) and class ids (n,)."""

    path: Path
    xyxy: FloatArray
    class_id: IntArray
    size_px: tuple[int, int]


def read_set(
    images: Path, labels: Path, *, class_map: dict[int, int] | None = None
) -> Iterator[tuple[Labelled, Image]]:
    """Read a folder of images and YOLO labels, one pair (truth, BGR picture) at a time.

    Args:
        images: folder of images.
        labels: folder of label files of the same stems.
        class_map: their class id to ours; None when they are ours.

    Raises:
        DatasetError: unreadable image, bad label line, or a class that `class_map` does not know.
    """
    for path in find_images(images):
        picture = cv2.imread(str(path))
        if picture is None:
            raise DatasetError(f"{path} cannot be decoded as an image. Remove or replace it.")
        height, width = picture.shape[:2]
        boxes, classes = [], []
        for class_id, text in read_labels(labels / f"{path.stem}.txt"):
            cx, cy, w, h = (float(part) for part in text.split())
            boxes.append(((cx - w / 2) * width, (cy - h / 2) * height, (cx + w / 2) * width, (cy + h / 2) * height))
            if class_map is not None and class_id not in class_map:
                raise DatasetError(f"{labels / path.stem}.txt has class {class_id}, which --classes does not map.")
            classes.append(class_id if class_map is None else class_map[class_id])
        xyxy = np.array(boxes, dtype=np.float32).reshape(-1, 4)
        yield Labelled(path, xyxy, np.array(classes, dtype=np.int64), (width, height)), picture
