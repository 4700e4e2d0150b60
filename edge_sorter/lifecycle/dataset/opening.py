"""Open a data set as it stands on disk now: labels may have been corrected since it was imported.

Contract: what cannot be read is kept as a fault of its picture instead of ending the work; `check` shows it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from edge_sorter.errors import DatasetError
from edge_sorter.lifecycle.dataset.progress import Progress, silent
from edge_sorter.lifecycle.dataset.reading.own import read_labels
from edge_sorter.lifecycle.dataset.record import groups_from, load_record
from edge_sorter.lifecycle.dataset.untrusted import Problems, inside
from edge_sorter.lifecycle.dataset.values import Box, Dataset, Picture, fingerprint, label_path

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Opened:
    """A data set, whether it is still what its record says, and what could not be read.

    Attributes:
        sha256: Of the data set as it is now.
        recorded_sha256: As it was imported.
        changed: Files whose picture differs from the record.
    """

    data: Dataset
    sha256: str
    recorded_sha256: str
    changed: tuple[str, ...]


def open_dataset(root: Path, *, progress: Progress = silent) -> Opened:
    """Read record, labels and hashes of a data set.

    Args:
        root: Folder made by `dataset import`.
        progress: Told pictures hashed and all.

    Raises:
        DatasetError: No data set, missing pictures, or label lines that are no labels; lists them.
    """
    record = load_record(root)
    classes = tuple(record["classes"])
    problems = Problems(f"data set {root}")
    rows = record["images"]
    digests = list(in_threads(lambda row: _digest(root, row, problems), rows, progress=progress))
    found = [_picture(root, row, digest, len(classes), problems) for row, digest in zip(rows, digests, strict=True)]
    problems.raise_any()
    changed = tuple(row["file"] for row, digest in zip(rows, digests, strict=True) if digest != row["sha256"])
    data = Dataset(root, classes, tuple(found), tuple(record["sources"]))
    return Opened(data, fingerprint(classes, found), record["sha256"], changed)


def in_threads(
    work: Callable[[Item], Result],
    items: list[Item],
    *,
    progress: Progress = silent,
) -> Iterator[Result]:
    """Yield results in the order of the items; decoding and hashing leave Python's lock, so threads help."""
    with ThreadPoolExecutor(thread_name_prefix="dataset") as pool:
        for done, result in enumerate(pool.map(work, items), start=1):
            progress(done, len(items))
            yield result


def _digest(root: Path, row: dict[str, Any], problems: Problems) -> str:
    path = root / inside(root, row["file"], str(root / "dataset.json"))
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        problems.add(f"{path} cannot be read: {error.strerror}; import the pictures again without it")
        return ""


def _picture(root: Path, row: dict[str, Any], digest: str, classes: int, problems: Problems) -> Picture:
    boxes = read_labels(root / label_path(row["file"]), classes=classes, problems=problems)
    return Picture(
        row["file"],
        digest,
        (int(row["width_px"]), int(row["height_px"])),
        None if boxes is None else tuple(sorted(Box(class_id, at) for class_id, at in boxes)),
        groups_from(row),
        source=row.get("source", ""),
        part=row.get("part", ""),
        pre_labels=bool(row.get("pre_labels", False)),
    )


def refuse_existing(path: Path) -> None:
    """Raise DatasetError where a result would overwrite something."""
    if path.exists():
        raise DatasetError(f"{path} exists already, and nothing is overwritten: choose another --out")
