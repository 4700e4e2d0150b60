from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_sorter.errors import DatasetError
from edge_sorter.lifecycle.evaluation.accuracy import accuracy_of
from edge_sorter.lifecycle.evaluation.labelled import read_set
from edge_sorter.types import Detections, Frame

CLASSES = ("carton", "polybag")


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    for part in ("images", "labels"):
        (tmp_path / part).mkdir()
    for i in range(3):
        cv2.imwrite(str(tmp_path / "images" / f"{i}.png"), np.full((200, 400, 3), i, np.uint8))
        (tmp_path / "labels" / f"{i}.txt").write_text("7 0.5 0.5 0.25 0.5\n")
    return tmp_path


class Seeing:
    """Stands where a detector does and sees the same boxes in every picture."""

    classes = CLASSES
    high_confidence = 0.25

    def __init__(self, boxes: list[list[float]], class_id: int) -> None:
        rows = len(boxes)
        self._seen = Detections(
            0, np.array(boxes, np.float32).reshape(-1, 4), np.full(rows, 0.8, np.float32), np.full(rows, class_id)
        )

    def detect(self, _: Frame) -> Detections:
        return self._seen


def test_labels_become_pixels_in_our_classes(labelled: Path) -> None:
    truth, picture = next(read_set(labelled / "images", labelled / "labels", class_map={7: 1}))
    assert picture.shape == (200, 400, 3)
    assert truth.xyxy.tolist() == [[150.0, 50.0, 250.0, 150.0]]
    assert truth.class_id.tolist() == [1]
    with pytest.raises(DatasetError, match="class 7"):
        next(read_set(labelled / "images", labelled / "labels", class_map={0: 1}))


def test_perfect_boxes_score_one_and_a_wrong_class_scores_zero(labelled: Path) -> None:
    perfect: Any = Seeing([[150, 50, 250, 150]], 1)
    folders = (labelled / "images", labelled / "labels")
    found = accuracy_of(perfect, *folders, class_map={7: 1})
    assert (found.images, found.map50, found.map50_95) == (3, pytest.approx(1.0), pytest.approx(1.0))
    assert accuracy_of(perfect, *folders, class_map={7: 0}).map50 == 0.0
    assert accuracy_of(perfect, *folders, any_class=True).map50 == pytest.approx(1.0)
    with pytest.raises(DatasetError, match="class 7; the model knows 0 to 1"):
        accuracy_of(perfect, *folders)


def test_nothing_found_is_zero_and_nothing_to_find_is_an_error(labelled: Path) -> None:
    blind: Any = Seeing([], 0)
    assert accuracy_of(blind, labelled / "images", labelled / "labels", any_class=True).map50_95 == 0.0
    for label in (labelled / "labels").iterdir():
        label.write_text("")
    with pytest.raises(DatasetError, match="no box"):
        accuracy_of(blind, labelled / "images", labelled / "labels")
