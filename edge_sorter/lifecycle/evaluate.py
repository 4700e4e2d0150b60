"""Measure a model on labelled images through the detector that ships, so that the figure is about the product.

Contract: `evaluate` returns COCO mAP50 and mAP50-95, the figures per class and the threshold with the best F1; the
boxes come from the same letterbox, engine and decoder that run on the line.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge_sorter.errors import ModelError
from edge_sorter.lifecycle.data import find_images, read_labels
from edge_sorter.types import Detections, FloatArray, Frame, Image, IntArray

FLOOR_CONFIDENCE = 0.01
"""Recall is measured down to here; lower boxes only cost time."""

Predict = Callable[[Image], Detections]


@dataclass(frozen=True)
class Labelled:
    """One image with its truth: boxes xyxy in pixels (n, 4) and class ids (n,)."""

    path: Path
    xyxy: FloatArray
    class_id: IntArray
    size_px: tuple[int, int]


@dataclass(frozen=True)
class Score:
    """What one model reached on one set."""

    images: int
    boxes: int
    map50: float
    map50_95: float
    best_confidence: float
    precision: float
    recall: float
    per_class_map50: dict[str, float] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """Return the figures that go into a manifest."""
        return {"map50": round(self.map50, 4), "map50_95": round(self.map50_95, 4), "images": self.images}


def read_set(
    images: Path, labels: Path, *, class_map: dict[int, int] | None = None
) -> Iterator[tuple[Labelled, Image]]:
    """Read a folder of images and YOLO labels, one pair (truth, BGR picture) at a time.

    Args:
        images: folder of images.
        labels: folder of label files of the same stems.
        class_map: their class id to ours; None when they are ours.

    Raises:
        ModelError: unreadable image, bad label line, or a class that `class_map` does not know.
    """
    for path in find_images(images):
        picture = cv2.imread(str(path))
        if picture is None:
            raise ModelError(f"{path} cannot be decoded as an image. Remove or replace it.")
        height, width = picture.shape[:2]
        boxes, classes = [], []
        for class_id, text in read_labels(labels / f"{path.stem}.txt"):
            cx, cy, w, h = (float(part) for part in text.split())
            boxes.append(((cx - w / 2) * width, (cy - h / 2) * height, (cx + w / 2) * width, (cy + h / 2) * height))
            if class_map is not None and class_id not in class_map:
                raise ModelError(f"{labels / path.stem}.txt has class {class_id}, which --classes does not map.")
            classes.append(class_id if class_map is None else class_map[class_id])
        xyxy = np.array(boxes, dtype=np.float32).reshape(-1, 4)
        yield Labelled(path, xyxy, np.array(classes, dtype=np.int64), (width, height)), picture


def detector_for(
    model: Path, *, engine: str = "auto", input_px: tuple[int, int] | None = None, threads: int = 0
) -> Predict:
    """Open the runtime's own detector on a model and return it as a function of one picture.

    Args:
        model: ONNX file with its manifest.
        engine: auto, openvino, onnxruntime or tensorrt.
        input_px: network width and height; None takes the manifest's.
        threads: CPU threads of the engine; 0 lets it choose.
    """
    from edge_sorter.config import DetectSection
    from edge_sorter.detect import open_detector

    section = DetectSection.model_validate(
        {"model": model, "engine": engine, "threads": threads, "input_px": input_px, "low_confidence": FLOOR_CONFIDENCE}
    )
    detector = open_detector(section)
    return lambda picture: detector.detect(Frame(0, 0, picture))


def evaluate(
    predict: Predict,
    images: Path,
    labels: Path,
    *,
    classes: Sequence[str],
    class_map: dict[int, int] | None = None,
    any_class: bool = False,
    on_progress: Callable[[int], None] | None = None,
) -> Score:
    """Run `predict` over a labelled folder and score it.

    Args:
        predict: picture BGR to detections in its pixels, down to `FLOOR_CONFIDENCE`.
        images: folder of images.
        labels: folder of YOLO label files.
        classes: names of our class ids.
        class_map: their class id to ours.
        any_class: score positions only, for sets whose classes are not ours.
        on_progress: called with the number of images done.
    """
    truths: list[Labelled] = []
    found: list[Detections] = []
    for done, (truth, picture) in enumerate(read_set(images, labels, class_map=class_map), start=1):
        truths.append(truth)
        found.append(predict(picture))
        if on_progress:
            on_progress(done)
    return score(truths, found, classes=classes, any_class=any_class)


def score(
    truths: Sequence[Labelled], found: Sequence[Detections], *, classes: Sequence[str], any_class: bool = False
) -> Score:
    """Compare detections with truth, image by image, with the COCO evaluator."""
    try:
        from faster_coco_eval import COCO, COCOeval_faster
    except ImportError as error:
        raise ModelError("Evaluation needs faster-coco-eval: pip install 'edge-sorter[train]'.") from error
    names = ["parcel"] if any_class else list(classes)
    boxes = sum(len(truth.class_id) for truth in truths)
    if boxes == 0:
        raise ModelError("The labels hold no box at all, so there is nothing to measure. Are images and labels paired?")
    ground, results = _as_coco(truths, found, names, any_class=any_class)
    logging.getLogger("faster_coco_eval").setLevel(logging.WARNING)  # its table at info would drown the result
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(ground)
        run = COCOeval_faster(coco, coco.loadRes(results) if results else coco.loadRes([_no_result()]), iouType="bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    precision = np.asarray(run.eval["precision"])  # (iou, recall, class, area, max detections)
    per_class = {}
    for index, name in enumerate(names):
        curve = precision[0, :, index, 0, -1]
        if (curve > -1).any():
            per_class[name] = round(float(curve[curve > -1].mean()), 4)
    confidence, best_precision, best_recall = _best_f1(truths, found, any_class=any_class)
    return Score(
        images=len(truths),
        boxes=boxes,
        map50=float(run.stats[1]),
        map50_95=float(run.stats[0]),
        best_confidence=confidence,
        precision=best_precision,
        recall=best_recall,
        per_class_map50=per_class,
    )


def _as_coco(
    truths: Sequence[Labelled], found: Sequence[Detections], names: Sequence[str], *, any_class: bool
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    ground: dict[str, Any] = {
        "info": {},
        "images": [],
        "annotations": [],
        "categories": [{"id": index + 1, "name": name} for index, name in enumerate(names)],
    }
    results: list[dict[str, Any]] = []
    for image_id, (truth, detections) in enumerate(zip(truths, found, strict=True), start=1):
        width, height = truth.size_px
        ground["images"].append({"id": image_id, "file_name": truth.path.name, "width": width, "height": height})
        for xyxy, class_id in zip(truth.xyxy.tolist(), truth.class_id.tolist(), strict=True):
            x, y, w, h = _xywh(xyxy)
            category = 1 if any_class else class_id + 1
            box = {"id": len(ground["annotations"]) + 1, "image_id": image_id, "category_id": category}
            ground["annotations"].append({**box, "bbox": [x, y, w, h], "area": w * h, "iscrowd": 0})
        rows = zip(detections.xyxy.tolist(), detections.confidence.tolist(), detections.class_id.tolist(), strict=True)
        for xyxy, confidence, class_id in rows:
            category = 1 if any_class else class_id + 1
            box = {"image_id": image_id, "category_id": category, "bbox": list(_xywh(xyxy)), "score": confidence}
            results.append(box)
    return ground, results


def _xywh(xyxy: Sequence[float]) -> tuple[float, float, float, float]:
    return xyxy[0], xyxy[1], xyxy[2] - xyxy[0], xyxy[3] - xyxy[1]


def _no_result() -> dict[str, Any]:
    return {"image_id": 1, "category_id": 1, "bbox": [0.0, 0.0, 1.0, 1.0], "score": 0.0}


def _best_f1(truths: Sequence[Labelled], found: Sequence[Detections], *, any_class: bool) -> tuple[float, float, float]:
    """Return (confidence, precision, recall) where F1 over all classes is best, at IoU 0.5.

    Matched here and not read off COCO's curves: those end at the last correct box and do not see the wrong ones below.
    """
    confidences: list[float] = []
    correct: list[bool] = []
    for truth, detections in zip(truths, found, strict=True):
        free = np.ones(len(truth.class_id), dtype=bool)
        for row in np.argsort(-detections.confidence, kind="stable"):
            overlap = _iou(detections.xyxy[row], truth.xyxy)
            if not any_class:
                overlap = np.where(truth.class_id == detections.class_id[row], overlap, 0.0)
            overlap = np.where(free, overlap, 0.0)
            hit = len(overlap) > 0 and float(overlap.max()) >= 0.5
            if hit:
                free[int(overlap.argmax())] = False
            confidences.append(float(detections.confidence[row]))
            correct.append(hit)
    boxes = sum(len(truth.class_id) for truth in truths)
    if not any(correct):
        return 0.0, 0.0, 0.0
    order = np.argsort(-np.array(confidences), kind="stable")
    hits = np.cumsum(np.array(correct)[order])
    kept = np.arange(1, len(order) + 1)
    best = int(np.argmax(2 * hits / (kept + boxes)))
    confidence = np.floor(confidences[int(order[best])] * 100) / 100
    return float(confidence), float(hits[best] / kept[best]), float(hits[best] / boxes)


def _iou(box: FloatArray, others: FloatArray) -> FloatArray:
    """Overlap of one box (4,) with others (n, 4), as intersection over union (n,)."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=1)
    areas = (others[:, 2:] - others[:, :2]).prod(axis=1) + (box[2:] - box[:2]).prod()
    return np.asarray(shared / np.maximum(areas - shared, 1e-9), dtype=np.float32)
