"""What every lane can take right now: by what the PLC reports, and by how much was sent there of late.

Contract: `LaneBoard.takes` is a function of reports and admissions so far and of the time asked about. With source
`plc` a lane that was never reported, or not for longer than its time to live, counts as DISABLED; with `assume_open`
such a lane is open, because nobody reports. A lane's own limits (`max_fill_mm_s`, `max_per_minute`) make it
RATE_LIMITED however open it is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple

from edge_sorter.config import LaneStatesSection
from edge_sorter.events import LaneReport, LaneStatus
from edge_sorter.sort.plan_parts import Lane, LaneGroup

TAKING = frozenset({LaneStatus.OPEN, LaneStatus.HALF})
FILL_PERCENT = {LaneStatus.OPEN: 0.0, LaneStatus.HALF: 50.0}
"""Taken for a lane that reports a state and no measure."""
FILL_WINDOW_NS = 10_000_000_000
COUNT_WINDOW_NS = 60_000_000_000
LENGTH_UNKNOWN_MM = 600.0
"""A parcel of unknown length counts as a long one, so that a limit holds all the same."""
MOST_LANES = 1000
"""As many as a plan may have; reports about more are about other lines."""


class _Admitted(NamedTuple):
    uid: str
    at_ns: int
    length_mm: float


class LaneBoard:
    """Reports by lane, and what was sent to lanes that have a limit."""

    def __init__(self, section: LaneStatesSection) -> None:
        self._told = section.source == "plc"
        self._ttl_ns = round(section.ttl_s * 1e9)
        self._reports: dict[str, LaneReport] = {}
        self._admitted: dict[str, deque[_Admitted]] = {}
        self._turns: dict[str, str] = {}

    def hear(self, report: LaneReport) -> None:
        """Take what the PLC says of a lane; an older word than the last is ignored."""
        known = self._reports.get(report.lane)
        if (known is None and len(self._reports) < MOST_LANES) or (known is not None and known.at_ns <= report.at_ns):
            self._reports[report.lane] = report

    def status(self, lane: Lane, at_ns: int) -> LaneStatus:
        """Return what a lane can take at a time."""
        status = self._reported(lane, at_ns)
        return LaneStatus.RATE_LIMITED if status in TAKING and self._at_limit(lane, at_ns) else status

    def reported_open(self, lane: Lane, at_ns: int) -> bool:
        """Tell whether a lane is open by what is reported; its own limits leave what is on the way alone."""
        return self._reported(lane, at_ns) in TAKING

    def _reported(self, lane: Lane, at_ns: int) -> LaneStatus:
        report = self._reports.get(lane.id)
        if self._told and (report is None or at_ns - report.at_ns > self._ttl_ns):
            return LaneStatus.UNKNOWN
        return LaneStatus.OPEN if report is None else report.status

    def takes(self, lane: Lane, at_ns: int) -> bool:
        """Tell whether a lane can take one more parcel."""
        return self.status(lane, at_ns) in TAKING

    def silent(self, lanes: Callable[[], Iterable[str]], *, since_ns: int, at_ns: int) -> list[str]:
        """Return those of some lanes whose last report grew too old between two times."""
        if not self._told:
            return []
        return [
            name
            for name in lanes()
            if (report := self._reports.get(name)) is not None and since_ns <= report.at_ns + self._ttl_ns < at_ns
        ]

    def order(self, group: LaneGroup, at_ns: int) -> tuple[str, ...]:
        """Return the lanes of a group in the order they should be tried."""
        if group.pick == "round_robin":
            last = self._turns.get(group.id)
            turn = group.lanes.index(last) + 1 if last in group.lanes else 0
            return group.lanes[turn:] + group.lanes[:turn]
        if group.pick == "least_full":
            return tuple(sorted(group.lanes, key=self._fill_percent))
        return group.lanes

    def admit(self, lane: Lane, uid: str, *, at_ns: int, length_mm: float | None, group: LaneGroup | None) -> None:
        """Remember that a parcel was sent to a lane, of a group if its turn came."""
        if group is not None:
            self._turns[group.id] = lane.id
        if lane.max_fill_mm_s is not None or lane.max_per_minute is not None:
            length_mm = LENGTH_UNKNOWN_MM if length_mm is None else length_mm
            self._admitted.setdefault(lane.id, deque()).append(_Admitted(uid, at_ns, length_mm))

    def withdraw(self, lane_id: str, uid: str) -> None:
        """Forget a parcel that goes elsewhere after all."""
        admitted = self._admitted.get(lane_id)
        if admitted is not None:
            self._admitted[lane_id] = deque(item for item in admitted if item.uid != uid)

    def _fill_percent(self, name: str) -> float:
        report = self._reports.get(name)
        if report is None:
            return 0.0
        return FILL_PERCENT.get(report.status, 100.0) if report.fill_percent is None else report.fill_percent

    def _at_limit(self, lane: Lane, at_ns: int) -> bool:
        """Tell whether one more parcel would be more than a lane's own limits allow."""
        admitted = self._admitted.get(lane.id)
        if not admitted:
            return False
        while admitted and at_ns - admitted[0].at_ns >= COUNT_WINDOW_NS:
            admitted.popleft()
        if lane.max_per_minute is not None and len(admitted) >= lane.max_per_minute:
            return True
        if lane.max_fill_mm_s is None:
            return False
        filled_mm = sum(item.length_mm for item in admitted if at_ns - item.at_ns < FILL_WINDOW_NS)
        return filled_mm >= lane.max_fill_mm_s * FILL_WINDOW_NS / 1e9
