"""YOLO: one text file a picture, `class cx cy w h` relative to it; names in data.yaml or given.

Contract: a missing label file is not an empty one. Polygons and oriented boxes become the box around them; a fifth
number (a model's confidence) is left out and makes the picture's labels pre-labels.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import BaseModel

from edge_sorter.errors import ConfigError, DatasetError
from edge_sorter.lifecycle.dataset.reading import Reading, visible
from edge_sorter.lifecycle.dataset.untrusted import Problems, number, read_text
from edge_sorter.lifecycle.dataset.values import PART_NAMES, SUFFIXES, Corners, Draft, label_path
from edge_sorter.yamlfile import read_yaml


class _DataYaml(BaseModel):
    names: list[str] | dict[int, str]


def read(source: Path, *, names: tuple[str, ...] = ()) -> Reading:
    """Read a folder of pictures with label files beside them or in a `labels` folder.

    Raises:
        DatasetError: No class names, or label lines that are wrong; lists them.
    """
    names = names or _names(source)
    problems = Problems(f"YOLO data set {source}")
    counts = {"polygon": 0, "confidence": 0}
    drafts = []
    for image in visible(source, *SUFFIXES):
        name = image.relative_to(source).as_posix()
        if name.startswith("masks/"):  # instance masks beside images/ and labels/, as our renderer leaves them
            continue
        label = _label_of(source, image, name)
        before = counts["confidence"]
        boxes = None if label is None else _boxes(label, names, problems, counts)
        drafts.append(
            Draft(name, image, boxes, part=part_of(name), pre_labels=counts["confidence"] > before),
        )
    problems.raise_any()
    notes = []
    if counts["polygon"]:
        notes.append(f"{counts['polygon']} polygons became the boxes around them")
    if counts["confidence"]:
        notes.append(f"{counts['confidence']} boxes carried a confidence: taken as pre-labels")
    return Reading("yolo", tuple(drafts), names, tuple(notes))


def part_of(name: str) -> str:
    """Return the part of a split that a folder of the path names, or ""."""
    parts = [PART_NAMES[part.lower()] for part in PurePosixPath(name).parts[:-1] if part.lower() in PART_NAMES]
    return parts[-1] if parts else ""


def parse_line(line: str, where: str, *, classes: int) -> tuple[int, Corners, str]:
    """Read one label line; returns class id, corners and "box", "polygon" or "confidence".

    Raises:
        DatasetError: Not such a line.
    """
    first, *rest = line.split()
    if not first.isdecimal() or int(first) >= classes:
        raise DatasetError(f"{where}: class {first!r} is not an id from 0 to {classes - 1}")
    values = [number(part, where) for part in rest]
    if len(values) in (4, 5):
        cx, cy, width, height = values[:4]
        at = Corners(cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2)
        return int(first), at, "box" if len(values) == 4 else "confidence"
    if len(values) >= 6 and len(values) % 2 == 0:
        xs, ys = values[::2], values[1::2]
        return int(first), Corners(min(xs), min(ys), max(xs), max(ys)), "polygon"
    raise DatasetError(f"{where}: expected 'class cx cy w h', found {len(values)} numbers after the class")


def _boxes(
    label: Path, names: tuple[str, ...], problems: Problems, counts: dict[str, int]
) -> tuple[tuple[str, Corners], ...]:
    boxes = []
    for row, line in enumerate(read_text(label).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            class_id, at, kind = parse_line(line, f"{label}, line {row}", classes=len(names))
            if max(map(abs, at)) > 10:
                raise DatasetError(f"{label}, line {row}: coordinates must be relative (0..1), found pixels: '{line}'")
        except DatasetError as error:
            problems.add(str(error))
            continue
        counts[kind] = counts.get(kind, 0) + 1
        boxes.append((names[class_id], at))
    return tuple(boxes)


def _label_of(root: Path, image: Path, name: str) -> Path | None:
    flat = root / "labels" / f"{image.stem}.txt"
    for candidate in (root / label_path(name), image.with_suffix(".txt"), flat):
        if candidate.is_file():
            return candidate
    return None


def _names(root: Path) -> tuple[str, ...]:
    for path in visible(root, ".yaml", ".yml"):
        if path.parent != root and path.name != "data.yaml":
            continue
        try:
            found: Any = read_yaml(path, _DataYaml, what="YOLO data file").names
        except ConfigError as error:
            raise DatasetError(str(error)) from None
        if isinstance(found, dict):
            if sorted(found) != list(range(len(found))):
                raise DatasetError(f"{path}: names must count from 0 without gaps, found {sorted(found)}")
            found = [found[index] for index in range(len(found))]
        return tuple(found)
    for name in ("classes.txt", "obj.names"):
        if (root / name).is_file():
            return tuple(line for line in read_text(root / name).splitlines() if line.strip())
    raise DatasetError(f"{root} has no data.yaml or classes.txt with class names; give them: --classes carton,polybag")
