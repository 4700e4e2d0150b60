"""What is wrong right now, in words an operator can act on.

Contract: `conditions` is a pure function of a snapshot. It tells the alarms of the line in the words of the alarm
table, and beside them only what that cannot know, such as a loop that hangs. It raises and clears nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge_sorter.plc.alarm_table import alarm_text
from edge_sorter.plc.alarms import Alarm
from edge_sorter.plc.messages import AppState
from edge_sorter.service.status import LineSnapshot

HANGS_MS = 1_500
LATE_WINDOW_S = 300.0
URGENT = 2
"""Alarms up to this severity are red: parcels go wrong, or the line runs without vision."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that is wrong.

    Attributes:
        level: "alarm" (parcels are not sorted as they should) or "warning".
        code: Short and stable, for searching the manual.
        text: What is wrong.
        todo: What to do about it.
    """

    level: str
    code: str
    text: str
    todo: str


def conditions(seen: LineSnapshot) -> list[Condition]:
    """Return everything that is wrong, the worst first."""
    by_code: dict[str, Condition] = {}
    raised = [_of_alarm(alarm) for alarm in seen.peers.alarms if alarm.state != "CLEARED"]
    for condition in (*raised, *_of_snapshot(seen)):
        by_code.setdefault(condition.code, condition)
    return sorted(by_code.values(), key=lambda condition: condition.level != "alarm")


def _of_alarm(alarm: Alarm) -> Condition:
    """Return what the alarm table says, as the PLC's own screens show it."""
    row = alarm_text(alarm.code)
    about = ", ".join(sorted(filter(None, alarm.about)))
    details = "; ".join(filter(None, (about, alarm.detail)))
    seen_by_someone = " (acknowledged)" if alarm.state == "ACKED" else ""
    level = "alarm" if row.severity <= URGENT else "warning"
    return Condition(level, alarm.code, row.text + (f": {details}" if details else "") + seen_by_someone, row.advice)


def _of_snapshot(seen: LineSnapshot) -> list[Condition]:
    """Return what can be seen from here, should nobody have raised an alarm about it."""
    found: list[Condition] = []
    starting = seen.state in (AppState.STARTING, AppState.OFFLINE)
    if not starting and seen.stalled_ms > HANGS_MS:
        text = f"The decision loop has not come round for {seen.stalled_ms / 1000:.1f} s"
        found.append(Condition("alarm", "LOOP_HANGS", text, "The watchdog restarts it; if not, restart the service."))
    if seen.blind_for is not None:
        row = alarm_text(seen.blind_for)
        found.append(Condition("alarm", seen.blind_for, row.text, row.advice))
    if seen.state is AppState.HOLD:
        found.append(Condition("alarm", "HOLD", f"The line holds: {seen.cause}", "See the log for the whole message."))
    if seen.state is AppState.DEGRADED and seen.blind_for is None and not seen.peers.alarms:
        found.append(Condition("warning", "DEGRADED", f"Degraded: {seen.cause}", "Parcels go on being decided."))
    if not starting and not seen.peers.broker_connected:
        todo = "Check broker and network; decisions made now are dropped, never sent late."
        found.append(Condition("alarm", "BROKER_AWAY", "The MQTT broker is not connected", todo))
    late = [
        decided
        for decided in seen.recent
        if decided.result.value != "SENT" and (seen.now - decided.published_at).total_seconds() < LATE_WINDOW_S
    ]
    if late:
        text = f"{len(late)} decision{'s' if len(late) > 1 else ''} not sent in the last five minutes"
        why = ", ".join(sorted({decided.result.value for decided in late}))
        found.append(Condition("warning", "NOT_SENT", f"{text} ({why})", "Those parcels took the PLC's default lane."))
    return found
