"""Training images from random scenes, labelled from the pixels each parcel really shows.

Contract: image number n of a seed always shows the same scene; a label file is written whole, before its image.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_sorter.sim import close_up, film, scatter
from edge_sorter.sim.scenario import CLASSES
from edge_sorter.sim.scene import Scene

MIN_VISIBLE_PX = 60
MIN_SIDE_PX = 10
MIN_VISIBLE_SHARE = 0.2


def boxes(scene: Scene, seen: NDArray[np.int32]) -> list[tuple[int, float, float, float, float]]:
    """Class and xyxy box of every parcel that shows enough of itself in an object-number picture."""
    found = []
    for number, kind in scene.kinds.items():
        mask = (seen == number).astype(np.uint8)
        if int(mask.sum()) > 400:  # single stray pixels, from defocus, must not stretch the box
            mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
        count = int(mask.sum())
        if count < MIN_VISIBLE_PX:
            continue
        pixels = scene.camera.project(scene.vertices_mm[number])
        if not np.isnan(pixels).any():
            hull = cv2.convexHull(pixels.astype(np.float32))
            # A big parcel that mostly lies outside the picture is still one; a sliver behind another is not.
            if count < MIN_VISIBLE_SHARE * cv2.contourArea(hull) and count < 0.03 * seen.size:
                continue
        columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
        x0, x1, y0, y1 = columns[0], columns[-1] + 1, rows[0], rows[-1] + 1
        if min(x1 - x0, y1 - y0) >= MIN_SIDE_PX:
            found.append((CLASSES.index(kind), float(x0), float(y0), float(x1), float(y1)))
    return found


def make_image(out_dir: Path, number: int, *, seed: int, threads: int = 0, near: bool = False) -> None:
    """Render image ``number`` with its label file, unless it is already there; ``near``: a close-up from above."""
    split = "valid" if number % 10 == 9 else "train"
    name = f"{'near' if near else 'sim'}_{seed}_{number:05d}"
    image_path = out_dir / "images" / split / f"{name}.jpg"
    label_path = out_dir / "labels" / split / f"{name}.txt"
    if image_path.exists():
        return
    scene = (close_up if near else scatter).build(seed, number, threads=threads)
    shot = scene.stage.shoot(out_dir / f".scratch_{name}.exr")
    camera = film.random_film(scene.rng, shot.light, infrared=scene.infrared)
    found = boxes(scene, film.bend_mask(shot.seen, camera.bend))
    picture = film.develop(shot.light, camera, scene.rng)
    height, width = picture.shape[:2]
    scale = np.array([width, height, width, height])
    lines = [
        f"{kind} " + " ".join(f"{v:.6f}" for v in ((x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0) / scale) + "\n"
        for kind, x0, y0, x1, y1 in found
    ]
    for path in (image_path, label_path):
        path.parent.mkdir(parents=True, exist_ok=True)
    partial = out_dir / f".partial_{name}.txt"
    partial.write_text("".join(lines), encoding="utf-8")
    partial.replace(label_path)
    partial = out_dir / f".partial_{name}.jpg"
    cv2.imwrite(str(partial), picture, [cv2.IMWRITE_JPEG_QUALITY, 92])
    partial.replace(image_path)
