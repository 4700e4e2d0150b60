"""Choose the images that int8 scales are measured on, and name them so that anyone can check.

Contract: `choose` takes from the given pictures only, and takes the same ones whatever their order, folder or the
machine: pictures are told apart by their content, compared in whole numbers, and ties go to the smaller sha256. Half of
them are spread as far apart as can be (what is rare must not be clipped), half are drawn evenly (what is common must
weigh most). `check` refuses sets that would give wrong scales; `write_list` records names and sha256, never pictures.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edge_sorter.atomic import write_text
from edge_sorter.detect.letterbox import Letterbox
from edge_sorter.errors import DatasetError

FULL_PICTURE = (0.0, 0.0, 1.0, 1.0)
FEWEST = 300
"""Fewer pictures leave the tails of the histograms to chance."""
THUMBNAIL_PX = 8
GREY_LEVELS = 16
"""Thumbnails are compared in steps of this many of 256 levels, so that decoders may differ in the last bit."""
LUMA_MARGIN = 10
STRANGE_SHARE = 0.2
SEEN_SHARE = 0.25
"""At least this part of the pictures must hold something that the float model finds."""


@dataclass(frozen=True)
class Look:
    """One picture as the choice sees it: content hash, coarse thumbnail, mean brightness 0..255."""

    path: Path
    sha256: str
    thumbnail: npt.NDArray[np.int32]
    luma: int


def training_pictures(data: Path) -> list[Path]:
    """Return the training images of a data set, each once.

    Args:
        data: `data.yaml` made by `edge-sorter dataset split`, with `train.txt` beside it.

    Raises:
        DatasetError: There is no training list.
    """
    listing = data.parent / "train.txt"
    if not listing.is_file():
        raise DatasetError(f"No training list at {listing}. Make a data set: edge-sorter dataset split --help")
    lines = listing.read_text(encoding="utf-8").split("\n")
    return [listing.parent / line for line in dict.fromkeys(lines) if line]


def look_at(paths: Sequence[Path]) -> list[Look]:
    """Look at every picture once, in the order of their content hashes; pictures with the same content count once.

    Raises:
        DatasetError: One cannot be read.
    """
    found: dict[str, Look] = {}
    for path in paths:
        try:
            content = path.read_bytes()
        except OSError as error:
            raise DatasetError(f"{path} cannot be read: {error.strerror}. Build the data set again.") from None
        sha256 = hashlib.sha256(content).hexdigest()
        if sha256 in found:
            continue
        picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_REDUCED_COLOR_4)
        if picture is None:
            raise DatasetError(f"{path} cannot be decoded as an image. Build the data set again.")
        small = cv2.resize(picture, (THUMBNAIL_PX, THUMBNAIL_PX), interpolation=cv2.INTER_AREA)
        luma = int(np.rint(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY).mean()))
        found[sha256] = Look(path, sha256, (small // GREY_LEVELS).astype(np.int32).ravel(), luma)
    return [found[sha256] for sha256 in sorted(found)]


def choose(looks: Sequence[Look], count: int) -> list[Look]:
    """Choose `count` pictures: half farthest from each other, half evenly from the rest; in the order of `looks`.

    Args:
        looks: Result of `look_at`.
        count: How many.

    Raises:
        DatasetError: There are not that many different pictures.
    """
    if len(looks) < count:
        raise DatasetError(
            f"{len(looks)} different calibration pictures were given, {count} are wanted. Add pictures of the line; "
            "copies of one picture count once."
        )
    spread = _farthest(np.stack([look.thumbnail for look in looks]), count // 2)
    rest = [index for index in range(len(looks)) if index not in spread]  # in the order of hashes: as good as drawn
    return [looks[index] for index in sorted((*spread, *rest[: count - len(spread)]))]


def check(chosen: Sequence[Look], *, reference: Sequence[Look], seen: int) -> None:
    """Refuse pictures that would give wrong scales.

    Args:
        chosen: The calibration pictures.
        reference: Pictures that the model was trained on; may be the ones `chosen` came from.
        seen: In how many of `chosen` the float model finds something.

    Raises:
        DatasetError: Too few, too few with parcels in them, or much brighter or darker than in training.
    """
    if len(chosen) < FEWEST:
        raise DatasetError(f"{len(chosen)} calibration pictures are too few for int8 scales; give at least {FEWEST}.")
    if seen < SEEN_SHARE * len(chosen):
        raise DatasetError(
            f"The float model finds something in {seen} of {len(chosen)} calibration pictures. Scales measured on "
            "empty pictures cut off what parcels need: give pictures with parcels on the belt."
        )
    if reference:
        low, high = (int(np.percentile([look.luma for look in reference], part)) for part in (1, 99))
        strange = [look for look in chosen if not low - LUMA_MARGIN <= look.luma <= high + LUMA_MARGIN]
        if len(strange) > STRANGE_SHARE * len(chosen):
            raise DatasetError(
                f"{len(strange)} of {len(chosen)} calibration pictures, {strange[0].path.name} among them, are outside "
                f"the brightness of the training pictures ({low} to {high} of 255). Light the scene as in training, or "
                "train on such pictures first."
            )


def tensors(paths: Sequence[Path], *, size_px: tuple[int, int]) -> list[npt.NDArray[np.float32]]:
    """Letterbox pictures as the runtime does, to (1, 3, h, w) float32 RGB 0..1."""
    result = []
    for path in paths:
        picture = cv2.imread(str(path))
        if picture is None:
            raise DatasetError(f"{path} cannot be decoded as an image. Build the data set again.")
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


def write_list(chosen: Sequence[Look], path: Path, *, size_px: tuple[int, int]) -> None:
    """Write the calibration list: source and file name of every picture with its sha256."""
    rows: list[dict[str, Any]] = []
    for look in chosen:
        source = look.path.parent.name.rsplit("_", 1)[0]
        rows.append({"name": f"{source}/{look.path.resolve().name}", "sha256": look.sha256})
    luma = [int(np.percentile([look.luma for look in chosen], part)) for part in (1, 50, 99)]
    content = {
        "width_px": size_px[0],
        "height_px": size_px[1],
        "luma_percentiles_1_50_99": luma,
        "images": sorted(rows, key=lambda row: (row["name"], row["sha256"])),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def _farthest(thumbnails: npt.NDArray[np.int32], count: int) -> set[int]:
    """Farthest-first traversal (a 2-approximation of k-centre): begin in the middle, always add what is farthest."""
    middle = np.median(thumbnails, axis=0).astype(np.int32)
    chosen = [int(np.abs(thumbnails - middle).sum(axis=1).argmin())]
    distance = np.abs(thumbnails - thumbnails[chosen[0]]).sum(axis=1)
    while len(chosen) < count:
        chosen.append(int(distance.argmax()))  # the first of equals, which is the smaller hash
        distance = np.minimum(distance, np.abs(thumbnails - thumbnails[chosen[-1]]).sum(axis=1))
    return set(chosen)
