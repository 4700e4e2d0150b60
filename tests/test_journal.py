"""The journal: what is written can be read back and decided again; damage is noticed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edge_sorter.errors import JournalError
from edge_sorter.events import (
    EncoderCount,
    Flush,
    LaneReport,
    LaneStatus,
    LineReport,
    PlanOffer,
    PlcItem,
    ScannerRead,
    WallTime,
)
from edge_sorter.journal import (
    EVENTS_A_LINE,
    Journal,
    JournalEvents,
    JournalStep,
    JournalWriter,
    dump_line,
    step_record,
)
from edge_sorter.types import (
    Action,
    BeltPosition,
    Code,
    CodeRead,
    Detections,
    Reason,
    SortDecision,
    Step,
    Track,
    TrackState,
)

HEADER = {"boot_id": "B", "plan": "p#1"}


def a_decision(**changes) -> SortDecision:
    values = {
        "parcel_uid": "B-0000001",
        "seq": 1,
        "rev": 0,
        "lane": "L01",
        "alternates": ("L02",),
        "action": Action.DIVERT,
        "reason": Reason.PLAN_MATCH,
        "rule": "r1",
        "plan": "p#1",
        "track_id": 7,
        "class_name": "carton",
        "confidence": 0.98765,
        "size_mm": (301.234, 200.0),
        "codes": (Code("Code128", "JD1", 3),),
        "flags": ("WET",),
        "position": BeltPosition("SPEED", 1234.5678, 1500.0, -3.14159, (100.04, 50.0)),
        "crossed_ns": 10,
        "captured_ns": 20,
        "deadline_ns": 30,
    }
    return SortDecision(**(values | changes))


def a_step(index: int = 0, decisions: tuple[SortDecision, ...] = ()) -> Step:
    rng = np.random.default_rng(index)
    detections = Detections(index * 40_000_000, rng.random((3, 4)) * 500, rng.random(3), np.array([0, 1, 2]))
    track = Track(7, TrackState.CONFIRMED, index, (1.0, 2.0, 3.0, 4.0), (5.0, 0.0), True, 0.9, 0, 3, 0, 0)
    return Step(
        index, detections.captured_ns, 12.5, detections, (CodeRead(7, "QRCode", "x\n"),), (track,), (), decisions
    )


def test_inputs_come_back_exactly(tmp_path: Path) -> None:
    steps = [a_step(i) for i in range(5)]
    with JournalWriter(tmp_path / "j.jsonl", header=HEADER) as journal:
        for step in steps:
            journal.write(step)
    for step, read in zip(steps, Journal(tmp_path / "j.jsonl"), strict=True):
        assert np.array_equal(step.detections.xyxy, read.detections.xyxy)
        assert np.array_equal(step.detections.confidence, read.detections.confidence)
        assert np.array_equal(step.detections.class_id, read.detections.class_id)
        assert (step.frame_index, step.captured_ns, step.travel_mm, step.reads) == (
            read.index,
            read.detections.captured_ns,
            read.travel_mm,
            read.reads,
        )


def test_a_decision_is_written_the_same_every_time() -> None:
    line = dump_line(step_record(a_step(0, (a_decision(),))))
    assert line == dump_line(step_record(a_step(0, (a_decision(),))))
    decision = json.loads(line)["dec"][0]
    assert decision["pos"] == {
        "ref": "SPEED",
        "lead_mm": 1234.6,
        "trail_mm": 1500.0,
        "lat_mm": -3.1,
        "px": [100.0, 50.0],
    }
    assert decision["conf"] == 0.9877


def test_a_torn_last_line_is_tolerated_a_damaged_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    with JournalWriter(path, header=HEADER) as journal:
        for i in range(3):
            journal.write(a_step(i))
    whole = path.read_text()
    path.write_text(whole[:-20])
    assert [step.index for step in Journal(path)] == [0, 1]
    lines = whole.splitlines(keepends=True)
    path.write_text("".join([lines[0], lines[1], "{broken}\n", lines[3]]))
    with pytest.raises(JournalError, match="line 3: damaged"):
        list(Journal(path))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "not an edge_sorter journal"),
        ("{}\n", "not an edge_sorter journal"),
        ('{"schema":"edge_sorter.journal/9"}\n', "reads 'edge_sorter.journal/1'"),
    ],
)
def test_foreign_files_are_refused(tmp_path: Path, content: str, expected: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(content)
    with pytest.raises(JournalError, match=expected):
        Journal(path)


def test_missing_and_unwritable(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="cannot be read"):
        Journal(tmp_path / "absent.jsonl")
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="cannot be written"):
        JournalWriter(tmp_path / "file" / "j.jsonl", header=HEADER)


def test_rotation_bounds_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    with JournalWriter(path, header=HEADER, max_bytes=2000) as journal:
        for i in range(50):
            journal.write(a_step(i))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["j.jsonl", "j.jsonl.1"]
    assert all(p.stat().st_size < 3000 for p in tmp_path.iterdir())
    assert [s.index for s in Journal(path)][-1] == 49
    assert Journal(tmp_path / "j.jsonl.1").header["boot_id"] == "B"


EVENTS = [
    EncoderCount(1, 4294967295),
    EncoderCount(2, 0, 0.5),
    PlcItem(3, 17, 100),
    PlcItem(4, 17, 100, 700, "PE2"),
    LaneReport(5, "L01", LaneStatus.FULL, 97.5),
    LineReport(6, "STOPPED", cause="E-stop"),
    ScannerRead(7, "top1"),
    ScannerRead(8, "top1", 17, 300, (("]C1", "00340"), ("QRCode", "x")), 2140.0, (418.0, 300.0, 190.0)),
    PlanOffer(9, {"id": "p", "rules": [{"when": {"class": ["a", "b"]}}]}, "AT", 1000),
    Flush(10, "STOP_FLUSH"),
    WallTime(11, 64_800_000_000_000),
]


def test_what_was_heard_comes_back_in_its_place(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    with JournalWriter(path, header=HEADER) as journal:
        journal.write(a_step(0))
        for event in EVENTS[:4]:
            journal.hear(event)
        journal.hear(EVENTS[4], (a_decision(rev=1),))
        journal.hear(EVENTS[5])
        journal.write(a_step(1))
        for event in EVENTS[6:]:
            journal.hear(event)
    entries = list(Journal(path).entries())
    assert [type(entry) for entry in entries] == [JournalStep, JournalEvents, JournalStep, JournalEvents]
    assert [event for entry in entries for event in entry.heard] == EVENTS
    assert [[d["rev"] for d in entry.decisions] for entry in entries] == [[], [1], [], []]
    assert entries[2].heard == (EVENTS[5],)
    assert [step.index for step in Journal(path)] == [0, 1]


def test_a_sample_of_the_encoder_costs_three_values_and_a_quiet_line_nothing(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    with JournalWriter(path, header=HEADER) as journal:
        journal.hear(EVENTS[0])
        journal.write(a_step(0))
        journal.write(a_step(1))
    _, heard, quiet = path.read_text().splitlines()
    assert heard.startswith('{"ev":[["enc",1,4294967295]],"i":0,')
    assert quiet + "\n" == dump_line(step_record(a_step(1)))


def test_a_camera_that_is_blind_for_long_does_not_pile_up_events(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    with JournalWriter(path, header=HEADER, max_bytes=100_000) as journal:
        for i in range(3 * EVENTS_A_LINE):
            journal.hear(EncoderCount(i, i))
        assert len(journal._heard) < EVENTS_A_LINE
    assert sum(len(entry.heard) for entry in Journal(path).entries()) == 3 * EVENTS_A_LINE


def test_a_damaged_event_is_named(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    with JournalWriter(path, header=HEADER) as journal:
        journal.hear(EVENTS[0])
        journal.write(a_step(0))
        journal.write(a_step(1))
    path.write_text(path.read_text().replace('["enc",', '["nope",'))
    with pytest.raises(JournalError, match="line 2: damaged"):
        list(Journal(path))
