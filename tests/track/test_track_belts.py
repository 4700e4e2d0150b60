"""Identities on synthetic belts with exact truth, from 5 to 60 frames per second, with motion known and unknown."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest
from belt_world import OBLIQUE, OVERHEAD, BeltWorld, Moment, steady, stop_and_reverse

from edge_sorter.config import TrackSection
from edge_sorter.track import Tracker
from edge_sorter.track.associate import overlaps
from edge_sorter.types import Track, TrackState

SECTION = TrackSection(lost_s=1.0)


@dataclass(frozen=True)
class Outcome:
    """How identities and parcels relate."""

    parcels: int  # stays of a parcel in view during which a believed track followed it
    due: int  # stays of a parcel in view with more than confirm_hits detections
    fragments: int  # further identities that a parcel had during one stay
    mixed: int  # further parcels that an identity was on


class Ledger:
    """Notes which identity was on which parcel; a parcel that leaves the view and comes back may be a new one."""

    def __init__(self) -> None:
        self.stays: Counter[int] = Counter()
        self.detected: Counter[tuple[int, int]] = Counter()
        self.ids: dict[tuple[int, int], set[int]] = {}
        self.on: dict[int, set[int]] = {}
        self._in_view: frozenset[int] = frozenset()

    def note(self, moment: Moment, tracks: tuple[Track, ...]) -> None:
        self.stays.update(self._in_view - moment.in_view)
        self._in_view = moment.in_view
        seen = [track for track in tracks if track.measured and track.state is TrackState.CONFIRMED]
        iou, _ = overlaps(moment.truth, np.array([track.xyxy for track in seen]).reshape(-1, 4))
        for row, parcel in enumerate(moment.parcels):
            stay = (parcel, self.stays[parcel])
            self.detected[stay] += 1
            if seen and iou[row].max() > 0.2:
                track_id = seen[int(iou[row].argmax())].track_id
                self.ids.setdefault(stay, set()).add(track_id)
                self.on.setdefault(track_id, set()).add(parcel)

    def outcome(self, section: TrackSection) -> Outcome:
        return Outcome(
            parcels=len(self.ids),
            due=sum(hits > section.confirm_hits for hits in self.detected.values()),
            fragments=sum(len(each) - 1 for each in self.ids.values()),
            mixed=sum(len(each) - 1 for each in self.on.values()),
        )


def follow(world: BeltWorld, *, belt_known: bool, section: TrackSection = SECTION) -> Outcome:
    tracker = Tracker(section, high_confidence=0.5, shift=world.map.shift if belt_known else None)
    ledger = Ledger()
    for moment in world:
        ledger.note(moment, tracker.update(moment.detections, travel_mm=moment.travel_mm if belt_known else None))
    return ledger.outcome(section)


def busy_belt(fps: float, speed: float, length: float, **more: object) -> BeltWorld:
    """Ten parcels or so; 10 % misses, 5 mm jitter, dropped frames, and half a second behind something."""
    hidden_s = 0.5 if speed <= 1500 else 0.1  # faster ones would spend most of their time in view hidden
    options = {"miss": 0.1, "jitter_mm": 5.0, "hidden_s": hidden_s, "dropped": 0.05, "seed": 1, **more}
    duration = min(10 * (length + 300) / speed + 2, 16)
    return BeltWorld(fps=fps, travel_mm=steady(speed), duration_s=duration, length_mm=length, **options)


@pytest.mark.parametrize("length", [150.0, 300.0, 600.0])
@pytest.mark.parametrize("speed", [300.0, 1000.0, 2000.0, 3000.0])
@pytest.mark.parametrize("fps", [5, 15, 30, 60])
def test_belt_known_every_parcel_has_one_identity(fps: float, speed: float, length: float) -> None:
    """Up to 600 mm, four lengths of a small parcel, between two frames."""
    outcome = follow(busy_belt(fps, speed, length), belt_known=True)
    assert (outcome.fragments, outcome.mixed) == (0, 0), outcome
    assert outcome.parcels >= outcome.due


@pytest.mark.parametrize("seed", [2, 3])
@pytest.mark.parametrize("options", [{"calibration": OBLIQUE}, {"tall": 0.2}], ids=["oblique", "tall"])
@pytest.mark.parametrize(("fps", "speed"), [(5, 1000.0), (5, 2000.0), (15, 3000.0), (30, 2000.0), (60, 1000.0)])
def test_belt_known_in_perspective_and_for_tall_parcels(
    fps: float, speed: float, options: dict[str, object], seed: int
) -> None:
    outcome = follow(busy_belt(fps, speed, 300.0, seed=seed, **options), belt_known=True)
    assert (outcome.fragments, outcome.mixed) == (0, 0), outcome
    assert outcome.parcels >= outcome.due


@pytest.mark.parametrize("length", [150.0, 300.0])
@pytest.mark.parametrize("fps", [5, 30])
@pytest.mark.parametrize("calibration", [OVERHEAD, OBLIQUE], ids=["overhead", "oblique"])
def test_belt_known_stops_backs_up_and_runs_on(fps: float, length: float, calibration: object) -> None:
    world = BeltWorld(
        fps=fps, travel_mm=stop_and_reverse(1500.0), duration_s=8, length_mm=length, calibration=calibration,
        miss=0.1, jitter_mm=5.0, seed=4,
    )  # fmt: skip
    outcome = follow(world, belt_known=True)
    assert (outcome.fragments, outcome.mixed) == (0, 0), outcome
    assert outcome.parcels >= outcome.due


@pytest.mark.parametrize("length", [150.0, 300.0, 600.0])
@pytest.mark.parametrize(
    ("fps", "speed"),
    [(5, 300.0), (15, 300.0), (15, 1000.0), (15, 2000.0), (30, 1000.0), (30, 3000.0), (60, 3000.0)],
)
def test_belt_unknown_from_above(fps: float, speed: float, length: float) -> None:
    """Up to 133 mm, 0.9 lengths of a small parcel, between two frames. What moves further needs a known belt."""
    outcome = follow(busy_belt(fps, speed, length), belt_known=False)
    assert (outcome.fragments, outcome.mixed) == (0, 0), outcome
    assert outcome.parcels >= outcome.due


@pytest.mark.parametrize("fps", [15, 30])
def test_belt_unknown_stops_backs_up_and_runs_on(fps: float) -> None:
    world = BeltWorld(
        fps=fps, travel_mm=stop_and_reverse(1000.0), duration_s=8, length_mm=300.0, miss=0.1, jitter_mm=5.0, seed=4
    )
    outcome = follow(world, belt_known=False)
    assert (outcome.fragments, outcome.mixed) == (0, 0), outcome


def test_the_hard_case_of_the_trade() -> None:
    """A 150 mm parcel that moves 100 mm between frames overlaps its last box by 0.2: nothing for an IoU tracker."""
    for belt_known in (True, False):
        world = BeltWorld(
            fps=15, travel_mm=steady(1500.0), duration_s=8, length_mm=150.0, seed=5, gap_mm=(60.0, 300.0), jitter_mm=3.0
        )
        outcome = follow(world, belt_known=belt_known)
        assert (outcome.fragments, outcome.mixed) == (0, 0)
        assert outcome.parcels >= 15


def test_the_belts_motion_comes_and_goes() -> None:
    """An encoder that falls silent twice: the tracker goes on at constant velocity and returns to the belt."""
    world = busy_belt(30, 1000.0, 300.0)
    tracker = Tracker(SECTION, high_confidence=0.5, shift=world.map.shift)
    ledger = Ledger()
    for moment in world:
        second = moment.detections.captured_ns / 1e9
        silent = 1.0 < second < 2.0 or 3.0 < second < 3.5
        ledger.note(moment, tracker.update(moment.detections, travel_mm=None if silent else moment.travel_mm))
    outcome = ledger.outcome(SECTION)
    assert outcome.parcels > 8
    assert (outcome.fragments, outcome.mixed) == (0, 0)
