"""Everything one evaluation on pictures says, in one plain value that the report, the JSON and the comparison share.

Contract: `look` runs a detector over a labelled folder; `measure` turns boxes and truth into an `Evaluation`. Its
mAP is that of the COCO evaluator (a test holds them together); its intervals come from resampling pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edge_sorter.errors import DatasetError
from edge_sorter.lifecycle.evaluation.curves import Curve, Point, curve
from edge_sorter.lifecycle.evaluation.faults import Fault, confusion, faults_of
from edge_sorter.lifecycle.evaluation.labelled import FLOOR_CONFIDENCE, Labelled, Predict, read_set
from edge_sorter.lifecycle.evaluation.match import Matches, match, without_classes
from edge_sorter.lifecycle.evaluation.precision import (
    RESAMPLES,
    Figures,
    bootstrap,
    draws,
    figures,
    interval_95,
    rank,
)
from edge_sorter.lifecycle.evaluation.reliability import Reliability, reliability
from edge_sorter.replay.truth import wilson
from edge_sorter.types import Detections, IntArray

ALL = "all"
SIDES_PX = (0, 32, 64, 128, 256)
"""Lower ends of the bands of size: the root of a box's area, in pixels of the picture."""


@dataclass(frozen=True)
class Looked:
    """A labelled set and what one model found on it, down to `FLOOR_CONFIDENCE`."""

    truths: tuple[Labelled, ...]
    found: tuple[Detections, ...]
    classes: tuple[str, ...]

    @property
    def boxes(self) -> int:
        """True boxes."""
        return sum(len(truth.class_id) for truth in self.truths)


@dataclass(frozen=True)
class ClassFigures:
    """One class, or all together: at the working threshold, at the best one, and at the one that reaches the target."""

    boxes: int
    ap50: float | None
    ap50_95: float | None
    working: Point
    best: Point
    target: Point | None


@dataclass(frozen=True)
class SizeBand:
    """True boxes of one band of size at the working threshold; recall of the right class with its Wilson interval."""

    from_px: int
    to_px: int | None
    boxes: int
    found: int
    recall_95: tuple[float, float]


@dataclass(frozen=True)
class Evaluation:
    """All figures of one model on one set."""

    pictures: int
    boxes: int
    classes: tuple[str, ...]
    confidence: float
    target_recall: float
    figures: Figures
    intervals: dict[str, tuple[float, float]]
    per_class: dict[str, ClassFigures]
    curves: dict[str, Curve]
    confusion: IntArray
    reliability: Reliability
    sizes: tuple[SizeBand, ...]
    faults: tuple[Fault, ...] = field(repr=False, default=())

    def fault_counts(self) -> dict[str, int]:
        """Return how many errors of each kind there are at the working threshold."""
        kinds = [fault.kind for fault in self.faults]
        return {kind: kinds.count(kind) for kind in ("missed", "false", "confused", "misplaced", "doubled")}


def look(
    predict: Predict,
    images: Path,
    labels: Path,
    *,
    classes: Sequence[str],
    class_map: dict[int, int] | None = None,
    any_class: bool = False,
    on_progress: Callable[[int], None] | None = None,
) -> Looked:
    """Run a detector over a labelled folder.

    Args:
        predict: Picture BGR to detections in its pixels, down to `FLOOR_CONFIDENCE`.
        images: Folder of pictures.
        labels: Folder of YOLO label files of the same stems.
        classes: Names of our class ids.
        class_map: Their class ids to ours; None when they are ours.
        any_class: Keep positions only, for sets whose classes are not ours.
        on_progress: Called with the number of pictures done.

    Raises:
        DatasetError: A picture or label cannot be read, or the labels hold no box at all.
    """
    truths, found = [], []
    for done, (truth, picture) in enumerate(read_set(images, labels, class_map=class_map), start=1):
        strange = truth.class_id[truth.class_id >= len(classes)]
        if len(strange) and not any_class:
            raise DatasetError(
                f"{labels / truth.path.stem}.txt has class {strange[0]}; the model knows 0 to {len(classes) - 1}. "
                "Map theirs to ours with --classes, e.g. --classes 0=carton."
            )
        truths.append(truth)
        found.append(predict(picture))
        if on_progress:
            on_progress(done)
    if any_class:
        truths, found, classes = *without_classes(truths, found), ("parcel",)
    looked = Looked(tuple(truths), tuple(found), tuple(classes))
    if looked.boxes == 0:
        raise DatasetError(f"The labels in {labels} hold no box at all. Are images and labels paired (same stem)?")
    return looked


def measure(
    looked: Looked,
    *,
    confidence: float,
    target_recall: float = 0.95,
    groups: IntArray | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Evaluation:
    """Measure what was found.

    Args:
        looked: The set and the boxes.
        confidence: Working threshold.
        target_recall: Recall that a threshold is sought for, per class.
        groups: Group of each picture, e.g. its clip; groups are resampled whole. None: every picture is its own.
        resamples: How many sets are drawn for the intervals.
        seed: Of the draws.
    """
    matches = match(looked.truths, looked.found)
    ranked = rank(matches, looked.classes)
    weights = draws(matches.pictures, groups, resamples=resamples, seed=seed)
    ones = np.ones(matches.pictures)
    drawn = bootstrap(lambda weight: figures(ranked, weight, confidence=confidence), weights)
    here = [name for index, name in enumerate(looked.classes) if _is_here(matches, index)]
    parts = {ALL: matches} | {name: matches.of_class(looked.classes.index(name)) for name in here}
    curves = {name: curve(part) for name, part in parts.items()}
    per_class = {}
    for name, line in curves.items():
        ap = ranked[name].average_precision(ones) if name != ALL else None
        per_class[name] = ClassFigures(
            boxes=len(parts[name].true_class),
            ap50=None if ap is None else float(ap[0]),
            ap50_95=None if ap is None else float(ap.mean()),
            working=line.at(confidence),
            best=line.best(),
            target=line.for_recall(target_recall),
        )
    faults = [
        fault
        for number, (truth, detections) in enumerate(zip(looked.truths, looked.found, strict=True))
        for fault in faults_of(number, truth, detections, confidence=confidence)
    ]
    return Evaluation(
        pictures=matches.pictures,
        boxes=looked.boxes,
        classes=looked.classes,
        confidence=confidence,
        target_recall=target_recall,
        figures=figures(ranked, ones, confidence=confidence),
        intervals={name: interval_95(values) for name, values in drawn.items()},
        per_class=per_class,
        curves=curves,
        confusion=confusion(looked.truths, looked.found, classes=len(looked.classes), confidence=confidence),
        reliability=reliability(matches),
        sizes=_sizes(matches, confidence),
        faults=tuple(faults),
    )


def _is_here(matches: Matches, class_id: int) -> bool:
    return bool((matches.true_class == class_id).any())


def _sizes(matches: Matches, confidence: float) -> tuple[SizeBand, ...]:
    bands = []
    for low, high in zip(SIDES_PX, (*SIDES_PX[1:], None), strict=True):
        inside = (matches.true_side_px >= low) & (matches.true_side_px < (np.inf if high is None else high))
        boxes, hits = int(inside.sum()), int((matches.true_by[inside] >= confidence).sum())
        if boxes:
            bands.append(SizeBand(low, high, boxes, hits, wilson(hits, boxes)))
    return tuple(bands)


def as_json(evaluation: Evaluation, *, floor: float = FLOOR_CONFIDENCE) -> dict[str, Any]:
    """Return the evaluation as plain values: the `figures` part of `edge_sorter.evaluation/1` (see schema.json)."""
    e = evaluation

    def point(value: Point | None) -> dict[str, float] | None:
        return None if value is None else value.as_dict()

    return {
        "images": e.pictures,
        "boxes": e.boxes,
        "confidence": e.confidence,
        "floor_confidence": floor,
        **{name: round(e.figures[name], 4) for name in ("map50", "map50_95", "precision", "recall", "f1")},
        "intervals_95": {name: [round(low, 4), round(high, 4)] for name, (low, high) in e.intervals.items()},
        "target_recall": e.target_recall,
        "per_class": {
            name: {
                "boxes": c.boxes,
                "ap50": None if c.ap50 is None else round(c.ap50, 4),
                "ap50_95": None if c.ap50_95 is None else round(c.ap50_95, 4),
                "working": point(c.working),
                "best_f1": point(c.best),
                "target": point(c.target),
            }
            for name, c in e.per_class.items()
        },
        "sizes": [{**vars(band), "recall_95": [round(side, 4) for side in band.recall_95]} for band in e.sizes],
        "confusion": {"names": [*e.classes, "background"], "true_by_found": e.confusion.tolist()},
        "calibration": e.reliability.as_dict(),
        "faults": e.fault_counts(),
        "curves": {name: line.as_dict() for name, line in e.curves.items()},
    }
