"""Whether the sorter lives and may be used, as a gateway hears it: its state, and a heartbeat that must go on.

Pure: times are handed in. A sorter that hangs keeps its retained state, therefore silence counts more than words.
"""

from __future__ import annotations

import logging

from edge_sorter.plc.messages import AppState, HeartbeatMessage, StateMessage

log = logging.getLogger(__name__)


class SorterHealth:
    """What the sorter last said of itself.

    Attributes:
        state: Its state as told; OFFLINE before it was heard.
        n: Newest heartbeat counter, or None.
    """

    def __init__(self, *, degraded_after_ms: float, hold_after_ms: float) -> None:
        """Know nothing yet; the limits are how old the newest heartbeat may be."""
        self.state = AppState.OFFLINE
        self.n: int | None = None
        self._degraded_after_ms, self._hold_after_ms = degraded_after_ms, hold_after_ms
        self._heard_ns: int | None = None

    def hear(self, message: StateMessage | HeartbeatMessage, *, at_ns: int) -> None:
        """Take a state or a heartbeat."""
        if isinstance(message, HeartbeatMessage):
            self.n, self._heard_ns = message.n, at_ns
        elif message.state is not self.state:
            log.info("sorter is %s (%s)", message.state.value, message.cause)
            self.state = message.state

    def usable(self, now_ns: int) -> bool:
        """Tell whether it lives and says that it sorts."""
        age_ms = self.age_ms(now_ns)
        return (
            self.state in (AppState.RUNNING, AppState.DEGRADED) and age_ms is not None and age_ms <= self._hold_after_ms
        )

    def shown(self, now_ns: int) -> AppState:
        """Return what to tell others: its state, or worse where the heartbeat is old."""
        age_ms = self.age_ms(now_ns)
        if age_ms is None or age_ms > self._hold_after_ms:
            return self.state if self.state is AppState.OFFLINE else AppState.HOLD
        if age_ms > self._degraded_after_ms and self.state is AppState.RUNNING:
            return AppState.DEGRADED
        return self.state

    def age_ms(self, now_ns: int) -> float | None:
        """Return how old the newest heartbeat is; None before the first."""
        return None if self._heard_ns is None else (now_ns - self._heard_ns) / 1e6
