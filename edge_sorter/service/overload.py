"""Whether this machine looks at as many pictures as the camera sends; where it does not, the PLC is told what it holds.

Pure: counts and times are handed in. Contract: a share of `TOO_MANY` of the pictures replaced unseen over `LOOK_S` is
overload, `FEW` or less over as long ends it, and what lies between changes nothing.
"""

from __future__ import annotations

LOOK_S = 2.0
TOO_MANY, FEW = 0.2, 0.05


class OverloadWatch:
    """Watches the rate of one camera.

    Attributes:
        fps: Pictures a second that were looked at in the last stretch; None before the first.
        active: Whether too many were not.
    """

    def __init__(self) -> None:
        self.fps: float | None = None
        self.active = False
        self._since: tuple[int, int, int] | None = None

    def look(self, now_ns: int, *, looked_at: int, replaced: int) -> bool:
        """Take the counts since the start; tell whether a stretch is over and `fps` and `active` are new."""
        if self._since is None:
            self._since = now_ns, looked_at, replaced
            return False
        began_ns, looked_before, replaced_before = self._since
        if now_ns - began_ns < LOOK_S * 1e9:
            return False
        self._since = now_ns, looked_at, replaced
        seen, lost = looked_at - looked_before, replaced - replaced_before
        self.fps = seen / ((now_ns - began_ns) / 1e9)
        share = lost / max(1, seen + lost)
        self.active = share > TOO_MANY or (self.active and share > FEW)
        return True
