"""One log line for every alarm that begins, is acknowledged or ends: the log alone must tell what happened at night."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from edge_sorter.plc.alarm_table import alarm_text
from edge_sorter.plc.alarms import Alarm

log = logging.getLogger(__name__)

LEVELS = {1: logging.ERROR, 2: logging.ERROR, 3: logging.WARNING}
"""Log level by severity; the rest is information."""


class AlarmLog:
    """Compares what is wrong now with what was wrong before."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[str, str]] = {}

    def look(self, alarms: Iterable[Alarm]) -> None:
        """Tell what changed."""
        now: dict[str, tuple[str, str]] = {
            alarm.code: (alarm.state, self._words(alarm)) for alarm in alarms if alarm.state != "CLEARED"
        }
        for code, (state, words) in now.items():
            if self._told.get(code) != (state, words):
                self._tell(code, state, words)
        for code in self._told.keys() - now.keys():
            self._tell(code, "CLEARED", alarm_text(code).text)
        self._told = now

    @staticmethod
    def _words(alarm: Alarm) -> str:
        about = ", ".join(sorted(filter(None, alarm.about)))
        return ": ".join(filter(None, (alarm_text(alarm.code).text, "; ".join(filter(None, (about, alarm.detail))))))

    @staticmethod
    def _tell(code: str, state: str, words: str) -> None:
        severity = alarm_text(code).severity
        level = LEVELS.get(severity, logging.INFO) if state == "ACTIVE" else logging.INFO
        fields = {"alarm": code, "alarm_state": state, "severity": severity}
        log.log(level, "alarm %s %s: %s", code, state, words, extra={"fields": fields})
