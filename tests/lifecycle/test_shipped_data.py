from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_sorter.errors import DatasetError
from edge_sorter.lifecycle import shipped_data


def put(folder: Path, stem: str, labels: str, *, value: int = 90) -> None:
    images, texts = folder / "images", folder / "labels"
    images.mkdir(parents=True, exist_ok=True)
    texts.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(images / f"{stem}.jpg"), np.full((48, 64, 3), value, np.uint8))
    (texts / f"{stem}.txt").write_text(labels)


def sacks_root(tmp_path: Path, count: int = 6) -> Path:
    root = tmp_path / "sacks"
    for i in range(count):
        put(root / "train", f"-odd name {i}", "0 0.5 0.5 0.2 0.4\n", value=i)
    put(root / "valid", "v", "0 0.5 0.5 0.2 0.4\n")
    return root


def rendered_root(tmp_path: Path, name: str = "rendered") -> Path:
    root = tmp_path / name
    for split, count in (("train", 3), ("valid", 1)):
        for i in range(count):
            put(root / split, f"r{i}", "0 0.5 0.5 0.2 0.4\n3 0.1 0.1 0.1 0.1\n", value=100 + i)
        for part in ("images", "labels"):
            (root / part).mkdir(parents=True, exist_ok=True)
            (root / split / part).rename(root / part / split)
    return root


def test_a_mixed_set_has_our_classes_links_and_repeats(tmp_path: Path) -> None:
    sacks, rendered = sacks_root(tmp_path), rendered_root(tmp_path)
    yaml = shipped_data.build(
        tmp_path / "out", sacks_root=sacks, rendered_roots=[rendered], sacks_limit=4, rendered_repeat=[2]
    )
    listed = (tmp_path / "out" / "train.txt").read_text().split()
    assert len(listed) == 4 + 2 * 3
    assert all(Path(path).is_symlink() and Path(path).is_file() for path in listed)
    label = (tmp_path / "out" / "labels" / "sacks_overhead_cctv_train" / "00000.txt").read_text()
    assert label == "4 0.500000 0.500000 0.200000 0.400000\n"
    record = json.loads((tmp_path / "out" / "dataset.json").read_text())
    trained = {source["name"]: source for source in record["sources"] if source["split"] == "train"}
    assert trained["rendered"]["boxes"] == {"carton": 3, "tube": 3}
    assert record["images_per_epoch"] == 10
    assert "4: sack" in yaml.read_text()


def test_same_roots_same_fingerprint_and_another_label_another_one(tmp_path: Path) -> None:
    root = sacks_root(tmp_path)

    def fingerprint() -> str:
        shipped_data.build(tmp_path / "out", sacks_root=root)
        return str(json.loads((tmp_path / "out" / "dataset.json").read_text())["sha256"])

    first = fingerprint()
    assert fingerprint() == first
    (root / "train" / "labels" / "-odd name 0.txt").write_text("0 0.5 0.5 0.2 0.3\n")
    assert fingerprint() != first


def test_each_rendered_root_has_its_own_share(tmp_path: Path) -> None:
    roots = [rendered_root(tmp_path, name) for name in ("far", "near")]
    shipped_data.build(tmp_path / "out", rendered_roots=roots, rendered_repeat=[1, 3])
    listed = (tmp_path / "out" / "train.txt").read_text().split()
    assert [sum(f"/{name}_train/" in path for path in listed) for name in ("far", "near")] == [3, 9]
    with pytest.raises(DatasetError, match="3 numbers for 2 roots"):
        shipped_data.build(tmp_path / "out", rendered_roots=roots, rendered_repeat=[1, 2, 3])
    with pytest.raises(DatasetError, match="far, far: give each root once"):
        shipped_data.build(tmp_path / "out", rendered_roots=[roots[0], roots[0]])


def test_a_rendered_image_without_labels_is_not_yet_finished(tmp_path: Path) -> None:
    root = rendered_root(tmp_path)
    (root / "labels" / "train" / "r1.txt").unlink()
    assert [sample.name for sample in shipped_data.rendered(root, "train")] == ["r0", "r2"]


def test_frames_of_a_clip_take_their_boxes_from_its_truth(tmp_path: Path) -> None:
    root = tmp_path / "site"
    for i in range(2):
        put(root, f"frame_{i:04d}", "", value=50 + i)
    (root / "images").rename(root / "frames")
    # The second parcel of frame 0 has hardly come in; frame 1 has a tube, class 4 of the truth.
    rows = ["1,1,96,54,192,108,1,1,1.000", "1,2,0,0,9,9,1,2,0.100", "2,1,480,270,96,54,1,4,0.900"]
    (root / "truth_mot.txt").write_text("".join(f"{row}\n" for row in rows))
    assert [sample.lines for sample in shipped_data.clip(root)] == [
        ("0 0.200000 0.200000 0.200000 0.200000",),
        ("3 0.550000 0.550000 0.100000 0.100000",),
    ]
    shipped_data.build(tmp_path / "out", site_root=root, site_repeat=2)
    assert len((tmp_path / "out" / "train.txt").read_text().split()) == 4
    (root / "truth_mot.txt").write_text("1,1,96,54,192,108,1,6,1.000\n")
    with pytest.raises(DatasetError, match=r"line 1: class 6 is none of 1 to 5"):
        shipped_data.clip(root)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("0 0.5 0.5 0.2", "line 1"),
        ("0 0.5 0.5 0.2 1.4", "0..1"),
        ("\nbox 0.5 0.5 0.2 0.4", "line 2"),
        ("0 0.1 0.1 0.2 0.2 0.3 0.3 0.1 0.3", "polygons"),
    ],
)
def test_bad_label_lines_are_named(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "a.txt"
    path.write_text(text)
    with pytest.raises(DatasetError, match=says):
        shipped_data.read_labels(path)


def test_missing_roots_and_nothing_to_train_on_are_errors(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="No such folder"):
        shipped_data.build(tmp_path / "out", sacks_root=tmp_path / "nowhere")
    with pytest.raises(DatasetError, match="Nothing to train on"):
        shipped_data.build(tmp_path / "out")


def test_the_classes_given_by_eye_fit_the_public_domain_set(footage: Path) -> None:
    samples = shipped_data.packages(footage / "images" / "packages_public_domain")
    lines = [line for sample in samples for line in sample.lines]
    counts = [sum(line.startswith(f"{class_id} ") for line in lines) for class_id in range(len(shipped_data.CLASSES))]
    assert len(samples) == 26
    assert counts == [33, 6, 3, 0, 0]
