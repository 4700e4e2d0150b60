"""Tiny labelled sets for training tests: painted in milliseconds, learnable in seconds."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np

from edge_sorter.sim.collage import picture

CLASSES = ("carton", "polybag", "mailer", "tube", "sack")


def collage_set(root: Path, *, train: int = 12, valid: int = 4, form: str = "box") -> Path:
    """Write pictures of the collage generator with labels as boxes, polygons or corners; returns `data.yaml`."""
    rng = np.random.default_rng(8)
    for split, count in (("train", train), ("valid", valid)):
        for part in ("images", "labels"):
            (root / split / part).mkdir(parents=True)
        for index in range(count):
            image, boxes = picture(rng)
            cv2.imwrite(str(root / split / "images" / f"{index}.jpg"), image)
            lines = "".join(_line(image, class_id, box, form) for class_id, box in boxes)
            (root / split / "labels" / f"{index}.txt").write_text(lines)
    path = root / "data.yaml"
    path.write_text(f"train: train/images\nval: valid/images\nnames: [{', '.join(CLASSES)}]\n")
    return path


def _line(image: np.ndarray, class_id: int, box: tuple[int, int, int, int], form: str) -> str:
    height, width = image.shape[:2]
    x1, y1, x2, y2 = box[0] / width, box[1] / height, box[2] / width, box[3] / height
    numbers = ((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1) if form == "box" else (x1, y1, x2, y1, x2, y2, x1, y2)
    return f"{class_id} {' '.join(f'{number:.5f}' for number in numbers)}\n"


def attribute_set(root: Path, *, train: int = 60, valid: int = 24) -> Path:
    """Write brown cut-outs, some with a white label, some with a black gash; one in ten not looked at for gashes."""
    rng = np.random.default_rng(0)
    (root / "images").mkdir(parents=True)
    for split, count in (("train", train), ("valid", valid)):
        rows = []
        for index in range(count):
            image = np.clip(rng.normal((90, 130, 170), 8, (48, 64, 3)), 0, 255).astype(np.uint8)
            label, gash = rng.random() < 0.5, rng.random() < 0.3
            if label:
                x, y = int(rng.integers(2, 30)), int(rng.integers(2, 22))
                image[y : y + 22, x : x + 30] = 245
            if gash:
                cv2.line(image, (5, int(rng.integers(5, 40))), (58, int(rng.integers(5, 40))), (10, 10, 10), 5)
            name = f"images/{split}{index}.png"
            cv2.imwrite(str(root / name), image)
            rows.append((name, "" if rng.random() < 0.1 else int(gash), int(label)))
        with (root / f"{split}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("image", "damaged", "label_present"), *rows])
    path = root / "data.yaml"
    path.write_text("train: train.csv\nval: valid.csv\nnames: [damaged, label_present]\n")
    return path
