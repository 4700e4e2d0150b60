"""Where a service keeps what must survive it when the configuration names no place: $STATE_DIRECTORY, systemd.exec(5).

Contract: several lines on one machine never share a folder. The unit is given the common folder and the line's own
inside it, as one list; the line's own is meant.
"""

from __future__ import annotations

import os
from pathlib import Path


def state_folder() -> Path | None:
    """Return the line's own folder, or None outside a service."""
    folders = os.environ.get("STATE_DIRECTORY", "").split(":")
    return Path(deepest) if (deepest := max(folders, key=len)) else None
