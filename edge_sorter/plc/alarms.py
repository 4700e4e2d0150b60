"""What is wrong right now, as a person at a screen wants it: one retained message per code, active, seen or over.

Pure: times are handed in, and `changed` says what to publish. An alarm may be about several things at once (lanes); it
is over when all of them are.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from edge_sorter.plc.alarm_table import alarm_text
from edge_sorter.plc.messages import AlarmMessage

PULSE_S = 60.0
State = Literal["ACTIVE", "ACKED", "CLEARED"]


@dataclass(frozen=True, slots=True)
class Alarm:
    """One code's alarm.

    Attributes:
        code: Its name in the table.
        state: ACTIVE, ACKED (a person has seen it) or CLEARED.
        since_ns: When it became active last.
        count: How often it did.
        about: What it is about, such as lanes; empty where there is nothing to name.
        detail: More words for this case.
    """

    code: str
    state: State
    since_ns: int
    count: int = 1
    about: frozenset[str] = field(default_factory=frozenset)
    detail: str = ""


class AlarmBoard:
    """All alarms of this run."""

    def __init__(self) -> None:
        self._alarms: dict[str, Alarm] = {}
        self._changed: dict[str, None] = {}
        self._pulses: dict[str, int] = {}

    def set(self, code: str, *, active: bool, at_ns: int, about: str = "", detail: str = "") -> None:
        """Say that a condition holds, or that it is over; saying it again changes nothing."""
        alarm = self._alarms.get(code)
        subjects = alarm.about if alarm is not None and alarm.state != "CLEARED" else frozenset[str]()
        if active:
            if alarm is not None and alarm.state != "CLEARED" and about in subjects:
                return
            again = alarm is None or alarm.state == "CLEARED"
            count = 1 if alarm is None else alarm.count + (1 if again else 0)
            since_ns = at_ns if again or alarm is None else alarm.since_ns
            # A new subject makes an alarm that somebody has seen a new one.
            self._put(Alarm(code, "ACTIVE", since_ns, count, subjects | {about}, detail))
        elif alarm is not None and about in subjects:
            left = subjects - {about}
            self._put(replace(alarm, about=left) if left else replace(alarm, state="CLEARED", about=left))

    def pulse(self, code: str, *, at_ns: int, detail: str = "") -> None:
        """Say that something happened that has no end of its own; the alarm is over a minute after the last one."""
        self._pulses[code] = at_ns
        self.set(code, active=True, at_ns=at_ns, detail=detail)

    def tick(self, now_ns: int) -> None:
        """End alarms about things that stopped happening."""
        for code, at_ns in list(self._pulses.items()):
            if now_ns - at_ns > PULSE_S * 1e9:
                del self._pulses[code]
                self.set(code, active=False, at_ns=now_ns)

    def only(self, code: str, subjects: frozenset[str], *, at_ns: int) -> None:
        """Make an alarm be about exactly these."""
        alarm = self._alarms.get(code)
        before = alarm.about if alarm is not None and alarm.state != "CLEARED" else frozenset[str]()
        for about in sorted(before - subjects):
            self.set(code, active=False, at_ns=at_ns, about=about)
        for about in sorted(subjects - before):
            self.set(code, active=True, at_ns=at_ns, about=about)

    def acknowledge(self, code: str) -> bool:
        """Note that a person has seen an active alarm; False when there is none."""
        alarm = self._alarms.get(code)
        if alarm is None or alarm.state == "CLEARED":
            return False
        if alarm.state == "ACTIVE":
            self._put(replace(alarm, state="ACKED"))
        return True

    def changed(self) -> list[Alarm]:
        """Return alarms that changed since the last call, to be published."""
        changed = [self._alarms[code] for code in self._changed]
        self._changed.clear()
        return changed

    def active(self) -> list[Alarm]:
        """Return alarms that are not over, the most urgent first."""
        alarms = [alarm for alarm in self._alarms.values() if alarm.state != "CLEARED"]
        return sorted(alarms, key=lambda alarm: (alarm_text(alarm.code).severity, alarm.code))

    def _put(self, alarm: Alarm) -> None:
        self._alarms[alarm.code] = alarm
        self._changed[alarm.code] = None


def alarm_message(alarm: Alarm, *, boot_id: str, since: str, ts: str, replay: bool) -> AlarmMessage:
    """Build the message of one alarm."""
    row = alarm_text(alarm.code)
    named = ", ".join(sorted(about for about in alarm.about if about))
    text = row.text + (f": {named}" if named else "") + (f" ({alarm.detail})" if alarm.detail else "")
    return AlarmMessage(
        boot_id=boot_id,
        code=alarm.code,
        severity=row.severity,
        state=alarm.state,
        since=since,
        ts=ts,
        count=alarm.count,
        text=text[:256],
        advice=row.advice,
        replay=replay,
    )
