"""A data set is proven before a run: every fault is named, and its fingerprint is of its content alone."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

from edge_sorter.errors import DatasetError
from edge_sorter.lifecycle.training_data import examine, label_path, read, resampled, snapshot
from tests.lifecycle.training_sets import attribute_set, collage_set

pytest.importorskip("PIL", reason="Pillow is not installed")


def test_counts_and_parts(tmp_path: Path) -> None:
    found = examine(read(collage_set(tmp_path / "set")))
    assert (found.train_images, found.valid_images, found.images_per_epoch) == (12, 4, 12)
    assert found.held_out
    assert sum(found.classes.values()) > 12


def test_the_fingerprint_is_the_same_elsewhere_and_in_another_order_and_changes_with_a_label(tmp_path: Path) -> None:
    path = collage_set(tmp_path / "set")
    here = examine(read(path)).sha256
    moved = tmp_path / "moved"
    shutil.copytree(tmp_path / "set", moved)
    names = sorted((moved / "train/images").iterdir(), reverse=True)
    (moved / "list.txt").write_text("".join(f"train/images/{name.name}\n" for name in names))
    (moved / "data.yaml").write_text((moved / "data.yaml").read_text().replace("train/images", "list.txt", 1))
    assert examine(read(moved / "data.yaml")).sha256 == here
    label = next(path for path in (moved / "train/labels").iterdir() if path.read_text())
    label.write_text("4" + label.read_text()[1:])  # as long as before: what ultralytics' cache would miss
    assert examine(read(moved / "data.yaml")).sha256 != here


def test_a_snapshot_is_the_same_set(tmp_path: Path) -> None:
    data = resampled(read(collage_set(tmp_path / "set")), share=0.6, seed=1)
    again = read(snapshot(data, tmp_path / "run"))
    assert Counter(again.train) == Counter(data.train)
    assert examine(again).sha256 == examine(data).sha256


def test_every_fault_is_named_at_once_and_the_picture_is_left_as_it_was(tmp_path: Path) -> None:
    path = collage_set(tmp_path / "set")
    images, labels = tmp_path / "set/train/images", tmp_path / "set/train/labels"
    half = images / "0.jpg"
    half.write_bytes(half.read_bytes()[: half.stat().st_size // 2])
    content = half.read_bytes()
    (images / "1.jpg").write_bytes(b"")
    (images / "2.jpg").write_text("no picture at all")
    (labels / "3.txt").write_text("0 0.5 0.5 0.2\n")
    (labels / "4.txt").write_text("9 0.5 0.5 0.2 0.2\n")
    (labels / "5.txt").write_text("0 0.5 1.5 0.2 0.2\n0 nan 0.5 0.2 0.2\n0 a b c d\n")
    with pytest.raises(DatasetError) as caught:
        examine(read(path))
    message = str(caught.value)
    assert message.startswith("8 faults")
    for name in ("0.jpg: cannot", "1.jpg: cannot", "2.jpg: cannot", "3.txt, line 1", "4.txt, line 1: the class"):
        assert name in message
    assert all(f"5.txt, line {line}" in message for line in (1, 2, 3))
    assert half.read_bytes() == content


def test_twenty_faults_are_shown_and_the_rest_counted(tmp_path: Path) -> None:
    path = collage_set(tmp_path / "set", train=25)
    for image in (tmp_path / "set/train/images").iterdir():
        image.write_bytes(b"")
    with pytest.raises(DatasetError, match="and 5 more"):
        examine(read(path))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("train: [", "is not YAML"),
        ("names: [a]\n", "needs 'train'"),
        ("train: nowhere\nnames: [a]\n", "No folder or list"),
        ("train: .\nnames: [a]\n", "names no picture"),
    ],
)
def test_a_wrong_data_yaml_says_what_it_lacks(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "data.yaml"
    path.write_text(text)
    with pytest.raises(DatasetError, match=says):
        read(path)


def test_rare_classes_come_more_often(tmp_path: Path) -> None:
    """Twenty pictures of cartons, one with a tube: at a share of a half the tube's comes about three times."""
    for part in ("images", "labels"):
        (tmp_path / part).mkdir()
    for index in range(20):
        (tmp_path / "images" / f"{index}.jpg").write_bytes(b"")
        (tmp_path / "labels" / f"{index}.txt").write_text(f"{3 if index == 7 else 0} 0.5 0.5 0.2 0.2\n")
    (tmp_path / "data.yaml").write_text("train: images\nnames: [carton, polybag, mailer, tube]\n")
    data = read(tmp_path / "data.yaml")
    times = Counter(image.name for image in resampled(data, share=0.5, seed=0).train)
    assert times.pop("7.jpg") in (3, 4)  # sqrt(0.5 / 0.05)
    assert set(times.values()) == {1}
    assert resampled(data, share=0.0, seed=0).train == data.train
    assert resampled(data, share=0.5, seed=0).train == resampled(data, share=0.5, seed=0).train
    assert not data.held_out


def test_labels_lie_beside_the_last_images_folder() -> None:
    assert label_path(Path("/a/images/b/images/c/1.x.jpg")) == Path("/a/images/b/labels/c/1.x.txt")


def test_attributes_have_three_answers(tmp_path: Path) -> None:
    path = attribute_set(tmp_path / "set", train=30, valid=6)
    data = read(path, task="classify")
    assert {value for row in data.attributes.values() for value in row.values} == {0, 1, None}
    assert examine(read(snapshot(data, tmp_path / "run"), task="classify")).sha256 == examine(data).sha256


@pytest.mark.parametrize(
    ("table", "says"), [("image,damaged\n", "no column label"), ("image,damaged,label\na.png,2,0\n", "'2' is not")]
)
def test_a_wrong_table_of_attributes(tmp_path: Path, table: str, says: str) -> None:
    (tmp_path / "train.csv").write_text(table)
    (tmp_path / "data.yaml").write_text("train: train.csv\nnames: [damaged, label]\n")
    with pytest.raises(DatasetError, match=says):
        read(tmp_path / "data.yaml", task="classify")
