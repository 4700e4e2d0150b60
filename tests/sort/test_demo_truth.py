"""The demo line from perfect boxes on: tracker, identifier, plan and router together send every parcel right."""

from __future__ import annotations

import json
from collections import defaultdict

import numpy as np
import pytest

from edge_sorter.belt import RecordedEncoder, open_belt
from edge_sorter.config import load_config
from edge_sorter.identify import Identifier
from edge_sorter.replay.truth import judge, lane_by_plan, load_truth
from edge_sorter.sort import Router, load_plan
from edge_sorter.track import Tracker
from edge_sorter.types import Detections

CLASSES = ("carton", "polybag", "mailer", "tube", "sack")


def detections_of(root, *, jitter_px, missing, every, seed=5):
    """The demo clip's true boxes as a detector of that quality would give them, frame by frame."""
    truth = json.loads((root / "configs" / "demo" / "truth.json").read_text(encoding="utf-8"))
    class_of = {parcel["id"]: CLASSES.index(parcel["class"]) for parcel in truth["parcels"]}
    rows = np.loadtxt(root / "configs" / "demo" / "truth_mot.txt", delimiter=",")
    by_frame = defaultdict(list)
    for row in rows:
        by_frame[int(row[0]) - 1].append(row)
    rng = np.random.default_rng(seed)
    for index in range(0, truth["frames"], every):
        seen = [row for row in by_frame[index] if row[8] > 0.3 and rng.random() >= missing]
        xywh = np.array([row[2:6] for row in seen]).reshape(-1, 4)
        xyxy = np.concatenate((xywh[:, :2], xywh[:, :2] + xywh[:, 2:]), axis=1)
        xyxy += rng.normal(0.0, jitter_px, xyxy.shape)
        at_ns = round(index / truth["fps"] * 1e9)
        classes = [class_of[int(row[1])] for row in seen]
        yield Detections(at_ns, xyxy, np.full(len(seen), 0.9, np.float32), np.array(classes, np.int64))


def decide_all(root, **quality):
    config = load_config(root / "configs" / "demo" / "line.yaml")
    image_px = (960, 540)
    belt = open_belt(config.belt, image_size_px=image_px)
    tracker = Tracker(config.track, high_confidence=0.5, shift=belt.map.shift)
    identifier = Identifier(config.identify, classes=CLASSES, belt_map=belt.map, image_size_px=image_px)
    plan = load_plan(config.sort.plan, classes=CLASSES)
    router = Router(config.sort, plan=plan, line=belt.line, belt=belt, boot_id="DEMO")
    encoder = RecordedEncoder(config.belt.encoder.source)
    decisions = []
    for detections in detections_of(root, **quality):
        for event in encoder.take_events(detections.captured_ns):
            belt.motion.feed(event.at_ns, event.count)
        travel_mm = belt.motion.travel_mm(detections.captured_ns)
        parcels = identifier.update(tracker.update(detections, travel_mm=travel_mm), ())
        decisions += router.update(parcels, captured_ns=detections.captured_ns, travel_mm=travel_mm)
    return decisions, router.counts


@pytest.mark.parametrize(
    "quality",
    [
        {"jitter_px": 0.0, "missing": 0.0, "every": 1},
        {"jitter_px": 2.0, "missing": 0.1, "every": 1},
        {"jitter_px": 3.0, "missing": 0.3, "every": 2},
        {"jitter_px": 1.0, "missing": 0.0, "every": 5},
    ],
    ids=["perfect", "jitter and gaps", "bad, 12 fps", "5 fps"],
)
def test_every_demo_parcel_gets_one_right_decision_in_time(root, quality):
    truth = load_truth(root / "configs" / "demo" / "truth.json")
    plan = load_plan(root / "configs" / "demo" / "plan.yaml", classes=CLASSES)
    decisions, counts = decide_all(root, **quality)
    verdict = judge(truth, decisions, lane_of=lane_by_plan(plan, groups_to_exception=True))
    assert (verdict.decided, verdict.missed, verdict.extra) == (truth.count, 0, 0)
    assert verdict.lane_right == truth.count, verdict.wrong
    assert verdict.shared == 2, "the pair and the double have one decision each"
    assert (counts.late, counts.unseen) == (0, 0)
    # A tall parcel's box leans away from the camera's foot point, so its centre crosses a little early or late.
    assert max(map(abs, verdict.crossing_error_ms)) < 80


def test_the_demo_decides_alike_twice(root):
    assert decide_all(root, jitter_px=1.0, missing=0.1, every=1) == decide_all(
        root, jitter_px=1.0, missing=0.1, every=1
    )
