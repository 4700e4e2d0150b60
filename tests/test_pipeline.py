"""The loop around the pipeline: blindness is announced, nothing made up is looked at, stopping is prompt."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timezone

import numpy as np
import pytest
from test_journal import a_decision

from edge_sorter.clock import ReplayClock
from edge_sorter.config import BlindSection
from edge_sorter.events import EncoderCount, LaneReport, LaneStatus, LineEvent, Overdue, WallTime
from edge_sorter.line_input import EventList, WallClock
from edge_sorter.pipeline import run
from edge_sorter.plc.publisher import MemoryPublisher, PublishResult
from edge_sorter.types import Blind, Detections, Frame, SortDecision, Step
from edge_sorter.video import HealthMonitor, ListSource

MS = 1_000_000


def frame(index: int, luma: int = 120) -> Frame:
    noise = np.random.default_rng(index).integers(0, 6, (48, 64, 3), dtype=np.uint8)
    return Frame(index, index * 40 * MS, np.clip(noise + luma, 0, 255).astype(np.uint8))


@dataclass
class Watched:
    """Stands in for a pipeline and an observer: remembers which frames were looked at, and what was heard."""

    looked: list[int] = field(default_factory=list)
    blind: list[str] = field(default_factory=list)
    order: list[object] = field(default_factory=list)
    trouble: str | None = None

    def overdue(self, at_ns: int) -> tuple[Overdue, ...]:
        return (Overdue(at_ns),)

    def hear(self, event: LineEvent) -> tuple[SortDecision, ...]:
        self.order.append(event)
        return (a_decision(),) if isinstance(event, LaneReport) else ()

    def on_heard(self, event, decisions, results) -> None:
        self.order.append((event.at_ns, [d.parcel_uid for d in decisions], [r.value for r in results]))

    def step(self, frame: Frame) -> Step:
        self.looked.append(frame.index)
        self.order.append(frame.index)
        return Step(frame.index, frame.captured_ns, None, Detections.empty(frame.captured_ns), (), (), (), ())

    def on_step(self, step, results, publish_ns) -> None:
        """Seen already."""

    def on_blind(self, blind: Blind) -> None:
        self.blind.append(blind.reason)


def play(items, *, stopped=lambda: False, line=None):
    clock = ReplayClock()
    watched, publisher = Watched(), MemoryPublisher(clock)
    counts = run(
        ListSource(items, clock=clock),
        watched,
        publisher,
        clock=clock,
        observers=(watched,),
        line=line,
        stopped=stopped,
        health=HealthMonitor(BlindSection(frozen_frames=4, recovered_frames=3)),
    )
    return watched, [(state.value, cause) for state, cause in publisher.states], counts


def test_a_good_stream_is_looked_at_whole() -> None:
    watched, states, counts = play([frame(i) for i in range(20)])
    assert watched.looked == list(range(20))
    assert states == [("RUNNING", None)]
    assert counts.frames == 20


def test_a_lost_camera_is_announced_once_and_so_is_its_return() -> None:
    gap = [Blind(400 * MS, "CAM_LOST"), Blind(450 * MS, "CAM_LOST"), None, Blind(500 * MS, "CAM_LOST")]
    watched, states, counts = play([*(frame(i) for i in range(5)), *gap, *(frame(i) for i in range(20, 25))])
    assert states == [("RUNNING", None), ("DEGRADED", "CAM_LOST"), ("RUNNING", "recovered from CAM_LOST")]
    assert watched.looked == [*range(5), *range(20, 25)]
    assert counts.blind == {"CAM_LOST": 3}


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ([frame(i, luma=0) for i in range(5, 12)], "CAM_DARK"),
        ([Frame(i, i * 40 * MS, frame(4).image) for i in range(5, 12)], "CAM_FROZEN"),
    ],
)
def test_an_unusable_picture_is_never_looked_at(bad: list[Frame], reason: str) -> None:
    good_again = [frame(i) for i in range(12, 20)]
    watched, states, _ = play([*(frame(i) for i in range(5)), *bad, *good_again])
    assert ("DEGRADED", reason) in states
    assert states[-1] == ("RUNNING", f"recovered from {reason}")
    unseen = set(range(5, 12)) - set(watched.looked)
    assert len(unseen) >= 4
    assert watched.looked[-1] == 19


def test_one_blindness_after_another_names_both() -> None:
    _, states, _ = play([frame(0), Blind(50 * MS, "CAM_LOST"), Blind(90 * MS, "CAM_STALE"), frame(4)])
    assert [cause for _, cause in states] == [None, "CAM_LOST", "CAM_STALE", "recovered from CAM_STALE"]


def test_stopping_ends_the_loop_before_the_next_frame() -> None:
    asked = iter([False, False, True])
    watched, _, _ = play([frame(i) for i in range(10)], stopped=lambda: next(asked))
    assert watched.looked == [0, 1]


def test_what_the_line_told_is_heard_before_the_frame_it_came_before() -> None:
    late = LaneReport(95 * MS, "L01", LaneStatus.FULL)
    events = [EncoderCount(at * MS, at) for at in (10, 40, 90)]
    watched, _, counts = play([frame(i) for i in range(4)], line=EventList([late, *events]))
    order = [
        item if isinstance(item, int) else item.at_ns // MS for item in watched.order if not isinstance(item, tuple)
    ]
    assert order == [0, 10, 40, 1, 2, 90, 95, 3]
    assert counts.published == {"LATE": 1}, "what the line changed is published under the same rules"
    assert (95 * MS, ["B-0000001"], ["LATE"]) in watched.order


def test_the_line_is_heard_while_the_camera_is_blind() -> None:
    events = [EncoderCount(at * MS, at) for at in (10, 50, 60)]
    watched, _, _ = play([frame(0), Blind(55 * MS, "CAM_LOST"), Blind(70 * MS, "CAM_LOST")], line=EventList(events))
    assert [event for event in watched.order if isinstance(event, EncoderCount)] == events


def test_trouble_with_the_encoder_is_told_with_the_frame_that_showed_it() -> None:
    class Troubled(Watched):
        def step(self, frame: Frame) -> Step:
            self.trouble = "ENCODER_LOST" if 3 <= frame.index < 6 else None
            return super().step(frame)

    clock = ReplayClock()
    publisher = MemoryPublisher(clock)
    items = [*(frame(i) for i in range(5)), Blind(195 * MS, "CAM_LOST"), *(frame(i) for i in range(5, 10))]
    health = HealthMonitor(BlindSection())
    run(ListSource(items, clock=clock), Troubled(), publisher, clock=clock, health=health)
    assert [(state.value, cause) for state, cause in publisher.states] == [
        ("RUNNING", None),
        ("DEGRADED", "ENCODER_LOST"),
        ("DEGRADED", "CAM_LOST"),
        ("DEGRADED", "ENCODER_LOST"),
        ("RUNNING", "recovered from ENCODER_LOST"),
    ]


def test_the_time_of_the_day_is_told_once_a_minute() -> None:
    inputs = WallClock(ReplayClock(wall_at_zero=datetime(2026, 11, 21, 17, 59, 0, tzinfo=timezone.utc)))
    (first,) = inputs.take_events(1_000_000_000)
    local = datetime(2026, 11, 21, 17, 59, 1, tzinfo=timezone.utc).astimezone()
    assert isinstance(first, WallTime)
    assert first.local_s(1_000_000_000) == (local.hour * 60 + local.minute) * 60 + local.second
    assert first.local_s(1_000_000_000 - 1) == pytest.approx(first.local_s(1_000_000_000), abs=1e-3)
    assert inputs.take_events(60_999_999_999) == []
    (second,) = inputs.take_events(61_000_000_000)
    assert isinstance(second, WallTime)
    assert second.local_s(0) == first.local_s(0) == (local.hour * 60 + local.minute) * 60 + local.second - 1
    assert first.local_s(round(86_400e9)) == first.local_s(0)


def test_parcels_that_cannot_wait_are_looked_after_where_there_is_no_frame_to_look_at() -> None:
    watched, _, _ = play([frame(0), None, frame(1), Blind(60 * MS, "frozen"), frame(2)])
    kinds = [type(item) for item in watched.order]
    overdue = [k for k, kind in enumerate(kinds) if kind is Overdue]
    frames = [k for k, kind in enumerate(kinds) if kind is int]
    assert len(overdue) == 2
    assert frames[0] < overdue[0] < frames[1] < overdue[1]


def test_the_plc_hears_why_there_is_no_picture_before_what_is_decided_without_one() -> None:
    told: list[object] = []

    class Listening(MemoryPublisher):
        def state(self, state: object, *, cause: str | None = None) -> None:
            told.append(cause)

        def publish(self, decision: SortDecision) -> PublishResult:
            told.append(decision)
            return super().publish(decision)

    class Deciding(Watched):
        def hear(self, event: LineEvent) -> tuple[SortDecision, ...]:
            return (a_decision(),) if isinstance(event, Overdue) else ()

    clock = ReplayClock()
    items = [frame(0), Blind(60 * MS, "CAM_LOST")]
    run(items, Deciding(), Listening(clock), clock=clock, health=HealthMonitor(BlindSection()))  # type: ignore[arg-type]
    assert told == [None, "CAM_LOST", a_decision()]
