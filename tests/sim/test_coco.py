"""Training images as COCO: masks beside labels, read back by the COCO evaluator and by our own import."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from edge_sorter.errors import DatasetError
from edge_sorter.lifecycle.dataset.reading import read
from edge_sorter.sim import coco, picture_file, render
from edge_sorter.sim.camera import PinholeCamera
from edge_sorter.sim.scenario import CLASSES
from edge_sorter.sim.shown import label_rows, numbered, shown

CAMERA = PinholeCamera((0.0, 0.0, 1000.0), (0.0, 0.0, 0.0), 100.0, (160, 90))
FLAT_MM = {number: np.array([[x, y, 0.0] for x in (-400, 400) for y in (-200, 200)]) for number in (1, 2, 3)}


def seen() -> NDArray[np.int32]:
    """A carton behind a tube that parts it in two, a stray pixel of it, and a sack of which only a sliver shows."""
    picture = np.zeros((90, 160), np.int32)
    picture[20:70, 30:110] = 1
    picture[:, 60:75] = 2
    picture[5, 150] = 1
    picture[80:84, 100:125] = 3
    return picture


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What `dataset` leaves: one picture with two parcels, one without any, one drawn before there were masks."""
    found = shown(seen(), CAMERA, {1: "carton", 2: "tube", 3: "sack"}, FLAT_MM)
    for part, name, parcels, masked in (
        ("train", "sim_1_00000", found, True),
        ("train", "sim_1_00001", [], True),
        ("valid", "sim_1_00009", found[:1], False),
    ):
        (tmp_path / "labels" / part).mkdir(parents=True, exist_ok=True)
        (tmp_path / "labels" / part / f"{name}.txt").write_text(label_rows(parcels, (90, 160)))
        if masked:
            picture_file.write(tmp_path / "masks" / part / f"{name}.png", numbered(parcels, (90, 160)))
        picture_file.write(tmp_path / "images" / part / f"{name}.jpg", np.full((90, 160, 3), 90, np.uint8))
    return tmp_path


def content(folder: Path, part: str) -> dict[str, Any]:
    return dict(json.loads((folder / "annotations" / f"{part}.json").read_text()))


def test_masks_are_what_each_parcel_shows_and_the_labels_are_their_boxes(folder: Path) -> None:
    mask = cv2.imread(str(folder / "masks/train/sim_1_00000.png"), cv2.IMREAD_UNCHANGED)
    wanted = np.where(seen() <= 2, seen(), 0)
    wanted[5, 150] = 0  # a stray pixel is none of the parcel
    np.testing.assert_array_equal(mask, wanted)
    rows = [line.split() for line in (folder / "labels/train/sim_1_00000.txt").read_text().splitlines()]
    assert [CLASSES[int(row[0])] for row in rows] == ["carton", "tube"]
    assert [float(v) for v in rows[0][1:]] == pytest.approx([70 / 160, 0.5, 0.5, 50 / 90], abs=1e-6)


def test_an_evaluator_reads_masks_areas_and_boxes_back(folder: Path) -> None:
    package = pytest.importorskip("faster_coco_eval", reason="faster-coco-eval is not installed (extra: dev)")
    (train, valid) = coco.write(folder)
    assert (train.images, train.parcels, train.boxes_only) == (2, 2, 0)
    assert (valid.images, valid.parcels, valid.boxes_only) == (1, 1, 1)
    read_back = package.COCO(content(folder, "train"))
    names = {row["id"]: row["name"] for row in read_back.loadCats(read_back.getCatIds())}
    assert tuple(names.values()) == CLASSES
    mask = cv2.imread(str(folder / "masks/train/sim_1_00000.png"), cv2.IMREAD_UNCHANGED)
    for number, row in enumerate(read_back.loadAnns(read_back.getAnnIds()), start=1):
        own = read_back.annToMask(row)
        np.testing.assert_array_equal(own, mask == number)
        assert row["area"] == own.sum()
        assert row["bbox"] == pytest.approx(list(cv2.boundingRect(own)), abs=0.02)
        assert names[row["category_id"]] == ("carton", "tube")[number - 1]
    (bare,) = content(folder, "valid")["annotations"]
    assert bare["segmentation"] == []
    assert bare["area"] == pytest.approx(80 * 50, abs=1)


@pytest.mark.parametrize("rows", [["..", ".."], ["#.", ".#"], ["##", "##"], [".#", ".."]])
def test_run_lengths_are_of_columns_and_start_outside(rows: list[str]) -> None:
    mask = np.array([[sign == "#" for sign in row] for row in rows])
    counts = coco.run_lengths(mask)
    values = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    np.testing.assert_array_equal(values.reshape(mask.shape, order="F"), mask)
    assert all(count > 0 for count in counts[1:])


def test_both_forms_come_in_with_the_same_boxes_and_no_mask_as_a_picture(folder: Path) -> None:
    coco.write(folder)
    yolo = read(folder, form="yolo", names=CLASSES, scratch=folder)
    ours = read(folder, scratch=folder)
    assert (yolo.format, ours.format) == ("yolo", "coco")
    assert ours.classes == CLASSES
    by_name = {draft.name: draft for draft in ours.drafts}
    assert set(by_name) == {draft.name for draft in yolo.drafts}
    for draft in yolo.drafts:
        other = by_name[draft.name]
        assert other.part == draft.part
        assert draft.boxes is not None
        assert other.boxes is not None
        for (name, at), (other_name, other_at) in zip(draft.boxes, other.boxes, strict=True):
            assert name == other_name
            edges, other_edges = ((c.x1 * 160, c.y1 * 90, c.x2 * 160, c.y2 * 90) for c in (at, other_at))
            assert edges == pytest.approx(other_edges, abs=0.5)


def test_a_killed_run_leaves_no_list_that_misses_its_images(folder: Path) -> None:
    coco.write(folder)
    (folder / "annotations" / "mine.json").write_text("{}")
    coco.forget(folder)
    coco.forget(folder)
    assert [path.name for path in (folder / "annotations").iterdir()] == ["mine.json"]


def test_the_command_says_what_it_wrote_and_which_images_have_no_mask(folder: Path) -> None:
    done = CliRunner().invoke(render.app, ["coco", "--out", str(folder)], env={"COLUMNS": "400"})
    assert done.exit_code == 0, done.output
    text = " ".join(done.output.split())
    assert "2 images, 2 parcels" in text
    assert "1 of them have no mask" in text


@pytest.mark.parametrize(
    ("path", "text", "says"),
    [
        ("labels/train/sim_1_00000.txt", "0 0.5 0.5 0.1 0.1\n9 0.5 0.5 0.1 0.1\n", "line 2"),
        ("labels/train/sim_1_00000.txt", "0 0.5 0.5\n", "line 1"),
        ("labels/train/sim_1_00000.txt", None, "cannot read the labels"),
        ("masks/train/sim_1_00000.png", "half a picture", "not a whole 8-bit picture"),
    ],
)
def test_what_cannot_be_read_is_named_and_nothing_is_written(
    folder: Path, path: str, text: str | None, says: str
) -> None:
    (folder / path).unlink()
    if text is not None:
        (folder / path).write_text(text)
    with pytest.raises(DatasetError, match=says) as caught:
        coco.write(folder)
    assert Path(path).name in str(caught.value)
    assert not (folder / "annotations").exists()


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no images"):
        coco.write(tmp_path)
