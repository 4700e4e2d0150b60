"""What the main loop tells the PLC is what status and service manager hear, limits included."""

from __future__ import annotations

import pytest
from test_line_status import MS, step

from edge_sorter.clock import ReplayClock
from edge_sorter.plc.alarms import AlarmBoard
from edge_sorter.plc.messages import AppState
from edge_sorter.plc.publisher import MemoryPublisher
from edge_sorter.service.attended import AttendedLink
from edge_sorter.service.notify import Notify
from edge_sorter.service.status import LineStatus
from edge_sorter.types import Frame
from edge_sorter.video import ListSource


class Link(MemoryPublisher):
    """A link in memory, whose connection a test can cut."""

    connected, reconnects, acked = True, 2, 7
    laid_over = None

    def __init__(self, clock: ReplayClock) -> None:
        super().__init__(clock)
        self.board = AlarmBoard()
        self.outcomes, self.rejected = {"VERIFIED": 5}, {"TOO_LARGE": 1}

    def alarm(self, code: str, *, active: bool, about: str = "", detail: str = "") -> None:
        self.board.set(code, active=active, at_ns=0, about=about, detail=detail)

    @property
    def alarms(self):
        return self.board.active()

    @property
    def standing(self):
        state, cause = self.states[-1] if self.states else (AppState.STARTING, "start")
        return self.laid_over or (state, cause or state.value.lower())


class Told(Notify):
    """Keeps what a service manager would get."""

    def __init__(self) -> None:
        self.words: list[str] = []
        super().__init__({})

    def _send(self, text: str) -> None:
        self.words.append(text)


@pytest.fixture
def line():
    import numpy as np

    clock = ReplayClock()
    link, status, notify = Link(clock), LineStatus(clock), Told()
    source = ListSource([Frame(0, 0, np.zeros((8, 8, 3), np.uint8))])
    source.drops["replaced"] = 3
    attended = AttendedLink(link, status=status, source=source, notify=notify)  # type: ignore[arg-type]
    return attended, link, status, notify


def test_everybody_hears_the_same(line):
    attended, link, status, notify = line
    attended.state("RUNNING")
    attended.state("DEGRADED", cause="CAM_LOST")
    assert link.states == [(AppState.RUNNING, None), (AppState.DEGRADED, "CAM_LOST")]
    assert (status.snapshot().state, status.snapshot().cause) == (AppState.DEGRADED, "CAM_LOST")
    assert notify.words == ["STATUS=RUNNING", "STATUS=DEGRADED: CAM_LOST"]


def test_what_the_link_makes_of_it_is_what_is_shown(line):
    attended, link, status, notify = line
    attended.state("RUNNING")
    link.laid_over = (AppState.HOLD, "PLC_SILENT")
    attended.tick(0)
    assert (status.snapshot().state, status.snapshot().cause) == (AppState.HOLD, "PLC_SILENT")
    assert "STATUS=HOLD: PLC_SILENT" in notify.words
    link.laid_over = None
    attended.tick(1)
    assert status.snapshot().state is AppState.RUNNING


def test_ready_waits_for_the_broker(line):
    attended, link, _, notify = line
    link.connected = False
    attended.tick(0)
    assert "READY=1" not in notify.words
    link.connected = True
    attended.tick(1)
    attended.tick(2)
    assert notify.words.count("READY=1") == 1


def test_a_limited_line_never_says_that_it_just_runs(line):
    attended, link, status, _ = line
    attended.state("RUNNING")
    attended.limit("ENGINE_FALLBACK to ONNX Runtime: 9 frames/s")
    attended.state("DEGRADED", cause="CAM_DARK")
    attended.state("RUNNING", cause="recovered from CAM_DARK")
    limited = (AppState.DEGRADED, "ENGINE_FALLBACK to ONNX Runtime: 9 frames/s")
    assert link.states == [(AppState.RUNNING, None), limited, (AppState.DEGRADED, "CAM_DARK"), limited]
    assert status.snapshot().state is AppState.DEGRADED
    assert [(alarm.code, alarm.detail) for alarm in link.alarms] == [("ENGINE_FALLBACK", limited[1])]
    attended.state("HOLD", cause="broken")
    assert link.states[-1] == (AppState.HOLD, "broken")


def test_a_journal_that_stopped_is_an_alarm_until_it_goes_on(line):
    attended, link, status, _ = line
    attended.state("RUNNING")
    attended.journal(writes=False, why="journal stopped: the disk is nearly full")
    attended.tick(0)
    assert [alarm.code for alarm in status.snapshot().peers.alarms] == ["JOURNAL_STOPPED"]
    assert link.states[-1] == (AppState.RUNNING, "journal stopped: the disk is nearly full")
    attended.journal(writes=True, why="journal goes on")
    assert link.alarms == []


def test_a_remark_changes_no_state(line):
    attended, link, status, _ = line
    attended.state("RUNNING")
    since = status.snapshot().since
    attended.remark("reload refused: plan.yaml")
    assert link.states[-1] == (AppState.RUNNING, "reload refused: plan.yaml")
    assert status.snapshot().since == since


def test_the_heartbeat_carries_the_latency_of_late(line):
    attended, link, status, _ = line
    heard: list[float | None] = []
    link.tick = lambda now_ns, vitals: heard.append(vitals.latency_p99_ms)
    attended.tick(0)
    status.on_step(step(0, 0), (), 0)
    attended.tick(600 * MS)
    attended.tick(700 * MS)
    assert heard == [None, None, 0.0]


def test_status_learns_what_the_ends_say(line):
    attended, _, status, _ = line
    attended.tick(0)
    peers = status.snapshot().peers
    assert (peers.outcomes, peers.rejected) == ({"VERIFIED": 5}, {"TOO_LARGE": 1})
    assert (peers.camera_drops, peers.broker_connected, peers.broker_reconnects, peers.acked) == (
        {"replaced": 3},
        True,
        2,
        7,
    )
