"""A split must not leak, must be the same everywhere, and must be what training reads."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from edge_sorter.errors import DatasetError
from edge_sorter.lifecycle import calibration, training_data
from edge_sorter.lifecycle.dataset.commands import app
from edge_sorter.lifecycle.dataset.examine import examine
from edge_sorter.lifecycle.dataset.examine.findings import Limits
from edge_sorter.lifecycle.dataset.splitting import _deal, _groups, parse_ratio, split
from edge_sorter.lifecycle.dataset.values import Box, Corners, Dataset, Draft, Groups, Picture

from .dataset_folders import draft, make, scene

MIDDLE = Corners(0.25, 0.25, 0.75, 0.75)


def belts(folder: Path, *, clips: int = 8, frames: int = 3, seed: int = 0) -> list[Draft]:
    """Frames of clips, two clips a day; each third clip shows polybags."""
    found = []
    for clip in range(clips):
        for frame in range(frames):
            name = f"c{clip}_{frame}.png"
            groups = Groups(f"2026-01-{1 + clip // 2:02}", f"c{clip}", frame, (f"c{clip}-p{frame // 2}",), name)
            label = "polybag" if clip % 3 == 0 else "carton"
            image = scene(seed + 1000 + clip * frames + frame)
            found.append(draft(folder, name, image, [(label, MIDDLE)], groups=groups))
    return found


def parts(root: Path) -> dict[str, set[str]]:
    record = json.loads((root / "split.json").read_text())
    return {part: {Path(file).stem for file in files} for part, files in record["parts"].items()}


def leaks(root: Path) -> list[Any]:
    return [item for item in examine(root, limits=Limits(few=1)).findings if item.kind == "leak"]


@pytest.mark.parametrize(("by", "group"), [("day", lambda n: int(n[1]) // 2), ("clip", lambda n: int(n[1]))])
def test_groups_stay_whole_and_check_finds_no_leak(tmp_path: Path, by: str, group: Any) -> None:
    make(tmp_path / "set", belts(tmp_path / "src"))
    split(tmp_path / "set", by=by, ratio=(2, 1, 1))
    found = parts(tmp_path / "set")
    assert {part: len(files) for part, files in found.items()} == {"train": 12, "valid": 6, "test": 6}
    seen = [{group(name) for name in files} for files in found.values()]
    assert not seen[0] & seen[1] and not seen[0] & seen[2] and not seen[1] & seen[2]
    assert leaks(tmp_path / "set") == []


def test_a_split_that_was_tampered_with_leaks(tmp_path: Path) -> None:
    """The proof that the test above can fail."""
    make(tmp_path / "set", belts(tmp_path / "src"))
    split(tmp_path / "set", ratio=(2, 1, 1))
    path = tmp_path / "set" / "split.json"
    record = json.loads(path.read_text())
    file, digest = next(iter(record["parts"]["train"].items()))
    del record["parts"]["train"][file]
    record["parts"]["test"][file] = digest
    path.write_text(json.dumps(record))
    assert {str(item.value).split()[0] for item in leaks(tmp_path / "set")} == {"clip", "parcel"}


def test_by_parcel_frames_of_a_clip_may_part_but_parcels_may_not(tmp_path: Path) -> None:
    make(tmp_path / "set", belts(tmp_path / "src", clips=4, frames=6))
    split(tmp_path / "set", by="parcel", ratio=(2, 1, 1))
    found = parts(tmp_path / "set")
    parcels = [{(name[1], int(name[3]) // 2) for name in files} for files in found.values()]
    assert sum(map(len, parcels)) == len(set().union(*parcels)) == 12
    assert leaks(tmp_path / "set") == []


def test_near_duplicates_and_copies_end_in_one_part(tmp_path: Path) -> None:
    folder = tmp_path / "src"
    drafts = [draft(folder, f"n{i}.png", scene(i)) for i in range(12)]
    brighter = [np.minimum(scene(i).astype(int) + 5, 255).astype(np.uint8) for i in range(6)]
    drafts += [draft(folder, f"twin{i}.png", image) for i, image in enumerate(brighter)]
    drafts += [draft(folder, f"copy{i}.png", scene(50 + i), groups=Groups(original=f"n{i}.png")) for i in range(12)]
    make(tmp_path / "set", drafts)
    split(tmp_path / "set", ratio=(1, 1, 1))
    where = {name: part for part, files in parts(tmp_path / "set").items() for name in files}
    assert all(where[f"twin{i}"] == where[f"n{i}"] for i in range(6))
    assert all(where[f"copy{i}"] == where[f"n{i}"] for i in range(12))
    assert len(set(where.values())) == 3


def test_the_same_split_anywhere_and_another_by_another_seed(tmp_path: Path) -> None:
    drafts = belts(tmp_path / "src")
    make(tmp_path / "one", drafts)
    make(tmp_path / "two", list(reversed(drafts)))
    record = json.loads((tmp_path / "two" / "dataset.json").read_text())
    record["images"].reverse()
    (tmp_path / "two" / "dataset.json").write_text(json.dumps(record))
    shutil.copytree(tmp_path / "one", tmp_path / "three")
    first = split(tmp_path / "one", ratio=(2, 1, 1))
    assert split(tmp_path / "two", ratio=(2, 1, 1)).sha256 == first.sha256
    assert parts(tmp_path / "one") == parts(tmp_path / "two")
    other = split(tmp_path / "three", ratio=(2, 1, 1), seed=1)
    assert other.sha256 != first.sha256 and parts(tmp_path / "three") != parts(tmp_path / "one")
    listed = (tmp_path / "one" / "train.txt").read_text()
    assert listed == (tmp_path / "two" / "train.txt").read_text() and str(tmp_path) not in listed


def test_a_grown_set_keeps_its_test(tmp_path: Path) -> None:
    drafts = belts(tmp_path / "src")
    make(tmp_path / "small", drafts)
    split(tmp_path / "small", ratio=(2, 1, 1))
    more = [draft(tmp_path / "more", f"d{i}_0.png", scene(i), groups=Groups(clip=f"d{i}")) for i in range(9)]
    make(tmp_path / "large", [*drafts, *more])
    split(tmp_path / "large", ratio=(2, 1, 1), keep=tmp_path / "small" / "split.json")
    small, large = parts(tmp_path / "small"), parts(tmp_path / "large")
    assert all(small[part] <= large[part] for part in small)
    assert sum(map(len, large.values())) == 33


def test_it_is_what_calibration_and_training_read(tmp_path: Path) -> None:
    make(tmp_path / "set", [*belts(tmp_path / "src"), draft(tmp_path / "src", "none.png", scene(1), None)])
    done = split(tmp_path / "set", ratio=(2, 1, 1))
    assert done.unlabelled == 1
    shutil.move(tmp_path / "set", tmp_path / "moved")
    content = yaml.safe_load((tmp_path / "moved" / "data.yaml").read_text())
    assert content == {
        "train": "train.txt",
        "val": "valid.txt",
        "test": "test.txt",
        "names": {0: "carton", 1: "polybag"},
    }
    chosen = calibration.training_pictures(tmp_path / "moved" / "data.yaml")
    assert len(chosen) == 12 and all(path.is_file() for path in chosen)
    read = training_data.read(tmp_path / "moved" / "data.yaml")
    assert (read.classes, len(read.train), len(read.valid)) == (("carton", "polybag"), 12, 6)
    assert training_data.examine(read).sha256
    assert not [image for image in (*read.train, *read.valid) if "none" in image.name]


def test_nothing_is_split_twice_or_into_parts_that_stay_empty(tmp_path: Path) -> None:
    make(tmp_path / "set", belts(tmp_path / "src", clips=2))
    with pytest.raises(DatasetError, match="2 groups by clip cannot fill"):
        split(tmp_path / "set")
    split(tmp_path / "set", ratio=(1, 1, 0))
    assert yaml.safe_load((tmp_path / "set" / "data.yaml").read_text())["val"] == "valid.txt"
    with pytest.raises(DatasetError, match=r"remove split\.json"):
        split(tmp_path / "set")
    with pytest.raises(DatasetError, match="never dealt out"):
        split(tmp_path / "set", by="frame")


@pytest.mark.parametrize(("text", "ratio"), [("70/15/15", (70, 15, 15)), ("8:1:1", (8, 1, 1)), ("4,1", (4, 1, 0))])
def test_ratios(text: str, ratio: tuple[int, int, int]) -> None:
    assert parse_ratio(text) == ratio


@pytest.mark.parametrize("text", ["", "70", "a/b/c", "0/1/1", "1/1/1/1", "0.7/0.3"])
def test_odd_ratios_are_refused(text: str) -> None:
    with pytest.raises(DatasetError, match="70/15/15"):
        parse_ratio(text)


def picture(index: int, clip: int, classes: list[int]) -> Picture:
    boxes = tuple(Box(class_id, MIDDLE) for class_id in classes)
    groups = Groups(clip=f"c{clip}", frame=index, original=str(index))
    return Picture(f"images/{index}.png", f"{index:064x}", (320, 240), boxes, groups)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.lists(st.integers(0, 2), max_size=3)), min_size=60, max_size=120))
def test_any_set_is_dealt_out_whole_and_near_its_ratio(rows: list[tuple[int, list[int]]]) -> None:
    pictures = tuple(picture(index, clip, classes) for index, (clip, classes) in enumerate(rows))
    groups = _groups(Dataset(Path(), ("a", "b", "c"), pictures), "clip", [])
    dealt = _deal(groups, (70, 15, 15), seed=0, given={})
    assert sorted(p.file for members in groups for p in members) == sorted(p.file for p in pictures)
    assert len(groups) == len({clip for clip, _ in rows})
    largest = max(map(len, groups))
    train = sum(len(members) for members, part in zip(groups, dealt, strict=True) if part == "train")
    assert abs(train - 0.7 * len(rows)) <= largest + 0.1 * len(rows)


def test_a_rare_class_reaches_every_part() -> None:
    pictures = tuple(picture(i, i, [1] if i % 20 == 0 else [0]) for i in range(400))
    groups = _groups(Dataset(Path(), ("common", "rare"), pictures), "clip", [])
    dealt = _deal(groups, (8, 1, 1), seed=3, given={})
    rare = dict.fromkeys(("train", "valid", "test"), 0)
    for members, part in zip(groups, dealt, strict=True):
        rare[part] += members[0].boxes == (Box(1, MIDDLE),)
    assert rare == {"train": 16, "valid": 2, "test": 2}


def test_the_command_writes_and_reports(tmp_path: Path) -> None:
    make(tmp_path / "set", belts(tmp_path / "src"))
    done = CliRunner().invoke(app, ["split", str(tmp_path / "set"), "--ratio", "2:1:1", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["images"] == {"train": 12, "valid": 6, "test": 6}
