"""State, peer watch, alarms and certificates: the pure parts of what the link says of itself."""

from __future__ import annotations

import shutil
import subprocess
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sorter.plc.alarm_table import ALARMS, alarm_text
from edge_sorter.plc.alarms import AlarmBoard, alarm_message
from edge_sorter.plc.certificate import ends_at
from edge_sorter.plc.messages import AppState
from edge_sorter.plc.peer import Contact, PeerWatch
from edge_sorter.plc.standing import Standing

S = 1_000_000_000


def test_what_lies_over_a_state_only_makes_it_worse():
    standing = Standing()
    standing.lay_over("PLC_SILENT", AppState.HOLD)
    assert standing.now == (AppState.STARTING, "start")
    standing.tell(AppState.RUNNING, "first frame")
    assert standing.now == (AppState.HOLD, "PLC_SILENT")
    assert standing.holds
    standing.lay_over("PAUSED", AppState.HOLD)
    standing.lay_over("PLC_SILENT", None)
    assert standing.now == (AppState.HOLD, "PAUSED")
    standing.lay_over("PAUSED", None)
    assert standing.now == (AppState.RUNNING, "recovered from PAUSED")
    standing.lay_over("PAUSED", None)
    standing.tell(AppState.DEGRADED, "CAM_DARK")
    standing.lay_over("PLC_STALE", AppState.DEGRADED)
    assert standing.now == (AppState.DEGRADED, "CAM_DARK")
    standing.lay_over("PLC_STALE", AppState.HOLD)
    assert standing.now == (AppState.HOLD, "PLC_STALE")
    standing.lay_over("PLC_STALE", None)
    assert standing.now == (AppState.DEGRADED, "CAM_DARK"), "blindness shows again, not that the other is over"
    standing.tell(AppState.OFFLINE, "stopped")
    assert standing.now == (AppState.OFFLINE, "stopped")


def test_silence_is_stale_after_half_a_second_and_silent_after_one():
    peer = PeerWatch()
    assert peer.contact(0) is Contact.SILENT
    peer.hear(1, peer_n=None, at_ns=0)
    assert peer.contact(S // 2) is Contact.GOOD
    assert peer.contact(S // 2 + 1) is Contact.STALE
    assert peer.contact(S + 1) is Contact.SILENT
    peer.hear(2, peer_n=None, at_ns=2 * S)
    assert peer.contact(2 * S) is Contact.GOOD
    assert peer.age_ms(2 * S + 90_000_000) == 90


def test_a_counter_that_stands_still_proves_nothing():
    peer = PeerWatch()
    for tenth in range(20):
        peer.hear(7, peer_n=None, at_ns=tenth * S // 10)
    assert peer.contact(2 * S) is Contact.SILENT


def test_a_gateway_that_talks_but_does_not_hear_is_not_there():
    peer = PeerWatch()
    for tenth in range(40):
        at_ns = tenth * S // 10
        peer.beat(tenth, at_ns=at_ns)
        peer.hear(tenth, peer_n=min(tenth, 20), at_ns=at_ns)  # after two seconds it hears no more
        expected = Contact.GOOD if tenth <= 25 else Contact.STALE if tenth <= 30 else Contact.SILENT
        assert peer.contact(at_ns) is expected, tenth


def test_an_alarm_lives_from_active_to_seen_to_over():
    board = AlarmBoard()
    board.set("NO_ACK", active=True, at_ns=5, detail="B-1")
    board.set("NO_ACK", active=True, at_ns=6)
    (alarm,) = board.changed()
    assert (alarm.state, alarm.since_ns, alarm.count) == ("ACTIVE", 5, 1)
    assert board.changed() == []
    assert board.acknowledge("NO_ACK")
    assert board.changed()[0].state == "ACKED"
    board.set("NO_ACK", active=False, at_ns=7)
    assert board.changed()[0].state == "CLEARED"
    assert not board.acknowledge("NO_ACK")
    board.set("NO_ACK", active=True, at_ns=9)
    assert board.changed()[0].count == 2
    message = alarm_message(
        board.active()[0], boot_id="B", since="2026-01-01T00:00:00Z", ts="2026-01-01T00:00:00Z", replay=False
    )
    assert message.severity == 1
    assert message.advice


def test_an_alarm_about_lanes_is_over_when_the_last_one_is():
    board = AlarmBoard()
    board.only("MISSORT", frozenset({"L1", "L2"}), at_ns=1)
    board.acknowledge("MISSORT")
    board.only("MISSORT", frozenset({"L2", "L3"}), at_ns=2)
    (alarm,) = board.active()
    assert (alarm.state, alarm.about) == ("ACTIVE", {"L2", "L3"})  # a new lane is news
    board.only("MISSORT", frozenset(), at_ns=3)
    assert board.active() == []


def test_a_pulse_is_over_a_minute_after_the_last():
    board = AlarmBoard()
    board.pulse("LATE", at_ns=0)
    board.pulse("LATE", at_ns=50 * S)
    board.tick(100 * S)
    assert board.active()
    board.tick(111 * S)
    assert not board.active()


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["on", "off", "ack", "pulse", "tick"]), st.sampled_from("AB"), st.sampled_from(["", "L1"])
        ),
        max_size=30,
    )
)
def test_alarms_are_consistent_whatever_happens(steps):
    board, told = AlarmBoard(), {}
    for at, (what, code, about) in enumerate(steps):
        if what in ("on", "off"):
            board.set(code, active=what == "on", at_ns=at, about=about)
        elif what == "ack":
            board.acknowledge(code)
        elif what == "pulse":
            board.pulse(code, at_ns=at)
        else:
            board.tick(at)
        told |= {alarm.code: alarm for alarm in board.changed()}
    assert {alarm.code for alarm in board.active()} == {c for c, alarm in told.items() if alarm.state != "CLEARED"}
    for alarm in told.values():
        assert bool(alarm.about) == (alarm.state != "CLEARED")


def test_every_alarm_says_what_to_do():
    for code, row in ALARMS.items():
        assert 1 <= row.severity <= 4, code
        assert len(row.text) <= 120, code
        assert len(row.advice) <= 256, code
    assert alarm_text("SOMETHING_NEW").text == "Something new"


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
@pytest.mark.parametrize("days", [1, 29, 400, 365 * 40])
def test_the_end_of_a_certificate_is_read(tmp_path, days):
    path = tmp_path / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", tmp_path / "key", "-out", path,
         "-days", str(days), "-subj", "/CN=x"],
        check=True, capture_output=True,
    )  # fmt: skip
    end = ends_at(path)
    assert end is not None
    assert abs(end - datetime.now(timezone.utc) - timedelta(days=days)) < timedelta(minutes=5)


@pytest.mark.parametrize("text", ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_file_that_is_no_certificate_has_no_end(tmp_path, text):
    path = tmp_path / "cert.pem"
    path.write_text(text)
    assert ends_at(path) is None
    assert ends_at(tmp_path / "missing") is None
