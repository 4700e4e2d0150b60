"""What the COCO evaluator says about a set: the reference that our own figures are held against."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import pytest

from edge_sorter.lifecycle.evaluation.labelled import Labelled
from edge_sorter.types import Detections


def coco_map(truths: Sequence[Labelled], found: Sequence[Detections], classes: int) -> tuple[float, float]:
    """Return (mAP50, mAP50-95) by faster-coco-eval; skips the test where that is not installed."""
    package = pytest.importorskip("faster_coco_eval", reason="faster-coco-eval is not installed (extra: dev)")
    ground: dict[str, Any] = {"info": {}, "images": [], "annotations": []}
    ground["categories"] = [{"id": number, "name": str(number)} for number in range(classes)]
    results = []
    for image_id, (truth, boxes) in enumerate(zip(truths, found, strict=True), start=1):
        width, height = truth.size_px
        ground["images"].append({"id": image_id, "file_name": truth.path.name, "width": width, "height": height})
        for xyxy, class_id in zip(truth.xyxy.tolist(), truth.class_id.tolist(), strict=True):
            x, y, w, h = _xywh(xyxy)
            box = {"image_id": image_id, "category_id": class_id, "bbox": [x, y, w, h], "area": w * h, "iscrowd": 0}
            ground["annotations"].append({"id": len(ground["annotations"]) + 1, **box})
        rows = zip(boxes.xyxy.tolist(), boxes.confidence.tolist(), boxes.class_id.tolist(), strict=True)
        for xyxy, confidence, class_id in rows:
            results.append(
                {"image_id": image_id, "category_id": class_id, "bbox": list(_xywh(xyxy)), "score": confidence}
            )
    with contextlib.redirect_stdout(io.StringIO()):
        coco = package.COCO(ground)
        run = package.COCOeval_faster(coco, coco.loadRes(results), iouType="bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    return float(run.stats[1]), float(run.stats[0])


def _xywh(xyxy: Sequence[float]) -> tuple[float, float, float, float]:
    return xyxy[0], xyxy[1], xyxy[2] - xyxy[0], xyxy[3] - xyxy[1]
