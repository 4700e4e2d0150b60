"""Choose the images that int8 scales are measured on, and name them so that anyone can check.

Contract: `choose` draws from a data set's training images only; `write_list` records names and sha256, never pictures.
"""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edge_sorter.detect.letterbox import Letterbox
from edge_sorter.errors import ModelError

FULL_PICTURE = (0.0, 0.0, 1.0, 1.0)


def choose(data: Path, count: int, *, seed: int = 0) -> list[Path]:
    """Draw `count` different training images of a data set made by `edge_sorter.lifecycle.data.build`.

    The draw is over the training list, so a source weighs here as much as it did in training.
    """
    listing = data.parent / "train.txt"
    if not listing.is_file():
        raise ModelError(
            f"No training list at {listing}. Make a data set: python -m edge_sorter.lifecycle data build --help"
        )
    lines = listing.read_text(encoding="utf-8").split("\n")
    paths = [Path(line) for line in lines if line]
    random.Random(seed).shuffle(paths)
    return sorted(list(dict.fromkeys(paths))[:count])


def tensors(paths: list[Path], *, size_px: tuple[int, int]) -> list[npt.NDArray[np.float32]]:
    """Letterbox pictures as the runtime does, to (1, 3, h, w) float32 RGB 0..1."""
    result = []
    for path in paths:
        picture = cv2.imread(str(path))
        if picture is None:
            raise ModelError(f"{path} cannot be decoded as an image. Build the data set again.")
        height, width = picture.shape[:2]
        fit = Letterbox(
            image_size_px=(width, height),
            crop=FULL_PICTURE,
            input_size_px=size_px,
            layout="f32_nchw_rgb",
            scale=1 / 255,
        )
        result.append(np.array(fit(picture), dtype=np.float32))
    return result


def write_list(paths: list[Path], path: Path, *, size_px: tuple[int, int], seed: int) -> None:
    """Write the calibration list: source and file name of every picture with its sha256."""
    rows: list[dict[str, Any]] = []
    for image in paths:
        target = image.resolve()
        source = image.parent.name.rsplit("_", 1)[0]
        rows.append({"name": f"{source}/{target.name}", "sha256": hashlib.sha256(target.read_bytes()).hexdigest()})
    content = {"width_px": size_px[0], "height_px": size_px[1], "seed": seed, "images": rows}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
