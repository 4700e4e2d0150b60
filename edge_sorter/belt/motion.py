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
STANDSTILL_MM_S = 1.0
"""A slower belt is standing; no travel time follows from its speed."""
BURST_MM = 500.0
"""Samples that were held up on their way arrive together: so much travel may come at once."""


class BeltMotion(Protocol):
    """How far the belt has moved; None means not known at that time, never a guess."""

    def ref(self, at_ns: int) -> str:
        """Return what travel is based on then: "ENC1" (encoder), "SPEED" (a set speed) or "TIME" (nothing known)."""

    def travel_mm(self, at_ns: int) -> float | None:
        """Return the belt's travel since time 0."""

    def speed_mm_s(self, at_ns: int) -> float | None:
        """Return the belt's speed; negative is backwards."""

    def count_at(self, travel_mm: float) -> int | None:
        """Return the encoder's count at that travel, or None without an encoder."""

    def set_speed_mm_s(self) -> float | None:
        """Return the speed the belt runs at when it runs, or None when not told."""

    def stands(self, at_ns: int) -> bool:
        """Tell whether an encoder says that the belt stands."""


@dataclass(frozen=True, slots=True)
class SteadyMotion:
    """A belt of constant speed, or, with None, one of which nothing is known."""

    constant_mm_s: float | None = None

    def ref(self, at_ns: int) -> str:
        """Return "SPEED", or "TIME" where nothing is known."""
        return "TIME" if self.constant_mm_s is None else "SPEED"

    def travel_mm(self, at_ns: int) -> float | None:
        """Return speed times time."""
        return None if self.constant_mm_s is None else self.constant_mm_s * at_ns / 1e9

    def speed_mm_s(self, at_ns: int) -> float | None:
        """Return the constant speed."""
        return self.constant_mm_s

    def count_at(self, travel_mm: float) -> int | None:
        """Return None: nobody counts."""
        return None

    def set_speed_mm_s(self) -> float | None:
        """Return the constant speed."""
        return self.constant_mm_s

    def stands(self, at_ns: int) -> bool:
        """Return False: nobody would know."""
        return False


class EncoderMotion:
    """Belt travel from an encoder's counter: interpolated between samples, extrapolated for at most 100 ms.

    The counter may wrap (modulo 2**bits) and run backwards. A counter that was reset starts a new stretch: travel
    goes on from where it was. While the encoder is silent travel is None or, with a fallback, goes on at that speed;
    it never jumps when the counts come back, because all that is being followed would jump with it.
    Not thread-safe: feed it from the thread that reads it.

    Attributes:
        newest_ns: Time of the newest sample, or None before the first.
        resets: How often the counter jumped further than any belt moves.
    """

    def __init__(self, *, mm_per_count: float, bits: int = 32, fallback_mm_s: float | None = None) -> None:
        self.newest_ns: int | None = None
        self.resets = 0
        self._mm_per_count = mm_per_count
        self._modulo = 1 << bits
        self._fallback_mm_s = fallback_mm_s
        self._count = 0
        self._at_ns: list[int] = []
        self._mm: list[float] = []
        self._forgot = False

    def ref(self, at_ns: int) -> str:
        """Return "ENC1" while samples reach that far, else what stands in for them."""
        if self.newest_ns is not None and at_ns <= self.newest_ns + HOLD_NS:
            return "ENC1"
        return "TIME" if self._fallback_mm_s is None else "SPEED"

    def feed(self, at_ns: int, count: int) -> None:
        """Take one sample; an older one than the last is ignored, and of two at one time the later counts.

        Args:
            at_ns: When it was taken.
            count: The counter; taken modulo 2**bits.
        """
        count %= self._modulo
        if not self._at_ns:
            assumed_mm = self._assumed_mm(at_ns)
            self._at_ns, self._mm = [at_ns], [0.0 if assumed_mm is None else assumed_mm]
        elif not self._append(at_ns, count):
            return
        self._count, self.newest_ns = count, at_ns
        if len(self._at_ns) > 2 * ENCODER_HISTORY:
            self._forgot = True
            del self._at_ns[:-ENCODER_HISTORY], self._mm[:-ENCODER_HISTORY]

    def _append(self, at_ns: int, count: int) -> bool:
        """Take a later sample; False for one that says nothing."""
        last_ns, last_mm = self._at_ns[-1], self._mm[-1]
        moved_mm = self._moved_mm(count)
        jumped = abs(moved_mm) > BURST_MM + ENCODER_LIMIT_MM_S * (at_ns - last_ns) / 1e9
        if at_ns < last_ns or (at_ns == last_ns and jumped):
            return False
        assumed_mm = self._assumed_mm(at_ns) if jumped or at_ns > last_ns + HOLD_NS else None
        if jumped:
            self.resets += 1
            self._forgot = True
            self._at_ns, self._mm = [at_ns], [last_mm if assumed_mm is None else assumed_mm]
        elif at_ns == last_ns:
            self._mm[-1] = last_mm + moved_mm
        else:
            self._at_ns.append(at_ns)
            self._mm.append(last_mm + moved_mm if assumed_mm is None else assumed_mm)
        return True

    def travel_mm(self, at_ns: int) -> float | None:
        """Return travel since the first sample, or None where neither samples nor a fallback reach."""
        times = self._at_ns
        if not times or not times[0] <= at_ns <= times[-1] + HOLD_NS:
            return self._assumed_mm(at_ns)
        right = bisect_left(times, at_ns)
        if right == len(times):
            speed = self.speed_mm_s(at_ns)
            return None if speed is None else self._mm[-1] + speed * (at_ns - times[-1]) / 1e9
        left = max(right - 1, 0)
        share = (times[right] - at_ns) / max(times[right] - times[left], 1)
        return self._mm[right] - share * (self._mm[right] - self._mm[left])

    def speed_mm_s(self, at_ns: int) -> float | None:
        """Return the mean speed over the last 100 ms of samples, which evens out whole counts."""
        times = self._at_ns
        if len(times) < 2 or not times[0] <= at_ns <= times[-1] + HOLD_NS:
            return self._fallback_mm_s
        last = max(1, min(bisect_left(times, at_ns), len(times) - 1))
        first = min(bisect_left(times, times[last] - HOLD_NS), last - 1)
        return (self._mm[last] - self._mm[first]) / (times[last] - times[first]) * 1e9

    def count_at(self, travel_mm: float) -> int | None:
        """Return what the counter shows when travel is so far, wrapped, or None before the first sample."""
        if not self._mm:
            return None
        return (self._count + round((travel_mm - self._mm[-1]) / self._mm_per_count)) % self._modulo

    def set_speed_mm_s(self) -> float | None:
        """Return the fallback speed."""
        return self._fallback_mm_s

    def stands(self, at_ns: int) -> bool:
        """Tell whether the last 100 ms of samples hold no movement."""
        speed_mm_s = self.speed_mm_s(at_ns)
        return self.ref(at_ns) == "ENC1" and speed_mm_s is not None and abs(speed_mm_s) < STANDSTILL_MM_S

    def travel_of(self, count: int) -> float | None:
        """Return the travel at which the counter showed, or will show, `count`: the one nearest to now."""
        return self._mm[-1] + self._moved_mm(count % self._modulo) if self._mm else None

    def _moved_mm(self, count: int) -> float:
        half = self._modulo // 2
        return ((count - self._count + half) % self._modulo - half) * self._mm_per_count

    def _assumed_mm(self, at_ns: int) -> float | None:
        """Return where the fallback speed takes the belt beyond the samples on either side."""
        if self._fallback_mm_s is None:
            return None
        if not self._at_ns:
            return self._fallback_mm_s * at_ns / 1e9
        first_ns, last_ns = self._at_ns[0], self._at_ns[-1]
        if at_ns < first_ns:
            return None if self._forgot else self._mm[0] - self._fallback_mm_s * (first_ns - at_ns) / 1e9
        held_ns = last_ns + HOLD_NS
        if at_ns < held_ns:
            return self._mm[-1] + self._fallback_mm_s * (at_ns - last_ns) / 1e9
        speed_mm_s = self.speed_mm_s(held_ns) or 0.0
        return self._mm[-1] + speed_mm_s * HOLD_NS / 1e9 + self._fallback_mm_s * (at_ns - held_ns) / 1e9
