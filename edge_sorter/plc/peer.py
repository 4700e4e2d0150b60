"""Whether the PLC's gateway is there, in both directions, judged by heartbeats and nothing else.

Pure: times are handed in. Its counter must move, so that a repeated or stuck message proves nothing; the echo of our
own counter must move as well, so that a gateway which talks but does not hear is not taken for one that works.
"""

from __future__ import annotations

from collections import OrderedDict
from enum import Enum

from edge_sorter.plc.messages import AppState

STALE_S, SILENT_S = 0.5, 1.0
_BEATS = 600
"""A minute of our own heartbeats; an echo of an older one is as good as none."""


class Contact(str, Enum):
    """How well the two hear each other."""

    GOOD = "GOOD"
    STALE = "PLC_STALE"
    SILENT = "PLC_SILENT"

    @property
    def allows(self) -> AppState | None:
        """What it leaves possible; None is everything."""
        return {Contact.STALE: AppState.DEGRADED, Contact.SILENT: AppState.HOLD}.get(self)


class PeerWatch:
    """Watches one gateway.

    Attributes:
        last_n: The newest counter it sent, which our own heartbeat echoes.
    """

    def __init__(self) -> None:
        self.last_n: int | None = None
        self._heard_ns: int | None = None
        self._echoed_ns: int | None = None
        self._echoes = False
        self._sent: OrderedDict[int, int] = OrderedDict()

    def beat(self, n: int, *, at_ns: int) -> None:
        """Note one of our own heartbeats."""
        self._sent[n] = at_ns
        if len(self._sent) > _BEATS:
            self._sent.popitem(last=False)

    def hear(self, n: int, *, peer_n: int | None, at_ns: int) -> None:
        """Note a heartbeat of the gateway."""
        if n == self.last_n:
            return
        self.last_n, self._heard_ns = n, at_ns
        if peer_n is not None:
            sent_ns = self._sent.get(peer_n)
            if sent_ns is not None and (self._echoed_ns is None or sent_ns > self._echoed_ns):
                self._echoed_ns = sent_ns
            if not self._echoes:  # its first word cannot echo what it has had no time to hear
                self._echoes, self._echoed_ns = True, at_ns

    def age_ms(self, now_ns: int) -> float | None:
        """Return how old the newest heartbeat is, or None before the first."""
        return None if self._heard_ns is None else (now_ns - self._heard_ns) / 1e6

    def contact(self, now_ns: int) -> Contact:
        """Judge the present; never heard is as silent as fallen silent."""
        if self._heard_ns is None:
            return Contact.SILENT
        since_ns = self._heard_ns if self._echoed_ns is None else min(self._heard_ns, self._echoed_ns)
        age_s = (now_ns - since_ns) / 1e9
        if age_s > SILENT_S:
            return Contact.SILENT
        return Contact.STALE if age_s > STALE_S else Contact.GOOD
