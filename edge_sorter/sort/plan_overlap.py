"""How two rules lie to each other: can one parcel meet both, does one take all of the other's, can any meet it at all.

Contract: pure. `apart`, `covers` and `impossible` say yes only where it is certain.
"""

from __future__ import annotations

from edge_sorter.sort.conditions import SizeIn
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


def _reads(when: When) -> bool:
    return not FROM_CODES.isdisjoint(when.conditions)


def _longest_apart(a: When, b: When) -> bool:
    """Whether `a` allows only parcels whose longest side is below the length or width that `b` asks for."""
    longest = a.conditions.get("longest_mm")
    if not isinstance(longest, SizeIn) or longest.high is None:
        return False
    sides = (b.conditions.get(name) for name in ("length_mm", "width_mm"))
    return any(isinstance(side, SizeIn) and side.low is not None and side.low >= longest.high for side in sides)
