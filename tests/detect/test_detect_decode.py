"""Decoders against boxes computed by hand and against slow, obvious versions of themselves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sorter.detect.decode import MAX_BOXES, Boxes, Grid, among, suppress, yolo11, yolo26_e2e, yolo26_ltrb
from edge_sorter.errors import EngineError

SIZE = (64, 32)  # grids: 8x4, 4x2, 2x1 = 42 predictions
N = 42


def boxes_of(*rows: tuple[float, float, float, float], scores: list[float], classes: list[int]) -> Boxes:
    return Boxes(np.array(rows, np.float32), np.array(scores, np.float32), np.array(classes, np.int64))


def iou(a: np.ndarray, b: np.ndarray) -> float:
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    inter = max(w, 0.0) * max(h, 0.0)
    total = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inter
    return inter / total if total > 0 else 0.0


def test_grid_is_level_by_level_row_by_row() -> None:
    grid = Grid.of(SIZE)
    assert grid.centers_px.shape == (2, N)
    assert grid.centers_px[:, 0].tolist() == [4, 4]
    assert grid.centers_px[:, 1].tolist() == [12, 4]
    assert grid.centers_px[:, 8].tolist() == [4, 12]  # second row of the first level
    assert grid.centers_px[:, 32].tolist() == [8, 8]
    assert grid.centers_px[:, 41].tolist() == [48, 16]
    assert grid.strides_px[[0, 31, 32, 39, 40, 41]].tolist() == [8, 8, 16, 16, 32, 32]


@pytest.mark.parametrize(
    ("row", "ltrb", "expected"),
    [
        (9, (0.5, 1.0, 2.0, 0.25), (12 - 4, 12 - 8, 12 + 16, 12 + 2)),
        (33, (1.0, 0.5, 1.0, 0.5), (24 - 16, 8 - 8, 24 + 16, 8 + 8)),
        (40, (0.5, 0.5, 0.5, 0.5), (0, 0, 32, 32)),
    ],
)
def test_ltrb_by_hand(row: int, ltrb: tuple[float, ...], expected: tuple[float, ...]) -> None:
    distances = np.zeros((1, 4, N), np.float32)
    scores = np.full((1, 3, N), 0.01, np.float32)
    distances[0, :, row] = ltrb
    scores[0, 2, row] = 0.7
    found = yolo26_ltrb(distances, scores, classes=3, grid=Grid.of(SIZE), threshold=0.1)
    assert found.xyxy.tolist() == [list(map(float, expected))]
    assert found.confidence.tolist() == pytest.approx([0.7])
    assert found.class_id.tolist() == [2]


def test_where_one_class_does_not_occur_the_likeliest_other_one_gets_the_confidence() -> None:
    distances, scores = np.ones((1, 4, N), np.float32), np.zeros((1, 3, N), np.float32)
    scores[0, :, 0] = 0.1, 0.3, 0.8
    scores[0, :, 20] = 0.9, 0.2, 0.1
    found = yolo26_ltrb(distances, among(scores, np.array([0, 1])), classes=3, grid=Grid.of(SIZE), threshold=0.5)
    assert found.confidence.tolist() == pytest.approx([0.9, 0.8])
    assert found.class_id.tolist() == [0, 1]
    np.testing.assert_array_equal(among(scores, np.array([0, 1, 2])).max(axis=1), scores.max(axis=1))


@given(seed=st.integers(0, 10_000), threshold=st.sampled_from([0.0, 0.3, 0.9, 0.999]))
@settings(max_examples=60, deadline=None)
def test_ltrb_equals_the_obvious_version(seed: int, threshold: float) -> None:
    rng = np.random.default_rng(seed)
    distances = rng.uniform(0.1, 1.5, (1, 4, N)).astype(np.float32)
    scores = rng.random((1, 3, N), dtype=np.float32)
    rows = []
    row = 0
    for stride in (8, 16, 32):
        for y in range(SIZE[1] // stride):
            for x in range(SIZE[0] // stride):
                left, top, right, bottom = distances[0, :, row].astype(float)
                cx, cy = (x + 0.5) * stride, (y + 0.5) * stride
                box = [cx - left * stride, cy - top * stride, cx + right * stride, cy + bottom * stride]
                if scores[0, :, row].max() >= np.float32(threshold):
                    rows.append((float(scores[0, :, row].max()), int(scores[0, :, row].argmax()), np.array(box)))
                row += 1
    rows.sort(key=lambda item: -item[0])
    kept: list[tuple[float, int, np.ndarray]] = []
    for item in rows:
        if all(iou(item[2], other[2]) <= 0.75 for other in kept):
            kept.append(item)
    found = yolo26_ltrb(distances, scores, classes=3, grid=Grid.of(SIZE), threshold=threshold)
    assert found.confidence == pytest.approx([item[0] for item in kept])
    assert found.class_id.tolist() == [item[1] for item in kept]
    np.testing.assert_allclose(found.xyxy, np.array([item[2] for item in kept]).reshape(-1, 4), atol=1e-3)


def test_e2e_by_hand() -> None:
    output = np.zeros((1, 300, 6), np.float32)
    output[0, 0] = (10, 20, 30, 40, 0.9, 1)
    output[0, 1] = (50, 20, 60, 40, 0.3, 0)
    output[0, 2] = (1, 2, 3, 4, 0.05, 2)
    found = yolo26_e2e(output, classes=3, threshold=0.1)
    assert found.xyxy.tolist() == [[10, 20, 30, 40], [50, 20, 60, 40]]
    assert found.class_id.tolist() == [1, 0]
    assert found.confidence.tolist() == pytest.approx([0.9, 0.3])
    with pytest.raises(EngineError, match="names class 1, but the manifest lists 1 classes"):
        yolo26_e2e(output, classes=1, threshold=0.1)


def test_yolo11_by_hand_with_suppression_over_classes() -> None:
    output = np.zeros((1, 4 + 2, 5), np.float32)
    output[0, :4, 0] = (20, 20, 10, 20)
    output[0, 4, 0] = 0.6
    output[0, :4, 1] = (21, 20, 10, 20)  # the same parcel as another class, and surer of it
    output[0, 5, 1] = 0.8
    output[0, :4, 2] = (50, 20, 10, 20)
    output[0, 4, 2] = 0.5
    found = yolo11(output, classes=2, threshold=0.25, iou=0.6)
    assert found.xyxy.tolist() == [[16, 10, 26, 30], [45, 10, 55, 30]]
    assert found.class_id.tolist() == [1, 0]
    assert len(yolo11(output, classes=2, threshold=0.25, iou=0.9).xyxy) == 3


@given(seed=st.integers(0, 10_000), limit=st.sampled_from([0.3, 0.6, 0.75]))
@settings(max_examples=60, deadline=None)
def test_suppression_equals_the_obvious_version(seed: int, limit: float) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(0, 60))
    corner = rng.uniform(0, 60, (count, 2))
    xyxy = np.concatenate((corner, corner + rng.uniform(5, 40, (count, 2))), axis=1).astype(np.float32)
    confidence = np.sort(rng.random(count, dtype=np.float32))[::-1]
    kept: list[int] = []
    for row in range(count):
        if all(iou(xyxy[row].astype(float), xyxy[other].astype(float)) <= limit for other in kept):
            kept.append(row)
    found = suppress(Boxes(xyxy, confidence, np.arange(count)), iou=limit)
    assert found.class_id.tolist() == kept


def test_one_parcel_marked_as_two_classes_is_one_box() -> None:
    twice = boxes_of((0, 0, 100, 100), (3, 0, 103, 100), (60, 0, 160, 100), scores=[0.9, 0.8, 0.7], classes=[0, 1, 1])
    assert suppress(twice, iou=0.75).class_id.tolist() == [0, 1]
    assert suppress(twice, iou=0.75).xyxy[1].tolist() == [60, 0, 160, 100]


def test_boxes_with_score_zero_are_boxes_when_asked_for() -> None:
    output = np.zeros((1, 5, 2), np.float32)
    output[0, :4] = [[10, 50], [10, 10], [4, 4], [4, 4]]
    assert len(yolo11(output, classes=1, threshold=0.0, iou=0.6).xyxy) == 2


def test_at_most_max_boxes_and_the_best_of_them() -> None:
    count = 2 * MAX_BOXES
    output = np.zeros((1, 5, count), np.float32)
    output[0, 0] = np.arange(count) * 10
    output[0, 2:4] = 5
    output[0, 4] = np.linspace(0.2, 0.9, count)
    found = yolo11(output, classes=1, threshold=0.1, iou=0.6)
    assert len(found.xyxy) == MAX_BOXES
    assert found.confidence[0] == pytest.approx(0.9)
    assert (np.diff(found.confidence) <= 0).all()


def test_equal_scores_keep_the_order_of_the_network() -> None:
    output = np.zeros((1, 300, 6), np.float32)
    output[0, :, 0] = np.arange(300) * 10
    output[0, :, 2] = output[0, :, 0] + 5
    output[0, :, 3:5] = (5, 0.5)
    found = yolo26_e2e(output, classes=1, threshold=0.1)
    assert found.xyxy[:, 0].tolist() == (np.arange(300) * 10).tolist()


def good(decoder: str) -> dict[str, np.ndarray]:
    scores = np.full((1, 3, N), 0.5, np.float32)
    if decoder == "ltrb":
        return {"boxes": np.ones((1, 4, N), np.float32), "scores": scores}
    if decoder == "e2e":
        return {"output": np.full((1, 300, 6), 0.5, np.float32)}
    return {"output": np.concatenate((np.ones((1, 4, N), np.float32), scores), axis=1)}


def run(decoder: str, tensors: dict[str, np.ndarray]) -> Boxes:
    if decoder == "ltrb":
        return yolo26_ltrb(**tensors, classes=3, grid=Grid.of(SIZE), threshold=0.1)
    if decoder == "e2e":
        return yolo26_e2e(**tensors, classes=3, threshold=0.1)
    return yolo11(**tensors, classes=3, threshold=0.1, iou=0.6)


@pytest.mark.parametrize("decoder", ["ltrb", "e2e", "yolo11"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none_are_an_engine_error(decoder: str, value: float) -> None:
    run(decoder, good(decoder))
    for name, array in good(decoder).items():
        for place in range(array.shape[1] if decoder != "e2e" else 6):
            tensors = good(decoder)
            tensors[name][(0, place, 7) if decoder != "e2e" else (0, 7, place)] = value
            if decoder != "e2e" and value == -np.inf and (name == "scores" or place >= 4):
                run(decoder, tensors)  # below every other class: cannot become a box
                continue
            with pytest.raises(EngineError, match="the model or"):
                run(decoder, tensors)


@pytest.mark.parametrize(
    ("decoder", "tensors", "message"),
    [
        ("ltrb", {"scores": np.full((1, 3, N), 3.0, np.float32)}, "scores reach from 3 to 3, not 0 to 1"),
        ("ltrb", {"scores": np.full((1, 3, N), -4.0, np.float32)}, "scores reach from -4 to -4"),
        ("ltrb", {"scores": np.zeros((1, 2, N), np.float32)}, r"scores has shape \(1, 2, 42\).*\(1, 3, 42\)"),
        ("ltrb", {"boxes": np.zeros((1, 4, N + 1), np.float32)}, r"boxes has shape \(1, 4, 43\)"),
        ("e2e", {"output": np.zeros((1, 7, 300), np.float32)}, r"output has shape \(1, 7, 300\).*\(1, n, 6\)"),
        ("e2e", {"output": np.zeros((2, 300, 6), np.float32)}, "output has shape"),
        ("yolo11", {"output": np.zeros((1, 84, N), np.float32)}, r"\(1, 84, 42\).*\(1, 7, n\)"),
        ("yolo11", {"output": np.zeros((7, N), np.float32)}, "output has shape"),
        ("yolo11", {"output": np.zeros((1, 7, 0), np.float32)}, "no predictions at all"),
    ],
)
def test_outputs_of_another_head_are_an_engine_error(decoder: str, tensors: dict, message: str) -> None:
    with pytest.raises(EngineError, match=message):
        run(decoder, {**good(decoder), **tensors})
