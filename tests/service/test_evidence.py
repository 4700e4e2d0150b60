"""Evidence of exceptions: what is kept and what is not, with real clips, and that nothing waits for it."""

from __future__ import annotations

import json
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import mosquitto as real
import pytest
from recorded_demo import PATIENCE_S, no_read_once, opened, pictures_of
from typer.testing import CliRunner

from edge_sorter.clock import ReplayClock
from edge_sorter.config import EvidenceSection
from edge_sorter.errors import ConfigError
from edge_sorter.plc.book import Outcome, Story
from edge_sorter.plc.publisher import PublishResult
from edge_sorter.service.evidence.asked import why
from edge_sorter.service.evidence.ring import Kept, Ring
from edge_sorter.service.evidence_command import app
from edge_sorter.service.status import LineStatus
from edge_sorter.types import Reason, SortDecision


def test_an_exception_is_kept_with_clip_picture_and_record(recorded, tmp_path):
    with opened(recorded, tmp_path) as evidence:
        made = recorded.play(evidence, lambda: evidence.counts["no_read"] == 1, spoil=no_read_once())
    decision = made[4]
    (entry,) = evidence.store.entries()
    assert (entry.why, entry.parcel, entry.clip, entry.picture) == ("no_read", f"{decision.parcel_uid}-0", True, True)
    record = evidence.store.record(entry.id)
    assert record["decision"]["reason"] == "NO_READ"
    assert record["decision"]["lane"] == decision.lane
    assert record["result"] == "SENT"
    assert record["timing_ms"]["spare"] > 0
    assert record["no_clip_because"] is None

    pictures = pictures_of(tmp_path / f"{entry.id}.mp4")
    assert pictures[0].shape == (360, 640, 3)
    assert len(pictures) == len(record["pictures"]) >= 25
    times_ms = [picture["t_ms"] for picture in record["pictures"]]
    assert (min(times_ms) >= -2000, max(times_ms) <= 1000, min(times_ms) < -1500, max(times_ms) > 500) == (True,) * 4
    assert any(row[0] == decision.track_id for row in record["pictures"][len(pictures) // 2]["parcels"])


def test_a_missort_told_later_still_has_its_clip(recorded, tmp_path):
    with opened(recorded, tmp_path) as evidence:
        made: list[SortDecision] = []
        newest = recorded.status.seen
        made += recorded.play(evidence, lambda: newest() is not None and newest().step.captured_ns > 6 * 10**9)
        evidence.ended(Story(made[0], outcome=Outcome.MISSORT, lane_act="L03", model="m#12345678"))
        evidence.ended(Story(made[1], outcome=Outcome.VERIFIED))
        real.wait_until(lambda: evidence.counts["missort"] == 1, timeout_s=PATIENCE_S, what="it is kept")
    (entry,) = evidence.store.entries()
    record = evidence.store.record(entry.id)
    assert (record["lane_act"], record["model"], entry.clip) == ("L03", "m#12345678", True)
    assert len(pictures_of(tmp_path / f"{entry.id}.mp4")) > 10


def test_a_person_marks_a_parcel_or_a_moment(recorded, tmp_path):
    with opened(recorded, tmp_path) as evidence:
        made = recorded.play(evidence, lambda: len(recorded.status.snapshot().recent) >= 2)
        assert "is kept" in evidence.command({"parcel_uid": made[0].parcel_uid, "note": "torn"})
        assert "is kept" in evidence.mark(None)
        with pytest.raises(ConfigError, match="not among the newest"):
            evidence.mark("nobody")
    line, parcel = sorted(evidence.store.entries(), key=lambda entry: entry.parcel != "line")
    assert (line.parcel, parcel.parcel) == ("line", f"{made[0].parcel_uid}-0")
    assert evidence.store.record(parcel.id)["note"] == "torn"


def test_pictures_stop_first_then_records_and_it_goes_on_by_itself(recorded, tmp_path):
    room = {"pictures": False, "records": True}
    told: list[tuple[bool, str]] = []
    rooms = {"pictures_room": lambda _: room["pictures"], "records_room": lambda _: room["records"]}

    def kept(count: int):
        return lambda: sum(evidence.counts[key] for key in ("low_conf", "dropped_disk_full")) >= count

    def spoil(decision):
        return replace(decision, reason=Reason.LOW_CONF)

    with opened(recorded, tmp_path, after_s=0.0, **rooms, tell=lambda ok, text: told.append((ok, text))) as evidence:
        recorded.play(evidence, kept(1), spoil=spoil)
        room["records"] = False
        recorded.play(evidence, lambda: evidence.counts["dropped_disk_full"] >= 1, spoil=spoil)
        room["pictures"] = room["records"] = True
        recorded.play(evidence, lambda: any(entry.clip for entry in evidence.store.entries()), spoil=spoil)
        recorded.play(evidence, lambda: told[-1][0], spoil=spoil)
    first = evidence.store.entries()[-1]
    assert (first.clip, evidence.store.record(first.id)["no_clip_because"]) == (
        False,
        "the disk is nearly full: pictures stop first",
    )
    assert (told[0][0], told[-1]) == (False, (True, ""))


def test_no_more_than_so_many_an_hour(recorded, tmp_path):
    with opened(recorded, tmp_path, per_hour=1, after_s=0.0) as evidence:
        recorded.play(
            evidence,
            lambda: evidence.counts["dropped_per_hour"] >= 1,
            spoil=lambda decision: replace(decision, reason=Reason.LOW_CONF),
        )
    assert evidence.counts["low_conf"] == len(evidence.store.entries()) == 1


def test_ordinary_decisions_leave_nothing(recorded, tmp_path):
    with opened(recorded, tmp_path) as evidence:
        made = recorded.play(evidence, lambda: len(recorded.status.snapshot().recent) >= 3)
    assert {decision.reason for decision in made} <= {Reason.PLAN_MATCH, Reason.DEFAULT}
    assert evidence.store.entries() == []
    assert [path.name for path in tmp_path.iterdir()] == ["salt"]


@pytest.mark.parametrize(
    ("reason", "result", "word"),
    [
        (Reason.NO_READ, PublishResult.SENT, "no_read"),
        (Reason.CHECK_FAIL, PublishResult.SENT, "no_read"),
        (Reason.TRACK_LOST, PublishResult.SENT, "low_conf"),
        (Reason.PLAN_MATCH, PublishResult.LATE, "late"),
        (Reason.PLAN_MATCH, PublishResult.DROPPED_OFFLINE, "late"),
        (Reason.PLAN_MATCH, PublishResult.WITHHELD, None),
        (Reason.DEFAULT, PublishResult.SENT, None),
    ],
)
def test_what_is_an_exception(recorded, tmp_path, reason, result, word):
    with opened(recorded, tmp_path, on=()) as evidence:
        (decision,) = recorded.play(evidence, lambda: recorded.status.snapshot().recent)
    excepted = replace(decision, reason=reason)
    assert why(excepted, result, on=("no_read", "low_conf", "late")) == word
    assert why(excepted, result, on=()) is None


def test_what_is_two_exceptions_is_kept_as_the_one_that_is_asked_for(recorded, tmp_path):
    with opened(recorded, tmp_path, on=()) as evidence:
        (decision,) = recorded.play(evidence, lambda: recorded.status.snapshot().recent)
    unread = replace(decision, reason=Reason.NO_READ)
    assert why(unread, PublishResult.DROPPED_OFFLINE, on=("no_read", "late")) == "no_read"
    assert why(unread, PublishResult.DROPPED_OFFLINE, on=("late",)) == "late"


def test_the_ring_is_bounded_in_time_and_bytes():
    ring = Ring(seconds=2.0, most_bytes=1000)
    for n in range(100):
        ring.add(Kept(n * 10**8, bytes(10), (), ()))
    assert len(ring) == 21
    assert (ring.bytes, ring.newest_ns) == (210, 99 * 10**8)
    ring.add(Kept(100 * 10**8, bytes(900), (), ()))
    assert ring.bytes <= 1000
    ring.add(Kept(101 * 10**8, bytes(2000), (), ()))
    assert len(ring) == 0


def test_the_command_lists_shows_and_packs(recorded, root, tmp_path):
    folder = tmp_path / "evidence"
    with opened(recorded, folder) as evidence:
        made = recorded.play(evidence, lambda: evidence.counts["no_read"] == 1, spoil=no_read_once())
    config = tmp_path / "line.yaml"
    text = (root / "configs/demo/line.yaml").read_text().replace("../..", str(root)).replace("plan.yaml", "p.yaml")
    config.write_text(text + f"\nevidence: {{path: {folder}}}\n")
    run = CliRunner()
    listed = run.invoke(app, ["list", "-c", str(config), "--json"])
    assert listed.exit_code == 0, listed.output
    (entry,) = json.loads(listed.stdout)
    shown = run.invoke(app, ["show", made[4].parcel_uid, "-c", str(config)])
    assert json.loads(shown.stdout[: shown.stdout.rindex("}") + 1])["id"] == entry["id"]
    packed = run.invoke(app, ["export", "-c", str(config), "--out", str(tmp_path / "all.zip")])
    assert packed.exit_code == 0, packed.output
    names = zipfile.ZipFile(tmp_path / "all.zip").namelist()
    assert sorted(Path(name).suffix for name in names) == [".jpg", ".json", ".mp4"]
    nobody = run.invoke(app, ["show", "nobody", "-c", str(config)])
    assert isinstance(nobody.exception, ConfigError)


def test_a_folder_that_cannot_be_used_is_said_at_the_start(tmp_path):
    from edge_sorter.service.evidence import open_evidence

    (tmp_path / "file").write_text("")
    clock = ReplayClock()
    with pytest.raises(ConfigError, match=r"evidence\.path"):
        open_evidence(EvidenceSection(path=tmp_path / "file"), LineStatus(clock), clock, line="x", tell=lambda *_: None)
    assert open_evidence(EvidenceSection(), LineStatus(clock), clock, line="x", tell=lambda *_: None) is None


def test_the_main_loop_never_waits(recorded, tmp_path):
    """A keeper that hangs costs pictures, which are counted, and no time."""
    with opened(recorded, tmp_path, fps=60.0) as evidence:
        recorded.play(evidence, lambda: recorded.status.seen() is not None)
        seen = recorded.status.seen()
        evidence._pictures_room = lambda _: time.sleep(1.0) or True
        evidence.mark(None)
        took = []
        for n in range(1, 200):
            step = replace(seen.step, captured_ns=seen.step.captured_ns + n * 40_000_000)
            began = time.perf_counter()
            evidence.on_step(step, (), 0)
            took.append(time.perf_counter() - began)
        assert evidence.counts["dropped_picture"] > 0
        assert sorted(took)[100] < 0.001
