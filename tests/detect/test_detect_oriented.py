"""Decoders of oriented boxes, and of many-to-one heads cut before suppression, against boxes known otherwise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sorter.detect.decode import Boxes, Grid, yolo11, yolo11_ltrb, yolo26_ltrb, yolo26_obb
from edge_sorter.errors import EngineError

SIZE = (64, 32)
GRID = Grid.of(SIZE)
N = len(GRID.strides_px)


def outputs(*rows: tuple[int, tuple[float, ...], float, float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Network outputs with a box for each (cell, distances, angle, score); everything else is unlikely."""
    boxes, angles = np.ones((1, 4, N), np.float32), np.zeros((1, 1, N), np.float32)
    scores = np.full((1, 2, N), 0.01, np.float32)
    for cell, distances, angle, score in rows:
        boxes[0, :, cell], angles[0, 0, cell], scores[0, 1, cell] = distances, angle, score
    return boxes, scores, angles


def oriented(*rows: tuple[int, tuple[float, ...], float, float]) -> Boxes:
    return yolo26_obb(*outputs(*rows), classes=2, grid=GRID, threshold=0.1)


def in_order(corners: np.ndarray) -> list[tuple[float, float]]:
    return sorted((round(float(x), 2), round(float(y), 2)) for x, y in corners)


def test_a_quarter_turn_by_hand() -> None:
    """Cell 33 is at (24, 8), stride 16. Turned from x to y, what was to the right lies below."""
    found = oriented((33, (0.25, 0.125, 0.75, 0.375), np.pi / 2, 0.8))
    assert found.corners is not None
    assert in_order(found.corners[0]) == [(18, 4), (18, 20), (26, 4), (26, 20)]
    np.testing.assert_allclose(found.xyxy, [[18, 4, 26, 20]], atol=1e-4)
    assert (found.confidence.tolist(), found.class_id.tolist()) == (pytest.approx([0.8]), [1])


def test_the_hull_covers_a_box_at_any_angle_and_its_sides_keep_their_length() -> None:
    for angle in np.linspace(-np.pi, np.pi, 9):
        found = oriented((40, (0.5, 0.25, 0.5, 0.25), float(angle), 0.8))
        assert found.corners is not None
        sides = np.linalg.norm(np.diff(found.corners[0], axis=0, append=found.corners[0, :1]), axis=1)
        np.testing.assert_allclose(sides, [32, 16, 32, 16], rtol=1e-5)
        half = 16 * abs(np.cos(angle)) + 8 * abs(np.sin(angle))
        assert found.xyxy[0, 2] - found.xyxy[0, 0] == pytest.approx(2 * half, abs=1e-3)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_without_turn_it_is_the_upright_decoder(seed: int) -> None:
    rng = np.random.default_rng(seed)
    boxes = rng.uniform(0.2, 1.0, (1, 4, N)).astype(np.float32)
    scores = np.where(rng.random((1, 2, N)) < 0.1, rng.random((1, 2, N)), 0.0).astype(np.float32)
    turned = yolo26_obb(boxes, scores, np.zeros((1, 1, N), np.float32), classes=2, grid=GRID, threshold=0.2)
    upright = yolo26_ltrb(boxes, scores, classes=2, grid=GRID, threshold=0.2)
    np.testing.assert_allclose(turned.xyxy, upright.xyxy, atol=1e-3)
    assert turned.confidence.tolist() == upright.confidence.tolist()


def test_skewed_neighbours_are_two_parcels_though_their_hulls_are_nearly_one() -> None:
    """Two long thin ones side by side at 45 degrees; a second box on one of them is still dropped."""
    cell, beside, along = 9, 10, 18  # of 8 px: at (12, 12), to the right of it, and to the lower right
    thin = (1.8, 0.2, 1.8, 0.2)
    found = oriented((cell, thin, np.pi / 4, 0.9), (beside, thin, np.pi / 4, 0.8))
    first, second = found.xyxy
    shared = np.prod(np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2]))
    assert shared > 0.5 * np.prod(first[2:] - first[:2])
    same = (1.8 + 2**0.5, 0.2, 1.8 - 2**0.5, 0.2)
    np.testing.assert_allclose(oriented((along, same, np.pi / 4, 0.8)).corners, found.corners[:1], atol=1e-3)  # type: ignore[index]
    assert len(oriented((cell, thin, np.pi / 4, 0.9), (along, same, np.pi / 4, 0.8)).xyxy) == 1


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_angles_that_are_none_are_an_engine_error(value: float) -> None:
    boxes, scores, angles = outputs((3, (1, 1, 1, 1), 0.1, 0.9))
    angles[0, 0, 7] = value
    with pytest.raises(EngineError, match="angles holds NaN"):
        yolo26_obb(boxes, scores, angles, classes=2, grid=GRID, threshold=0.1)
    with pytest.raises(EngineError, match="angles has shape"):
        yolo26_obb(boxes, scores, angles[:, :, 1:], classes=2, grid=GRID, threshold=0.1)


@given(seed=st.integers(0, 10_000), iou=st.sampled_from([0.3, 0.6, 0.9]))
@settings(max_examples=40, deadline=None)
def test_a_yolo11_head_cut_earlier_finds_the_same(seed: int, iou: float) -> None:
    rng = np.random.default_rng(seed)
    distances = rng.uniform(0.2, 2.0, (1, 4, N)).astype(np.float32)
    scores = rng.random((1, 3, N), dtype=np.float32)
    sides = distances[0] * GRID.strides_px
    low, high = GRID.centers_px - sides[:2], GRID.centers_px + sides[2:]
    whole = np.concatenate(((low + high) / 2, high - low, scores[0]))[None].astype(np.float32)
    cut = yolo11_ltrb(distances, scores, classes=3, grid=GRID, threshold=0.4, iou=iou)
    old = yolo11(whole, classes=3, threshold=0.4, iou=iou)
    np.testing.assert_allclose(cut.xyxy, old.xyxy, atol=1e-3)
    assert cut.confidence.tolist() == old.confidence.tolist()
    assert cut.class_id.tolist() == old.class_id.tolist()
