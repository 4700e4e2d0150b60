"""How a text may begin: the patterns of prefixes, ranges and whole values, and how two of them lie to each other.

Contract: pure and exact. A plan is checked for overlapping and unreachable rules by these relations, so `meets` must
never say no, and `within` never say yes, where a text could prove it wrong.
"""

from __future__ import annotations

from typing import NamedTuple


class Start(NamedTuple):
    """Texts that begin with something from `low` to `high` (equally long); with `whole`, the text ends there too."""

    low: str
    high: str
    whole: bool = False

    def holds(self, text: str) -> bool:
        """Tell whether a text begins like this."""
        length = len(self.low)
        if len(text) < length or (self.whole and len(text) != length):
            return False
        return self.low <= text[:length] <= self.high

    def meets(self, other: Start) -> bool:
        """Tell whether one text can begin like both."""
        one, two = len(self.low), len(other.low)
        if (self.whole and two > one) or (other.whole and one > two):
            return False
        shorter = min(one, two)
        return self.low[:shorter] <= other.high[:shorter] and other.low[:shorter] <= self.high[:shorter]

    def within(self, wide: Start) -> bool:
        """Tell whether every text that begins like this begins like `wide`."""
        length = len(wide.low)
        if len(self.low) < length or (wide.whole and not (self.whole and len(self.low) == length)):
            return False
        return wide.low <= self.low[:length] and self.high[:length] <= wide.high


def parse_start(text: str) -> Start:
    """Read a pattern as people write it: `DE` (exactly that), `70*` (begins so), `70000..72999` (from, to).

    Raises:
        ValueError: It is none of these.
    """
    if ".." in text:
        low, _, high = text.partition("..")
        if not low or len(low) != len(high) or low > high or "*" in text or ".." in high:
            raise ValueError(f"range {text!r}: give two equally long starts, the smaller one first, as in 70000..72999")
        return Start(low, high)
    if text.endswith("*") and text.count("*") == 1 and len(text) > 1:
        return Start(text[:-1], text[:-1])
    if not text or "*" in text:
        raise ValueError(f"{text!r}: a star may only stand at the end, after something, as in 70*")
    return Start(text, text, whole=True)


def show_start(start: Start) -> str:
    """Write a pattern as people read it."""
    if start.low != start.high:
        return f"{start.low}..{start.high}"
    return start.low if start.whole else f"{start.low}*"
