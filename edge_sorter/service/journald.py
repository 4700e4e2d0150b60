"""Log lines to journald with their fields, so that `journalctl EDGE_SORTER_LANE=L03` finds what happened to a lane.

Speaks journald's native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL): one datagram a line, no library needed.
Contract: never blocks and never raises; a line that journald does not take at once is dropped and counted, and the next
one says so: a jammed log must not stop the belt. Where there is no socket, the fallback gets the line.
"""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Mapping
from pathlib import Path

SOCKET = Path("/run/systemd/journal/socket")
PREFIX = "EDGE_SORTER_"
MAX_BYTES = 60_000
GONE = (errno.ENOENT, errno.ECONNREFUSED, errno.ENOTCONN)


def fields_of(record: logging.LogRecord) -> dict[str, str]:
    """Return what a log call gave as `extra={"fields": {...}}`."""
    given = getattr(record, "fields", None)
    return {str(key): str(value) for key, value in given.items()} if isinstance(given, Mapping) else {}


def priority(level: int) -> int:
    """Return the syslog priority of a log level: 2 critical, 3 error, 4 warning, 6 info, 7 debug."""
    for least, found in ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6)):
        if level >= least:
            return found
    return 7


class JournaldHandler(logging.Handler):
    """Sends every record as one entry.

    Args:
        fallback: Gets the record when journald's socket is gone.
        address: Where journald listens.

    Attributes:
        dropped: Lines that journald did not take since the last one it took.
    """

    def __init__(self, fallback: logging.Handler, *, address: Path = SOCKET) -> None:
        super().__init__()
        self.dropped = 0
        self._fallback, self._address = fallback, str(address)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record."""
        try:
            self._socket.sendto(self._entry(record), self._address)
            self.dropped = 0
        except OSError as error:
            if error.errno in GONE:
                self._fallback.handle(record)
            else:
                self.dropped += 1

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()
        super().close()

    def _entry(self, record: logging.LogRecord) -> bytes:
        text = f"{record.name}: {record.getMessage()}"
        if record.exc_info:
            text += "\n" + (self.formatter or logging.Formatter()).formatException(record.exc_info)
        entry = {
            "MESSAGE": text,
            "PRIORITY": str(priority(record.levelno)),
            "SYSLOG_IDENTIFIER": "edge-sorter",
            "CODE_FILE": record.pathname,
            "CODE_LINE": str(record.lineno),
            "CODE_FUNC": record.funcName or "",
            PREFIX + "LOGGER": record.name,
            PREFIX + "THREAD": record.threadName or "",
            **{PREFIX + key.upper(): value for key, value in fields_of(record).items()},
        }
        if self.dropped:
            entry[PREFIX + "LINES_LOST"] = str(self.dropped)
        return b"".join(_field(key, value) for key, value in entry.items())


def _field(key: str, value: str) -> bytes:
    """Return one field; the form with a length allows line breaks in the value."""
    data = value.encode(errors="replace")[:MAX_BYTES]
    if b"\n" not in data:
        return key.encode() + b"=" + data + b"\n"
    return key.encode() + b"\n" + len(data).to_bytes(8, "little") + data + b"\n"
