"""How a simulated belt moves: speed that changes in straight ramps, and the encoder that counts it.

Contract: travel is the exact integral of the speed, and `time_at_s` is its inverse; nothing is integrated step by step,
so the truth of a crossing does not depend on a frame rate.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isinf, sqrt

COUNTER_MODULO = 1 << 32


@dataclass(frozen=True)
class SpeedProfile:
    """Knots of time (s) and speed (mm/s); straight between them, constant before the first and after the last.

    Attributes:
        knots: (time_s, speed_mm_s), times rising, no speed below 0.
    """

    knots: tuple[tuple[float, float], ...]

    @classmethod
    def constant(cls, speed_mm_s: float) -> SpeedProfile:
        """A belt that never changes its speed."""
        return cls(((0.0, speed_mm_s),))

    def speed_mm_s(self, time_s: float) -> float:
        """Speed at a time."""
        start, end = self._span(time_s)
        if start is None or end is None:
            return (end or start or (0.0, 0.0))[1]
        share = (time_s - start[0]) / (end[0] - start[0])
        return start[1] + share * (end[1] - start[1])

    def travel_mm(self, time_s: float) -> float:
        """How far the belt has moved since time zero; negative before it."""
        return self._from_first(time_s) - self._from_first(0.0)

    def time_at_s(self, travel_mm: float) -> float | None:
        """First time at which the belt has moved this far, or None if it never does."""
        low = self._bound(travel_mm, earlier=True)
        high = self._bound(travel_mm, earlier=False)
        if isinf(low) or isinf(high):
            return None
        # Between neighbouring knots speed is straight, so travel is a parabola: solve it, do not search.
        times = [low, *(t for t, _ in self.knots if low < t < high), high]
        for start, end in pairwise(times):
            rest = travel_mm - self.travel_mm(start)
            if rest <= self.travel_mm(end) - self.travel_mm(start) + 1e-9:
                return start + _solve(self.speed_mm_s(start), self.speed_mm_s(end), end - start, rest)
        return high

    def _bound(self, travel_mm: float, *, earlier: bool) -> float:
        """A time certainly before (or after) the belt has moved this far; infinite where it never does."""
        time_s, speed = self.knots[0] if earlier else self.knots[-1]
        gap = travel_mm - self.travel_mm(time_s)
        outside = gap < 0 if earlier else gap > 0
        if not outside:
            return time_s
        return time_s + gap / speed if speed > 0 else float("-inf" if earlier else "inf")

    def _span(self, time_s: float) -> tuple[tuple[float, float] | None, tuple[float, float] | None]:
        right = bisect_right(self.knots, time_s, key=lambda knot: knot[0])
        return (
            self.knots[right - 1] if right > 0 else None,
            self.knots[right] if right < len(self.knots) else None,
        )

    def _from_first(self, time_s: float) -> float:
        first, last = self.knots[0], self.knots[-1]
        if time_s <= first[0]:
            return first[1] * (time_s - first[0])
        moved = 0.0
        for (start, v0), (end, v1) in pairwise(self.knots):
            if time_s <= end:
                return moved + (time_s - start) * (v0 + self.speed_mm_s(time_s)) / 2.0
            moved += (end - start) * (v0 + v1) / 2.0
        return moved + last[1] * (time_s - last[0])


def _solve(v0: float, v1: float, duration_s: float, rest_mm: float) -> float:
    """Seconds after which a belt going from v0 to v1 within `duration_s` has moved `rest_mm`."""
    gain = (v1 - v0) / duration_s if duration_s > 0 else 0.0
    root = sqrt(max(0.0, v0 * v0 + 2.0 * gain * rest_mm))
    # The form without cancellation; v0 + root is 0 only for a belt that stands and needs no time for no way.
    return 2.0 * rest_mm / (v0 + root) if v0 + root > 0 else 0.0


def encoder_rows(
    profile: SpeedProfile, *, duration_s: float, mm_per_count: float, first_count: int, period_ms: float
) -> list[tuple[int, int]]:
    """What the belt's encoder says: (captured_ns, count) on the clip's time axis, a 32-bit counter that wraps."""
    period_ns = round(period_ms * 1e6)
    last = int(duration_s * 1e9) // period_ns + 1
    times = [number * period_ns for number in range(last + 1)]
    return [(at, (first_count + int(profile.travel_mm(at / 1e9) // mm_per_count)) % COUNTER_MODULO) for at in times]


def problems(knots: Sequence[tuple[float, float]]) -> list[str]:
    """What is wrong with knots that a person wrote; empty when nothing is."""
    found = []
    if not knots:
        found.append("belt.profile: needs at least one [time_s, speed_mm_s]")
    for index, ((before, _), (after, _)) in enumerate(pairwise(knots), start=1):
        if after <= before:
            found.append(f"belt.profile[{index}]: time {after:g} s is not after {before:g} s")
    found += [
        f"belt.profile[{index}]: speed {speed:g} mm/s must be 0 to 10000"
        for index, (_, speed) in enumerate(knots)
        if not 0.0 <= speed <= 10_000.0
    ]
    if knots and max(speed for _, speed in knots) <= 0.0:
        found.append("belt.profile: the belt never moves; give at least one speed above 0")
    return found
