"""Training pictures in milliseconds, without Blender: flat-shaded parcels on invented scenes, exact boxes beside them.

They look like nothing real and are not meant to: shapes, colours, views, backgrounds and clutter vary so widely that
the real world is one more variation (domain randomisation, Tobin et al. 2017, Tremblay et al. 2018). What they teach is
the geometry that a few hundred ray-traced pictures cannot cover: cuboids and flat packs from every side, behind rails,
cut off, in stacks, small and huge.

`python -m edge_sorter.sim.collage --out DIR --count N --seed S` writes DIR/images and DIR/labels (YOLO); the same seed
gives the same pictures.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from edge_sorter.sim.collage.canvas import Canvas, Image, Rng
from edge_sorter.sim.collage.scene import background, belt, camera_effects, rails, random_view
from edge_sorter.sim.collage.things import scattered


def picture(rng: Rng, *, mailers: bool = True) -> tuple[Image, list[tuple[int, tuple[int, int, int, int]]]]:
    """Invent one picture; return it (BGR) and its parcels as (class id, visible box)."""
    width = int(rng.choice([384, 416, 448, 512]))
    height = int(width * rng.choice([0.5625, 0.5625, 0.667, 0.75]) // 2 * 2)
    view = random_view(rng, (width, height))
    canvas = Canvas(background(rng, view))
    if rng.random() < 0.75:
        belt(rng, canvas, view)
    things = scattered(rng, mailers=mailers)
    distance = [-float(np.linalg.norm(thing.center - view.position)) for thing in things]
    for number in np.argsort(distance, kind="stable").tolist():
        things[number].paint(rng, canvas, view, owner=number + 1)
    rails(rng, canvas)
    boxes = canvas.boxes()
    return camera_effects(rng, canvas.image), boxes


def write(out: Path, *, count: int, seed: int, mailers: bool = True) -> None:
    """Write `count` pictures and labels; label first, so that every picture present has its label."""
    images, labels = out / "images", out / "labels"
    for folder in (images, labels):
        folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        image, boxes = picture(rng, mailers=mailers)
        height, width = image.shape[:2]
        rows = [
            f"{class_id} {(x1 + x2) / 2 / width:.6f} {(y1 + y2) / 2 / height:.6f} "
            f"{(x2 - x1) / width:.6f} {(y2 - y1) / height:.6f}\n"
            for class_id, (x1, y1, x2, y2) in boxes
        ]
        name = f"collage_{seed}_{number:05d}"
        (labels / f"{name}.txt").write_text("".join(rows), encoding="ascii")
        quality = int(rng.integers(55, 96))
        cv2.imwrite(str(images / f"{name}.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, quality])
