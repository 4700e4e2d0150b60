"""How far the belt has moved: from a constant speed, or from an encoder's counter.

Contract: travel is a function of time on the axis of `captured_ns`, and where it is not known the answer is None.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import Protocol

HOLD_NS = 100_000_000
"""How far past the newest encoder sample belt travel may be extrapolated; also the window of its speed."""
ENCODER_HISTORY = 1024
"""Samples kept at least: 20 s of a 50 Hz feed."""
ENCODER_LIMIT_MM_S = 20_000.0
"""No belt is this fast: a faster count means that the counter was reset."""


class BeltMotion(Protocol):
    """How far the belt has moved; None means not known at that time, never a guess.

    Attributes:
        ref: What travel is based on: "ENC1" (encoder), "SPEED" (constant speed) or "TIME" (nothing known).
    """

    @property
    def ref(self) -> str:
        """Name of the reference in messages."""

    def travel_mm(self, at_ns: int) -> float | None:
        """Return the belt's travel since time 0."""

    def speed_mm_s(self, at_ns: int) -> float | None:
        """Return the belt's speed; negative is backwards."""


@dataclass(frozen=True, slots=True)
class SteadyMotion:
    """A belt of constant speed, or, with None, one of which nothing is known."""

    constant_mm_s: float | None = None

    @property
    def ref(self) -> str:
        """Name of the reference in messages."""
        return "TIME" if self.constant_mm_s is None else "SPEED"

    def travel_mm(self, at_ns: int) -> float | None:
        """Return speed times time."""
        return None if self.constant_mm_s is None else self.constant_mm_s * at_ns / 1e9

    def speed_mm_s(self, at_ns: int) -> float | None:
        """Return the constant speed."""
        return self.constant_mm_s


class EncoderMotion:
    """Belt travel from an encoder's counter: interpolated between samples, extrapolated for at most 100 ms.

    The counter may wrap (modulo 2**bits) and run backwards. A counter that was reset starts a new stretch: travel
    goes on from where it was, and is None in between. Not thread-safe: feed it from the thread that reads it.
    """

    ref = "ENC1"

    def __init__(self, *, mm_per_count: float, bits: int = 32) -> None:
        self._mm_per_count = mm_per_count
        self._modulo = 1 << bits
        self._count = 0
        self._at_ns: list[int] = []
        self._mm: list[float] = []

    def feed(self, at_ns: int, count: int) -> None:
        """Take one sample; one that is not newer than the last is ignored."""
        if not self._at_ns:
            self._at_ns, self._mm = [at_ns], [0.0]
        elif at_ns <= self._at_ns[-1]:
            return
        else:
            half = self._modulo // 2
            counts = (count - self._count + half) % self._modulo - half
            moved_mm = counts * self._mm_per_count
            if abs(moved_mm) > ENCODER_LIMIT_MM_S * (at_ns - self._at_ns[-1]) / 1e9:
                self._at_ns, self._mm = [at_ns], [self._mm[-1]]
            else:
                self._at_ns.append(at_ns)
                self._mm.append(self._mm[-1] + moved_mm)
        self._count = count
        if len(self._at_ns) > 2 * ENCODER_HISTORY:
            del self._at_ns[:-ENCODER_HISTORY], self._mm[:-ENCODER_HISTORY]

    def travel_mm(self, at_ns: int) -> float | None:
        """Return travel since the first sample, or None where the samples do not reach."""
        if not self._at_ns or not self._at_ns[0] <= at_ns <= self._at_ns[-1] + HOLD_NS:
            return None
        right = bisect_left(self._at_ns, at_ns)
        if right == len(self._at_ns):
            speed = self.speed_mm_s(at_ns)
            return None if speed is None else self._mm[-1] + speed * (at_ns - self._at_ns[-1]) / 1e9
        left = max(right - 1, 0)
        share = (self._at_ns[right] - at_ns) / max(self._at_ns[right] - self._at_ns[left], 1)
        return self._mm[right] - share * (self._mm[right] - self._mm[left])

    def speed_mm_s(self, at_ns: int) -> float | None:
        """Return the mean speed over the last 100 ms of samples, which evens out whole counts."""
        times = self._at_ns
        if len(times) < 2 or not times[0] <= at_ns <= times[-1] + HOLD_NS:
            return None
        last = max(1, min(bisect_left(times, at_ns), len(times) - 1))
        first = min(bisect_left(times, times[last] - HOLD_NS), last - 1)
        return (self._mm[last] - self._mm[first]) / (times[last] - times[first]) * 1e9
