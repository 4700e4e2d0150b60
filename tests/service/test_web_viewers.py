"""The page's server without a browser: what viewers get, what slow ones get, what is found again, what is wrong."""

from __future__ import annotations

import asyncio
import json
import re
import struct
from dataclasses import replace

import cv2
import numpy as np
import pytest
from test_line_status import MS, decision, step
from websockets.sync.client import connect

from edge_sorter.belt import open_belt
from edge_sorter.clock import ReplayClock
from edge_sorter.config import ServiceSection, load_config
from edge_sorter.events import EncoderCount, LaneReport, LaneStatus, LineReport
from edge_sorter.journal import JournalWriter
from edge_sorter.plc.alarm_table import ALARMS
from edge_sorter.plc.alarms import Alarm
from edge_sorter.plc.publisher import PublishResult, Vitals
from edge_sorter.service.http import HttpServer, open_http
from edge_sorter.service.status import LineStatus, Peers
from edge_sorter.service.web import Page
from edge_sorter.service.web.conditions import conditions
from edge_sorter.service.web.history import search
from edge_sorter.service.web.looks import TRACKS, Looks, Witness, cut_out
from edge_sorter.service.web.picture import THUMB_PX, quality_of, thumbnail
from edge_sorter.service.web.trend import Trend
from edge_sorter.service.web.viewers import AHEAD
from edge_sorter.sort import SortPlan, load_plan
from edge_sorter.types import Blind, Code, Frame, Reason, Track, TrackState

SIZE_PX = (640, 360)


def track(track_id: int, captured_ns: int, *, class_id: int = 0, x: float = 100.0) -> Track:
    box = (x, 100.0, x + 80.0, 160.0)
    return Track(
        track_id, TrackState.CONFIRMED, captured_ns, box, (0, 0), True, 0.9, class_id, 5, 0, captured_ns, seen_xyxy=box
    )


class Line:
    """Frames and steps put through a page by hand."""

    def __init__(self, root) -> None:
        self.clock = ReplayClock()
        self.status = LineStatus(self.clock)
        self.page = Page(ServiceSection(http="127.0.0.1:0"), self.status)
        config = load_config(root / "configs/demo/line.yaml")
        self.classes = ("carton", "polybag", "mailer", "sack", "tube")
        self.plan = load_plan(config.sort.plan, classes=self.classes)
        self._config = config
        self.show(self.plan)
        self.frames = 0

    def show(self, plan: SortPlan) -> None:
        size_px = (960, 540)
        belt = open_belt(self._config.belt, image_size_px=size_px)
        self.page.show(self._config, belt=belt, plan=plan, classes=self.classes, size_px=size_px)

    def frame(self, *decisions, tracks=()) -> None:
        at_ns = self.frames * 40 * MS
        image = np.full((540, 960, 3), 40 + self.frames % 100, np.uint8)
        list(self.status.watching([Frame(self.frames, at_ns, image)]))
        self.clock.sleep_until(at_ns)
        one = step(self.frames, at_ns, *(replace(d, captured_ns=at_ns) for d in decisions), tracks=tracks)
        results = (PublishResult.SENT,) * len(decisions)
        for observer in (self.status, self.page.witness):
            observer.on_step(one, results, MS)
        self.frames += 1


@pytest.fixture
def line(root) -> Line:
    return Line(root)


@pytest.fixture
def server(line):
    with open_http(ServiceSection(http="127.0.0.1:0"), line.status, page=line.page) as server:
        yield server


def live(server: HttpServer):
    return connect(server.url.replace("http", "ws") + "api/live", max_size=None, open_timeout=30)


def read(socket, kind: str, *, answer: bool = True):
    """Return the next message of a kind; a picture is (head, image)."""
    for _ in range(60):  # figures alone come twice a second
        message = socket.recv(timeout=30)
        if answer:
            socket.send("ok")
        if isinstance(message, bytes):
            if kind == "picture":
                (length,) = struct.unpack_from("<I", message)
                return json.loads(message[4 : 4 + length]), cv2.imdecode(
                    np.frombuffer(message[4 + length :], np.uint8), 1
                )
        elif (content := json.loads(message))["type"] == kind:
            return content
    raise AssertionError(f"no {kind} among 60 messages")


def test_a_picture_comes_with_the_boxes_of_its_own_frame(line, server):
    with live(server) as socket:
        assert read(socket, "scene")["scene"]["lanes"][0]["id"] == "L01"
        for n in range(3):
            line.frame(tracks=(track(7, 0, x=50.0 * n),))
            head, image = read(socket, "picture")
            assert head["index"] == n
            assert image.shape == (540, 960, 3)
            assert abs(int(image.mean()) - (40 + n)) <= 2


def test_a_viewer_that_does_not_answer_gets_no_more_than_a_few(line, server):
    with live(server) as sleepy, live(server) as awake:
        for _ in range(30):
            line.frame()
            read(awake, "picture")
        got = 0
        try:
            while True:
                sleepy.recv(timeout=0.5)
                got += 1
        except TimeoutError:
            pass
        assert got == AHEAD
        sleepy.send("ok")
        sleepy.recv(timeout=30)


def test_a_hidden_page_gets_figures_but_no_pictures(line, server):
    with live(server) as socket:
        line.frame()
        read(socket, "picture")
        socket.send("away")
        read(socket, "status")
        before = line.page._view.encoded
        for _ in range(5):
            line.frame()
            assert read(socket, "status")["frames"] == line.frames
        assert line.page._view.encoded - before <= 1
        socket.send("look")
        assert read(socket, "picture")[0]["index"] == line.frames - 1


def test_a_card_tells_the_whole_why(line, server):
    for n in range(6):
        line.frame(tracks=(track(3, n * 40 * MS, class_id=4 if n == 0 else 0),))
    made = replace(
        decision(1, lane="L01"),
        track_id=3, size_mm=(300.0, 200.0), codes=(Code("Code128", "00340123456789012345", 4),), rule="small-carton",
        plan=line.page.scene.plan.name,
    )  # fmt: skip
    line.frame(made, tracks=(track(3, 240 * MS),))
    with live(server) as socket:
        (card,) = read(socket, "cards")["cards"]
    assert card["looks"] == [
        {"class": "carton", "frames": 6, "conf": 0.9},
        {"class": "tube", "frames": 1, "conf": 0.9},
    ]
    assert {row["id"]: row["matched"] for row in card["rules"]}["small-carton"]
    assert card["timing"]["spare_ms"] == pytest.approx(500 - 240, abs=1)
    assert card["timing"]["stages_ms"]["infer"] == 7
    assert (card["result"], card["picture"]) == ("SENT", True)


def test_lanes_and_plan_are_followed(line, server):
    line.page.witness.on_heard(LaneReport(0, "L02", LaneStatus.FULL, 100.0), (), ())
    line.page.witness.on_heard(LineReport(0, "HELD"), (), ())
    with live(server) as socket:
        told = read(socket, "status")["told"]
        assert told["lanes"]["L02"] == {"status": "FULL", "fill": 100.0, "ago_ms": 0}
        assert told["line"]["packml"] == "HELD"
        before = read(socket, "scene")["scene"]["plan"]
        assert before == line.plan.name
        night = SortPlan.model_validate(line.plan.model_dump(by_alias=True) | {"id": "night"})
        line.show(night)
        scene = read(socket, "scene")["scene"]
        assert scene["plan"] == night.name != before
        assert len(scene["lanes"]) == len(line.plan.lanes)


def test_many_viewers_are_turned_away_and_the_rest_go_on(line, server, monkeypatch):
    import edge_sorter.service.web.viewers as room

    monkeypatch.setattr(room, "MOST", 1)
    line.frame()
    with live(server) as first:
        read(first, "picture")
        with live(server) as second, pytest.raises(Exception, match="4429"):
            second.recv(timeout=30)
        line.frame()
        assert read(first, "picture")[0]["index"] == 1


def test_the_journal_is_searched_backwards(tmp_path, line):
    path = tmp_path / "journal.jsonl"
    with JournalWriter(path, header={"boot_id": "B"}, max_bytes=400_000) as journal:
        for n in range(2000):
            codes = (Code("Code128", f"PKG{n:06d}", 3),)
            journal.write(step(n, n * MS, replace(decision(n), codes=codes), tracks=(track(n, 0),) * 3))
    with path.open("a") as torn:
        torn.write('{"i":2000,"dec":[{"parcel_uid":"B-9')
    assert path.with_name("journal.jsonl.1").is_file()

    def found(text: str, limit: int = 50):
        return asyncio.run(search(path, text, limit=limit))

    assert [r["parcel_uid"] for r in found("pkg001999").records] == ["B-1999"]
    newest = found("PKG0019", limit=5)
    assert [r["parcel_uid"] for r in newest.records] == [f"B-{n}" for n in range(1999, 1994, -1)]
    assert not newest.complete
    assert found("nothing like it").complete
    assert [r["parcel_uid"] for r in found("PKG001500").records] == ["B-1500"]
    assert asyncio.run(search(None, "PKG", limit=5)).records == []


def test_what_is_wrong_is_said_with_what_to_do(line):
    status = line.status
    assert [c.code for c in conditions(status.snapshot())] == []
    status.told("RUNNING")
    status.came_round(0, vitals=Vitals())
    assert [c.code for c in conditions(status.snapshot())] == ["BROKER_AWAY"]
    status.met(Peers({}, broker_connected=True))
    line.frame()
    status.on_blind(Blind(1, "CAM_DARK"))
    status.told("DEGRADED", cause="CAM_DARK")
    (dark,) = conditions(status.snapshot())
    assert (dark.level, dark.code) == ("alarm", "CAM_DARK")
    assert "lamp" in dark.todo
    late = replace(decision(5), reason=Reason.LATE)
    status.on_step(step(9, 0, late), (PublishResult.LATE,), MS)
    assert [c.code for c in conditions(status.snapshot())] == ["DEGRADED", "NOT_SENT"]
    line.clock.sleep_until(5_000 * MS)
    raised = (Alarm("LATE", "ACKED", 0), Alarm("MISSORT", "ACTIVE", 0, 1, frozenset({"L02"}), "3 of 100"))
    status.met(Peers({}, broker_connected=True, alarms=raised))
    told = {c.code: c for c in conditions(status.snapshot())}
    assert told["MISSORT"].text == "Parcels went to other lanes than decided: L02; 3 of 100"
    assert told["LATE"].text.endswith("(acknowledged)")
    assert "LOOP_HANGS" in [c.code for c in conditions(status.snapshot())]


def test_memory_for_looks_is_bounded(line):
    witness, looks = Witness(line.status), Looks()
    for n in range(TRACKS + 50):
        witness.on_step(step(n, n, tracks=(track(n, n),)), (), 0)
        looks.take(witness)
    assert len(looks.tracks()) == TRACKS
    assert looks.of(0) is None
    witness.on_heard(EncoderCount(0, 1), (decision(1),), (PublishResult.SENT,))
    assert looks.take(witness) == 1


@pytest.mark.parametrize("box", [(-50, -50, -10, -10), (630, 350, 900, 900), (10, 10, 10, 10), (0, 0, 640, 360)])
def test_any_box_can_be_cut_out(box):
    image = np.zeros((360, 640, 3), np.uint8)
    cut = cut_out(image, box)
    assert min(cut.shape[:2]) >= 1
    small = cv2.imdecode(np.frombuffer(thumbnail(cut), np.uint8), 1)
    assert max(small.shape[:2]) <= THUMB_PX


def test_a_blurred_picture_is_less_sharp_and_a_dark_one_darker():
    noise = np.random.default_rng(0).integers(0, 255, (540, 960, 3), dtype=np.uint8)
    sharp, blurred = quality_of(noise), quality_of(cv2.GaussianBlur(noise, (9, 9), 3))
    assert blurred.sharpness < sharp.sharpness / 10
    assert quality_of(np.zeros_like(noise)).luma == 0
    assert quality_of(np.zeros_like(noise)).clipped == 1


def test_the_trend_counts_what_happened_between_two_points(line):
    trend = Trend()
    trend.sample(line.status.snapshot())
    for n in range(250):
        line.frame(*((decision(n),) if n % 25 == 0 else ()))
    assert trend.due(line.clock.now_ns() + 10_000 * MS)
    line.clock.sleep_until(10_000 * MS)
    trend.sample(line.status.snapshot())
    (point,) = trend.points()
    assert (point["decided"], point["failed"], point["fps"]) == (10, 0, 25.0)
    assert point["median_ms"] is not None


def test_the_manual_knows_every_alarm(root):
    manual = (root / "docs" / "operate.md").read_text()
    missing = [
        code
        for code, row in ALARMS.items()
        if not re.search(
            rf"^\| `{code}` \| {row.severity} \| {re.escape(row.text)} \| [^|]{{8,}} \| {re.escape(row.advice)} \|$",
            manual,
            re.M,
        )
    ]
    assert missing == [], "write them into docs/operate.md: they are what an operator looks up"
