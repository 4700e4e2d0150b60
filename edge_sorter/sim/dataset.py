"""Training images from random scenes, labelled from the pixels each parcel really shows.

Contract: image number n of a seed always shows the same scene; a label file and a mask are written whole, before their
image.
"""

from __future__ import annotations

from pathlib import Path

import cv2

from edge_sorter.atomic import write_text
from edge_sorter.sim import close_up, film, picture_file, scatter
from edge_sorter.sim.shown import label_rows, numbered, shown


def make_image(out_dir: Path, number: int, *, seed: int, threads: int = 0, near: bool = False) -> None:
    """Render image ``number`` with labels and mask, unless it is already there; ``near``: a close-up from above."""
    split = "valid" if number % 10 == 9 else "train"
    name = f"{'near' if near else 'sim'}_{seed}_{number:05d}"
    image_path = out_dir / "images" / split / f"{name}.jpg"
    if image_path.exists():
        return
    scene = (close_up if near else scatter).build(seed, number, threads=threads)
    shot = scene.stage.shoot(out_dir / f".scratch_{name}.exr")
    camera = film.random_film(scene.rng, shot.light, infrared=scene.infrared)
    found = shown(film.bend_mask(shot.seen, camera.bend), scene.camera, scene.kinds, scene.vertices_mm)
    picture = film.develop(shot.light, camera, scene.rng)
    shape = picture.shape[0], picture.shape[1]
    write_text(out_dir / "labels" / split / f"{name}.txt", label_rows(found, shape))
    picture_file.write(out_dir / "masks" / split / f"{name}.png", numbered(found, shape))
    picture_file.write(image_path, picture, [cv2.IMWRITE_JPEG_QUALITY, 92])
