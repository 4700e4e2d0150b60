"""Our own recordings: a real clip, its real journal, and pictures of the parcels that were asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from edge_sorter.errors import DatasetError
from edge_sorter.journal import Journal
from edge_sorter.lifecycle.dataset.commands import app
from edge_sorter.lifecycle.dataset.reading.frames import take_frames
from edge_sorter.lifecycle.dataset.reading.recorded import Choice
from edge_sorter.video.clip import Clip
from edge_sorter.video.picture import PictureMaker, upright_size

JOURNAL = Path("tests/golden/demo.jsonl")
CLIP = Path("configs/demo/demo.mp4")


@pytest.fixture(scope="module")
def journal(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The beginning of the journal: so many frames decode quickly, and hold enough decisions."""
    path = tmp_path_factory.mktemp("recorded") / "journal.jsonl"
    lines = (root / JOURNAL).read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if json.loads(line).get("i", 0) < 150))
    return path


def bring(root: Path, journal: Path, out: Path, *options: str) -> Any:
    return CliRunner().invoke(app, ["import", str(journal), "--clip", str(root / CLIP), "--out", str(out), *options])


def test_chosen_parcels_come_with_what_the_line_saw(root: Path, journal: Path, tmp_path: Path) -> None:
    decided = [decision for step in Journal(journal) for decision in step.decisions]
    done = bring(root, journal, tmp_path / "set", "--every", "2", "--below", "0", "--no-exceptions")
    assert done.exit_code == 0, done.output
    record = json.loads((tmp_path / "set" / "dataset.json").read_text())
    wanted = {decision["parcel_uid"] for decision in decided if decision["seq"] % 2 == 0}
    rows = record["images"]
    assert wanted and wanted <= {uid for row in rows for uid in row["parcels"]}
    assert len(rows) <= len(wanted)
    assert all(row["pre_labels"] and row["clip"] == "demo" and row["boxes"] == len(row["parcels"]) for row in rows)


def test_boxes_lie_on_parcels(root: Path, journal: Path, tmp_path: Path) -> None:
    """Frame and boxes belong together: inside a box the picture differs from the empty belt, beside it does not."""
    assert bring(root, journal, tmp_path / "set", "--every", "2").exit_code == 0
    for row in json.loads((tmp_path / "set" / "dataset.json").read_text())["images"]:
        image = cv2.imread(str(tmp_path / "set" / row["file"]), cv2.IMREAD_GRAYSCALE)
        height, width = image.shape
        label = tmp_path / "set" / "labels" / (Path(row["file"]).stem + ".txt")
        inside = np.zeros(image.shape, bool)
        for line in label.read_text().splitlines():
            cx, cy, w, h = (float(value) for value in line.split()[1:])
            inside[round((cy - h / 2) * height) : round((cy + h / 2) * height)][
                :, round((cx - w / 2) * width) : round((cx + w / 2) * width)
            ] = True
        belt = np.median(image[~inside])
        assert abs(float(image[inside].mean()) - belt) > 25, row["file"]


def test_a_frame_is_the_frame_of_its_number(root: Path, tmp_path: Path) -> None:
    taken = take_frames(root / CLIP, [7, 3], tmp_path)
    video = Clip(root / CLIP)
    for index, (_, raw) in enumerate(video.frames()):
        if index in taken:
            assert np.array_equal(cv2.imread(str(taken[index])), PictureMaker(upright_size(raw)).bgr(raw))
        if index == 7:
            break
    video.close()
    assert sorted(taken) == [3, 7]


def test_another_clip_is_noticed(root: Path, journal: Path, tmp_path: Path) -> None:
    lines = journal.read_text().splitlines()
    slow = [lines[0]]
    for line in lines[1:]:
        entry = json.loads(line)
        if "t" in entry:
            entry["t"] *= 2
        slow.append(json.dumps(entry))
    (tmp_path / "journal.jsonl").write_text("\n".join(slow) + "\n")
    done = bring(root, tmp_path / "journal.jsonl", tmp_path / "set", "--every", "1")
    assert isinstance(done.exception, DatasetError) and "is not the clip of this journal" in str(done.exception)
    assert not (tmp_path / "set").exists()


def test_what_cannot_be_taken_is_said(root: Path, journal: Path, tmp_path: Path) -> None:
    none = bring(root, journal, tmp_path / "set", "--below", "0", "--no-exceptions")
    assert "take more with --every" in str(none.exception)
    done = CliRunner().invoke(app, ["import", str(journal), "--out", str(tmp_path / "set")])
    assert "name the video it was made of with --clip" in str(done.exception)


@pytest.mark.parametrize(
    ("decision", "choice", "taken"),
    [
        ({"reason": "PLAN_MATCH", "conf": 0.9, "seq": 3}, Choice(), False),
        ({"reason": "NO_READ", "conf": 0.9, "seq": 3}, Choice(), True),
        ({"reason": "NO_READ", "conf": 0.9, "seq": 3}, Choice(exceptions=False), False),
        ({"reason": "PLAN_MATCH", "conf": 0.4, "seq": 3}, Choice(), True),
        ({"reason": "PLAN_MATCH", "conf": 0.9, "seq": 6}, Choice(every=3), True),
    ],
)
def test_choices(decision: dict[str, Any], choice: Choice, taken: bool) -> None:
    assert choice.takes(decision) is taken


def test_reviewed_labels_are_labels(root: Path, journal: Path, tmp_path: Path) -> None:
    assert bring(root, journal, tmp_path / "one", "--every", "1").exit_code == 0
    done = CliRunner().invoke(app, ["import", str(tmp_path / "one"), "--out", str(tmp_path / "two"), "--reviewed"])
    assert done.exit_code == 0, done.output
    rows = json.loads((tmp_path / "two" / "dataset.json").read_text())["images"]
    assert rows and not any("pre_labels" in row for row in rows)
    assert all(row["clip"] == "demo" and row["parcels"] for row in rows)
