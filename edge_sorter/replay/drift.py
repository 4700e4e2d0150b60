"""Whether a figure creeps: the straight line through its samples, with an interval that knows neighbours are alike.

Contract: pure; times in seconds, slopes an hour. The interval is Newey and West's (1987), because samples ten seconds
apart share the machine's mood: taken for independent, they would promise far more than they hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ALIKE_S = 300.0
"""Samples further apart than this are taken for independent."""
FEWEST = 12


@dataclass(frozen=True, slots=True)
class Drift:
    """A slope an hour and its 95 % interval."""

    per_h: float
    low: float
    high: float

    def below(self, limit: float) -> str:
        """Tell whether the slope stays below a limit: "yes", "no", or "too short to say"."""
        if self.high < limit:
            return "yes"
        return "no" if self.low > limit else "too short to say"

    def as_dict(self) -> dict[str, float]:
        """Return plain values."""
        return {"per_h": round(self.per_h, 3), "low": round(self.low, 3), "high": round(self.high, 3)}


def drift(at_s: Sequence[float], values: Sequence[float]) -> Drift | None:
    """Fit a line; None with fewer than `FEWEST` samples."""
    if len(values) < FEWEST:
        return None
    x, y = np.asarray(at_s, float) / 3600, np.asarray(values, float)
    x = x - x.mean()
    spread = float(x @ x)
    slope = float(x @ y) / spread
    pull = x * (y - y.mean() - slope * x)  # what each sample's residual does to the slope
    step_h = (x[-1] - x[0]) / (len(x) - 1)
    lags = min(int(ALIKE_S / 3600 / step_h), len(x) // 3)
    variance = float(pull @ pull)
    for lag in range(1, lags + 1):
        variance += 2 * (1 - lag / (lags + 1)) * float(pull[lag:] @ pull[:-lag])
    half = 1.96 * float(np.sqrt(max(variance, 0.0))) / spread
    return Drift(slope, slope - half, slope + half)
