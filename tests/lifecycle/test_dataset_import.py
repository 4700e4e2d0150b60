from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from edge_sorter.errors import DatasetError
from edge_sorter.lifecycle.dataset import untrusted
from edge_sorter.lifecycle.dataset.grouping import compiled, groups_of
from edge_sorter.lifecycle.dataset.importing import ClassMap, Imported, Source, write_dataset
from edge_sorter.lifecycle.dataset.opening import open_dataset
from edge_sorter.lifecycle.dataset.reading import Reading, read
from edge_sorter.lifecycle.dataset.reading.recorded import Choice
from edge_sorter.lifecycle.dataset.sources import read_sources

from .dataset_folders import MIDDLE, draft, make, save, scene


def bring(source: Path, out: Path, **options: Any) -> Imported:
    """What the command does, without a process."""
    class_map = options.pop("class_map", None)
    given: dict[str, Any] = {
        "form": "auto",
        "names": (),
        "name_pattern": "",
        "clip": None,
        "choice": Choice(),
        "about": ("CC0", "somewhere"),
        "on_frame": lambda done, total: None,
    }
    with read_sources([source], scratch=out.parent, **(given | options)) as found:
        return write_dataset(out, found, class_map=class_map)


def test_a_missing_package_is_said_once_and_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = yolo(tmp_path / "in", {"a": "0 .5 .5 .2 .2", "b": "0 .5 .5 .2 .2"})
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(DatasetError, match="needs the package pillow") as caught:
        bring(source, tmp_path / "out")
    assert caught.value.problems == ()


def yolo(root: Path, lines: dict[str, str | None], *, names: str = "names: [carton, polybag]\n") -> Path:
    for index, (stem, text) in enumerate(lines.items()):
        save(root / "images" / f"{stem}.png", scene(index))
        if text is not None:
            (root / "labels").mkdir(exist_ok=True)
            (root / "labels" / f"{stem}.txt").write_text(text)
    if names:
        (root / "data.yaml").write_text(names)
    return root


def labels(root: Path) -> dict[str, str]:
    return {path.stem: path.read_text() for path in sorted((root / "labels").iterdir())}


def record(root: Path) -> dict[str, Any]:
    return dict(json.loads((root / "dataset.json").read_text()))


def test_yolo_comes_in_with_everything_known_about_it(tmp_path: Path) -> None:
    source = yolo(tmp_path / "src", {"a": "0 0.5 0.5 0.5 0.5\n", "b": "", "c": None})
    done = bring(source, tmp_path / "set")
    content = record(tmp_path / "set")
    assert labels(tmp_path / "set") == {"a": "0 0.500000 0.500000 0.500000 0.500000\n", "b": ""}
    assert content["classes"][:2] == ["carton", "polybag"]
    assert [row["boxes"] for row in content["images"]] == [1, 0, None]
    assert {row["width_px"] for row in content["images"]} == {320}
    assert content["sources"][0] | {"split": ""} == {
        "name": "src",
        "format": "yolo",
        "licence": "CC0",
        "origin": "somewhere",
        "images": 3,
        "boxes": {"carton": 1},
        "repeat": 1,
        "split": "",
    }
    assert done.unlabelled == 1
    assert open_dataset(tmp_path / "set").sha256 == done.sha256 == content["sha256"]


def test_polygons_and_confidences_become_boxes(tmp_path: Path) -> None:
    text = "0 0.1 0.2 0.5 0.2 0.5 0.6 0.1 0.6\n1 0.5 0.5 0.2 0.2 0.91\n"
    bring(yolo(tmp_path / "src", {"a": text}), tmp_path / "set")
    assert labels(tmp_path / "set")["a"].splitlines() == [
        "0 0.300000 0.400000 0.400000 0.400000",
        "1 0.500000 0.500000 0.200000 0.200000",
    ]
    assert record(tmp_path / "set")["images"][0]["pre_labels"] is True


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("0 0.5 0.5 nan 0.5", "no usable coordinate"),
        ("0 0.5 0.5 inf 0.5", "no usable coordinate"),
        ("0 0.5 0.5", "class cx cy w h"),
        ("2 0.5 0.5 0.5 0.5", "0 to 1"),
        ("-1 0.5 0.5 0.5 0.5", "0 to 1"),
        ("0 160 120 80 80", "found pixels"),
        ("0 a b c d", "expected a number"),
    ],
)
def test_wrong_label_lines_are_named_and_nothing_is_written(tmp_path: Path, line: str, says: str) -> None:
    source = yolo(tmp_path / "src", {"a": f"0 0.5 0.5 0.5 0.5\n{line}\n"})
    with pytest.raises(DatasetError, match=says) as caught:
        bring(source, tmp_path / "set")
    assert "a.txt, line 2" in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["src"]


def test_plain_folders_need_names(tmp_path: Path) -> None:
    source = yolo(tmp_path / "src", {"a": "1 0.5 0.5 0.5 0.5\n"}, names="")
    with pytest.raises(DatasetError, match="--classes"):
        bring(source, tmp_path / "set")
    assert bring(source, tmp_path / "set", names=("x", "y")).boxes == {"y": 1}


def test_renames_and_drops_are_explicit(tmp_path: Path) -> None:
    source = yolo(tmp_path / "src", {"a": "0 0.5 0.5 0.5 0.5\n1 0.2 0.2 0.1 0.1\n"}, names="names: [bag, junk]\n")
    with pytest.raises(DatasetError, match="names box, but the classes are"):
        bring(source, tmp_path / "no", class_map=ClassMap(rename={"box": "carton"}))
    done = bring(source, tmp_path / "set", class_map=ClassMap(rename={"bag": "sack"}, drop=frozenset({"junk"})))
    assert (done.classes, dict(done.boxes)) == (("carton", "polybag", "mailer", "tube", "sack"), {"sack": 1})
    assert labels(tmp_path / "set")["a"].startswith("4 ")
    assert record(tmp_path / "set")["class_map"] == {"rename": {"bag": "sack"}, "drop": ["junk"]}


COCO: dict[str, Any] = {
    "images": [
        {"id": 7, "file_name": "a.png", "width": 320, "height": 240},
        {"id": 8, "file_name": "b.png", "width": 320, "height": 240},
    ],
    "annotations": [
        {"id": 1, "image_id": 7, "category_id": 3, "bbox": [80, 60, 160, 120]},
        {"id": 2, "image_id": 7, "category_id": 3, "bbox": [0, 0, 10, 10], "iscrowd": 1},
    ],
    "categories": [{"id": 0, "name": "parcels"}, {"id": 3, "name": "carton", "supercategory": "parcels"}],
}


def coco(root: Path, content: dict[str, Any]) -> Path:
    for index, name in enumerate("ab"):
        save(root / "train" / f"{name}.png", scene(index))
    (root / "train" / "_annotations.coco.json").write_text(json.dumps(content))
    return root


def test_coco_pixels_become_relative_and_crowds_stay_out(tmp_path: Path) -> None:
    done = bring(coco(tmp_path / "src", COCO), tmp_path / "set")
    assert labels(tmp_path / "set") == {"a": "0 0.500000 0.500000 0.500000 0.500000\n", "b": ""}
    assert dict(done.boxes) == {"carton": 1}
    assert {row["part"] for row in record(tmp_path / "set")["images"]} == {"train"}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"images": [{"id": 7, "file_name": "../../etc/passwd", "width": 1, "height": 1}]}, "leads outside"),
        ({"images": [{"id": 7, "file_name": "/etc/passwd", "width": 1, "height": 1}]}, "leads outside"),
        ({"images": [{"id": 7, "file_name": "gone.png", "width": 1, "height": 1}]}, "is not in"),
        ({"annotations": [{"image_id": 99, "category_id": 3, "bbox": [1, 1, 1, 1]}]}, "no image has id 99"),
        ({"annotations": [{"image_id": 7, "category_id": 9, "bbox": [1, 1, 1, 1]}]}, "no category has id 9"),
        ({"annotations": [{"image_id": 7, "category_id": 3, "bbox": [1, 1, 1]}]}, "found 3 numbers"),
        ({"annotations": [{"image_id": 7, "category_id": 3, "bbox": [1, 1, float("nan"), 5]}]}, "coordinate|COCO"),
        ({"images": "none"}, "is no COCO file: images"),
    ],
)
def test_coco_that_lies_is_refused(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    with pytest.raises(DatasetError, match=says):
        bring(coco(tmp_path / "src", COCO | change), tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_labels_made_for_another_size_are_refused(tmp_path: Path) -> None:
    images = [{"id": 7, "file_name": "a.png", "width": 640, "height": 480}]
    with pytest.raises(DatasetError, match="320 x 240 px, its labels were made for 640 x 480"):
        bring(coco(tmp_path / "src", COCO | {"images": images}), tmp_path / "set")


VOC = """<annotation><filename>{file}</filename><size><width>320</width><height>240</height></size>
<object><name>carton</name><bndbox><xmin>{xmin}</xmin><ymin>60</ymin><xmax>240</xmax><ymax>180</ymax></bndbox></object>
</annotation>"""


def voc(root: Path, *, xml: str = VOC, file: str = "a.png", xmin: object = 80) -> Path:
    save(root / "JPEGImages" / "a.png", scene(1))
    save(root / "JPEGImages" / "b.png", scene(2))
    for folder in ("Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    (root / "Annotations" / "a.xml").write_text(xml.format(file=file, xmin=xmin) if xml is VOC else xml)
    (root / "ImageSets" / "Main" / "val.txt").write_text("a\n")
    return root


def test_voc_comes_in_with_its_parts_and_unlabelled_pictures(tmp_path: Path) -> None:
    bring(voc(tmp_path / "src"), tmp_path / "set")
    assert labels(tmp_path / "set") == {"a": "0 0.500000 0.500000 0.500000 0.500000\n"}
    assert [row.get("part") for row in record(tmp_path / "set")["images"]] == ["valid", None]


BOMB = '<!DOCTYPE a [<!ENTITY x "xxxxxxxx"><!ENTITY y "&x;&x;&x;">]><annotation><filename>&y;</filename></annotation>'


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"xml": BOMB}, "document type or entities"),
        ({"xml": "<annotation>"}, "not valid XML"),
        ({"xmin": "nan"}, "no usable coordinate"),
        ({"file": "../../a.png"}, "leads outside"),
    ],
)
def test_xml_that_lies_is_refused(tmp_path: Path, given: dict[str, Any], says: str) -> None:
    with pytest.raises(DatasetError, match=says):
        bring(voc(tmp_path / "src", **given), tmp_path / "set")


CVAT_IMAGES = """<annotations><version>1.1</version>
<meta><task><name>belt 3</name><labels><label><name>carton</name></label></labels></task></meta>
<image id="0" name="a.png" width="320" height="240">
  <box label="carton" xtl="80" ytl="60" xbr="240" ybr="180"/>
  <box label="carton" xtl="100" ytl="100" xbr="140" ybr="120" rotation="90"/>
  <polygon label="carton" points="10,10;30,12;20,40"/><points label="carton" points="1,1"/>
</image></annotations>"""


def test_cvat_images_from_a_zip(tmp_path: Path) -> None:
    save(tmp_path / "images" / "a.png", scene(1))
    with zipfile.ZipFile(tmp_path / "task.zip", "w") as archive:
        archive.writestr("annotations.xml", CVAT_IMAGES)
        archive.write(tmp_path / "images" / "a.png", "images/a.png")
    bring(tmp_path / "task.zip", tmp_path / "set")
    assert labels(tmp_path / "set")["a"].splitlines() == [
        "0 0.062500 0.104167 0.062500 0.125000",
        "0 0.375000 0.458333 0.062500 0.166667",
        "0 0.500000 0.500000 0.500000 0.500000",
    ]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


CVAT_VIDEO = """<annotations><meta><task><name>belt 3</name></task></meta>
<track id="5" label="carton">
  <box frame="0" xtl="0" ytl="60" xbr="80" ybr="120" outside="0" keyframe="1"/>
  <box frame="4" xtl="160" ytl="60" xbr="240" ybr="120" outside="0" keyframe="1"/>
  <box frame="5" xtl="160" ytl="60" xbr="240" ybr="120" outside="1" keyframe="1"/>
</track></annotations>"""


def test_cvat_tracks_are_parcels_of_a_clip_and_end_where_they_leave(tmp_path: Path) -> None:
    for frame in (0, 2, 5):
        save(tmp_path / "src" / "images" / f"frame_{frame:06d}.png", scene(frame))
    (tmp_path / "src" / "annotations.xml").write_text(CVAT_VIDEO)
    bring(tmp_path / "src", tmp_path / "set")
    assert list(labels(tmp_path / "set").values()) == [
        "0 0.125000 0.375000 0.250000 0.250000\n",
        "0 0.375000 0.375000 0.250000 0.250000\n",
        "",
    ]
    rows = record(tmp_path / "set")["images"]
    assert [(row["clip"], row["frame"], row.get("parcels")) for row in rows] == [
        ("belt 3", 0, ["belt 3/5"]),
        ("belt 3", 2, ["belt 3/5"]),
        ("belt 3", 5, None),
    ]


@pytest.mark.parametrize("name", ["../evil.txt", "/evil.txt", "C:/evil.txt"])
def test_an_archive_cannot_leave_its_folder(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(name, "x")
    with pytest.raises(DatasetError, match="leads outside"):
        bring(tmp_path / "x.zip", tmp_path / "sub" / "set")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["sub", "x.zip"]


def test_an_archive_that_explodes_or_links_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", "0" * (untrusted.RATIO_FREE_BYTES + 1))
    with pytest.raises(DatasetError, match="zip bomb"):
        bring(tmp_path / "bomb.zip", tmp_path / "set")
    link = zipfile.ZipInfo("a.png")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(DatasetError, match="is a link"):
        bring(tmp_path / "link.zip", tmp_path / "set")
    (tmp_path / "no.zip").write_bytes(b"PK not really")
    with pytest.raises(DatasetError, match="no readable zip"):
        bring(tmp_path / "no.zip", tmp_path / "set")


def test_a_broken_picture_stops_the_import_and_leaves_nothing(tmp_path: Path) -> None:
    source = yolo(tmp_path / "src", {"a": "", "b": ""})
    (source / "images" / "b.png").write_bytes(b"no picture")
    with pytest.raises(DatasetError, match=r"b\.png cannot be decoded"):
        bring(source, tmp_path / "set")
    assert [path.name for path in tmp_path.iterdir()] == ["src"]


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    source = yolo(tmp_path / "src", {"a": ""})
    (tmp_path / "set").mkdir()
    with pytest.raises(DatasetError, match="exists already"):
        bring(source, tmp_path / "set")


def test_the_hash_knows_content_not_names_order_or_place(tmp_path: Path) -> None:
    text = "0 0.5 0.5 0.5 0.5\n1 0.2 0.2 0.1 0.1\n"
    first = bring(yolo(tmp_path / "one", {"a": text, "b": ""}), tmp_path / "set1").sha256
    other = tmp_path / "elsewhere" / "one"
    shutil.copytree(tmp_path / "one", other)
    (other / "labels" / "a.txt").write_text("\n".join(reversed(text.splitlines())) + "\n")
    assert bring(other, tmp_path / "set2").sha256 == first
    (other / "labels" / "a.txt").write_text(text.replace("0.5\n", "0.4\n"))
    assert bring(other, tmp_path / "set3").sha256 != first


def test_names_are_made_harmless_and_told_apart(tmp_path: Path) -> None:
    drafts = [
        draft(tmp_path / "s", "train/-ü b.png", scene(1)),
        draft(tmp_path / "s", "x/same.png", scene(2)),
        draft(tmp_path / "s", "y/Same.jpg", scene(3)),
    ]
    make(tmp_path / "set", drafts)
    names = [row["file"] for row in record(tmp_path / "set")["images"]]
    assert "images/u_b.png" in names
    assert len({Path(name).stem.lower() for name in names}) == 3


def test_boxes_are_cut_by_a_pixel_or_two_and_kept_beyond(tmp_path: Path) -> None:
    at = [MIDDLE._replace(x1=-1 / 320), MIDDLE._replace(x1=-0.1)]
    drafts = [draft(tmp_path / "s", f"{i}.png", scene(i), [("carton", a)]) for i, a in enumerate(at)]
    assert make(tmp_path / "set", drafts).cut == 1
    reading = Reading("yolo", tuple(drafts), ("carton",))
    assert write_dataset(tmp_path / "cut", [Source("s", reading)], clip_all=True).cut == 2


def test_a_set_of_ours_is_a_source_and_keeps_its_groups(tmp_path: Path) -> None:
    source = yolo(tmp_path / "src", {"frame_0001": "0 0.5 0.5 0.5 0.5\n"})
    first = bring(source, tmp_path / "one")
    again = bring(tmp_path / "one", tmp_path / "two")
    assert again.sha256 == first.sha256
    assert record(tmp_path / "two")["sources"][0]["made_from"][0]["licence"] == "CC0"


@pytest.mark.parametrize(
    ("name", "day", "clip", "frame", "original"),
    [
        ("cam2/frame_000123.png", "", "cam2", 123, "cam2/frame_000123"),
        ("images/video2-00001.jpg", "", "video2", 1, "video2-00001"),
        ("train/images/a_jpg.rf.0123456789abcdef.jpg", "", "", None, "a_jpg"),
        ("IMG_20220617_185409.jpg", "2022-06-17", "", None, "IMG_20220617_185409"),
        ("IMG_6819.jpg", "", "", None, "IMG_6819"),
        ("20220617_185409.jpg", "2022-06-17", "", None, "20220617_185409"),
        ("cam_20220617_000004.jpg", "2022-06-17", "cam_20220617", 4, "cam_20220617_000004"),
        ("2-1.jpg", "", "", None, "2-1"),
        ("2026-03-01/belt_0007.jpg", "2026-03-01", "2026-03-01/belt", 7, "2026-03-01/belt_0007"),
    ],
)
def test_names_tell_day_clip_and_original(name: str, day: str, clip: str, frame: int | None, original: str) -> None:
    groups = groups_of(name)
    assert (groups.day, groups.clip, groups.frame, groups.original) == (day, clip, frame, original)


def test_a_pattern_tells_more_and_a_wrong_one_is_refused() -> None:
    groups = groups_of("7-3.jpg", compiled(r"(?P<parcel>\d+)-(?P<frame>\d+)"))
    assert (groups.parcels, groups.frame) == (("7",), 3)
    for wrong in ("(", "no groups"):
        with pytest.raises(DatasetError, match="--name-pattern"):
            compiled(wrong)


def test_a_folder_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no labels recognised"):
        read(tmp_path, scratch=tmp_path)


def test_the_command_line_says_what_came_in(tmp_path: Path) -> None:
    source = yolo(tmp_path / "src", {"a": "0 0.5 0.5 0.5 0.5\n"})
    command = [sys.executable, "-m", "edge_sorter", "dataset", "import", str(source), "--out", str(tmp_path / "set")]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["boxes"] == {"carton": 1}
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (again.returncode, "exists already" in again.stderr) == (65, True)
