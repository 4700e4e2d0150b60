"""What `edge-sorter accept` can measure when pictures are at hand: agreement with the float model, and accuracy.

Contract: both run the model that would go live, opened as `run` opens it but on whole pictures; the float reference
runs in ONNX Runtime. Nothing here decides what a failure leads to: `accept` says so, `open_detector` acts at the start.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from edge_sorter.detect.acceptance import LOWEST_SCORE, overlaps
from edge_sorter.errors import ModelError
from edge_sorter.types import Detections, Frame, Image

if TYPE_CHECKING:
    from edge_sorter.config import DetectSection
    from edge_sorter.detect import Detector

SUFFIXES = (".jpg", ".jpeg", ".png")
WITHIN = 0.98
"""This part of the float model's boxes must be found again with IoU and score inside the limits of the arithmetic."""
ACCURACY_LOSS = 0.005
"""mAP50-95 may be this much below what the manifest says: the same pictures in another engine differ by less."""
WHOLE: dict[str, Any] = {"crop": (0.0, 0.0, 1.0, 1.0), "mask": (), "classes": (), "confidence": None}


def agreement(section: DetectSection, folder: Path, *, limit: int) -> dict[str, Any]:
    """Compare the configured model with its float reference, box by box, on the pictures of a folder.

    Args:
        section: `detect` of the configuration.
        folder: Pictures, best the ones that calibrated the model.
        limit: At most this many, evenly over the folder.

    Raises:
        ModelError: No pictures, or the reference sees nothing in them.
    """
    from edge_sorter.detect import open_detector
    from edge_sorter.detect.acceptance import limits_for

    paths = _pictures(folder, limit=limit)
    whole = section.model_copy(update={**WHOLE, "low_confidence": LOWEST_SCORE})
    reference = whole.model_copy(update={"model": _float_model(section), "engine": "onnxruntime"})
    overlap, difference, missing, classes = [], [], 0, 0
    with open_detector(whole) as detector, open_detector(reference) as exact:
        limits, confidence = limits_for(detector.manifest), detector.manifest.confidence
        for picture in _read(paths):
            wanted, seen = _look(exact, picture), _look(detector, picture)
            table = overlaps(wanted.xyxy, seen.xyxy)
            for row in np.flatnonzero(wanted.confidence >= confidence + limits.score):
                best = int(table[row].argmax()) if len(seen) else -1
                if best < 0 or table[row, best] < 0.5:
                    missing += 1
                    continue
                overlap.append(float(table[row, best]))
                difference.append(abs(float(wanted.confidence[row] - seen.confidence[best])))
                classes += int(wanted.class_id[row] != seen.class_id[best])
    boxes = len(overlap) + missing
    if not boxes:
        raise ModelError(
            f"the float model sees nothing in the {len(paths)} pictures of {folder}; give ones with parcels"
        )
    good = sum(iou >= limits.iou and gap <= limits.score for iou, gap in zip(overlap, difference, strict=True))
    return {
        "pictures": len(paths),
        "boxes": boxes,
        "missing": missing,
        "other_class": classes,
        "within": round(good / boxes, 4),
        "mean_iou": round(float(np.mean(overlap or [0.0])), 4),
        "mean_score_difference": round(float(np.mean(difference or [1.0])), 4),
        "worst_score_difference": round(max(difference, default=1.0), 4),
        "passed": good >= WITHIN * boxes,
    }


def ratchet(section: DetectSection, folder: Path, *, name: str, class_map: dict[int, int] | None) -> dict[str, Any]:
    """Measure mAP on labelled pictures and hold it against the figure in the manifest.

    Args:
        section: `detect` of the configuration.
        folder: Holds `images/` and `labels/` (YOLO).
        name: The set's name under `metrics` in the manifest.
        class_map: Their class ids to ours; None when they are ours.

    Raises:
        ModelError: The manifest has no such figure, or labels do not fit.
    """
    from edge_sorter.detect import open_detector
    from edge_sorter.lifecycle.evaluation.accuracy import accuracy_of
    from edge_sorter.lifecycle.evaluation.labelled import FLOOR_CONFIDENCE

    whole = section.model_copy(update={**WHOLE, "low_confidence": FLOOR_CONFIDENCE})
    with open_detector(whole) as detector:
        metrics = detector.manifest.metrics
        if "map50_95" not in metrics.get(name, {}):
            raise ModelError(
                f"the manifest of {detector.manifest.name} has no mAP of {name!r}, "
                f"only of: {', '.join(metrics) or 'none'}"
            )
        score = accuracy_of(detector, folder / "images", folder / "labels", class_map=class_map)
    promised = float(metrics[name]["map50_95"])
    return {
        "set": name,
        "images": score.images,
        "map50": round(score.map50, 4),
        "map50_95": round(score.map50_95, 4),
        "promised": promised,
        "passed": score.map50_95 >= promised - ACCURACY_LOSS,
    }


def _float_model(section: DetectSection) -> Path:
    from edge_sorter.detect.opening import specs_of

    return specs_of(section)[-1].model


def _pictures(folder: Path, *, limit: int) -> list[Path]:
    if not folder.is_dir():
        raise ModelError(f"no folder of pictures at {folder}")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise ModelError(f"no picture ({', '.join(SUFFIXES)}) in {folder}")
    return paths[:: max(1, -(-len(paths) // limit))]


def _read(paths: list[Path]) -> Iterator[Image]:
    for path in paths:
        picture = cv2.imread(str(path))
        if picture is None:
            raise ModelError(f"{path} cannot be decoded as an image; remove or replace it")
        yield np.asarray(picture, np.uint8)


def _look(detector: Detector, picture: Image) -> Detections:
    return detector.detect(Frame(0, 0, picture))
