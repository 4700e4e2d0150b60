"""Whatever the line tells, in whatever order: the pipeline goes on, decides each parcel once, and replays alike."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from golden_line import CAMERA_MM, GoldenLine, config_with, encoder
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_sorter.config import Config, IdentifySection, SortSection
from edge_sorter.events import (
    EncoderCount,
    Flush,
    LaneReport,
    LaneStatus,
    LineEvent,
    LineReport,
    Overdue,
    PlanOffer,
    PlcItem,
    ScannerRead,
    WallTime,
)
from edge_sorter.journal import JournalWriter
from edge_sorter.replay import replay_journal

S = 1_000_000_000
FRAMES = 200
"""Eight seconds of the golden journal: a dozen parcels."""

LANES = ("L01", "L02", "L03", "NC", "NR", "HOSP", "nowhere")
time_ns = st.integers(0, 8 * S)
count = st.integers(0, 2**32 - 1)
near_count = st.integers(-2000, 20_000).map(lambda c: (2**32 - 3000 + c) % 2**32)
code = st.tuples(st.sampled_from(("]C0", "]C1", "]Q3", "")), st.sampled_from(("JD0146", "00340123450000000017", "x")))
events = st.one_of(
    st.builds(EncoderCount, time_ns, near_count | count, st.none() | st.sampled_from((0.5, 0.25))),
    st.builds(PlcItem, time_ns, st.integers(0, 9), near_count | count, st.none() | near_count | count),
    st.builds(LaneReport, time_ns, st.sampled_from(LANES), st.sampled_from(LaneStatus)),
    st.builds(LineReport, time_ns, st.sampled_from(("EXECUTE", "HELD", "STOPPED", "ABORTED", "execute", "ODD"))),
    st.builds(
        ScannerRead, time_ns, st.sampled_from(("top1", "other")), st.none() | st.integers(0, 9),
        st.none() | near_count | count, st.lists(code, max_size=3).map(tuple), st.none() | st.floats(0, 1e5),
        st.none() | st.tuples(*[st.floats(0, 3000)] * 3),
    ),
    st.builds(Flush, time_ns, st.sampled_from(("STOP_FLUSH", "MANUAL", "WHAT"))),
    st.builds(PlanOffer, time_ns, st.just({"id": "broken"}), st.sampled_from(("NOW", "NEXT_GAP"))),
    st.builds(WallTime, time_ns, st.integers(0, 86_400 * S - 1)),
    st.builds(Overdue, time_ns),
)  # fmt: skip
faults = st.sampled_from(("none", "silent", "stuck", "back", "absent"))


def travel_mm(fault: str, at_s: float) -> float | None:
    after = at_s - 4.0
    if fault == "absent" or (fault == "silent" and 4.0 < at_s < 5.5):
        return None
    if after <= 0.0 or fault in ("none", "silent"):
        return 1000.0 * at_s
    return 4000.0 if fault == "stuck" else 4000.0 - 1000.0 * after


def config_of_all() -> Config:
    config = config_with(
        encoder={"source": "mqtt", "mm_per_count": 0.5},
        camera_mm=CAMERA_MM,
        photo_eye={"at_mm": 500.0, "unexpected": "exception", "unseen": "exception"},
    )
    identify = IdentifySection.model_validate({"scanners": {"top1": {"at_mm": 200.0}}})
    sort = config.sort.model_dump(exclude_unset=True) | {
        "doubles": "exception", "on_stop": "verify", "found_late": "exception", "min_gap_mm": 250.0,
        "lane_states": {"source": "plc", "ttl_s": 3.0},
    }  # fmt: skip
    return config.model_copy(update={"identify": identify, "sort": SortSection.model_validate(sort)})


def played(told: list[LineEvent], fault: str, path: Path) -> GoldenLine:
    line = GoldenLine(config_of_all())
    line.frames = line.frames[:FRAMES]
    samples = encoder(lambda at_s: travel_mm(fault, at_s), hz=50, seconds=8.1)
    header = {key: value for key, value in line.header.items() if key != "schema"}
    with JournalWriter(path, header=header) as journal:
        return line.play([*samples, *told], journal=journal)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(told=st.lists(events, max_size=60), fault=faults)
def test_any_events_in_any_order(told: list[LineEvent], fault: str, tmp_path: Path) -> None:
    line = played(told, fault, tmp_path / "journal.jsonl")
    decisions = line.decisions
    assert [d.seq for d in decisions] == list(range(1, len(decisions) + 1)), "one number for every message"
    revisions: Counter[str] = Counter()
    for decision in decisions:
        assert decision.rev == revisions[decision.parcel_uid], "revisions of a parcel rise by one"
        revisions[decision.parcel_uid] += 1
    of_tracks = Counter(d.track_id for d in decisions if d.rev == 0 and d.track_id)
    assert set(of_tracks.values()) <= {1}, "one parcel, one action"
    assert all(lane in LANES[:-1] for lane in {d.lane for d in decisions})
    assert replay_journal(config_of_all(), tmp_path / "journal.jsonl") == (len(decisions), 0), "byte for byte"


@pytest.mark.parametrize("fault", ["none", "silent", "stuck", "back", "absent"])
def test_no_parcel_goes_without_a_decision_whatever_the_encoder_does(fault: str, tmp_path: Path) -> None:
    plain = played([], "none", tmp_path / "plain.jsonl")
    line = played([], fault, tmp_path / "journal.jsonl")
    assert len(plain.decisions) >= 10
    assert {d.track_id for d in line.decisions} == {d.track_id for d in plain.decisions}
    assert replay_journal(config_of_all(), tmp_path / "journal.jsonl") == (len(line.decisions), 0)


def test_parcels_are_decided_in_time_while_no_frame_comes_and_a_replay_does_so_too(tmp_path: Path) -> None:
    plain = played([], "none", tmp_path / "plain.jsonl")
    line = GoldenLine(config_of_all())
    frames = line.frames[:FRAMES]
    line.frames = [frame for frame in frames if not 3 * S < frame.detections.captured_ns < 6 * S]
    header = {key: value for key, value in line.header.items() if key != "schema"}
    rounds = [Overdue(at_ns) for at_ns in range(3 * S, 6 * S, S // 20)]
    samples = encoder(lambda at_s: travel_mm("none", at_s), hz=50, seconds=8.1)
    with JournalWriter(tmp_path / "journal.jsonl", header=header) as journal:
        line.play([*samples, *rounds], journal=journal)
    unseen = [d for d in line.decisions if 3 * S < d.captured_ns < 6 * S]
    before = {t.track_id for step in line.steps for t in step.tracks if step.captured_ns < 3 * S}
    waited = [d for d in plain.decisions if d.crossed_ns > 3 * S and d.deadline_ns < 6 * S]
    due = {d.track_id for d in waited if d.track_id in before}
    assert due, "the test is about parcels that cross unseen"
    assert due <= {d.track_id for d in unseen}
    assert all(d.captured_ns <= d.deadline_ns for d in unseen)
    assert replay_journal(config_of_all(), tmp_path / "journal.jsonl") == (len(line.decisions), 0)
