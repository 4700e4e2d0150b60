"""mAP alone, for commands that want one figure and no report: `accept`, `frontier`, `quantize`.

Contract: the same pairing and average precision as `evaluate`, so that no two commands disagree about a model.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge_sorter.lifecycle.evaluation.match import match
from edge_sorter.lifecycle.evaluation.measure import look
from edge_sorter.lifecycle.evaluation.precision import bootstrap, draws, figures, interval_95, rank
from edge_sorter.types import Frame

if TYPE_CHECKING:
    from edge_sorter.detect import Detector


@dataclass(frozen=True)
class Accuracy:
    """COCO's mAP over `images` pictures, at overlap 0.5 and averaged over 0.5 to 0.95 (with its 95 % interval)."""

    images: int
    map50: float
    map50_95: float
    map50_95_interval: tuple[float, float] | None = None


def accuracy_of(
    detector: Detector,
    images: Path,
    labels: Path,
    *,
    class_map: dict[int, int] | None = None,
    any_class: bool = False,
    resamples: int = 0,
) -> Accuracy:
    """Run an open detector over a labelled folder.

    Args:
        detector: Opened down to `labelled.FLOOR_CONFIDENCE`.
        images: Folder of pictures.
        labels: Folder of YOLO label files of the same stems.
        class_map: Their class ids to ours; None when they are ours.
        any_class: Positions only, for sets whose classes are not ours.
        resamples: Sets of pictures drawn for the interval; 0 does without.

    Raises:
        DatasetError: A picture or label cannot be read, or the labels hold no box at all.
    """
    looked = look(
        lambda picture: detector.detect(Frame(0, 0, picture)),
        images,
        labels,
        classes=detector.classes,
        class_map=class_map,
        any_class=any_class,
    )
    ranked = rank(match(looked.truths, looked.found), looked.classes)
    pictures, confidence = len(looked.truths), detector.high_confidence
    found, interval = figures(ranked, np.ones(pictures), confidence=confidence), None
    if resamples:
        weights = draws(pictures, None, resamples=resamples, seed=0)
        drawn = bootstrap(lambda weight: figures(ranked, weight, confidence=confidence), weights)
        interval = interval_95(drawn["map50_95"])
    return Accuracy(pictures, found["map50"], found["map50_95"], interval)
