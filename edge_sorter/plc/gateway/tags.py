"""The line as a table of tags, as SCADA systems know it: a path, a kind, a value, and when that was so.

Pure: messages in, tags out. Only what people look at is here; a sort decision is a command to the PLC and never a tag
of the line (a mirror may lose or merge values, which a decision must not suffer).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from edge_sorter.plc.alarm_table import ALARMS, alarm_text
from edge_sorter.plc.inbound import LaneMessage, LineMessage
from edge_sorter.plc.messages import (
    AlarmMessage,
    AppState,
    HeartbeatMessage,
    InfoMessage,
    KpiMessage,
    Message,
    Percentiles,
    PlanStatusMessage,
    StateMessage,
)

MOST = 2000
"""Tags kept; a plant has some hundred, more are somebody's mistake."""
Value = bool | int | float | str | datetime | None


class Kind(Enum):
    """What a tag's value is; None stands for one that is not known."""

    FLAG = "bool"
    COUNT = "int"
    NUMBER = "float"
    TEXT = "str"
    TIME = "datetime"


@dataclass(frozen=True, slots=True)
class Tag:
    """One value of the line; `at` is when it was so, in UTC."""

    kind: Kind
    value: Value
    at: datetime


class Tags:
    """Everything the line has told, by path.

    Attributes:
        table: Path to tag. Paths only come, and never change their kind.
        left_out: Values that found no room.
    """

    def __init__(self, now: datetime) -> None:
        """Begin with what is there before anything was heard: the state, and every alarm as not active."""
        self.table: dict[str, Tag] = {}
        self.left_out = 0
        self._active: dict[str, int] = {}
        self._put("State/Name", Kind.TEXT, AppState.OFFLINE.value, now)
        self._put("State/Sorting", Kind.FLAG, False, now)
        for code, row in ALARMS.items():
            self._put(f"Alarms/{code}/Active", Kind.FLAG, False, now)
            self._put(f"Alarms/{code}/Acknowledged", Kind.FLAG, False, now)
            self._put(f"Alarms/{code}/Severity", Kind.COUNT, row.severity, now)
            self._put(f"Alarms/{code}/Text", Kind.TEXT, row.text, now)
            self._put(f"Alarms/{code}/Count", Kind.COUNT, 0, now)
        self._count_alarms(now)

    def take(self, message: Message, *, heard: datetime) -> None:
        """Take what a message says; one that says nothing of the line is ignored.

        Args:
            message: Checked at the border (`plc.decode`).
            heard: When it arrived, for those that carry no time.
        """
        at = _time(getattr(message, "ts", None)) or heard
        if isinstance(message, StateMessage):
            self._state(message, at)
        elif isinstance(message, AlarmMessage):
            self._alarm(message, at)
        elif isinstance(message, KpiMessage):
            self._kpi(message, at)
        elif isinstance(message, InfoMessage):
            self._info(message, at)
        elif isinstance(message, PlanStatusMessage):
            self._plan(message, at)
        elif isinstance(message, HeartbeatMessage):
            self._health(message, at)
        elif isinstance(message, LaneMessage):
            self._put(f"Lanes/{message.lane}/State", Kind.TEXT, message.state.value, at)
        elif isinstance(message, LineMessage):
            self._put("Line/PackML", Kind.TEXT, message.packml, at)

    def _state(self, message: StateMessage, at: datetime) -> None:
        self._put("State/Name", Kind.TEXT, message.state.value, at)
        self._put("State/Sorting", Kind.FLAG, message.state in (AppState.RUNNING, AppState.DEGRADED), at)
        self._put("State/Cause", Kind.TEXT, message.cause or "", at)
        self._put("State/Boot Id", Kind.TEXT, message.boot_id, at)

    def _alarm(self, message: AlarmMessage, at: datetime) -> None:
        base = f"Alarms/{message.code}"
        self._put(f"{base}/Active", Kind.FLAG, message.state != "CLEARED", at)
        self._put(f"{base}/Acknowledged", Kind.FLAG, message.state == "ACKED", at)
        self._put(f"{base}/Severity", Kind.COUNT, message.severity, at)
        self._put(f"{base}/Text", Kind.TEXT, message.text, at)
        self._put(f"{base}/Count", Kind.COUNT, message.count, at)
        self._put(f"{base}/Since", Kind.TIME, _time(message.since), at)
        self._put(f"{base}/Advice", Kind.TEXT, message.advice or alarm_text(message.code).advice, at)
        if message.state == "CLEARED":
            self._active.pop(message.code, None)
        elif f"{base}/Active" in self.table:  # there was room for it
            self._active[message.code] = message.severity
        self._count_alarms(at)

    def _count_alarms(self, at: datetime) -> None:
        self._put("Alarms/Active Count", Kind.COUNT, len(self._active), at)
        self._put("Alarms/Worst Severity", Kind.COUNT, min(self._active.values(), default=0), at)

    def _kpi(self, message: KpiMessage, at: datetime) -> None:
        for name, count in (
            ("Frames", message.frames),
            ("Parcels", message.parcels),
            ("Decisions", message.decisions),
            ("Decisions Per Minute", message.per_minute),
            ("Late", message.late),
        ):
            self._put(f"KPI/{name}", Kind.COUNT, count, at)
        self._counts("Lanes/", message.by_lane, at, end="/Sorted")
        groups: tuple[tuple[str, Mapping[str, int]], ...] = (
            ("Reasons", message.by_reason),
            ("Dropped", message.dropped),
            ("Outcomes", message.outcomes),
            ("PLC Answers", message.answers),
            ("Rejected", message.rejected),
        )
        for group, counts in groups:
            self._counts(f"KPI/{group}/", counts, at)
        self._percentiles("Capture To Publish ms", message.latency_ms, at)
        self._percentiles("Publish To Broker ms", message.ack_ms, at)
        self._percentiles("Publish To PLC ms", message.plc_ack_ms, at)

    def _counts(self, begin: str, counts: Mapping[str, int], at: datetime, *, end: str = "") -> None:
        told = {f"{begin}{_level(name)}{end}": count for name, count in counts.items()}
        # A new run counts from nothing, and names only what it has counted.
        silent = {path: 0 for path in self.table if path.startswith(begin) and path.endswith(end)}
        for path, count in (silent | told).items():
            self._put(path, Kind.COUNT, count, at)

    def _percentiles(self, name: str, percentiles: Percentiles | None, at: datetime) -> None:
        if percentiles is not None:
            for rank in ("p50", "p95", "p99"):
                self._put(f"KPI/{name}/{rank}", Kind.NUMBER, getattr(percentiles, rank), at)

    def _info(self, message: InfoMessage, at: datetime) -> None:
        for name in ("version", "source", "model", "engine", "plan", "calibration"):
            self._put(f"Info/{name.capitalize()}", Kind.TEXT, getattr(message, name) or "", at)
        for lane in message.lanes:
            self.table.setdefault(f"Lanes/{lane}/Sorted", Tag(Kind.COUNT, 0, at))

    def _plan(self, message: PlanStatusMessage, at: datetime) -> None:
        self._put("Plan/Active", Kind.TEXT, message.active, at)
        self._put("Plan/Offered", Kind.TEXT, message.offered or "", at)
        self._put("Plan/Result", Kind.TEXT, message.result, at)
        self._put("Plan/Mistakes", Kind.COUNT, len(message.errors), at)

    def _health(self, message: HeartbeatMessage, at: datetime) -> None:
        self._put("Health/Frames Per Second", Kind.NUMBER, message.fps, at)
        self._put("Health/Capture To Publish p99 ms", Kind.NUMBER, message.lat_p99_ms, at)
        self._put("Health/Temperature C", Kind.NUMBER, message.temp_c, at)

    def _put(self, path: str, kind: Kind, value: Value, at: datetime) -> None:
        old = self.table.get(path)
        if old is None and len(self.table) >= MOST:
            self.left_out += 1
        elif old is None or old.value != value:
            self.table[path] = Tag(kind, value, at)


def _level(name: str) -> str:
    """Make a counter's name one level of a path."""
    return name.replace("/", "-")


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    whole, _, fraction = text.rstrip("Z").partition(".")
    try:
        return datetime.fromisoformat(f"{whole}.{fraction[:6]:0<6}+00:00")
    except ValueError:  # such as the 31st of February, which the pattern on the wire lets pass
        return None
