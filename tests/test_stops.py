"""Stops of the belt: identities and places last through them, and what slid meanwhile is not trusted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from golden_line import CAMERA_MM, GoldenLine, config_with

from edge_sorter.events import EncoderCount, LineEvent, LineReport
from edge_sorter.journal import JournalStep
from edge_sorter.types import Detections, Reason

S = 1_000_000_000
STOP_S, STAND_S = 10.0, 60.0
STAND_FPS = 5


class StoppedLine(GoldenLine):
    """The golden journal with a stop of a minute in it: the frame at the stop stands still, the rest comes later.

    Args:
        slip_mm: How far parcels slide on the belt while it stands.
        hidden: Whether somebody leans over the belt, so that nothing is seen of it.
    """

    def __init__(self, *, slip_mm: float = 0.0, hidden: bool = False, on_stop: str = "verify") -> None:
        config = config_with(encoder={"source": "mqtt", "mm_per_count": 0.5}, camera_mm=CAMERA_MM)
        config = config.model_copy(update={"sort": config.sort.model_copy(update={"on_stop": on_stop})})
        super().__init__(config)
        stop_ns, stand_ns = round(STOP_S * S), round(STAND_S * S)
        before = [f for f in self.frames if f.detections.captured_ns <= stop_ns]
        after = [f for f in self.frames if f.detections.captured_ns > stop_ns]
        still = before[-1]
        standing = [
            replace(still, detections=_at(still, still.detections.captured_ns + i * S // STAND_FPS, mm, hidden=hidden))
            for i in range(1, round(STAND_S * STAND_FPS))
            for mm in (slip_mm if i > 10 else 0.0,)
        ]
        resumed = [replace(f, detections=_at(f, f.detections.captured_ns + stand_ns, slip_mm)) for f in after]
        self.frames = [*before, *standing, *resumed]

    def events(self) -> list[LineEvent]:
        ticks = range(round((25 + STAND_S) * 100))
        counts = [EncoderCount(i * S // 100, round(2000 * self.ran_s(i / 100))) for i in ticks]
        stop, go = round((STOP_S + 0.02) * S), round((STOP_S + STAND_S - 0.5) * S)
        return [*counts, LineReport(stop, "STOPPED"), LineReport(go, "EXECUTE")]

    @staticmethod
    def ran_s(at_s: float) -> float:
        return min(at_s, STOP_S) + max(at_s - STOP_S - STAND_S, 0.0)


def _at(frame: JournalStep, at_ns: int, slip_mm: float, *, hidden: bool = False) -> Detections:
    """The boxes of a frame at another time, moved on along the belt (x grows to the right; about 0.5 px a mm)."""
    old = frame.detections
    if hidden:
        return Detections.empty(at_ns)
    boxes = old.xyxy + np.array([0.5 * slip_mm, 0.0, 0.5 * slip_mm, 0.0], dtype=np.float32)
    return Detections(at_ns, boxes, old.confidence, old.class_id)


@pytest.mark.parametrize("hidden", [False, True])
def test_identities_last_through_a_minute_of_standing(hidden: bool) -> None:
    line = StoppedLine(hidden=hidden)
    line.play(line.events())
    assert len(line.decisions) == len({d.track_id for d in line.decisions}) == 33
    assert line.troubles == []
    through = [d for d in line.decisions if STOP_S * S < d.crossed_ns < (STOP_S + STAND_S + 1.5) * S]
    assert through, "some crossed soon after the restart: they were in view before it"
    assert {d.reason for d in line.decisions} == {Reason.PLAN_MATCH, Reason.NON_CONVEYABLE}
    assert Reason.LATE not in {d.reason for d in line.decisions}


def test_places_are_the_same_as_without_the_stop() -> None:
    line, plain = StoppedLine(), GoldenLine(config_with(encoder={"source": "mqtt", "mm_per_count": 0.5}))
    line.play(line.events())
    plain.play([EncoderCount(i * S // 100, 20 * i) for i in range(2500)])
    for stopped, straight in zip(line.decisions, plain.decisions, strict=True):
        assert stopped.position.lead_count == pytest.approx(straight.position.lead_count, abs=10)
        assert stopped.lane == straight.lane


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize(("slip_mm", "flushed"), [(0.0, False), (20.0, False), (90.0, True)])
def test_what_slid_while_the_line_stood_is_flushed(slip_mm: float, flushed: bool, hidden: bool) -> None:
    line = StoppedLine(slip_mm=slip_mm, hidden=hidden)
    line.play(line.events())
    assert (Reason.STOP_FLUSH in {d.reason for d in line.decisions}) == flushed
    first_revisions = {d.parcel_uid for d in line.decisions if d.rev == 0}
    assert len(first_revisions) == 33


def test_by_default_a_stop_flushes_all_in_view() -> None:
    line = StoppedLine(on_stop="flush")
    line.play(line.events())
    flushed = {d.track_id for d in line.decisions if d.reason is Reason.STOP_FLUSH}
    assert flushed
    assert all(d.lane == "HOSP" for d in line.decisions if d.track_id in flushed and d.reason is Reason.STOP_FLUSH)
    assert len({d.parcel_uid for d in line.decisions}) == 33
