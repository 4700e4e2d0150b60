"""Tells old pictures from new ones on a stream that carries the camera's own stamps.

Contract: `age_ns` says how much later a frame arrived than the promptest of the last seconds; it reads no clock.

A stalled network does not lose frames on TCP, it delivers them late and all at once. Taken for new, they would put
every parcel in the wrong place: at 2 m/s a picture that is 150 ms old is 300 mm off.
"""

from __future__ import annotations

WINDOW_NS = 10_000_000_000
JUMP_NS = 10_000_000_000
BURST_LIMIT_NS = 2_000_000_000
PACED_FRAMES = 3
"""In a row: a busy machine may well pause once while it takes a backlog."""


class Lag:
    """Follows the difference between arrival and the camera's stamp; one instance for one connection.

    The smallest difference of the last two windows counts as prompt, so a camera clock that runs a little fast or
    slow is followed. The backlog that a server or a probing demuxer hands over first is recognised by its pace:
    frames that arrive in less than half the time between their stamps are history, until a few in a row do not.
    """

    def __init__(self) -> None:
        self._last: tuple[int, int] | None = None
        self._first_arrival_ns = 0
        self._live = False
        self._paced = 0
        self._window_start_ns = 0
        self._smallest: int | None = None
        self._smallest_before: int | None = None

    def age_ns(self, *, stamp_ns: int, arrived_ns: int) -> int | None:
        """Judge the next frame.

        Args:
            stamp_ns: The camera's stamp, on any axis.
            arrived_ns: When it reached us.

        Returns:
            How late it is, in ns, or None while it still belongs to the backlog of a new connection.
        """
        last, self._last = self._last, (stamp_ns, arrived_ns)
        if last is None:
            self._first_arrival_ns = arrived_ns
            return None
        step_ns, gap_ns = stamp_ns - last[0], arrived_ns - last[1]
        if abs(step_ns - gap_ns) > JUMP_NS:  # the camera set its clock
            self._smallest = self._smallest_before = None
        if not self._live:
            waited_ns = arrived_ns - self._first_arrival_ns
            self._paced = self._paced + 1 if 2 * gap_ns >= step_ns else 0
            self._live = self._paced >= PACED_FRAMES or waited_ns > BURST_LIMIT_NS
            if not self._live:
                return None
        return self._late_by(arrived_ns - stamp_ns, arrived_ns)

    def _late_by(self, delay_ns: int, arrived_ns: int) -> int:
        if arrived_ns - self._window_start_ns > WINDOW_NS:
            self._smallest_before, self._smallest = self._smallest, None
            self._window_start_ns = arrived_ns
        self._smallest = delay_ns if self._smallest is None else min(self._smallest, delay_ns)
        prompt = self._smallest if self._smallest_before is None else min(self._smallest, self._smallest_before)
        return delay_ns - prompt
