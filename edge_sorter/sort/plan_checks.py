"""Contradictions within a sort plan: what is well formed line by line and still cannot work as a whole.

Contract: `contradictions` yields every one it finds as (place in the file, sentence), in no particular order. It is
cautious the safe way round: rules of equal priority must be *provably* apart, a rule is called unreachable only when
one earlier rule *provably* takes all of its parcels.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_sorter.sort.plan import CodeCondition, Lane, Rule, When

Place = tuple[str | int, ...]
Finding = tuple[Place, str]
Band = tuple[float | None, float | None]

BANDS = ("length_mm", "width_mm", "longest_mm")


def contradictions(
    *,
    lanes: Mapping[int, Lane],
    lane_names: list[str],
    rules: Mapping[int, Rule],
    ends: Mapping[str, str],
    classes: tuple[str, ...] | None,
    calibrated: bool,
) -> Iterator[Finding]:
    """Yield what does not fit together.

    Args:
        lanes, rules: The well-formed entries by their index in the file.
        lane_names: Ids of all lanes, of the malformed ones too.
        ends: The lanes named by "default" and "exception", as far as given.
        classes: What the model can tell apart, or None when unknown.
        calibrated: Whether sizes will be known.
    """
    known = lane_names
    yield from _twice("lanes", "id", {i: lane.id for i, lane in lanes.items()})
    yield from _twice("lanes", "plc", {i: lane.plc for i, lane in lanes.items()})
    yield from _twice("rules", "id", {i: rule.id for i, rule in rules.items()})
    for key, name in ends.items():
        if name not in known:
            yield (key,), f"lane {name!r} does not exist{_nearest(name, known, 'lanes')}"
    for index, rule in rules.items():
        for place, name in enumerate(rule.to):
            if name not in known:
                yield ("rules", index, "to", place), f"lane {name!r} does not exist{_nearest(name, known, 'lanes')}"
            elif name in rule.to[:place]:
                yield ("rules", index, "to", place), f"lane {name!r} is named twice"
        for name in rule.when.classes or ():
            if classes is not None and name not in classes:
                hint = _nearest(name, list(classes), "classes")
                yield ("rules", index, "when", "class"), f"the model has no class {name!r}{hint}"
        for band in BANDS:
            if getattr(rule.when, band) is not None and not calibrated:
                yield ("rules", index, "when", band), "a size rule needs belt.calibration in the configuration"
    yield from _between_rules(rules, classes)


def _between_rules(rules: Mapping[int, Rule], classes: tuple[str, ...] | None) -> Iterator[Finding]:
    ordered = sorted(rules.items(), key=lambda item: (item[1].priority, item[0]))
    for later, (index, rule) in enumerate(ordered):
        for _, earlier in ordered[:later]:
            if earlier.priority == rule.priority:
                if not _apart(earlier.when, rule.when):
                    yield (
                        ("rules", index, "priority"),
                        f"rules {earlier.id!r} and {rule.id!r} share priority {rule.priority} and one parcel may match "
                        "both; give one of them another priority",
                    )
                    break
            elif _covers(earlier.when, rule.when, classes):
                yield (
                    ("rules", index, "when"),
                    f"rule {rule.id!r} is never reached: {earlier.id!r} (priority {earlier.priority}) takes all of "
                    "its parcels",
                )
                break


def _twice(section: str, key: str, values: Mapping[int, str | int]) -> Iterator[Finding]:
    first: dict[str | int, int] = {}
    for index, value in values.items():
        if value in first:
            yield (section, index, key), f"{value!r} is already taken by entry {first[value] + 1} of {section}"
        first.setdefault(value, index)


def _nearest(name: str, known: list[str], what: str) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; {what}: {', '.join(known)}" if known else ""


def _apart(a: When, b: When) -> bool:
    """Whether no parcel can meet both, going by one condition at a time.

    A parcel may carry several codes and so meet two different code conditions; those count as apart all the same
    when no single code meets both, because labels with contradicting codes go to the exception lane.
    """
    if a.classes is not None and b.classes is not None and not set(a.classes) & set(b.classes):
        return True
    if any(_bands_apart(getattr(a, name), getattr(b, name)) for name in BANDS):
        return True
    if a.unread is not None and b.unread is not None and a.unread != b.unread:
        return True
    if (a.unread and b.code is not None) or (b.unread and a.code is not None):
        return True
    return a.code is not None and b.code is not None and _codes_apart(a.code, b.code)


def _bands_apart(a: Band | None, b: Band | None) -> bool:
    if a is None or b is None:
        return False
    return (a[1] is not None and b[0] is not None and a[1] <= b[0]) or (
        b[1] is not None and a[0] is not None and b[1] <= a[0]
    )


def _starts(code: CodeCondition) -> list[tuple[str, str]] | None:
    """The starts a code may have, as (first, last) pairs of equal length; None when anything may come first."""
    if code.range is not None:
        return [code.range]
    return None if code.prefix is None else [(prefix, prefix) for prefix in code.prefix]


def _codes_apart(a: CodeCondition, b: CodeCondition) -> bool:
    if a.symbology is not None and b.symbology is not None and not set(a.symbology) & set(b.symbology):
        return True
    starts_a, starts_b = _starts(a), _starts(b)
    if starts_a is None or starts_b is None:
        return False
    return not any(_starts_meet(x, y) for x in starts_a for y in starts_b)


def _starts_meet(a: tuple[str, str], b: tuple[str, str]) -> bool:
    shorter = min(len(a[0]), len(b[0]))
    return a[0][:shorter] <= b[1][:shorter] and b[0][:shorter] <= a[1][:shorter]


def _covers(wide: When, narrow: When, classes: tuple[str, ...] | None) -> bool:
    """Whether every parcel that meets `narrow` meets `wide`."""
    # A rule without classes still only ever sees those of the model.
    if wide.classes is not None and not set(narrow.classes or classes or ("anything",)) <= set(wide.classes):
        return False
    if not all(_band_covers(getattr(wide, name), getattr(narrow, name)) for name in BANDS):
        return False
    if wide.unread is not None and wide.unread != narrow.unread and (wide.unread or narrow.code is None):
        return False
    if wide.flags is not None and (narrow.flags is None or not set(narrow.flags) <= set(wide.flags)):
        return False
    return wide.code is None or (narrow.code is not None and _code_covers(wide.code, narrow.code))


def _band_covers(wide: Band | None, narrow: Band | None) -> bool:
    if wide is None:
        return True
    if narrow is None:
        return False
    low = wide[0] is None or (narrow[0] is not None and narrow[0] >= wide[0])
    high = wide[1] is None or (narrow[1] is not None and narrow[1] <= wide[1])
    return low and high


def _code_covers(wide: CodeCondition, narrow: CodeCondition) -> bool:
    if wide == narrow:
        return True
    if wide.symbology is not None and (narrow.symbology is None or not set(narrow.symbology) <= set(wide.symbology)):
        return False
    if wide.regex is not None and wide.regex != narrow.regex:
        return False
    if wide.range is not None and not _starts_within(narrow, [wide.range]):
        return False
    return wide.prefix is None or _starts_within(narrow, [(prefix, prefix) for prefix in wide.prefix])


def _starts_within(narrow: CodeCondition, wide: list[tuple[str, str]]) -> bool:
    starts = _starts(narrow)
    return starts is not None and all(
        any(len(low) >= len(x) and x <= low[: len(x)] and high[: len(x)] <= y for x, y in wide) for low, high in starts
    )
