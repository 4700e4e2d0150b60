"""A line that gets to see few of its camera's pictures misses parcels, but decides none twice."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path

import pytest

from edge_sorter.config import load_config
from edge_sorter.journal import Journal
from edge_sorter.pipeline import Pipeline
from edge_sorter.sort import load_plan
from edge_sorter.types import SortDecision

MEAN_GAP_NS = 300_000_000


def starved(root: Path, seed: int) -> list[SortDecision]:
    """Decide the demo's boxes again, its belt stop included, with random gaps; overdue parcels are looked after."""
    config, journal = load_config(root / "configs/demo/line.yaml"), Journal(root / "tests/golden/demo.jsonl")
    header, rng, next_ns = journal.header, random.Random(seed), 0
    pipeline = Pipeline(
        config,
        detector=None,
        plan=load_plan(config.sort.plan, classes=tuple(header["classes"])),
        image_size_px=tuple(header["image_size_px"]),
        boot_id="B",
        classes=tuple(header["classes"]),
        high_confidence=header["high_confidence"],
    )
    decisions: list[SortDecision] = []
    for frame in journal:
        at_ns = frame.detections.captured_ns
        for event in frame.heard:
            decisions += pipeline.hear(event)
        if at_ns < next_ns:
            for due in pipeline.overdue(at_ns):
                decisions += pipeline.hear(due)
            continue
        next_ns = at_ns + round(rng.expovariate(1.0) * MEAN_GAP_NS)
        travel_mm = pipeline.travel_mm(at_ns)
        step = pipeline.decide(frame.index, frame.detections, travel_mm=travel_mm, read=lambda _: ())
        decisions += step.decisions
    return decisions


@pytest.mark.parametrize("seed", range(6))
def test_no_two_decisions_name_the_same_parcel_when_few_pictures_are_seen(root: Path, seed: int) -> None:
    decisions = starved(root, seed)
    assert len(decisions) >= 20
    assert len({decision.parcel_uid for decision in decisions}) == len(decisions)
    places = sorted((d.position.lead_mm or 0.0, d.position.trail_mm or 0.0) for d in decisions)
    for (_, ahead_mm), (lead_mm, trail_mm) in pairwise(places):
        assert ahead_mm - lead_mm < 0.5 * (trail_mm - lead_mm), "two decisions about the same belt"
