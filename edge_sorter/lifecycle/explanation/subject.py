"""What is to be explained: a picture and the boxes in it, from a file or from a decision in a journal.

Contract: `of_image` and `of_decision` return a `Subject` with its boxes found by the very detector the line runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge_sorter.clock import ReplayClock
from edge_sorter.config import Config
from edge_sorter.detect import Detector
from edge_sorter.errors import JournalError, ModelError, VideoError
from edge_sorter.journal import Journal, JournalStep
from edge_sorter.lifecycle.evaluation.match import overlaps
from edge_sorter.types import Box, Frame, Image
from edge_sorter.video import open_source

SAME_BOX = 0.3
"""A tracked box is filtered, and may lie this far off the box that was found in the frame."""


@dataclass(frozen=True)
class Target:
    """One box to explain: xyxy in pixels of the picture."""

    xyxy: Box
    class_id: int
    class_name: str
    confidence: float


@dataclass(frozen=True)
class Subject:
    """A picture (BGR) with the boxes to explain; `decision` is the journal's record where it is about one."""

    picture: Image
    name: str
    targets: tuple[Target, ...]
    decision: dict[str, Any] | None = None


def of_image(path: Path, detector: Detector, *, most: int) -> Subject:
    """Read a picture and find its boxes, the most confident ones first.

    Raises:
        ModelError: It is no picture, or nothing is found in it.
    """
    picture = cv2.imread(str(path))
    if picture is None:
        raise ModelError(f"{path} cannot be read as a picture.")
    image = np.asarray(picture, np.uint8)
    targets = [t for t in _look(detector, image) if t.confidence >= detector.high_confidence][:most]
    if not targets:
        raise ModelError(
            f"The model finds nothing of at least {detector.high_confidence:g} in {path}; a lower --confidence may."
        )
    return Subject(image, path.stem, tuple(targets))


def of_decision(config: Config, detector: Detector, *, journal: Path, clip: Path, parcel_uid: str) -> Subject:
    """Find the frame a decision was made in, and in it the box of its parcel.

    Raises:
        JournalError: No such decision, or its parcel was not in view when it was made.
        VideoError: The clip is not the journal's.
    """
    step, record = _decision(Journal(journal), parcel_uid)
    tracked = [row for row in step.tracks if row[0] == record["track"]]
    if not tracked:
        raise JournalError(f"{parcel_uid} was decided without being in view ({record['reason']}): no box to explain")
    picture = _frame(config, clip, step.index)
    found = _look(detector, picture)
    box = np.array([tracked[0][2:6]], np.float32)
    table = overlaps(box, np.array([target.xyxy for target in found], np.float32).reshape(-1, 4))[0]
    if not len(table) or table.max() < SAME_BOX:
        raise JournalError(
            f"the model finds no box where {parcel_uid} was in frame {step.index}; "
            "are clip, model and journal of one run?"
        )
    return Subject(picture, parcel_uid, (found[int(table.argmax())],), record)


def _decision(journal: Journal, parcel_uid: str) -> tuple[JournalStep, dict[str, Any]]:
    """Return the decision's first record and the frame that completed it."""
    known: list[str] = []
    for step in journal:
        for record in step.decisions:
            if record["parcel_uid"] == parcel_uid:
                return step, record
            known.append(record["parcel_uid"])
    some = f"it has {known[0]} to {known[-1]}" if known else "it holds no decision"
    raise JournalError(f"journal {journal.path} has no decision for {parcel_uid}; {some}")


def _frame(config: Config, clip: Path, index: int) -> Image:
    section = config.video.model_copy(update={"source": str(clip)})
    with open_source(section, clock=ReplayClock()) as source:
        for item in source:
            if isinstance(item, Frame) and item.index == index:
                return item.image
    raise VideoError(f"clip {clip} has no frame {index}; is it the one the journal was made from?")


def _look(detector: Detector, picture: Image) -> Sequence[Target]:
    found = detector.detect(Frame(0, 0, picture))
    rows = zip(found.xyxy.tolist(), found.class_id.tolist(), found.confidence.tolist(), strict=True)
    return [Target((b[0], b[1], b[2], b[3]), c, detector.classes[c], s) for b, c, s in rows]
