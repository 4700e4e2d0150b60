"""When nothing in view is trusted any more: somebody says so, or the line stops in a way that moves parcels.

Contract: `FlushWatch.reason` returns why, once an occasion. A line that is HELD or SUSPENDED stands in order: the belt
stops with its parcels, and its encoder goes on counting. STOPPED and ABORTED (E-stop) do not promise that, and people
reach in.
"""

from __future__ import annotations

from edge_sorter.config import SortSection
from edge_sorter.events import Flush, LineEvent, LineReport
from edge_sorter.types import Reason

STOPPED = frozenset({"STOPPING", "STOPPED", "ABORTING", "ABORTED", "CLEARING"})
REASONS = frozenset(
    {
        Reason.STOP_FLUSH,
        Reason.RESTART_FLUSH,
        Reason.MISMATCH_FLUSH,
        Reason.DEGRADED_MODE,
        Reason.MANUAL,
        Reason.TRACK_LOST,
        Reason.UNEXPECTED,
    }
)


class FlushWatch:
    """Tells which events end the trust in what is in view."""

    def __init__(self, section: SortSection) -> None:
        self._by_stop = section.on_stop == "flush"
        self._stopped = False

    def reason(self, event: LineEvent) -> Reason | None:
        """Return why to flush now, or None."""
        if isinstance(event, Flush):
            known = {reason.value: reason for reason in REASONS}
            return known.get(event.reason, Reason.DEGRADED_MODE)
        if isinstance(event, LineReport):
            before, self._stopped = self._stopped, event.packml.upper() in STOPPED
            if self._stopped and not before and self._by_stop:
                return Reason.STOP_FLUSH
        return None
