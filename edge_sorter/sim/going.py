"""How far things go between the picture they were traced in and the frame they are put into, row by row.

Contract: a function of belt travel and of how rows are read; what lies on the belt goes with it, a hand its own way.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Rows = FloatArray | None
Way = FloatArray
"""Two ways in the world, mm, shape (2, 3): at the first row and at the last."""


@dataclass(frozen=True, eq=False)
class Going:
    """How one thing goes from its place in a key to its place in a frame.

    Attributes:
        travel_mm: belt travel of the frame.
        row_mm: how much further the belt was when each row was read.
        own_mm: its own way, where it does not go with the belt.
        hands: numbers of all that do not.
    """

    travel_mm: float
    row_mm: Rows
    own_mm: Way | None
    hands: tuple[int, ...]

    def ways_mm(self, key_travel_mm: float, height: int) -> tuple[list[FloatArray], NDArray[np.float32] | None]:
        """One way (3,), or the least and the most of all rows and where between them each row is, shape (h,)."""
        if self.own_mm is not None:
            if not self.own_mm.any():
                return [self.own_mm[0]], None
            return [*self.own_mm], np.linspace(0.0, 1.0, height).astype(np.float32)
        along, shift_mm = np.array([1.0, 0.0, 0.0]), self.travel_mm - key_travel_mm
        if self.row_mm is None:
            return [shift_mm * along], None
        # Rows that are read one after the other lie between the first way and the last.
        least, most = float(self.row_mm.min()), float(self.row_mm.max())
        late = ((self.row_mm - least) / (most - least)).astype(np.float32)
        return [(shift_mm + least) * along, (shift_mm + most) * along], late
