"""Whether a parcel slid back on the belt, by where its ends were from look to look.

Contract: a pure function of places. A parcel that stands high leans away from the camera, which makes both of its ends
seem to go *forward* on the belt as it passes; a part of it, or two melted, move one end. Only what slides or is stuck
has both of its ends fall back.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SLID_MM = 25.0
"""Both ends fell back by more than that: more than noise and jittered time stamps do to the middle of three looks."""
AGREE_MM = 12.0
"""Looks with both ends further ahead of the latest than that are from before it, or from meanwhile."""


def first_after_slide(ends_mm: NDArray[np.float64]) -> int:
    """Return the first of the looks at a parcel where it lies now; 0 where it never slid.

    Args:
        ends_mm: (n, 2) trailing and leading end in the belt-fixed frame, the earliest look first.
    """
    if len(ends_mm) < 4:
        return 0
    middle = np.sort(np.stack((ends_mm[:-2], ends_mm[1:-1], ends_mm[2:])), axis=0)[1]
    if (middle - middle[-1]).min(axis=1).max() <= SLID_MM:
        return 0
    ahead = np.flatnonzero((ends_mm - ends_mm[-1]).min(axis=1) > AGREE_MM)
    return int(ahead[-1]) + 1 if len(ahead) else 0
