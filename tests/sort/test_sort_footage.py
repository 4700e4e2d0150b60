"""Real objects on an uncalibrated belt, boxes given: as many decisions as objects crossed, at any place of the line."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from edge_sorter.belt import open_belt
from edge_sorter.config import (
    BeltSection,
    DecisionLineSection,
    IdentifySection,
    SortSection,
    TimingSection,
    TrackSection,
)
from edge_sorter.identify import Identifier
from edge_sorter.sort import Router, load_plan
from edge_sorter.track import Tracker
from edge_sorter.types import Detections

COUNT_PLAN = Path(__file__).parents[2] / "configs" / "plans" / "count.yaml"
IMAGE_PX = (1280, 720)
LABELLED_FPS = 12.5


def labelled_frames(clip):
    by_frame = defaultdict(list)
    for row in np.loadtxt(clip / "gt_mot.txt", delimiter=","):
        by_frame[int(row[0])].append(row[2:6])
    for frame in sorted(by_frame):
        xywh = np.array(by_frame[frame])
        xyxy = np.concatenate((xywh[:, :2], xywh[:, :2] + xywh[:, 2:]), axis=1)
        count = len(xyxy)
        yield Detections(round(frame / LABELLED_FPS * 1e9), xyxy, np.full(count, 0.9), np.zeros(count, np.int64))


@pytest.mark.parametrize("line_y", [0.4, 0.5, 0.6, 0.7])
def test_chocolates_are_counted_at_every_line(footage, line_y):
    clip = footage / "clips" / "chocolates"
    wanted = json.loads((clip / "truth.json").read_text(encoding="utf-8"))["line_counts"][f"y={line_y}"]
    line = DecisionLineSection(points=((0.0, line_y), (1.0, line_y)))
    belt = open_belt(BeltSection(direction=(0.0, 1.0), decision_line=line), image_size_px=IMAGE_PX)
    tracker = Tracker(TrackSection(), high_confidence=0.5)
    identifier = Identifier(IdentifySection(), classes=("chocolate",), belt_map=None, image_size_px=IMAGE_PX)
    section = SortSection(plan=COUNT_PLAN, timing=TimingSection(travel_s=2.0))
    router = Router(
        section, plan=load_plan(COUNT_PLAN, classes=("chocolate",)), line=belt.line, belt=belt, boot_id="TEST"
    )
    decisions = []
    for detections in labelled_frames(clip):
        parcels = identifier.update(tracker.update(detections, travel_mm=None), ())
        decisions += router.update(parcels, captured_ns=detections.captured_ns, travel_mm=None)
    assert abs(len(decisions) - wanted) <= 1
    assert {decision.lane for decision in decisions} == {"L01"}
