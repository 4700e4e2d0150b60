"""Golden pictures: one of each part of the clip, and none in which the model itself wavers between two classes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_sorter.detect.acceptance import INT8_LIMITS
from edge_sorter.lifecycle import golden
from edge_sorter.lifecycle.golden import _margin, _surest, candidates_of, write_golden


def test_candidates_lie_round_the_middle_of_their_part(root: Path) -> None:
    parts = candidates_of(root / "configs/demo/demo.mp4", count=3, size_px=(64, 32))
    assert [len(part) for part in parts] == [golden.CANDIDATES] * 3
    pictures = [picture.tobytes() for part in parts for picture in part]
    assert len(set(pictures)) == len(pictures)


def test_the_margin_is_that_of_the_box_least_sure() -> None:
    scores = np.array([[0.9, 0.5, 0.2], [0.1, 0.42, 0.19]], np.float32)
    assert _margin(scores, 0.25) == pytest.approx(0.08)
    assert _margin(scores, 0.95) == 0.0  # nothing seen: a poor golden picture
    assert _margin(scores[:1], 0.25) == 1.0  # one class: no doubt


def test_a_picture_in_doubt_is_passed_over(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    margins = iter((0.02, INT8_LIMITS.score + 0.1, 0.05, 0.01, 0.08))
    monkeypatch.setattr(golden, "_margin", lambda scores, confidence: next(margins))
    pictures = [np.full((288, 448, 3), value, np.uint8) for value in (10, 20, 30, 40, 50)]
    found = _surest(root / "weights/parcel-yolo26n.onnx", [pictures[:2], pictures[2:]])
    assert [int(picture[0, 0, 0]) for picture in found] == [20, 50]


def test_what_is_written_is_what_the_shipped_file_has(root: Path, tmp_path: Path) -> None:
    for name in ("parcel-yolo26n.onnx", "parcel-yolo26n.json", "parcel-yolo26n.golden.png"):
        shutil.copy(root / "weights" / name, tmp_path / name)
    shipped = cv2.imread(str(tmp_path / "parcel-yolo26n.golden.png")).astype(int)
    before = json.loads((tmp_path / "parcel-yolo26n.json").read_text())["golden"]["detections"]
    write_golden(tmp_path / "parcel-yolo26n.onnx", also=(), clip=root / "configs/demo/demo.mp4", count=len(before))
    after = json.loads((tmp_path / "parcel-yolo26n.json").read_text())["golden"]["detections"]
    written = cv2.imread(str(tmp_path / "parcel-yolo26n.golden.png"))
    assert np.abs(written - shipped).mean() < 2, "other pictures"  # decoders may differ in the last bits
    assert [len(picture) for picture in after] == [len(picture) for picture in before]
