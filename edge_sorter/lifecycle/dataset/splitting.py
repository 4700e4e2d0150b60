"""Split a data set into train, valid and test so that the test measures skill, not memory.

Contract: pictures that share a day, clip, parcel, original, or look the same end in one part; frames are never dealt
out singly. The split depends on pictures, labels, groups, ratio and seed only: the same on any
machine, in any file order.
Every split is examined for leaks before it is written.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_sorter.atomic import write_json, write_text
from edge_sorter.errors import DatasetError
from edge_sorter.lifecycle.dataset.examine import find_twins, measure_all
from edge_sorter.lifecycle.dataset.examine.findings import Limits
from edge_sorter.lifecycle.dataset.examine.leaks import SHARED, keys_of, leaks
from edge_sorter.lifecycle.dataset.examine.twins import joined
from edge_sorter.lifecycle.dataset.opening import open_dataset
from edge_sorter.lifecycle.dataset.progress import Progress, silent
from edge_sorter.lifecycle.dataset.values import PARTS, Dataset, Picture, label_text

SCHEMA = "edge_sorter.split/1"
PRIORITY = ("test", "valid", "train")
"""Where two parts of an earlier split grow together: what was measured on must never be trained on."""


@dataclass(frozen=True)
class Split:
    """A finished split.

    Attributes:
        parts: Part -> its pictures, sorted by file.
        groups: Part -> how many groups it got.
        unlabelled: Pictures left out because nobody labelled them.
        coarse: Pictures without the wanted group, which were grouped by the next that they have.
        moved: Groups that held pictures of two parts of the split that was kept.
    """

    sha256: str
    parts: dict[str, tuple[Picture, ...]]
    groups: dict[str, int]
    unlabelled: int = 0
    coarse: int = 0
    moved: int = 0


def parse_ratio(text: str) -> tuple[int, int, int]:
    """Return the ratio of `70/15/15`, `8:1:1` or `80,20` as whole numbers.

    Raises:
        DatasetError: Not two or three whole numbers, or no training part.
    """
    words = text.replace(":", "/").replace(",", "/").split("/")
    if len(words) not in (2, 3) or not all(word.strip().isdecimal() for word in words) or int(words[0]) == 0:
        raise DatasetError(f"--ratio '{text}' is not like 70/15/15 or 8:1:1 (train, valid, test; whole numbers)")
    numbers = [int(word) for word in words] + [0]
    return numbers[0], numbers[1], numbers[2]


def split(
    root: Path,
    *,
    ratio: tuple[int, int, int] = (70, 15, 15),
    by: str = "clip",
    seed: int = 0,
    keep: Path | None = None,
    progress: Progress = silent,
) -> Split:
    """Split a data set and write train.txt, valid.txt, test.txt, data.yaml and split.json into it.

    Args:
        root: Folder made by `dataset import`.
        ratio: Of train, valid and test.
        by: "day", "clip" or "parcel": what stays together.
        seed: Another seed is another split.
        keep: split.json of an earlier, smaller version of this set; its pictures stay where they were.
        progress: Told pictures done and all.

    Raises:
        DatasetError: Split already, pictures that do not decode, or too few groups for the parts.
    """
    if by not in SHARED:
        raise DatasetError(f"--by {by} is not one of: {', '.join(SHARED)}. Single frames are never dealt out")
    for name in ("split.json", "data.yaml"):
        if (root / name).exists():
            raise DatasetError(f"{root} is split already: remove {name} to split it again; nothing is overwritten")
    opened = open_dataset(root)
    labelled = tuple(picture for picture in opened.data.pictures if picture.boxes is not None)
    data = Dataset(root, opened.data.classes, labelled, opened.data.sources)
    twins = _twins(data, progress)
    groups = _groups(data, by, twins)
    kept, moved = _kept(groups, keep)
    parts = _deal(groups, ratio, seed=seed, given=kept)
    _refuse_bad(data, parts, groups, twins, by, ratio)
    done = _result(parts, groups, recipe=[opened.sha256, by, list(ratio), seed])
    coarse = sum(not any(level == by for level, _ in keys_of(picture, SHARED[by])) for picture in labelled)
    done = Split(
        done.sha256, done.parts, done.groups, len(opened.data.pictures) - len(labelled), coarse=coarse, moved=moved
    )
    _write(root, data.classes, done, about={"dataset_sha256": opened.sha256, "by": by, "ratio": ratio, "seed": seed})
    return done


def _twins(data: Dataset, progress: Progress) -> list[tuple[str, str]]:
    measured = measure_all(data, progress=progress)
    broken = [f"{file}: {item.fault}" for file, item in measured.items() if item.fault]
    if broken:
        raise DatasetError("some pictures do not decode; see `dataset check`", problems=tuple(broken[:20]))
    return find_twins(data, measured, Limits()).pairs()


def _groups(data: Dataset, by: str, twins: Sequence[tuple[str, str]]) -> list[tuple[Picture, ...]]:
    """Return the pictures that must stay together."""
    holders: dict[tuple[str, str], list[str]] = defaultdict(list)
    for picture in data.pictures:
        keys = list(keys_of(picture, SHARED[by]))
        if by == "parcel" and not picture.groups.parcels:  # an empty belt: its clip is all that is known
            keys += keys_of(picture, ("clip",))
        for key in keys:
            holders[key].append(picture.file)
    top = joined([*holders.values(), *twins])
    groups: dict[str, list[Picture]] = defaultdict(list)
    for picture in data.pictures:
        groups[top.get(picture.file, picture.file)].append(picture)
    return [tuple(sorted(members, key=lambda picture: picture.file)) for members in groups.values()]


def _kept(groups: Sequence[tuple[Picture, ...]], keep: Path | None) -> tuple[dict[int, str], int]:
    """Return the part that an earlier split gave to some groups, and how many groups held two parts."""
    if keep is None:
        return {}, 0
    try:
        record = json.loads(keep.read_text(encoding="utf-8"))
        earlier = {str(digest): str(part) for part, files in record["parts"].items() for digest in files.values()}
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise DatasetError(f"{keep} is no record of a split: {error}") from None
    given: dict[int, str] = {}
    moved = 0
    for index, members in enumerate(groups):
        parts = {earlier[picture.sha256] for picture in members if picture.sha256 in earlier}
        moved += len(parts) > 1
        for part in PRIORITY:
            if part in parts:
                given[index] = part
                break
    return given, moved


def _deal(
    groups: Sequence[tuple[Picture, ...]], ratio: tuple[int, int, int], *, seed: int, given: Mapping[int, str]
) -> list[str]:
    """Return the part of every group: largest first, each to where pictures and classes are missed most.

    Every cost is one correctly rounded quotient a class, summed in a fixed order, so no machine rounds otherwise.
    """
    weights = [_weight(members) for members in groups]
    total: Counter[int] = sum(weights, Counter())
    have: dict[str, Counter[int]] = {part: Counter() for part in PARTS}
    share = dict(zip(PARTS, ratio, strict=True))
    order = sorted(
        range(len(groups)), key=lambda i: (i not in given, -sum(weights[i].values()), _digest(groups[i], seed))
    )
    parts = [""] * len(groups)
    for index in order:
        costs = {
            part: _cost(weights[index], have[part], total, share[part], sum(ratio)) for part in PARTS if share[part]
        }
        part = given.get(index) or min(costs, key=lambda name: costs[name])
        parts[index] = part
        have[part].update(weights[index])
    return parts


ALL = -1
"""Stands for the pictures among the class ids."""


def _weight(members: Iterable[Picture]) -> Counter[int]:
    weight: Counter[int] = Counter()
    for picture in members:
        weight[ALL] += 1
        weight.update(box.class_id for box in picture.boxes or ())
    return weight


def _cost(weight: Counter[int], have: Counter[int], total: Counter[int], share: int, whole: int) -> float:
    """Return how much further from its due a part gets by taking a group, over pictures and all classes.

    Relative to the part's due, else the largest part would take all large groups before the others get any; and to the
    class as a whole, so that a rare class counts as much as a common one.
    """
    cost = 0.0
    for key, count in sorted(weight.items()):
        off = whole * have[key] - share * total[key]
        cost += ((off + whole * count) ** 2 - off**2) / (whole * share * total[key] ** 2)
    return cost


def _digest(members: Iterable[Picture], seed: int) -> str:
    return hashlib.sha256(f"{seed} {min(picture.sha256 for picture in members)}".encode()).hexdigest()


def _refuse_bad(
    data: Dataset,
    parts: Sequence[str],
    groups: Sequence[tuple[Picture, ...]],
    twins: Sequence[tuple[str, str]],
    by: str,
    ratio: tuple[int, int, int],
) -> None:
    empty = [part for part, share in zip(PARTS, ratio, strict=True) if share and part not in parts]
    if empty:
        raise DatasetError(
            f"{len(parts)} groups by {by} cannot fill {', '.join(empty)}: record more, or split by something finer"
        )
    placed = {picture.file: part for part, members in zip(parts, groups, strict=True) for picture in members}
    found = list(leaks(data, placed, twins, levels=SHARED[by]))
    if found:  # cannot be, and would spoil every figure measured on the split
        raise DatasetError("the split leaks", problems=tuple(str(item.value) for item in found[:20]))


def _result(parts: Sequence[str], groups: Sequence[tuple[Picture, ...]], *, recipe: list[object]) -> Split:
    members: dict[str, list[Picture]] = {part: [] for part in PARTS}
    for part, pictures in zip(parts, groups, strict=True):
        members[part] += pictures
    rows = sorted(
        json.dumps([part, picture.sha256, label_text(picture.boxes or ())])
        for part, pictures in members.items()
        for picture in pictures
    )
    digest = hashlib.sha256(json.dumps([SCHEMA, *recipe, rows]).encode()).hexdigest()
    ordered = {part: tuple(sorted(pictures, key=lambda p: p.file)) for part, pictures in members.items()}
    return Split(digest, ordered, dict(Counter(parts)))


def _write(root: Path, classes: tuple[str, ...], done: Split, *, about: dict[str, Any]) -> None:
    used = [part for part in PARTS if done.parts[part]]
    try:
        for part in used:
            # "./" is relative to the list for ultralytics and for us, so that the folder can be moved.
            write_text(root / f"{part}.txt", "".join(f"./{picture.file}\n" for picture in done.parts[part]))
        # ultralytics wants a valid list; without one training pictures stand in, and the figures are no measure
        valid = "valid.txt" if "valid" in used else "train.txt"
        test = "test: test.txt\n" if "test" in used else ""
        names = "".join(f"  {index}: {json.dumps(name, ensure_ascii=False)}\n" for index, name in enumerate(classes))
        write_text(root / "data.yaml", f"train: train.txt\nval: {valid}\n{test}names:\n{names}")
        write_json(root / "split.json", _record(done, classes, about))
    except OSError as error:
        raise DatasetError(f"{root} cannot be written: {error.strerror}") from None


def _record(done: Split, classes: tuple[str, ...], about: dict[str, Any]) -> dict[str, Any]:
    counts = {}
    for part, pictures in done.parts.items():
        boxes = Counter(classes[box.class_id] for picture in pictures for box in picture.boxes or ())
        counts[part] = {
            "images": len(pictures),
            "groups": done.groups.get(part, 0),
            "boxes": dict(sorted(boxes.items())),
        }
    parts = {part: {p.file: p.sha256 for p in pictures} for part, pictures in done.parts.items() if pictures}
    return {"schema": SCHEMA, "sha256": done.sha256, **about, "counts": counts, "parts": parts}
