"""Resident memory of this process over a run: enough to tell a leak from a warm-up."""

from __future__ import annotations

import os
import resource
from pathlib import Path

WARM_FRAMES = 500
"""By then every buffer, cache and engine has been used."""
EVERY_FRAMES = 250


class MemoryWatch:
    """Looks at resident memory now and then.

    Attributes:
        warm_mb: After `WARM_FRAMES` frames; None in a shorter run.
        last_mb: At the latest look.
    """

    def __init__(self) -> None:
        self.warm_mb: float | None = None
        self.last_mb = resident_mb()

    def look(self, frames: int) -> None:
        """Take note after this many frames; reads the system only on few of them."""
        if frames % EVERY_FRAMES == 0:
            self.last_mb = resident_mb()
            if frames == WARM_FRAMES:
                self.warm_mb = self.last_mb

    def as_dict(self) -> dict[str, float | None]:
        """Return what was seen, and the most the process ever had, in MB."""
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
        return {
            "warm": None if self.warm_mb is None else round(self.warm_mb, 1),
            "end": round(resident_mb(), 1),
            "peak": round(peak_mb, 1),
        }


def resident_mb() -> float:
    """Return resident memory now (Linux; elsewhere the peak stands in)."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
