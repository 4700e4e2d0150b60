"""Every detector finds exactly the fault that was planted, and nothing in a good set."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from edge_sorter.errors import DatasetError
from edge_sorter.lifecycle.dataset.commands import app
from edge_sorter.lifecycle.dataset.examine import Examined, examine
from edge_sorter.lifecycle.dataset.examine.findings import KINDS, Limits, severities
from edge_sorter.lifecycle.dataset.examine.measure import Measured, edge_px
from edge_sorter.lifecycle.dataset.examine.report import write_report
from edge_sorter.lifecycle.dataset.examine.twins import joined, near_duplicates
from edge_sorter.lifecycle.dataset.values import Corners, Draft, Groups

from .dataset_folders import MIDDLE, draft, make, scene

ENOUGH = Limits(few=1)
"""The sets here are small on purpose."""


def good(folder: Path, *, count: int = 4) -> list[Draft]:
    """Pictures that differ, one box of each class on each."""
    boxes = [("carton", Corners(0.1, 0.1, 0.4, 0.4)), ("polybag", Corners(0.5, 0.5, 0.9, 0.9))]
    return [draft(folder, f"good{i}.png", scene(100 + i), boxes) for i in range(count)]


def found_in(tmp_path: Path, planted: Sequence[Draft], *, limits: Limits = ENOUGH) -> Examined:
    make(tmp_path / "set", [*good(tmp_path / "src"), *planted])
    return examine(tmp_path / "set", limits=limits)


def kinds(found: Examined) -> list[tuple[str, str]]:
    return [(item.kind, Path(item.file).stem) for item in found.findings]


def test_a_good_set_has_no_findings(tmp_path: Path) -> None:
    assert kinds(found_in(tmp_path, [])) == []


def smeared(image: NDArray[np.uint8], length_px: int) -> NDArray[np.uint8]:
    kernel = np.zeros((length_px, length_px), np.float32)
    kernel[length_px // 2] = 1 / length_px
    return np.asarray(cv2.filter2D(image, -1, kernel), dtype=np.uint8)


@pytest.mark.parametrize(
    ("kind", "spoil"),
    [
        ("blurred", lambda image: cv2.GaussianBlur(image, (0, 0), 4)),
        ("blurred", lambda image: smeared(image, 15)),
        ("dark", lambda image: image // 5),
        ("burnt", lambda image: cv2.rectangle(image.copy(), (0, 0), (319, 140), (255, 255, 255), -1)),
    ],
)
def test_bad_pictures_are_found(
    tmp_path: Path, kind: str, spoil: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
) -> None:
    found = found_in(tmp_path, [draft(tmp_path / "src", "bad.png", np.asarray(spoil(scene(1)), np.uint8))])
    assert kinds(found) == [(kind, "bad")]
    item = found.findings[0]
    assert (item.severity, type(item.value), type(item.limit)) == ("warning", float, float)


def test_motion_blur_counts_although_edges_along_it_stay_sharp() -> None:
    grey = cv2.cvtColor(scene(3), cv2.COLOR_BGR2GRAY)
    sharp, moved = edge_px(np.asarray(grey, np.uint8)), edge_px(smeared(np.asarray(grey, np.uint8), 15))
    assert sharp < 4 < 10 < moved
    noisy = np.clip(grey + np.random.default_rng(0).normal(0, 8, grey.shape), 0, 255).astype(np.uint8)
    assert edge_px(noisy) < 5, "noise is no blur"
    assert edge_px(np.full((50, 50), 90, np.uint8)) == 0.0, "nothing to see is not blurred"


def test_what_breaks_after_the_import_is_found(tmp_path: Path) -> None:
    make(tmp_path / "set", [draft(tmp_path / "src", f"{n}.jpg", scene(i)) for i, n in enumerate("abc")])
    images = tmp_path / "set" / "images"
    (images / "a.jpg").write_bytes((images / "a.jpg").read_bytes()[:3000])
    cv2.imwrite(str(images / "b.jpg"), scene(50))
    found = examine(tmp_path / "set", limits=ENOUGH)
    about = [pair for pair in kinds(found) if pair[0] in ("corrupt", "changed")]
    assert about == [("corrupt", "a"), ("changed", "a"), ("changed", "b")]


def test_equal_files_and_near_duplicates(tmp_path: Path) -> None:
    folder, image = tmp_path / "src", scene(1)
    brighter = cv2.GaussianBlur(cv2.add(image, (6, 6, 6, 0)), (0, 0), 0.6)
    planted = [
        draft(folder, "one.png", image),
        draft(folder, "same.png", image),
        draft(folder, "near.jpg", np.asarray(brighter, np.uint8)),
    ]
    found = found_in(tmp_path, planted)
    assert {(f.kind, Path(f.file).stem, Path(f.other).stem) for f in found.findings} == {
        ("duplicate", "one", "same"),
        ("near_duplicate", "near", "one"),
    }


def test_two_parcels_under_a_fixed_camera_are_no_duplicates(tmp_path: Path) -> None:
    """The belt and the hall make most of the hash; the parcels differ all the same."""
    pictures = []
    for colour in (140, 200):
        image = scene(1)
        cv2.rectangle(image, (140, 100), (180, 130), (colour, colour, 30), -1)
        pictures.append(image)
    planted = [draft(tmp_path / "src", f"parcel{i}.png", image) for i, image in enumerate(pictures)]
    assert kinds(found_in(tmp_path, planted)) == []


def test_twins_labelled_differently(tmp_path: Path) -> None:
    image = scene(1)
    other = [("polybag", MIDDLE)]
    planted = [draft(tmp_path / "src", "one.png", image), draft(tmp_path / "src", "two.png", image, other)]
    assert kinds(found_in(tmp_path, planted)) == [("twin_labels", "one"), ("duplicate", "one")]


@pytest.mark.parametrize("bits", [0, 1, 4, 9])
def test_no_link_within_the_limit_is_missed(bits: int) -> None:
    """Against the plain comparison of all with all."""
    rng = np.random.default_rng(bits)
    base = [int(value) for value in rng.integers(0, 2**63, 12)]
    hashes = [
        value ^ sum(1 << int(bit) for bit in rng.choice(64, n, replace=False)) for value in base for n in (0, 3, 6)
    ]
    cells = np.zeros((32, 32), np.float32)
    measured = {f"{i:03}": Measured(hash64=value, cells=cells) for i, value in enumerate(hashes)}
    names = sorted(measured)
    expected = {
        (a, b)
        for i, a in enumerate(names)
        for b in names[i + 1 :]
        if (measured[a].hash64 ^ measured[b].hash64).bit_count() <= bits
    }
    found = near_duplicates(measured, bits=bits, grey=1.0)
    assert {(a, b) for a, b, _ in found} <= expected
    assert joined((a, b) for a, b, _ in found) == joined(sorted(expected))


def test_an_empty_belt_is_linked_by_a_chain_not_by_all_pairs() -> None:
    """Each picture is a little brighter in one place than the one before: the first and the last differ too much."""
    measured = {}
    for i in range(300):
        cells = np.zeros((32, 32), np.float32)
        cells[0, 0] = i
        measured[f"{i:03}"] = Measured(hash64=7, cells=cells)
    found = near_duplicates(measured, bits=4, grey=1.0)
    assert len(found) == 299 and set(joined((a, b) for a, b, _ in found).values()) == {"000"}


@pytest.mark.parametrize("package", ["imagehash", "PIL.Image"])
def test_a_missing_extra_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    make(tmp_path / "set", [draft(tmp_path / "src", "a.png", scene(1))])
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(DatasetError, match=r"pip install 'edge-sorter\[dataset\]'"):
        examine(tmp_path / "set")


def test_the_line_loads_nothing_of_this(root: Path) -> None:
    code = (
        "import sys, edge_sorter.cli; print(*(m for m in ('PIL', 'jinja2', 'imagehash', 'scipy') if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_links_join_whole_groups() -> None:
    assert joined([("b", "c"), ("d", "e"), ("a", "c")]) == {"a": "a", "b": "a", "c": "a", "d": "d", "e": "d"}


@pytest.mark.parametrize(
    ("kind", "boxes"),
    [
        ("no_label_file", None),
        ("no_area", [("carton", Corners(0.5, 0.5, 0.5, 0.7))]),
        ("no_area", [("carton", Corners(0.7, 0.5, 0.5, 0.7))]),
        ("outside", [("carton", Corners(-0.1, 0.2, 0.5, 0.7))]),
        ("outside", [("carton", Corners(0.5, 0.5, 0.9, 1.2))]),
        ("outside", [("carton", Corners(1.5, 0.5, 1.9, 0.9))]),
        ("tiny", [("carton", Corners(0.5, 0.5, 0.7, 0.52))]),
        ("overlapping", [("carton", MIDDLE), ("polybag", MIDDLE._replace(x2=0.8))]),
        ("labelled_twice", [("carton", MIDDLE), ("carton", MIDDLE._replace(x2=0.755))]),
    ],
)
def test_bad_boxes_are_found(tmp_path: Path, kind: str, boxes: list[tuple[str, Corners]] | None) -> None:
    found = found_in(tmp_path, [draft(tmp_path / "src", "bad.png", scene(1), boxes)])
    assert kinds(found) == [(kind, "bad")]
    item = found.findings[0]
    assert boxes is None or (item.box == len(boxes) - 1 and item.value != "" and item.limit != "")


def test_a_parcel_that_changes_its_class_between_neighbouring_frames(tmp_path: Path) -> None:
    def frame(index: int, name: str, shift: float) -> Draft:
        boxes = [(name, Corners(0.2 + shift, 0.2, 0.5 + shift, 0.6)), ("polybag", Corners(0.6, 0.7, 0.9, 0.9))]
        groups = Groups(clip="belt", frame=index, original=str(index))
        return draft(tmp_path / "src", f"f{index}.png", scene(index), boxes, groups=groups)

    planted = [frame(10, "carton", 0.0), frame(11, "polybag", 0.03), frame(30, "carton", 0.04)]
    found = found_in(tmp_path, planted)
    assert [(f.kind, Path(f.file).stem, Path(f.other).stem, f.value) for f in found.findings] == [
        ("class_flips", "f11", "f10", "carton -> polybag")
    ]


def test_class_names_that_differ_in_case_and_spaces(tmp_path: Path) -> None:
    classes = ("carton", "Carton ", "tube")
    boxes = [(name, Corners(0.1 + 0.3 * i, 0.2, 0.3 + 0.3 * i, 0.5)) for i, name in enumerate(classes)]
    make(tmp_path / "set", [draft(tmp_path / "src", "a.png", scene(1), boxes)], classes=classes)
    found = examine(tmp_path / "set", limits=ENOUGH)
    assert [(f.kind, f.severity, f.value) for f in found.findings] == [("class_names", "error", "'carton' / 'Carton '")]


def test_rare_and_absent_classes(tmp_path: Path) -> None:
    row = [("carton", Corners(x / 25, 0.2, x / 25 + 0.03, 0.3)) for x in range(24)]
    row += [("polybag", Corners(0.2, 0.6, 0.4, 0.9)), ("polybag", Corners(0.6, 0.6, 0.8, 0.9))]
    row += [("tube", Corners(0.45, 0.6, 0.5, 0.9))]
    make(
        tmp_path / "set", [draft(tmp_path / "src", "a.png", scene(1), row)], classes=("carton", "polybag", "tube", "x")
    )
    found = examine(tmp_path / "set", limits=Limits(few=2))
    assert [(f.kind, f.value) for f in found.findings] == [
        ("class_absent", "x"),
        ("class_few", "tube: 1"),
        ("imbalance", "polybag: 2 of 24"),
    ]


def test_leaks_between_the_parts_a_set_came_with(tmp_path: Path) -> None:
    folder, image = tmp_path / "src", scene(1)
    planted = [
        draft(folder, "a.png", scene(2), groups=Groups(original="o"), part="train"),
        draft(folder, "b.png", scene(3), groups=Groups(original="o"), part="test"),
        draft(folder, "c.png", scene(4), groups=Groups(clip="k", frame=1, original="c"), part="train"),
        draft(folder, "d.png", scene(5), groups=Groups(clip="k", frame=90, original="d"), part="valid"),
        draft(folder, "e.png", image, part="train"),
        draft(folder, "f.png", image, part="test"),
        draft(folder, "g.png", scene(6), groups=Groups(original="g", parcels=("p1", "p2")), part="train"),
        draft(folder, "h.png", scene(7), groups=Groups(original="h", parcels=("p2", "p3")), part="valid"),
    ]
    leaks = [item for item in found_in(tmp_path, planted).findings if item.kind == "leak"]
    assert {(Path(f.file).stem, Path(f.other).stem, str(f.value)) for f in leaks} == {
        ("b", "a", "original made/o: test 1, train 1"),
        ("c", "d", "clip made/k: train 1, valid 1"),
        ("e", "f", "same picture: train, test"),
        ("g", "h", "parcel made/p2: train 1, valid 1"),
    }


def test_exif_turns_are_told(tmp_path: Path) -> None:
    from PIL import Image

    make(tmp_path / "set", good(tmp_path / "src"))
    path = tmp_path / "set" / "images" / "good0.png"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(path).save(path, exif=exif)
    assert ("exif_turn", "good0") in kinds(examine(tmp_path / "set", limits=ENOUGH))


def test_limits_and_severities_are_the_users(tmp_path: Path) -> None:
    planted = [draft(tmp_path / "src", "bad.png", scene(1) // 5)]
    assert kinds(found_in(tmp_path, planted, limits=ENOUGH.changed(["dark=5"]))) == []
    found = examine(tmp_path / "set", limits=ENOUGH, severity=severities(["dark=error"]))
    assert (found.count("error"), found.count("warning")) == (1, 0)
    assert examine(tmp_path / "set", limits=ENOUGH, severity=severities(["dark=off"])).findings == ()
    for wrong, message in (("blur=3", "there is no 'blur'"), ("dark=x", "no number")):
        with pytest.raises(DatasetError, match=message):
            ENOUGH.changed([wrong])
    with pytest.raises(DatasetError, match="KIND=error"):
        severities(["blur=error"])


def test_the_command_ends_with_what_it_found(tmp_path: Path) -> None:
    make(tmp_path / "set", [*good(tmp_path / "src"), draft(tmp_path / "src", "bad.png", scene(1), None)])
    page, sheet = tmp_path / "report.html", tmp_path / "worst.png"
    options = [str(tmp_path / "set"), "--limit", "few=1"]
    run = CliRunner()
    done = run.invoke(app, ["check", *options, "--html", str(page), "--sheet", str(sheet), "--json"])
    assert done.exit_code == 0, done.output
    content = json.loads(done.stdout)
    assert [row["kind"] for row in content["findings"]] == ["no_label_file"]
    assert cv2.imread(str(sheet)).shape[2] == 3
    assert run.invoke(app, ["check", *options, "--strict"]).exit_code == 1
    assert run.invoke(app, ["check", *options, "--severity", "no_label_file=error"]).exit_code == 1
    again = run.invoke(app, ["check", *options, "--html", str(page)])
    assert isinstance(again.exception, DatasetError)


def test_the_page_needs_nothing_else_and_escapes_names(tmp_path: Path) -> None:
    name = "<script>alert(1)</script>"
    make(tmp_path / "set", [draft(tmp_path / "src", "a.png", scene(1), [(name, MIDDLE)])], classes=(name,))
    limits = Limits()
    write_report(tmp_path / "r.html", examine(tmp_path / "set", limits=limits), limits)
    page = (tmp_path / "r.html").read_text()
    assert "<script" not in page and "&lt;script&gt;" in page
    assert not [word for word in ("http://", "https://", 'src="//') if word in page]


def test_every_kind_is_explained() -> None:
    assert all(severity in ("error", "warning") and about for severity, about in KINDS.values())
