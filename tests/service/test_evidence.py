"""Evidence of exceptions: the demo's own pictures and recorded detections, real clips, and what must not be in them."""

from __future__ import annotations

import json
import logging
import stat
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import av
import cv2
import mosquitto as real
import numpy as np
import pytest
import zxingcpp
from typer.testing import CliRunner

from edge_sorter.clock import ReplayClock
from edge_sorter.config import EvidenceSection, load_config
from edge_sorter.errors import ConfigError
from edge_sorter.journal import Journal, JournalStep
from edge_sorter.pipeline import Pipeline
from edge_sorter.plc.book import Outcome, Story
from edge_sorter.plc.publisher import PublishResult
from edge_sorter.service.decision_log import DecisionLog
from edge_sorter.service.evidence import Evidence, Store
from edge_sorter.service.evidence.asked import why
from edge_sorter.service.evidence.privacy import Pseudonyms, blur
from edge_sorter.service.evidence.ring import Kept, Ring
from edge_sorter.service.evidence.store import name_of
from edge_sorter.service.evidence_command import app
from edge_sorter.service.status import LineStatus
from edge_sorter.sort import load_plan
from edge_sorter.types import Code, Frame, Reason, SortDecision
from edge_sorter.video import open_source

CODE = "JJD000390007816423"
NOW = datetime(2026, 11, 21, 12, tzinfo=timezone.utc)
PATIENCE_S = 120.0


class Recorded:
    """The first pictures of the demo, decided again from the golden journal: everything but the detector."""

    def __init__(self, root: Path) -> None:
        config = load_config(root / "configs/demo/line.yaml")
        journal = Journal(root / "tests/golden/demo.jsonl")
        header = journal.header
        self.clock = ReplayClock(wall_at_zero=NOW)
        self.status = LineStatus(self.clock)
        self._entries = journal.entries()
        self._source = open_source(config.video, clock=self.clock)
        self._frames = (item for item in self.status.watching(self._source) if isinstance(item, Frame))
        self._pipeline = Pipeline(
            config,
            detector=None,
            plan=load_plan(config.sort.plan, classes=tuple(header["classes"]), calibrated=True),
            image_size_px=tuple(header["image_size_px"]),
            boot_id="B",
            classes=tuple(header["classes"]),
            high_confidence=header["high_confidence"],
        )

    def play(
        self, evidence: Evidence, until: Callable[[], bool], *, spoil=lambda decision: decision
    ) -> list[SortDecision]:
        """Show frames until something holds; `spoil` makes exceptions of ordinary decisions."""
        made: list[SortDecision] = []
        while not until():
            entry = next(self._entries)
            for event in entry.heard:
                self._pipeline.hear(event)
            if not isinstance(entry, JournalStep):
                continue
            frame = next(self._frames)
            assert frame.index == entry.index
            step = self._pipeline.decide(
                entry.index, entry.detections, travel_mm=entry.travel_mm, read=lambda _, reads=entry.reads: reads
            )
            step = replace(step, decisions=tuple(map(spoil, step.decisions)))
            results = (PublishResult.SENT,) * len(step.decisions)
            self.status.on_step(step, results, 0)
            evidence.on_step(step, results, 0)
            made += step.decisions
            # A camera leaves the keeper its time; a clip that is played as fast as it goes must, too.
            real.wait_until(evidence.has_taken_all, timeout_s=PATIENCE_S, what="the pictures are taken")
        return made

    def close(self) -> None:
        self._source.close()


@pytest.fixture
def recorded(root: Path):
    playing = Recorded(root)
    yield playing
    playing.close()


def opened(recorded: Recorded, folder: Path, **changes) -> Evidence:
    rooms = {key: changes.pop(key) for key in list(changes) if key.endswith("_room") or key == "tell"}
    section = EvidenceSection(path=folder, **changes)
    rooms = {"pictures_room": lambda _: True, "records_room": lambda _: True} | rooms
    return Evidence(section, Store(folder), recorded.status, recorded.clock, line="acme/line03", **rooms)


def no_read_once():
    """Spoil the fifth decision: its code was not read, and there is one that must not be told."""
    seen: list[str] = []

    def spoil(decision: SortDecision) -> SortDecision:
        seen.append(decision.parcel_uid)
        if len(seen) != 5:
            return decision
        return replace(decision, reason=Reason.NO_READ, codes=(Code("Code128", CODE, 3),))

    return spoil


def pictures_of(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]


def detail(image: np.ndarray) -> float:
    """How much fine structure there is within 5 x 5 pixels, at most places: edges of tiles are few."""
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(np.float32)
    kernel = np.ones((5, 5), np.uint8)
    return float(np.percentile(cv2.dilate(grey, kernel) - cv2.erode(grey, kernel), 50))


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


def test_nothing_on_a_parcel_can_be_read(recorded, tmp_path):
    """Two keepers see the same pictures; only one of them blurs."""
    sharp_folder, folder = tmp_path / "plain", tmp_path / "blurred"
    with opened(recorded, sharp_folder, blur="off") as plain, opened(recorded, folder) as blurred:
        twice = Both(plain, blurred)
        recorded.play(twice, lambda: twice.each(lambda one: one.counts["no_read"] == 1), spoil=no_read_once())
    (name,) = {entry.id for one in (plain, blurred) for entry in one.store.entries()}
    record = blurred.store.record(name)
    plain_clip, blurred_clip = (pictures_of(tmp_path / kind / f"{name}.mp4") for kind in ("plain", "blurred"))
    details: list[tuple[float, float]] = []
    for picture, sharp, coarse in zip(record["pictures"], plain_clip, blurred_clip, strict=True):
        for _, *box in picture["parcels"]:
            x1, y1, x2, y2 = (round(v) for v in box)
            inside = np.s_[max(0, y1 + 4) : y2 - 4, max(0, x1 + 4) : x2 - 4]
            if min(sharp[inside].shape[:2]) >= 30:
                details.append((detail(sharp[inside]), detail(coarse[inside])))
    assert len(details) > 20
    sharp_detail, coarse_detail = np.mean(details, axis=0)
    assert coarse_detail < sharp_detail / 2


@pytest.mark.parametrize(("text", "kind"), [("JJD00039000", "Code128"), ("Jane Doe, 5 Sample Street", "QRCode")])
@pytest.mark.parametrize("pixels", [1, 3, 6])
def test_a_code_that_could_be_read_cannot_any_more(text, kind, pixels):
    """However near the camera is: a label of any size on its parcel, with the margins of a box."""
    barcode = zxingcpp.create_barcode(text, zxingcpp.barcode_format_from_str(kind))
    modules = np.pad(np.array(barcode.to_image(scale=2)), 30, constant_values=255)
    printed = cv2.cvtColor(np.kron(modules, np.ones((pixels, pixels), np.uint8)), cv2.COLOR_GRAY2BGR)
    height, width = printed.shape[:2]
    assert [found.text for found in zxingcpp.read_barcodes(printed)] == [text]
    assert not zxingcpp.read_barcodes(blur(printed, [(0, 0, width, height)]))


class Both:
    """Two keepers as one observer."""

    def __init__(self, *keepers: Evidence) -> None:
        self._keepers = keepers

    def on_step(self, *arguments) -> None:
        for keeper in self._keepers:
            keeper.on_step(*arguments)

    def each(self, holds) -> bool:
        return all(holds(keeper) for keeper in self._keepers)

    def has_taken_all(self) -> bool:
        return self.each(lambda keeper: keeper.has_taken_all())


def test_codes_are_nowhere_in_plain_text(recorded, tmp_path, caplog):
    with caplog.at_level(logging.DEBUG), opened(recorded, tmp_path / "one") as evidence:
        made = recorded.play(evidence, lambda: evidence.counts["no_read"] == 1, spoil=no_read_once())
        log = DecisionLog()
        log._tell((made[4],), (PublishResult.SENT,))
    assert made[4].codes[0].text == CODE
    assert CODE not in caplog.text
    for path in (tmp_path / "one").iterdir():
        assert CODE.encode() not in path.read_bytes(), path
    (entry,) = evidence.store.entries()
    ((kind, hashed, frames),) = evidence.store.record(entry.id)["decision"]["codes"]
    assert (kind, frames, hashed) == ("Code128", 3, Pseudonyms(tmp_path / "one").of(CODE))
    (tmp_path / "two").mkdir()
    assert Pseudonyms(tmp_path / "two").of(CODE) != hashed, "another installation names it otherwise"
    assert stat.S_IMODE((tmp_path / "one/salt").stat().st_mode) == 0o600


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


@pytest.mark.parametrize("box", [(-50, -50, 20, 20), (90, 40, 400, 300), (10, 10, 10, 10), (200, 200, 300, 300)])
def test_boxes_that_leave_the_picture_are_blurred_as_far_as_they_are_in_it(box):
    image = np.random.default_rng(0).integers(0, 255, (100, 150, 3), np.uint8)
    before = image.copy()
    blurred = blur(image, [box])
    assert blurred.shape == image.shape
    assert np.array_equal(image, before)
    left, top, right, bottom = max(0, box[0]), max(0, box[1]), min(150, box[2]), min(100, box[3])
    if right > left and bottom > top:
        assert not np.array_equal(blurred[top:bottom, left:right], image[top:bottom, left:right])


def store_with(folder: Path, *ages_h: float) -> Store:
    store = Store(folder)
    for age_h in ages_h:
        name = name_of(NOW - timedelta(hours=age_h), "mark", f"B-{age_h:g}-0".replace(".", "_"))
        (folder / f"{name}.mp4").write_bytes(bytes(1000))
        store.add(name, {"why": "mark"})
    return store


def test_old_evidence_goes_and_so_does_what_is_too_much(tmp_path):
    store = store_with(tmp_path, 1, 50, 71.9, 72.1, 100)
    assert store.sweep(NOW, retention=timedelta(hours=72), most_bytes=10**9) == 2
    assert len(list(tmp_path.glob("*.mp4"))) == len(list(tmp_path.glob("*.json"))) == 3
    assert store.sweep(NOW, retention=timedelta(hours=72), most_bytes=2500) == 1
    assert [round((NOW - entry.at) / timedelta(hours=1)) for entry in store.entries()] == [1, 50]


def test_what_a_crash_left_is_removed_and_what_is_whole_is_found_again(tmp_path):
    store_with(tmp_path, 1)
    old, young = (name_of(NOW - timedelta(minutes=m), "mark", "B-9-0") for m in (30, 1))
    for name in (f"{old}.mp4", f".{old}.part.mp4", f".{old}.json.123.part", f".{old}.jpg.9.part", f"{young}.mp4"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "notes.txt").write_text("somebody's own")
    again = Store(tmp_path)
    assert len(again.entries()) == 1
    again.sweep(NOW, retention=timedelta(hours=72), most_bytes=10**9)
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix != ".json")[-1] == "notes.txt"
    assert not [path for path in tmp_path.iterdir() if old in path.name]
    assert (tmp_path / f"{young}.mp4").exists()


@pytest.mark.parametrize(
    "name", ["../salt", "salt", "", "..", "x/../../etc/passwd", "20261121T120000000000Z-mark-B-1-0"]
)
def test_only_what_is_in_the_store_is_served(tmp_path, name):
    store = store_with(tmp_path, 1)
    (tmp_path / "salt").write_bytes(bytes(32))
    assert store.file(name, "") is None
    assert store.file(name, ".json") is None


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
