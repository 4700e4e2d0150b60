"""How the main loop is doing: what the PLC is told of it, and the figures of its heartbeat."""

from __future__ import annotations

import logging

from edge_sorter.plc.publisher import Publisher, Vitals

log = logging.getLogger(__name__)


class Told:
    """What the PLC was last told of the state: RUNNING, or DEGRADED and why."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._cause: str | None = None
        publisher.state("RUNNING")

    def tell(self, cause: str | None) -> None:
        """Tell that the line runs, or what degrades it, if that is news."""
        if cause == self._cause:
            return
        if cause is not None:
            log.warning("degraded: %s", cause)
            self._publisher.state("DEGRADED", cause=cause)
        else:
            log.info("recovered from %s", self._cause)
            self._publisher.state("RUNNING", cause=f"recovered from {self._cause}")
        self._cause = cause


class Pulse:
    """Frame rate and age of the newest frame, for the heartbeat."""

    def __init__(self) -> None:
        self._last_ns: int | None = None
        self._period_ns: float | None = None
        self._frames = 0

    def beat(self, captured_ns: int) -> None:
        """Note a frame."""
        self._frames += 1
        if self._last_ns is not None:
            period_ns = captured_ns - self._last_ns
            self._period_ns = period_ns if self._period_ns is None else 0.9 * self._period_ns + 0.1 * period_ns
        self._last_ns = captured_ns

    def vitals(self, now_ns: int) -> Vitals:
        """Return what the heartbeat should say."""
        return Vitals(
            fps=round(1e9 / self._period_ns, 1) if self._period_ns else None,
            frame_age_ms=None if self._last_ns is None else round((now_ns - self._last_ns) / 1e6, 1),
            frames=self._frames,
        )
