"""Examine a data set: pictures, labels, classes, and the split where there is one.

Contract: reads only. `examine` returns every finding and the numbers behind the plots; what to do about them is the
user's business.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from edge_sorter.errors import DatasetError
from edge_sorter.lifecycle.dataset.examine import labels
from edge_sorter.lifecycle.dataset.examine.findings import Finding, Limits, finding, judged
from edge_sorter.lifecycle.dataset.examine.leaks import LEVELS, SHARED, leaks
from edge_sorter.lifecycle.dataset.examine.measure import Measured, measure
from edge_sorter.lifecycle.dataset.examine.twins import Pair, equal_files, near_duplicates
from edge_sorter.lifecycle.dataset.opening import in_threads, open_dataset
from edge_sorter.lifecycle.dataset.progress import Progress, silent
from edge_sorter.lifecycle.dataset.untrusted import require
from edge_sorter.lifecycle.dataset.values import Dataset


@dataclass(frozen=True)
class Examined:
    """What was found, and what it was found in."""

    data: Dataset
    sha256: str
    measured: dict[str, Measured]
    findings: tuple[Finding, ...]

    def count(self, severity: str) -> int:
        """Return how many findings are as bad as that."""
        return sum(item.severity == severity for item in self.findings)


@dataclass(frozen=True)
class Twins:
    """Pictures that show the same: groups of equal files, and pairs that nearly are."""

    equal: list[tuple[str, ...]]
    near: list[Pair]

    def pairs(self) -> list[tuple[str, str]]:
        """Return all of them as pairs; of n equal files n - 1 pairs link all."""
        linked = [pair for group in self.equal for pair in pairwise(group)]
        return linked + [(a, b) for a, b, _ in self.near]


def examine(
    root: Path,
    *,
    limits: Limits | None = None,
    severity: dict[str, str] | None = None,
    progress: Progress = silent,
) -> Examined:
    """Examine a data set.

    Args:
        root: Folder made by `dataset import`.
        limits: From which values on something is reported.
        severity: Kind -> "error", "warning" or "off", where it differs from the default.
        progress: Told pictures done and all, for hashing and measuring together.

    Raises:
        DatasetError: No data set, or label lines that are no labels.
    """
    limits = limits or Limits()
    count = len(open_rows(root))
    opened = open_dataset(root, progress=lambda done, _: progress(done, 2 * count))
    data = opened.data
    measured = measure_all(data, progress=lambda done, _: progress(count + done, 2 * count))
    found = [finding("changed", file) for file in opened.changed]
    for picture in data.pictures:
        found += _of_pixels(picture.file, measured[picture.file], limits)
        found += labels.of_picture(picture, limits)
    found += labels.between_frames(data, limits)
    found += labels.of_classes(data, limits)
    twins = find_twins(data, measured, limits)
    found += _of_twins(data, twins, limits)
    parts, levels = parts_of(data)
    found += leaks(data, parts, twins.pairs(), levels=levels)
    return Examined(data, opened.sha256, measured, tuple(judged(found, severity or {})))


def measure_all(data: Dataset, *, progress: Progress = silent) -> dict[str, Measured]:
    """Measure every picture, on all cores.

    Raises:
        DatasetError: A package is missing.
    """
    require("PIL.Image", "imagehash")
    files = [picture.file for picture in data.pictures]
    results = in_threads(lambda file: measure(data.root / file), files, progress=progress)
    return dict(zip(files, results, strict=True))


def find_twins(data: Dataset, measured: dict[str, Measured], limits: Limits) -> Twins:
    """Return equal and nearly equal pictures; of equal ones only the first is compared with others."""
    equal = equal_files({picture.file: picture.sha256 for picture in data.pictures})
    again = {file for group in equal for file in group[1:]}
    single = {file: item for file, item in measured.items() if file not in again}
    return Twins(equal, near_duplicates(single, bits=int(limits.twin_bits), grey=limits.twin_grey))


def parts_of(data: Dataset) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return file -> part, and what parts may not share: by split.json where there is one, else as pictures came."""
    record = data.root / "split.json"
    if not record.is_file():
        return {picture.file: picture.part for picture in data.pictures if picture.part}, LEVELS
    try:
        content = json.loads(record.read_text(encoding="utf-8"))
        parts = {str(file): str(name) for name, files in content["parts"].items() for file in files}
        return parts, SHARED[content["by"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(f"{record} is no record of a split ({error}); remove it and split again") from None


def open_rows(root: Path) -> list[object]:
    """Return the rows of the record, to know how many pictures there are."""
    from edge_sorter.lifecycle.dataset.record import load_record

    return list(load_record(root)["images"])


def _of_pixels(file: str, item: Measured, limits: Limits) -> Iterator[Finding]:
    if item.fault:
        yield finding("corrupt", file, value=item.fault)
        return
    if item.turned:
        yield finding("exif_turn", file)
    if item.edge_px > limits.edge_px:
        yield finding("blurred", file, value=item.edge_px, limit=limits.edge_px)
    if item.bright < limits.dark:
        yield finding("dark", file, value=item.bright, limit=limits.dark)
    if item.burnt > limits.burnt:
        yield finding("burnt", file, value=item.burnt, limit=limits.burnt)


def _of_twins(data: Dataset, twins: Twins, limits: Limits) -> Iterator[Finding]:
    by_file = {picture.file: picture for picture in data.pictures}
    for group in twins.equal:
        for other in group[1:]:
            yield finding("duplicate", group[0], other=other)
    for one, two, bits in twins.near:
        yield finding("near_duplicate", one, value=bits, limit=limits.twin_bits, other=two)
    links: Sequence[tuple[str, str]] = twins.pairs()
    for one, two in links:
        if not labels.same_labels(by_file[one], by_file[two], limits):
            counts = " / ".join(_boxes(by_file[file].boxes) for file in (one, two))
            yield finding("twin_labels", one, value=counts, other=two)


def _boxes(boxes: Sequence[object] | None) -> str:
    return "no label file" if boxes is None else f"{len(boxes)} boxes"
