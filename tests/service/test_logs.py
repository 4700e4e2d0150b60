"""Log lines: for a person, for journald, for collectors; one event is one line."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys

import pytest

from edge_sorter.service.logs import LogFormat, formatter, goes_to_journald


def record(level: int, message: str, *args: object, error: BaseException | None = None) -> logging.LogRecord:
    info = (type(error), error, error.__traceback__) if error else None
    return logging.LogRecord("edge_sorter.live", level, "f", 1, message, args, info)


@pytest.mark.parametrize(
    ("level", "prefix"),
    [
        (logging.CRITICAL, "<2>"),
        (logging.ERROR, "<3>"),
        (logging.WARNING, "<4>"),
        (logging.INFO, "<6>"),
        (logging.DEBUG, "<7>"),
    ],
)
def test_levels_for_journald(level, prefix):
    assert formatter(LogFormat.JOURNAL).format(record(level, "blind: %s", "x")) == f"{prefix}edge_sorter.live: blind: x"


def test_every_line_for_journald_has_its_priority():
    text = formatter(LogFormat.JOURNAL).format(record(logging.ERROR, "one\ntwo"))
    assert text == "<3>edge_sorter.live: one\n<3>two"


def test_json_is_one_line_whatever_is_in_it():
    try:
        raise ValueError("bad\nthing")
    except ValueError as error:
        line = formatter(LogFormat.JSON).format(record(logging.ERROR, 'a "quoted"\nüml %d', 7, error=error))
    assert "\n" not in line
    told = json.loads(line)
    assert (told["level"], told["logger"], told["message"]) == ("error", "edge_sorter.live", 'a "quoted"\nüml 7')
    assert "ValueError: bad" in told["traceback"]
    assert told["ts"].endswith("Z")


def test_journald_is_recognised_by_its_stream(tmp_path):
    with (tmp_path / "stream").open("w") as file:
        status = os.fstat(file.fileno())
        name = f"{status.st_dev}:{status.st_ino}"
        assert goes_to_journald({"JOURNAL_STREAM": name}, file.fileno())
        assert not goes_to_journald({"JOURNAL_STREAM": "1:2"}, file.fileno())
        assert not goes_to_journald({}, file.fileno())


@pytest.mark.parametrize(
    ("chosen", "begins"), [("plain", "INFO x: hello"), ("journal", "<6>x: hello"), ("json", '{"ts": ')]
)
def test_the_command_takes_it_from_option_or_environment(chosen, begins):
    code = (
        "import logging\nfrom edge_sorter import cli\n"
        "@cli.app.command()\ndef hello() -> None:\n    logging.getLogger('x').info('hello')\ncli.main()\n"
    )
    for words, environ in (((f"--log={chosen}",), {}), ((), {"EDGE_SORTER_LOG": chosen})):
        done = subprocess.run(
            [sys.executable, "-c", code, *words, "hello"],
            env={**os.environ, **environ},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stderr.startswith(begins)
