"""Our own data sets, so that two can be made into one and corrected labels are read again.

Contract: groups, sources and parts come from `dataset.json`, labels from the label files as they are now, sizes and
hashes from the images as they are now.
"""

from __future__ import annotations

from pathlib import Path

from edge_sorter.errors import DatasetError
from edge_sorter.lifecycle.dataset.reading import Reading
from edge_sorter.lifecycle.dataset.reading.yolo import parse_line
from edge_sorter.lifecycle.dataset.record import groups_from, load_record
from edge_sorter.lifecycle.dataset.untrusted import Problems, inside, read_text
from edge_sorter.lifecycle.dataset.values import Corners, Draft, label_path


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
