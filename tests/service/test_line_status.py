"""The status everybody looks at: what the main loop writes is what a reader gets; looking costs the loop nothing."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from edge_sorter.clock import ReplayClock
from edge_sorter.plc.messages import AppState
from edge_sorter.plc.publisher import PublishResult, Vitals
from edge_sorter.service.durations import BOUNDS_MS, Durations
from edge_sorter.service.status import RECENT_DECISIONS, LineStatus
from edge_sorter.types import (
    Action,
    BeltPosition,
    Blind,
    Detections,
    Frame,
    Reason,
    SortDecision,
    Step,
    Track,
    TrackState,
)

MS = 1_000_000


def decision(
    number: int, *, captured_ns: int = 0, lane: str = "L1", reason: Reason = Reason.PLAN_MATCH
) -> SortDecision:
    return SortDecision(
        parcel_uid=f"B-{number}",
        seq=number,
        rev=0,
        lane=lane,
        alternates=(),
        action=Action.DIVERT,
        reason=reason,
        rule=None,
        plan="p#1",
        track_id=number,
        class_name="carton",
        confidence=0.9,
        size_mm=None,
        codes=(),
        flags=(),
        position=BeltPosition("TIME", None, None, None, (0.0, 0.0)),
        crossed_ns=captured_ns,
        captured_ns=captured_ns,
        deadline_ns=captured_ns + 500 * MS,
    )


def step(index: int, captured_ns: int, *decisions: SortDecision, tracks: tuple[Track, ...] = ()) -> Step:
    stages = {"infer": 7 * MS, "sort": MS}
    return Step(index, captured_ns, None, Detections.empty(captured_ns), (), tracks, (), decisions, stages)


@pytest.fixture
def clock() -> ReplayClock:
    return ReplayClock()


@pytest.fixture
def status(clock: ReplayClock) -> LineStatus:
    return LineStatus(clock)


def test_it_starts_as_starting(status):
    seen = status.snapshot()
    assert (seen.state, seen.frames, seen.info, seen.recent, seen.frame_age_ms) == (
        AppState.STARTING,
        0,
        None,
        (),
        None,
    )


def test_a_decision_is_counted_and_kept_with_its_times(status, clock):
    clock.sleep_until(140 * MS)
    status.on_step(step(3, 100 * MS, decision(1, captured_ns=100 * MS)), (PublishResult.SENT,), 2 * MS)
    clock.sleep_until(200 * MS)
    seen = status.snapshot()
    assert seen.decided == {("L1", "DIVERT", "PLAN_MATCH"): 1}
    assert seen.published == {"SENT": 1}
    (last,) = seen.recent
    assert (last.latency_ms, last.spare_ms) == (40.0, 460.0)
    assert last.stage_ns == {"infer": 7 * MS, "sort": MS, "publish": 2 * MS}
    assert seen.frame_age_ms == 100.0
    assert seen.timings[0].latency_ns == 40 * MS
    assert seen.latency.count == 1
    assert seen.latency.counts[BOUNDS_MS.index(40)] == 1
    assert seen.stages["infer"].total_ns == 7 * MS


def test_only_so_many_are_kept_and_only_so_many_given(status):
    for number in range(RECENT_DECISIONS + 10):
        status.on_step(step(number, number, decision(number, captured_ns=number)), (PublishResult.LATE,), 0)
    assert status.snapshot().published == {"LATE": RECENT_DECISIONS + 10}
    assert len(status.snapshot().recent) == RECENT_DECISIONS
    few = status.snapshot(decisions=2, timings=0)
    assert [seen.decision.seq for seen in few.recent] == [RECENT_DECISIONS + 8, RECENT_DECISIONS + 9]
    assert few.timings == ()


def test_the_newest_99_percent(status, clock):
    assert status.recent_p99_ms() is None
    for number in range(200):
        clock.sleep_until(number * 100 * MS)
        late_ms = 70 if number in (3, 90, 150) else 20
        status.on_step(step(number, (number * 100 - late_ms) * MS), (), 0)
        if number == 99:
            assert status.recent_p99_ms() == 70.0, "two of a hundred"
    assert status.recent_p99_ms() == 70.0, "three of two hundred"
    for number in range(200, 320):
        clock.sleep_until(number * 100 * MS)
        status.on_step(step(number, (number * 100 - 20) * MS), (), 0)
    assert status.recent_p99_ms() == 20.0, "three of 320"


def test_blindness_is_noted_and_ends_with_the_next_step(status):
    status.on_blind(Blind(1, "CAM_DARK"))
    status.on_blind(Blind(2, "CAM_DARK"))
    assert (status.snapshot().blind_for, status.snapshot().blind) == ("CAM_DARK", {"CAM_DARK": 2})
    status.on_step(step(0, 3), (), 0)
    assert status.snapshot().blind_for is None


def test_since_is_when_the_state_changed_not_its_cause(status, clock):
    clock.sleep_until(1_000 * MS)
    status.told("RUNNING")
    clock.sleep_until(2_000 * MS)
    status.told("RUNNING", cause="recovered from CAM_LOST")
    seen = status.snapshot()
    assert (seen.state, seen.cause) == (AppState.RUNNING, "recovered from CAM_LOST")
    assert seen.since == clock.wall(1_000 * MS)


def test_a_loop_that_does_not_come_round_is_seen(status, clock):
    status.came_round(0, vitals=Vitals(fps=30.0))
    clock.sleep_until(6_000 * MS)
    assert (status.snapshot().stalled_ms, status.snapshot().fps) == (6_000.0, 30.0)


def test_the_picture_belongs_to_its_step(status):
    frames = [Frame(n, n * MS, np.zeros((8, 8, 3), np.uint8)) for n in range(3)]
    track = Track(1, TrackState.CONFIRMED, 0, (0, 0, 1, 1), (0, 0), True, 0.9, 0, 3, 0, 0)
    assert status.seen() is None
    for item in status.watching([frames[0], None, frames[1], Blind(2 * MS, "CAM_LOST"), frames[2]]):
        if isinstance(item, Frame):
            status.on_step(step(item.index, item.captured_ns, tracks=(track,)), (), 0)
            assert status.seen().frame is item
            assert status.seen().step.frame_index == item.index
    assert status.snapshot().tracks == {"CONFIRMED": 1}


def test_durations_fall_into_their_bucket():
    durations = Durations()
    for ms in (0.1, 0.5, 0.6, 50, 50.001, 9_999):
        durations.record(round(ms * MS))
    counts = durations.copy().counts
    by_bound = dict(zip((*BOUNDS_MS, "more"), counts, strict=True))
    assert {bound: count for bound, count in by_bound.items() if count} == {0.5: 2, 1: 1, 50: 1, 75: 1, "more": 1}


def test_readers_and_the_writer_do_not_disturb_each_other(status):
    """Every snapshot is whole (as many decisions counted as results), and writing goes on while four threads read."""
    stop, torn, looks = threading.Event(), [], []

    def read() -> None:
        while not stop.is_set():
            seen = status.snapshot()
            looks.append(1)
            if not sum(seen.decided.values()) == sum(seen.published.values()) == seen.latency.count == seen.frames:
                torn.append(seen)

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    until = time.monotonic() + 1.0
    number = 0
    while time.monotonic() < until or len(looks) < 20:
        number += 1
        status.on_step(step(number, number, decision(number, captured_ns=number)), (PublishResult.SENT,), 0)
    stop.set()
    for reader in readers:
        reader.join(10)
    assert not torn
    assert status.snapshot().frames == number
