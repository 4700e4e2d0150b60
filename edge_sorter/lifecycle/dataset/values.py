"""The values of a data set: boxes, pictures with the groups they belong to, and the hash over all of them.

Contract: plain frozen values. Boxes are relative to the upright picture (0..1), so they survive any scaling.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

SCHEMA = "edge_sorter.dataset/1"
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
PARTS = ("train", "valid", "test")
PART_NAMES = {"train": "train", "training": "train", "valid": "valid", "val": "valid", "validation": "valid"} | {
    "test": "test",
    "testing": "test",
}


class Corners(NamedTuple):
    """A box by two corners, relative to the picture (0..1); not cut to it."""

    x1: float
    y1: float
    x2: float
    y2: float

    @property
    def area(self) -> float:
        """Return the area relative to the picture; 0 for a box turned inside out."""
        return max(0.0, self.x2 - self.x1) * max(0.0, self.y2 - self.y1)

    def overlap(self, other: Corners) -> float:
        """Return the area both cover."""
        width = min(self.x2, other.x2) - max(self.x1, other.x1)
        height = min(self.y2, other.y2) - max(self.y1, other.y1)
        return max(0.0, width) * max(0.0, height)

    def iou(self, other: Corners) -> float:
        """Return intersection over union, 0 where neither has an area."""
        both = self.overlap(other)
        union = self.area + other.area - both
        return both / union if union > 0 else 0.0

    def cut(self) -> Corners:
        """Return the part inside the picture."""
        return Corners(*(min(1.0, max(0.0, value)) for value in self))


class Box(NamedTuple):
    """One labelled object: index into the data set's classes, and where it is."""

    class_id: int
    at: Corners

    def line(self) -> str:
        """Return the YOLO label line, `class cx cy w h`."""
        x1, y1, x2, y2 = self.at
        return f"{self.class_id} {(x1 + x2) / 2:.6f} {(y1 + y2) / 2:.6f} {x2 - x1:.6f} {y2 - y1:.6f}"


@dataclass(frozen=True, slots=True)
class Groups:
    """What a picture shares with others; pictures that share one may not end in different parts of a split.

    Attributes:
        day: Date of the recording, YYYY-MM-DD, or "".
        clip: Recording that the picture is a frame of, or "".
        frame: Number of the frame in its clip, or None.
        parcels: Parcels or tracks that are on the picture, where known.
        original: The picture that this one is an augmented copy of; its own name when it is none.
    """

    day: str = ""
    clip: str = ""
    frame: int | None = None
    parcels: tuple[str, ...] = ()
    original: str = ""


@dataclass(frozen=True, slots=True)
class Draft:
    """One picture as a reader found it: classes by name, nothing copied yet.

    Attributes:
        name: Path inside its source, POSIX; decides its name in the data set.
        image: The file.
        boxes: Class name and corners; None where nobody labelled the picture, () where nothing is on it.
        declared_px: Width and height the labels were made for, where the format says so.
        part: "train", "valid", "test" where the source is split already, or "".
        pre_labels: The labels are a model's, to be corrected.
    """

    name: str
    image: Path
    boxes: tuple[tuple[str, Corners], ...] | None
    groups: Groups = Groups()
    declared_px: tuple[int, int] | None = None
    part: str = ""
    pre_labels: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture of a data set.

    Attributes:
        file: Path of the image in the data set, POSIX.
        sha256: Of the image file.
        size_px: Width and height, upright.
        boxes: None where there is no label file.
        source: Name of where it came from.
    """

    file: str
    sha256: str
    size_px: tuple[int, int]
    boxes: tuple[Box, ...] | None
    groups: Groups
    source: str = ""
    part: str = ""
    pre_labels: bool = False

    @property
    def label_file(self) -> str:
        """Return the path of the label file in the data set."""
        return label_path(self.file)


@dataclass(frozen=True, slots=True)
class Dataset:
    """A data set as it stands on disk."""

    root: Path
    classes: tuple[str, ...]
    pictures: tuple[Picture, ...]
    sources: tuple[dict[str, object], ...] = field(default=())

    def path(self, picture: Picture) -> Path:
        """Return where a picture lies."""
        return self.root / picture.file


def label_path(image: str) -> str:
    """Return the label file that belongs to an image: `images` becomes `labels`, the suffix `.txt`."""
    *folders, name = image.split("/")
    for index in range(len(folders) - 1, -1, -1):
        if folders[index] == "images":
            folders[index] = "labels"
            break
    return "/".join((*folders, name.rpartition(".")[0] + ".txt"))


def label_text(boxes: Iterable[Box]) -> str:
    """Return the text of a label file; sorted, so that the order of drawing boxes changes no hash."""
    return "".join(f"{line}\n" for line in sorted(box.line() for box in boxes))


def fingerprint(classes: Sequence[str], pictures: Iterable[Picture]) -> str:
    """Return the data set's sha256, independent of order, file names and machine."""
    rows = sorted(
        json.dumps(
            [
                picture.sha256,
                None if picture.boxes is None else label_text(picture.boxes),
                [picture.groups.day, picture.groups.clip, picture.groups.frame, sorted(picture.groups.parcels)],
                picture.groups.original,
                picture.part,
            ]
        )
        for picture in pictures
    )
    digest = hashlib.sha256(json.dumps([SCHEMA, list(classes)]).encode())
    for row in rows:
        digest.update(row.encode())
    return digest.hexdigest()
