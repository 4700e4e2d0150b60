"""Calibration pictures: the same ones everywhere, spread over what there is, refused when they would mislead."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_sorter.errors import DatasetError
from edge_sorter.lifecycle.calibration import (
    FEWEST,
    Look,
    check,
    choose,
    look_at,
    tensors,
    training_pictures,
    write_list,
)


def picture(path: Path, value: int, spot: int = 0) -> Path:
    """A grey picture with a bright square in one of 16 places."""
    image = np.full((64, 64, 3), value, np.uint8)
    row, column = divmod(spot % 16, 4)
    image[16 * row : 16 * row + 16, 16 * column : 16 * column + 16] = 250
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image)
    return path


def many(folder: Path) -> list[Path]:
    """Five nearly equal pictures and three that are alone."""
    common = [picture(folder / f"common{i}.png", 90 + i, 0) for i in range(5)]
    rare = [picture(folder / f"rare{i}.png", 90, spot) for i, spot in enumerate((5, 10, 15))]
    return [*common, *rare]


def look(luma: int, index: int = 0) -> Look:
    return Look(Path(f"{index}.png"), f"{index:064x}", np.zeros(192, np.int32), luma)


def test_the_same_pictures_whatever_order_folder_and_names(tmp_path: Path) -> None:
    paths = many(tmp_path / "a")
    (tmp_path / "b").mkdir()
    renamed = [Path(shutil.copy(path, tmp_path / "b" / f"x{i}.png")) for i, path in enumerate(reversed(paths))]
    first, second = choose(look_at(paths), 6), choose(look_at(renamed), 6)
    assert [item.sha256 for item in first] == [item.sha256 for item in second]
    assert len({item.sha256 for item in first}) == 6


def test_what_is_rare_is_chosen_and_copies_count_once(tmp_path: Path) -> None:
    paths = many(tmp_path / "a")
    paths.append(Path(shutil.copy(paths[0], tmp_path / "a" / "copy.png")))
    looks = look_at(paths)
    assert len(looks) == len(paths) - 1
    names = {item.path.stem for item in choose(looks, 8)}
    assert {"rare0", "rare1", "rare2"} <= names
    half = {item.path.stem for item in choose(looks, 7)}  # 3 spread, 4 drawn
    assert len(half & {"rare0", "rare1", "rare2"}) >= 2
    with pytest.raises(DatasetError, match="8 different calibration pictures were given, 9 are wanted"):
        choose(looks, 9)


def test_training_pictures_come_once_and_the_list_names_them(tmp_path: Path) -> None:
    paths = many(tmp_path / "images" / "rendered_train")
    listing = tmp_path / "train.txt"
    listing.write_text("".join(f"{path}\n" for path in (*paths, *paths)))
    assert training_pictures(tmp_path / "data.yaml") == paths
    chosen = choose(look_at(paths), 4)
    write_list(chosen, tmp_path / "list.json", size_px=(96, 64))
    content = json.loads((tmp_path / "list.json").read_text())
    assert {row["sha256"] for row in content["images"]} == {item.sha256 for item in chosen}
    assert all(row["name"].startswith("rendered/") for row in content["images"])
    assert content["luma_percentiles_1_50_99"][0] >= 90
    assert tensors([chosen[0].path], size_px=(96, 64))[0].shape == (1, 3, 64, 96)
    listing.unlink()
    with pytest.raises(DatasetError, match="No training list"):
        training_pictures(tmp_path / "data.yaml")


def test_sets_that_would_mislead_are_refused() -> None:
    training = [look(luma, luma) for luma in range(60, 160)]
    good = [look(60 + i % 100, i) for i in range(FEWEST)]
    check(good, reference=training, seen=200)
    with pytest.raises(DatasetError, match="299 calibration pictures are too few"):
        check(good[1:], reference=training, seen=200)
    with pytest.raises(DatasetError, match="finds something in 20 of 300"):
        check(good, reference=training, seen=20)
    night = [look(5, i) for i in range(100)]
    with pytest.raises(DatasetError, match=r"100 of 300 .*outside the brightness of the training pictures"):
        check([*night, *good[100:]], reference=training, seen=200)


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    with pytest.raises(DatasetError, match=r"broken\.png cannot be decoded"):
        look_at([broken])
    with pytest.raises(DatasetError, match=r"gone\.png cannot be read"):
        look_at([tmp_path / "gone.png"])
