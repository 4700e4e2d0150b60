"""Our own data sets, so that two can be made into one and corrected labels are read again.

Contract: groups, sources and parts come from `dataset.json`, labels from the label files as they are now, sizes and
hashes from the images as they are now.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edge_sorter.errors import DatasetError
from edge_sorter.lifecycle.dataset.reading import Reading
from edge_sorter.lifecycle.dataset.reading.yolo import parse_line
from edge_sorter.lifecycle.dataset.untrusted import Problems, inside, read_text
from edge_sorter.lifecycle.dataset.values import SCHEMA, Corners, Draft, Groups, label_path


def load_record(root: Path) -> dict[str, Any]:
    """Return `dataset.json`.

    Raises:
        DatasetError: There is none, or it is another version's.
    """
    path = root / "dataset.json"
    if not path.is_file():
        raise DatasetError(f"{root} is no data set: it has no dataset.json. Make one: edge-sorter dataset import")
    try:
        record = json.loads(read_text(path))
        schema = record["schema"]
        if schema != SCHEMA:
            raise DatasetError(f"{path} has schema {schema!r}; this version reads {SCHEMA!r}")
        record["images"], record["classes"], record["sources"]  # all three must be there
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{path} is no record of a data set ({error}); import the pictures again") from None
    return dict(record)


def groups_from(row: dict[str, Any]) -> Groups:
    """Return the groups of one row of `dataset.json`."""
    return Groups(
        day=str(row.get("day", "")),
        clip=str(row.get("clip", "")),
        frame=row.get("frame"),
        parcels=tuple(row.get("parcels", ())),
        original=str(row.get("original", "")),
    )


def read_labels(path: Path, *, classes: int, problems: Problems) -> tuple[tuple[int, Corners], ...] | None:
    """Read a label file; None where there is none. Faults go to `problems`."""
    if not path.is_file():
        return None
    boxes = []
    for row, line in enumerate(read_text(path).splitlines(), start=1):
        if line.strip():
            try:
                class_id, at, _ = parse_line(line, f"{path}, line {row}", classes=classes)
                boxes.append((class_id, at))
            except DatasetError as error:
                problems.add(str(error))
    return tuple(boxes)


def read(root: Path) -> Reading:
    """Read a data set made by `dataset import`."""
    record = load_record(root)
    classes = tuple(record["classes"])
    problems = Problems(f"data set {root}")
    drafts = []
    for row in record["images"]:
        file = str(inside(root, row["file"], str(root / "dataset.json")))
        boxes = read_labels(root / label_path(file), classes=len(classes), problems=problems)
        named = None if boxes is None else tuple((classes[class_id], at) for class_id, at in boxes)
        drafts.append(
            Draft(
                file.removeprefix("images/"),
                root / file,
                named,
                groups=groups_from(row),
                part=row.get("part", ""),
                pre_labels=bool(row.get("pre_labels", False)),
            )
        )
    problems.raise_any()
    return Reading("own", tuple(drafts), classes, earlier=tuple(record["sources"]))
