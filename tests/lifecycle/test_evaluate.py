from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_sorter.errors import ModelError
from edge_sorter.lifecycle.evaluate import Labelled, evaluate, read_set, score
from edge_sorter.types import Detections, Image

CLASSES = ("carton", "polybag")


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    for part in ("images", "labels"):
        (tmp_path / part).mkdir()
    for i in range(3):
        cv2.imwrite(str(tmp_path / "images" / f"{i}.png"), np.full((200, 400, 3), i, np.uint8))
        (tmp_path / "labels" / f"{i}.txt").write_text("7 0.5 0.5 0.25 0.5\n")
    return tmp_path


def found(xyxy: list[list[float]], confidence: list[float], class_id: list[int]) -> Detections:
    return Detections(0, np.array(xyxy, np.float32), np.array(confidence, np.float32), np.array(class_id, np.int64))


def test_labels_become_pixels_in_our_classes(labelled: Path) -> None:
    truth, picture = next(read_set(labelled / "images", labelled / "labels", class_map={7: 1}))
    assert picture.shape == (200, 400, 3)
    assert truth.xyxy.tolist() == [[150.0, 50.0, 250.0, 150.0]]
    assert truth.class_id.tolist() == [1]
    with pytest.raises(ModelError, match="class 7"):
        next(read_set(labelled / "images", labelled / "labels", class_map={0: 1}))


def test_perfect_boxes_score_one_and_a_wrong_class_scores_zero(labelled: Path) -> None:
    pytest.importorskip("faster_coco_eval")

    def perfect(_: Image) -> Detections:
        return found([[150, 50, 250, 150]], [0.8], [1])

    folders = (labelled / "images", labelled / "labels")
    assert evaluate(perfect, *folders, classes=CLASSES, class_map={7: 1}).map50_95 == pytest.approx(1.0)
    assert evaluate(perfect, *folders, classes=CLASSES, class_map={7: 0}).map50 == pytest.approx(0.0)
    assert evaluate(perfect, *folders, classes=CLASSES, class_map={7: 0}, any_class=True).map50 == pytest.approx(1.0)


def test_the_recommended_threshold_lies_between_true_and_false_boxes() -> None:
    pytest.importorskip("faster_coco_eval")
    box, elsewhere = [10.0, 10.0, 50.0, 50.0], [100.0, 100.0, 140.0, 140.0]
    truth = Labelled(Path("a.png"), np.array([box], np.float32), np.array([0]), (200, 200))
    detections = found([box, elsewhere], [0.7, 0.3], [0, 0])
    result = score([truth] * 20, [detections] * 20, classes=CLASSES)
    assert 0.3 < result.best_confidence <= 0.7
    assert result.precision == pytest.approx(1.0)
    assert result.recall == pytest.approx(1.0)
    assert result.per_class_map50 == {"carton": 1.0}


def test_nothing_found_is_zero_and_nothing_to_find_is_an_error() -> None:
    pytest.importorskip("faster_coco_eval")
    truth = Labelled(Path("a.png"), np.array([[1, 1, 9, 9]], np.float32), np.array([0]), (20, 20))
    assert score([truth], [Detections.empty(0)], classes=CLASSES).map50 == 0.0
    empty = Labelled(Path("a.png"), np.empty((0, 4), np.float32), np.empty(0, np.int64), (20, 20))
    with pytest.raises(ModelError, match="no box"):
        score([empty], [Detections.empty(0)], classes=CLASSES)
