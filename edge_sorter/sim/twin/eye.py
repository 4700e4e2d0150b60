"""The photo-eye that gives the PLC its items: dark while anything is before it, a hand as well as a parcel.

Contract: `look` goes over one step of the belt and returns the edges in it, in order; a gap of less than `EYE_MM` is
not seen. What is past the eye when the line begins was seen by it, as the first step tells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from edge_sorter.sim.twin.drafts import EYE_MM
from edge_sorter.sim.twin.falls import Falls
from edge_sorter.sim.twin.mishaps import Hand


@dataclass(frozen=True, slots=True)
class EyeEdge:
    """The photo-eye went dark (front) or light again (rear): which stretch, and the count latched at that edge."""

    stretch: int
    front: bool
    count: int


CountAt = Callable[[float], int]
"""Count at a share of the step, 0 to 1; at less than 0, so many mm of belt before it."""


class Eye:
    """One photo-eye.

    Args:
        at_mm: Where it is.
        count: How many things are on the belt, foremost first.
        hands: In its beam.

    Attributes:
        stretch_of: Piece of covered belt by index of the thing that lay there.
        pieces: How many pieces it has seen.
    """

    def __init__(self, at_mm: float, count: int, hands: Iterable[Hand]) -> None:
        self.stretch_of: dict[int, int] = {}
        self.pieces = 0
        self._at_mm, self._count = at_mm, count
        waves = [((hand.begin_s, True), (hand.end_s, False)) for hand in hands]
        self._waves = sorted((at_s, begins, -1 - n) for n, wave in enumerate(waves) for at_s, begins in wave)
        self._next_wave = 0
        self._next = 0  # things before this one have come
        self._before: set[int] = set()  # things before the eye by index; hands as -1, -2, ...
        self._dark = False
        self._light: tuple[int, int] | None = None  # the thing whose rear was here, and the count then

    def look(self, falls: Falls, count_at: CountAt, *, from_s: float, to_s: float) -> list[EyeEdge]:
        """Return what it saw while everything went on from one world time to another."""
        edges: list[EyeEdge] = []
        for share, comes, who in sorted(self._passing(falls) + self._waved(from_s, to_s)):
            if comes:
                if not self._dark:
                    edges.append(EyeEdge(self.pieces, True, count_at(share)))
                    self.pieces, self._dark = self.pieces + 1, True
                if who >= 0:
                    self.stretch_of[who] = self.pieces - 1
                    self._next = max(self._next, who + 1)
                self._before.add(who)
                self._light = None
                continue
            self._before.discard(who)
            if not self._before:
                self._light = (who, count_at(share))
                if who < 0 or not self._follows_closely(falls, share):
                    edges.append(self._lit())
        if self._light is not None and self._gap_opened(falls):
            edges.append(self._lit())
        return edges

    def _lit(self) -> EyeEdge:
        assert self._light is not None
        edge = EyeEdge(self.pieces - 1, False, self._light[1])
        self._dark, self._light = False, None
        return edge

    def _passing(self, falls: Falls) -> list[tuple[float, bool, int]]:
        found, coming = [], self._next
        while coming < self._count and falls.ends(coming)[1] >= self._at_mm:
            found.append((self._share(falls.ends_before(coming)[1], falls.ends(coming)[1]), True, coming))
            coming += 1
        for who in (*(who for who in self._before if who >= 0), *range(self._next, coming)):
            if falls.ends(who)[0] >= self._at_mm:
                found.append((self._share(falls.ends_before(who)[0], falls.ends(who)[0]), False, who))
        return found

    def _share(self, before_mm: float, now_mm: float) -> float:
        past_mm = self._at_mm - before_mm
        return past_mm if past_mm <= 0.0 else past_mm / (now_mm - before_mm)

    def _waved(self, from_s: float, to_s: float) -> list[tuple[float, bool, int]]:
        found = []
        while self._next_wave < len(self._waves) and self._waves[self._next_wave][0] <= to_s:
            at_s, begins, who = self._waves[self._next_wave]
            found.append(((at_s - from_s) / (to_s - from_s) if to_s > from_s else 1.0, begins, who))
            self._next_wave += 1
        return found

    def _follows_closely(self, falls: Falls, share: float) -> bool:
        """Tell whether the next thing is so near at that moment that the eye sees no gap before it."""
        if self._next >= self._count:
            return False
        before_mm, now_mm = falls.ends_before(self._next)[1], falls.ends(self._next)[1]
        front_mm = before_mm + (share * (now_mm - before_mm) if share >= 0.0 else share)
        return front_mm > self._at_mm - EYE_MM

    def _gap_opened(self, falls: Falls) -> bool:
        """Tell whether the next thing has stayed behind the one that left the eye."""
        assert self._light is not None
        return falls.ends(self._light[0])[0] - falls.ends(self._next)[1] > EYE_MM
