"""A network that loses, repeats and swaps messages, for tests of the delivery contract; seeded."""

from __future__ import annotations

import random
from collections import Counter
from typing import Generic, TypeVar

T = TypeVar("T")


class BadNetwork(Generic[T]):
    """One direction of a bad way between two programs.

    Attributes:
        did: How many messages passed, were LOST, came TWICE, or were SWAPPED with the next one.
    """

    def __init__(self, seed: int, *, lost: float = 0.01, twice: float = 0.01, swapped: float = 0.01) -> None:
        self.did: Counter[str] = Counter()
        self._chance = random.Random(seed)
        self._kinds, self._weights = ("LOST", "TWICE", "SWAPPED", "passed"), (lost, twice, swapped)
        self._held: list[T] = []

    def deliver(self, message: T) -> list[T]:
        """Return what arrives when a message is sent: nothing, it, it twice, and whatever was held up before it."""
        kind = self._chance.choices(self._kinds, (*self._weights, 1.0 - sum(self._weights)))[0]
        self.did[kind] += 1
        held, self._held = self._held, []
        if kind == "LOST":
            return held
        if kind == "SWAPPED":
            self._held = [message]
            return held
        return [message, *held] if kind == "passed" else [message, message, *held]
