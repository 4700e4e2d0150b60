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
from edge_sorter.lifecycle.evaluation.precision import figures, rank
from edge_sorter.types import Frame

if TYPE_CHECKING:
    from edge_sorter.detect import Detector


@dataclass(frozen=True)
class Accuracy:
    """COCO's mAP over `images` pictures, at overlap 0.5 and averaged over 0.5 to 0.95."""

    images: int
    map50: float
    map50_95: float


def accuracy_of(
    detector: Detector,
    images: Path,
    labels: Path,
    *,
    class_map: dict[int, int] | None = None,
    any_class: bool = False,
) -> Accuracy:
    """Run an open detector over a labelled folder.

    Args:
        detector: Opened down to `labelled.FLOOR_CONFIDENCE`.
        images: Folder of pictures.
        labels: Folder of YOLO label files of the same stems.
        class_map: Their class ids to ours; None when they are ours.
        any_class: Positions only, for sets whose classes are not ours.

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
    found = figures(ranked, np.ones(len(looked.truths)), confidence=detector.high_confidence)
    return Accuracy(len(looked.truths), found["map50"], found["map50_95"])
