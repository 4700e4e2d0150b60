"""From network outputs to boxes: one pure function for each kind of head.

Contract: every decoder takes the raw outputs of one picture and returns `Boxes` in input pixels, best first, at most
`MAX_BOXES`, none below the threshold; outputs that are not finite or no probabilities are an `EngineError`.

Every decoder ends in class-agnostic suppression, because one parcel is one box: YOLO11 and YOLOv8 heads need it as
their non-maximum suppression; a one-to-one head (YOLO26) rarely marks a parcel twice, and then mostly as two classes.
Of oriented boxes the upright hull goes on to the tracker; their corners stay beside it for those who measure.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from edge_sorter.detect.engines import Tensor
from edge_sorter.errors import EngineError
from edge_sorter.types import FloatArray, IntArray

STRIDES_PX = (8, 16, 32)
MAX_BOXES = 300
MAX_CANDIDATES = 1000
"""Rows that suppression looks at: about fifty parcels for a head that marks each of them twenty times."""
SAME_PARCEL_IOU = 0.75
"""Two boxes of a one-to-one head that overlap more are the same parcel."""
SCORE_TOLERANCE = 1e-3


class Boxes(NamedTuple):
    """Columns of equal length n: xyxy float32 (n, 4) in input pixels, confidence float32 (n,), class_id int64 (n,).

    Oriented boxes also have their `corners`, float32 (n, 4, 2), in order around each; `xyxy` is then their hull.
    """

    xyxy: FloatArray
    confidence: FloatArray
    class_id: IntArray
    corners: FloatArray | None = None

    def take(self, rows: IntArray) -> Boxes:
        """Return these rows in this order."""
        corners = None if self.corners is None else self.corners[rows]
        return Boxes(self.xyxy[rows], self.confidence[rows], self.class_id[rows], corners)


class Grid(NamedTuple):
    """Where the predictions of an anchor-free head sit: centres float32 (2, n) and strides float32 (n,), in pixels."""

    centers_px: FloatArray
    strides_px: FloatArray

    @staticmethod
    def of(input_size_px: tuple[int, int]) -> Grid:
        """Lay out the grid of an input: levels of stride 8, 16, 32 one after the other, each row by row."""
        width, height = input_size_px
        centers, strides = [], []
        for stride in STRIDES_PX:
            rows, columns = np.indices((height // stride, width // stride), dtype=np.float32)
            centers.append((np.stack((columns.ravel(), rows.ravel())) + np.float32(0.5)) * np.float32(stride))
            strides.append(np.full(rows.size, stride, np.float32))
        return Grid(np.concatenate(centers, axis=1), np.concatenate(strides))


def yolo26_ltrb(boxes: Tensor, scores: Tensor, *, classes: int, grid: Grid, threshold: float) -> Boxes:
    """Decode a one-to-one head whose top-k was left out of the network.

    Args:
        boxes: (1, 4, n) distances from the grid centre to the left, top, right and bottom side, in strides.
        scores: (1, classes, n) probabilities.
        classes: How many classes the model knows.
        grid: Centres of the n predictions.
        threshold: Lowest confidence to return.
    """
    found = _at_cells(boxes, scores, classes=classes, grid=grid, threshold=threshold, limit=MAX_BOXES)
    return suppress(found, iou=SAME_PARCEL_IOU)


def yolo11_ltrb(boxes: Tensor, scores: Tensor, *, classes: int, grid: Grid, threshold: float, iou: float) -> Boxes:
    """Decode a YOLO11 or YOLOv8 head cut before its suppression: distances and probabilities as in `yolo26_ltrb`.

    Args:
        boxes: (1, 4, n) distances, the bins of each side already summed up to one number in the network.
        scores: (1, classes, n) probabilities.
        classes: How many classes the model knows.
        grid: Centres of the n predictions.
        threshold: Lowest confidence to return.
        iou: Overlap above which the less confident of two boxes is dropped, whatever their classes.
    """
    return suppress(_at_cells(boxes, scores, classes=classes, grid=grid, threshold=threshold), iou=iou)


def yolo26_obb(boxes: Tensor, scores: Tensor, angles: Tensor, *, classes: int, grid: Grid, threshold: float) -> Boxes:
    """Decode a one-to-one head of oriented boxes whose top-k was left out of the network.

    Args:
        boxes: (1, 4, n) distances from the grid centre to the sides, in strides, along the turned axes.
        scores: (1, classes, n) probabilities.
        angles: (1, 1, n) turn of those axes in radians, from x towards y.
        classes: How many classes the model knows.
        grid: Centres of the n predictions.
        threshold: Lowest confidence to return.
    """
    cells = len(grid.strides_px)
    _require_shape("boxes", boxes, (1, 4, cells))
    _require_shape("scores", scores, (1, classes, cells))
    _require_shape("angles", angles, (1, 1, cells))
    _require_finite("boxes", boxes)
    _require_finite("angles", angles)
    rows, confidence, class_id = _best_class(scores[0], threshold=threshold, limit=MAX_BOXES)
    left, top, right, bottom = boxes[0][:, rows] * grid.strides_px[rows]
    cos, sin = np.cos(angles[0, 0, rows]), np.sin(angles[0, 0, rows])
    along, across = np.stack((-left, right, right, -left)), np.stack((-top, -top, bottom, bottom))
    offsets = np.stack((along * cos - across * sin, along * sin + across * cos))  # (2, 4, n)
    corners = (offsets + grid.centers_px[:, None, rows]).transpose(2, 1, 0)
    hulls = np.concatenate((corners.min(axis=1), corners.max(axis=1)), axis=1)
    return suppress(Boxes(hulls, confidence, class_id, corners), iou=SAME_PARCEL_IOU)


def yolo26_e2e(output: Tensor, *, classes: int, threshold: float) -> Boxes:
    """Decode the end-to-end export of ultralytics, (1, 300, 6): x1, y1, x2, y2, probability, class.

    Args:
        output: The network's output.
        classes: How many classes the model knows.
        threshold: Lowest confidence to return.
    """
    _require_shape("output", output, (1, None, 6))
    _require_finite("output", output)
    table = output[0]
    _require_probabilities(table[:, 4])
    rows = _ranked(table[:, 4], threshold=threshold, limit=MAX_BOXES)
    class_id = table[rows, 5].astype(np.int64)
    if ((class_id < 0) | (class_id >= classes)).any():
        raise EngineError(f"the network names class {class_id.max()}, but the manifest lists {classes} classes")
    return suppress(Boxes(table[rows, :4], np.minimum(table[rows, 4], np.float32(1)), class_id), iou=SAME_PARCEL_IOU)


def yolo11(output: Tensor, *, classes: int, threshold: float, iou: float) -> Boxes:
    """Decode a YOLO11 or YOLOv8 head, (1, 4 + classes, n): centre x, y, width, height, then probabilities.

    Args:
        output: The network's output.
        classes: How many classes the model knows.
        threshold: Lowest confidence to return.
        iou: Overlap above which the less confident of two boxes is dropped, whatever their classes.
    """
    _require_shape("output", output, (1, 4 + classes, None))
    _require_finite("boxes", output[0, :4])
    rows, confidence, class_id = _best_class(output[0, 4:], threshold=threshold, limit=MAX_CANDIDATES)
    center, half = output[0, :2, rows], output[0, 2:4, rows] * np.float32(0.5)
    xyxy = np.concatenate((center - half, center + half), axis=1)
    return suppress(Boxes(xyxy, confidence, class_id), iou=iou)


def among(scores: Tensor, allowed: IntArray) -> Tensor:
    """Return scores (1, classes, n) as if only the `allowed` class ids existed.

    The best of those takes over the highest score of its column: whether something is a parcel does not depend on what
    this line carries. Scores of a wrong shape go through as they are, for the decoder to refuse.
    """
    if scores.ndim != 3 or scores.shape[0] != 1 or scores.shape[1] <= allowed[-1]:
        return scores
    only = np.zeros_like(scores)
    named = allowed[scores[0, allowed].argmax(axis=0)]
    only[0, named, np.arange(scores.shape[2])] = scores[0].max(axis=0)
    return only


def suppress(boxes: Boxes, *, iou: float) -> Boxes:
    """Keep the best of boxes that overlap by more than `iou`, whatever their classes; at most `MAX_BOXES`.

    Greedy non-maximum suppression; `boxes` must be sorted, best first, and the result is too.
    """
    if len(boxes.xyxy) > 1 and boxes.corners is not None:
        boxes = boxes.take(_apart(boxes.corners, boxes.xyxy, iou=iou))
    elif len(boxes.xyxy) > 1:
        xywh = boxes.xyxy.astype(np.float64)
        xywh[:, 2:] -= xywh[:, :2]
        # OpenCV drops scores that do not exceed its own threshold; rank instead of score keeps order and all rows.
        rank = np.arange(len(xywh), 0, -1, dtype=np.float32)
        kept = cv2.dnn.NMSBoxes(xywh.tolist(), rank.tolist(), 0.0, iou)
        boxes = boxes.take(np.asarray(kept, np.int64).reshape(-1)[:MAX_BOXES])
    return boxes


def _apart(corners: FloatArray, hulls: FloatArray, *, iou: float) -> IntArray:
    """Return the rows of oriented boxes that no better one overlaps by more than `iou`.

    Not OpenCV's own suppression of rotated boxes: that one takes a box inside another, however small, for the same.
    """
    areas = [cv2.contourArea(box) for box in corners]
    kept: list[int] = []
    for row in range(len(corners)):
        near = np.asarray(kept, np.int64)
        meets = (hulls[near, :2] < hulls[row, 2:]).all(axis=1) & (hulls[near, 2:] > hulls[row, :2]).all(axis=1)
        for other in near[meets]:
            shared, _ = cv2.intersectConvexConvex(corners[row], corners[other])
            if shared > iou * (areas[row] + areas[other] - shared):
                break
        else:
            kept.append(row)
    return np.asarray(kept, np.int64)


def _at_cells(
    boxes: Tensor, scores: Tensor, *, classes: int, grid: Grid, threshold: float, limit: int = MAX_CANDIDATES
) -> Boxes:
    """Return the upright boxes that distances from grid centres make, best first."""
    _require_shape("boxes", boxes, (1, 4, len(grid.strides_px)))
    _require_shape("scores", scores, (1, classes, len(grid.strides_px)))
    _require_finite("boxes", boxes)
    rows, confidence, class_id = _best_class(scores[0], threshold=threshold, limit=limit)
    distances = boxes[0][:, rows] * grid.strides_px[rows]
    centers = grid.centers_px[:, rows]
    return Boxes(np.concatenate((centers - distances[:2], centers + distances[2:])).T, confidence, class_id)


def _best_class(scores: Tensor, *, threshold: float, limit: int) -> tuple[IntArray, FloatArray, IntArray]:
    """Return rows, confidence and class of the predictions worth decoding; scores (classes, n)."""
    best = scores.max(axis=0)
    # The maximum carries every NaN; only a score below zero could hide under it, and it would never be kept.
    _require_probabilities(best)
    rows = _ranked(best, threshold=threshold, limit=limit)
    return rows, np.minimum(best[rows], np.float32(1)), scores[:, rows].argmax(axis=0).astype(np.int64)


def _ranked(confidence: Tensor, *, threshold: float, limit: int) -> IntArray:
    """Return the rows at or above the threshold, best first; equal ones in their original order."""
    rows = np.flatnonzero(confidence >= np.float32(threshold))
    return rows[np.argsort(-confidence[rows], kind="stable")][:limit]


def _require_shape(name: str, array: Tensor, wanted: tuple[int | None, ...]) -> None:
    if len(array.shape) != len(wanted) or any(w not in (None, a) for a, w in zip(array.shape, wanted, strict=True)):
        text = ", ".join("n" if side is None else str(side) for side in wanted)
        raise EngineError(
            f"network output {name} has shape {tuple(array.shape)}, the manifest's decoder wants ({text})"
        )


def _require_finite(name: str, array: Tensor) -> None:
    if not np.isfinite(array).all():
        raise EngineError(f"network output {name} holds NaN or infinity; the model or its precision is broken")


def _require_probabilities(confidence: Tensor) -> None:
    if not len(confidence):
        raise EngineError("network output holds no predictions at all; export the model again")
    low, high = float(confidence.min()), float(confidence.max())
    if not (low >= -SCORE_TOLERANCE and high <= 1 + SCORE_TOLERANCE):  # also true for NaN
        raise EngineError(
            f"network scores reach from {low:g} to {high:g}, not 0 to 1; the model or precision is broken"
        )
