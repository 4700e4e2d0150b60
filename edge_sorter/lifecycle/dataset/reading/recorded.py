"""Our own recordings: pictures of the parcels worth labelling, with what the line saw as labels to correct.

Contract: from a journal and its clip; a picture is taken where a chosen parcel was decided (and at more moments of its
track where asked for), and carries every parcel tracked on it. The labels are a model's: nobody has looked at them yet.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_sorter.errors import DatasetError, JournalError
from edge_sorter.journal import Journal, JournalStep
from edge_sorter.lifecycle.dataset.progress import Progress, silent
from edge_sorter.lifecycle.dataset.reading import Reading
from edge_sorter.lifecycle.dataset.reading.frames import take_frames
from edge_sorter.lifecycle.dataset.values import Corners, Draft, Groups
from edge_sorter.types import Reason, TrackState

SEEN = (TrackState.TENTATIVE.value, TrackState.CONFIRMED.value)
PLAIN = (Reason.PLAN_MATCH.value, Reason.ALT_LANE_FULL.value, Reason.OVERFLOW.value)
"""Reasons that say nothing against what the camera saw; every other one makes a parcel an exception."""


@dataclass(frozen=True)
class Choice:
    """Which parcels of a recording are taken; a parcel that meets any of these is.

    Attributes:
        exceptions: Those decided for another reason than the plan's.
        below: Those with a class confidence under this (0..1).
        every: Each n-th parcel; 0 for none.
        views: Pictures a parcel, spread over the time it was seen; 1 takes the moment of its decision.
    """

    exceptions: bool = True
    below: float = 0.6
    every: int = 0
    views: int = 1

    def takes(self, decision: dict[str, Any]) -> bool:
        """Return whether a decision's parcel is wanted."""
        if self.exceptions and decision["reason"] not in PLAIN:
            return True
        if decision["conf"] < self.below:
            return True
        return self.every > 0 and decision["seq"] % self.every == 0


def read(
    path: Path,
    clip: Path,
    choice: Choice,
    *,
    scratch: Path,
    on_frame: Progress = silent,
) -> Reading:
    """Take pictures out of a clip by its journal.

    Args:
        path: journal.jsonl, or the folder of a replay that holds one.
        clip: The video it was made of.
        choice: Which parcels.
        scratch: Folder for the pictures.
        on_frame: Told frames decoded and the last one needed.

    Raises:
        DatasetError: No journal, no parcel chosen, or another clip.
    """
    path = path / "journal.jsonl" if path.is_dir() else path
    try:
        journal = Journal(path)
        steps = list(journal)
    except JournalError as error:
        raise DatasetError(str(error)) from None
    chosen, uids = _choose(steps, choice)
    if not chosen:
        parcels = sum(len(step.decisions) for step in steps)
        raise DatasetError(
            f"{path}: none of {parcels} decisions is wanted (exceptions, confidence below {choice.below:.2f}); "
            "take more with --every 10"
        )
    by_index = {step.index: step for step in steps}
    files = take_frames(
        clip,
        chosen,
        scratch,
        on_frame=on_frame,
        expected_ns={index: by_index[index].detections.captured_ns for index in chosen},
    )
    classes = tuple(journal.header["classes"])
    size = tuple(journal.header["image_size_px"])
    drafts = tuple(
        _draft(by_index[index], file, clip=clip.stem, classes=classes, size_px=size, uids=uids)
        for index, file in sorted(files.items())
    )
    return Reading("journal", drafts, classes, (f"labels by {journal.header['model']}: correct them before training",))


def _choose(steps: list[JournalStep], choice: Choice) -> tuple[set[int], dict[int, str]]:
    """Return the frames to take, and the parcel of every track that was decided."""
    uids: dict[int, str] = {}
    seen: dict[int, list[int]] = {}
    decided: dict[int, int] = {}
    for step in steps:
        for track in step.tracks:
            if track[1] in SEEN:
                seen.setdefault(track[0], []).append(step.index)
        for decision in step.decisions:
            track_id = decision.get("track")
            if track_id is None or decision["rev"]:
                continue
            uids[track_id] = decision["parcel_uid"]
            if choice.takes(decision):
                decided[track_id] = step.index
    frames: set[int] = set()
    for track_id, at in decided.items():
        views = seen.get(track_id) or [at]
        if choice.views == 1:
            frames.add(min(views, key=lambda index: (abs(index - at), index)))
        else:
            last = len(views) - 1
            frames |= {views[round(k * last / (choice.views - 1))] for k in range(choice.views)}
    return frames, uids


def _draft(
    step: JournalStep,
    file: Path,
    *,
    clip: str,
    classes: tuple[str, ...],
    size_px: tuple[int, ...],
    uids: dict[int, str],
) -> Draft:
    width, height = size_px
    boxes = []
    parcels = []
    for track_id, state, x1, y1, x2, y2, class_id in step.tracks:
        if state not in SEEN:
            continue
        at = Corners(x1 / width, y1 / height, x2 / width, y2 / height).cut()
        if at.area <= 0:
            continue
        boxes.append((classes[class_id], at))
        parcels.append(uids.get(track_id, f"{clip}/track-{track_id}"))
    groups = Groups(clip=clip, frame=step.index, parcels=tuple(parcels), original=f"{clip}/{step.index}")
    return Draft(file.name, file, tuple(boxes), groups=groups, pre_labels=True)
