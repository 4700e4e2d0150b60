"""How log lines look: plain for a person, with a priority in front for journald, as JSON for collectors.

Contract: one event is one line on standard error whatever the message holds. Under systemd lines go to journald itself,
with level and fields; where it cannot be reached, to standard error with sd-daemon(3)'s prefix. Fields are what a log
call gives as `extra={"fields": {...}}`; JSON lines have them as well.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Mapping
from enum import Enum

from edge_sorter.clock import SystemClock, rfc3339
from edge_sorter.service.journald import JournaldHandler, fields_of, priority

CHATTY = ("amqtt", "transitions", "asyncio", "libav")
MAX_CHARACTERS = 4000


class LogFormat(str, Enum):
    """What lines look like; auto is journal where standard error goes to journald, else plain."""

    AUTO = "auto"
    PLAIN = "plain"
    JOURNAL = "journal"
    JSON = "json"


def set_up(chosen: LogFormat, *, verbose: bool) -> None:
    """Send every log line to standard error, in the chosen format."""
    if chosen is LogFormat.AUTO:
        chosen = LogFormat.JOURNAL if goes_to_journald(os.environ, sys.stderr.fileno()) else LogFormat.PLAIN
    handler: logging.Handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter(chosen))
    if chosen is LogFormat.JOURNAL and goes_to_journald(os.environ, sys.stderr.fileno()):
        handler = JournaldHandler(handler)
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler], force=True)
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.ERROR)


def formatter(chosen: LogFormat) -> logging.Formatter:
    """Return what turns records into lines."""
    if chosen is LogFormat.JSON:
        return _Json()
    if chosen is LogFormat.JOURNAL:
        return _Journal("%(name)s: %(message)s")
    return logging.Formatter("%(levelname)s %(name)s: %(message)s")


def goes_to_journald(environ: Mapping[str, str], file_number: int) -> bool:
    """Tell whether a file is the stream that systemd connected to journald (JOURNAL_STREAM, systemd.exec(5))."""
    try:
        status = os.fstat(file_number)
    except OSError:
        return False
    return environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


class _Journal(logging.Formatter):
    """Lines with a syslog priority; journald takes each line by itself, so each gets it."""

    def format(self, record: logging.LogRecord) -> str:
        level = priority(record.levelno)
        return "\n".join(f"<{level}>{line}" for line in super().format(record).splitlines() or [""])


class _Json(logging.Formatter):
    """One JSON object a line: time, level, logger, message, fields and, where there is one, the traceback."""

    def __init__(self) -> None:
        super().__init__()
        self._clock = SystemClock()

    def format(self, record: logging.LogRecord) -> str:
        told = {
            "ts": rfc3339(self._clock.wall(self._clock.now_ns())),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage()[:MAX_CHARACTERS],
            **fields_of(record),
        }
        if record.exc_info:
            told["traceback"] = self.formatException(record.exc_info)[-MAX_CHARACTERS:]
        return json.dumps(told, ensure_ascii=False)
