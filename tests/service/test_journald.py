"""Log lines in journald's own protocol: level, fields, line breaks; and a log that jams stops nothing."""

from __future__ import annotations

import logging
import socket
from pathlib import Path

import pytest

from edge_sorter.plc.alarms import AlarmBoard
from edge_sorter.service.alarm_log import AlarmLog
from edge_sorter.service.journald import JournaldHandler


def parsed(datagram: bytes) -> dict[str, str]:
    """Read one entry as journald does."""
    entry: dict[str, str] = {}
    while datagram:
        head, _, datagram = datagram.partition(b"\n")
        if b"=" in head:
            key, _, value = head.partition(b"=")
        else:
            key, size = head, int.from_bytes(datagram[:8], "little")
            value, datagram = datagram[8 : 8 + size], datagram[8 + size + 1 :]
        entry[key.decode()] = value.decode()
    return entry


@pytest.fixture
def journald(tmp_path: Path):
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    receiver.bind(str(tmp_path / "socket"))
    receiver.settimeout(30)
    yield receiver, tmp_path / "socket"
    receiver.close()


@pytest.fixture
def logger(journald):
    kept: list[logging.LogRecord] = []

    class Fallback(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            kept.append(record)

    handler = JournaldHandler(Fallback(), address=journald[1])
    logger = logging.Logger("edge_sorter.test")
    logger.addHandler(handler)
    yield logger, handler, kept
    handler.close()


def test_an_entry_has_level_place_and_fields(journald, logger):
    logger[0].warning("parcel %s", "P1", extra={"fields": {"lane": "L03", "severity": 2}})
    entry = parsed(journald[0].recv(65536))
    assert entry["MESSAGE"] == "edge_sorter.test: parcel P1"
    assert (entry["PRIORITY"], entry["SYSLOG_IDENTIFIER"]) == ("4", "edge-sorter")
    assert (entry["EDGE_SORTER_LANE"], entry["EDGE_SORTER_SEVERITY"]) == ("L03", "2")
    assert entry["CODE_FUNC"] == "test_an_entry_has_level_place_and_fields"


def test_line_breaks_and_tracebacks_stay_in_one_entry(journald, logger):
    try:
        raise ValueError("bad\nthing")
    except ValueError:
        logger[0].exception("one\ntwo = ü", extra={"fields": {"note": "a=b\nMESSAGE=forged"}})
    entry = parsed(journald[0].recv(65536))
    assert entry["MESSAGE"].startswith("edge_sorter.test: one\ntwo = ü\nTraceback")
    assert entry["MESSAGE"].endswith("ValueError: bad\nthing")
    assert entry["EDGE_SORTER_NOTE"] == "a=b\nMESSAGE=forged"


def test_a_jammed_journald_stops_nobody_and_what_was_lost_is_said(journald, logger):
    """Nobody reads: the socket's queue fills up, and the call comes back all the same."""
    for number in range(5000):
        logger[0].info("line %d", number)
    lost = logger[1].dropped
    assert 0 < lost < 5000
    taken = 5000 - lost
    for _ in range(taken):
        journald[0].recv(65536)
    logger[0].info("after")
    entry = parsed(journald[0].recv(65536))
    assert (entry["MESSAGE"], entry["EDGE_SORTER_LINES_LOST"]) == ("edge_sorter.test: after", str(lost))
    logger[0].info("then")
    assert "EDGE_SORTER_LINES_LOST" not in parsed(journald[0].recv(65536))


def test_without_a_socket_the_fallback_gets_the_line(journald, logger):
    journald[1].unlink()
    logger[0].error("still told")
    assert [record.getMessage() for record in logger[2]] == ["still told"]


def test_alarms_are_told_once_when_they_begin_and_once_when_they_end(caplog):
    board, told = AlarmBoard(), AlarmLog()
    with caplog.at_level(logging.INFO):
        board.set("MISSORT", active=True, at_ns=1, about="L03", detail="seen at PE4")
        board.set("CERT_EXPIRES", active=True, at_ns=1)
        told.look(board.active())
        told.look(board.active())
        board.set("MISSORT", active=False, at_ns=2, about="L03")
        told.look(board.active())
    assert [(record.levelname, record.fields["alarm"], record.fields["alarm_state"]) for record in caplog.records] == [
        ("ERROR", "MISSORT", "ACTIVE"),
        ("WARNING", "CERT_EXPIRES", "ACTIVE"),
        ("INFO", "MISSORT", "CLEARED"),
    ]
    assert "Parcels went to other lanes than decided: L03; seen at PE4" in caplog.text
