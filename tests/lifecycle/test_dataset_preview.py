from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import pytest
from typer.testing import CliRunner

from edge_sorter.errors import DatasetError
from edge_sorter.lifecycle.dataset.commands import app
from edge_sorter.lifecycle.dataset.examine.measure import edge_px
from edge_sorter.lifecycle.dataset.preview import choose, effects_at_worst, recipe_with, rows
from edge_sorter.lifecycle.dataset.sheet import CAPTION_PX, CELL_PX, GAP_PX, Tile, beside, contact_sheet
from edge_sorter.lifecycle.dataset.values import Corners
from edge_sorter.lifecycle.recipe import Recipe

from .dataset_folders import MIDDLE, draft, make, scene


def test_a_row_shows_the_picture_and_each_effect_by_itself(tmp_path: Path) -> None:
    make(tmp_path / "set", [draft(tmp_path / "src", "a.png", scene(1))])
    recipe = replace(Recipe(), imgsz=320, blur_px=16.0, noise=20.0)
    (row,) = rows(choose(tmp_path / "set", (), 3), recipe, variants=0)
    assert [tile.caption.split()[0] for tile in row] == ["a.png", "motion", "noise"]
    assert all(tile.boxes == [(MIDDLE, 0)] for tile in row)
    sharp, blurred, noisy = (edge_px(cv2.cvtColor(tile.image, cv2.COLOR_BGR2GRAY)) for tile in row)
    assert blurred > 1.7 * sharp and noisy < 1.5 * sharp


def test_the_command_turns_speed_and_exposure_into_blur(tmp_path: Path) -> None:
    make(tmp_path / "set", [draft(tmp_path / "src", f"{n}.png", scene(i)) for i, n in enumerate("ab")])
    out = tmp_path / "sheet.png"
    moving = ["--belt-speed-mm-s", "2000", "--exposure-ms", "5", "--px-per-mm", "0.8"]
    command = ["augment-preview", str(tmp_path / "set"), "--out", str(out), "--variants", "0", *moving]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "motion blur <= 8.0 px" in done.output
    sheet = cv2.imread(str(out))
    assert sheet.shape[:2] == (2 * (CELL_PX[1] + CAPTION_PX + GAP_PX) + GAP_PX, 2 * (CELL_PX[0] + GAP_PX) + GAP_PX)
    assert isinstance(CliRunner().invoke(app, command).exception, DatasetError), "nothing is overwritten"


def test_training_itself_is_shown_where_it_is_installed(tmp_path: Path) -> None:
    pytest.importorskip("ultralytics", reason="the train extra is not installed")
    make(tmp_path / "set", [draft(tmp_path / "src", "a.png", scene(1))])
    paths = choose(tmp_path / "set", (), 1)
    once, again = (rows(paths, replace(Recipe(), imgsz=320), variants=2) for _ in range(2))
    assert [tile.caption for tile in once[0]][1:] == ["training sees, seed 1000", "training sees, seed 1001"]
    assert (once[0][1].image == again[0][1].image).all() and once[0][1].image.shape == (320, 320, 3)


def test_odd_wishes_are_refused(tmp_path: Path) -> None:
    make(tmp_path / "set", [draft(tmp_path / "src", "a.png", scene(1))])
    for pair, says in (("bluur=3", "has no 'bluur'"), ("imgsz=big", "is no int")):
        with pytest.raises(DatasetError, match=says):
            recipe_with([pair])
    assert recipe_with(["imgsz=640"]).imgsz == 640
    with pytest.raises(DatasetError, match="has a name with 'zzz'"):
        choose(tmp_path / "set", ["zzz"], 1)
    assert choose(tmp_path / "set", ["a.p"], 1) == [tmp_path / "set" / "images" / "a.png"]
    assert effects_at_worst(Recipe()) == []


def test_boxes_stay_on_their_half_of_a_pair() -> None:
    left, right = Tile(scene(1), [(MIDDLE, 0)]), Tile(scene(2), [(MIDDLE, 1)], "pair", frozenset({0}))
    pair = beside(left, right)
    assert pair.image is not None and pair.image.shape == (240, 640, 3)
    assert [at for at, _ in pair.boxes] == [Corners(0.125, 0.25, 0.375, 0.75), Corners(0.625, 0.25, 0.875, 0.75)]
    assert (pair.marked, pair.caption) == (frozenset({1}), "pair")


def test_a_sheet_shows_what_does_not_decode_as_a_grey_field() -> None:
    sheet = contact_sheet([Tile(None, (), "broken"), Tile(scene(1))])
    assert (sheet[GAP_PX + 50, GAP_PX + 50] == 205).all()
