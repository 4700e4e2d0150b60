"""How often a parcel has come round: the same tracking number, or code, seen again within the time of the loop.

Contract: `Rounds.seen` counts; memory is bounded, oldest first. A parcel without a code cannot be recognised.
"""

from __future__ import annotations

from collections import OrderedDict

from edge_sorter.sort.conditions import Facts
from edge_sorter.sort.plan_parts import Recirculation

REMEMBERED = 4096
"""Parcels kept: more than are on any loop."""


class Rounds:
    """Parcels that may come round again."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def seen(self, facts: Facts, rule: Recirculation | None, *, at_ns: int) -> int:
        """Note a parcel and return how often it was seen before."""
        identity = facts.keys.known.get("tracking") or next((code.text for code in facts.parcel.codes), None)
        if rule is None or identity is None:
            return 0
        rounds, last_ns = self._seen.pop(identity, (-1, at_ns))
        rounds = rounds + 1 if at_ns - last_ns <= rule.loop_s * 1e9 else 0
        self._seen[identity] = (rounds, at_ns)
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return rounds
