"""How two rules lie to each other: can one parcel meet both, does one take all of the other's, can any meet it at all.

Contract: pure. `apart`, `covers` and `impossible` say yes only where it is certain.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from edge_sorter.sort.conditions import KeyLike, SizeIn
from edge_sorter.sort.plan_parts import When
from edge_sorter.sort.route_keys import KEYS

FROM_CODES = frozenset({"code", *KEYS})
"""Conditions that only a parcel with an accepted code can meet."""


def apart(a: When, b: When) -> bool:
    """Whether no parcel can meet both, going by one condition at a time."""
    one, two = a.conditions, b.conditions
    if any(about in two and condition.apart(two[about]) for about, condition in one.items()):
        return True
    if (a.unread is True and _reads(b)) or (b.unread is True and _reads(a)):
        return True
    return _longest_apart(a, b) or _longest_apart(b, a)


def covers(wide: When, narrow: When, classes: tuple[str, ...] | None) -> bool:
    """Whether every parcel that meets `narrow` meets `wide`.

    Args:
        wide, narrow: Conditions of two rules.
        classes: All that the model can tell apart; a rule without classes still only ever sees those.
    """
    narrow_conditions = narrow.conditions
    for about, condition in wide.conditions.items():
        other = narrow_conditions.get(about)
        if other is not None:
            if not condition.covers(other):
                return False
        elif about == "class":
            if classes is None or not set(classes) <= set(wide.classes or ()):
                return False
        elif not (about == "unread" and wide.unread is False and _reads(narrow)):
            return False
    return True


def impossible(when: When) -> str | None:
    """Return why no parcel at all can meet this, or None."""
    if when.unread is True and _reads(when):
        return "it asks for a code and for none"
    if _longest_apart(when, when):
        return "its longest side would be shorter than its length or width"
    return None


def neighbours(whens: Sequence[When]) -> list[list[int]]:
    """Return for every entry which earlier ones it may share a parcel with; all others are apart for certain.

    A plan of a thousand postcode rules has half a million pairs. Along the one thing most rules ask about, a route key
    or a size, only those are neighbours whose spans meet, and all pairs are found in one sweep.
    """
    asked = Counter(about for when in whens for about, c in when.conditions.items() if isinstance(c, (KeyLike, SizeIn)))
    along = asked.most_common(1)[0][0] if asked else None
    spans: list[tuple[Any, Any, int]] = []
    anywhere: list[int] = []
    for index, when in enumerate(whens):
        condition = when.conditions.get(along or "")
        if isinstance(condition, (KeyLike, SizeIn)):
            spans += [(low, high, index) for low, high in condition.spans()]
        else:
            anywhere.append(index)
    found: list[set[int]] = [{other for other in anywhere if other < index} for index in range(len(whens))]
    for index in anywhere:
        found[index] = set(range(index))
    open_spans: list[tuple[Any, int]] = []
    for low, high, index in sorted(spans):
        open_spans = [span for span in open_spans if span[0] >= low]
        for _, other in open_spans:
            found[max(index, other)].add(min(index, other))
        open_spans.append((high, index))
    return [sorted(others - {index}) for index, others in enumerate(found)]


def _reads(when: When) -> bool:
    return not FROM_CODES.isdisjoint(when.conditions)


def _longest_apart(a: When, b: When) -> bool:
    """Whether `a` allows only parcels whose longest side is below the length or width that `b` asks for."""
    longest = a.conditions.get("longest_mm")
    if not isinstance(longest, SizeIn) or longest.high is None:
        return False
    sides = (b.conditions.get(name) for name in ("length_mm", "width_mm"))
    return any(isinstance(side, SizeIn) and side.low is not None and side.low >= longest.high for side in sides)
