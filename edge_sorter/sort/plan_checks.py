"""Contradictions within a sort plan: what is well formed line by line and still cannot work as a whole.

Contract: `contradictions` yields every one it finds as (place in the file, sentence), in no particular order. It is
cautious the safe way round: rules of equal priority must be *provably* apart, a rule is called unreachable only when
one earlier rule *provably* takes all of its parcels.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from edge_sorter.sort.plan_codes import CodeEntry
from edge_sorter.sort.plan_overlap import apart, covers, impossible, neighbours
from edge_sorter.sort.plan_parts import CALIBRATED_SIZES, Lane, LaneGroup, Rule
from edge_sorter.sort.route_keys import KEYS
from edge_sorter.types import PARCEL_FLAGS

Place = tuple[str | int, ...]
Finding = tuple[Place, str]


class _Names(NamedTuple):
    """What may be named: lanes, groups of them, classes of the model (None: unknown), and keys that codes give."""

    lanes: list[str]
    groups: list[str]
    classes: tuple[str, ...] | None
    keys: frozenset[str]


def contradictions(
    *,
    lanes: Mapping[int, Lane],
    lane_names: list[str],
    groups: Mapping[int, LaneGroup],
    group_names: list[str],
    codes: Mapping[int, CodeEntry],
    rules: Mapping[int, Rule],
    ends: Mapping[str, str],
    classes: tuple[str, ...] | None,
    calibrated: bool,
    told: Iterable[str] = (),
) -> Iterator[Finding]:
    """Yield what does not fit together.

    Args:
        lanes, groups, codes, rules: The well-formed entries by their index in the file.
        lane_names, group_names: Ids of all lanes and groups, of the malformed ones too.
        ends: The lanes named by "default", "exception" and "overflow", as far as given.
        classes: What the model can tell apart, or None when unknown.
        calibrated: Whether sizes will be known.
        told: Route keys that the host may tell.
    """
    keys = frozenset(chain(told, *(entry.gives for entry in codes.values())))
    names = _Names(lane_names, group_names, classes, keys)
    yield from _twice("lanes", "id", {i: lane.id for i, lane in lanes.items()})
    yield from _twice("lanes", "plc", {i: lane.plc for i, lane in lanes.items()})
    yield from _twice("groups", "id", {i: group.id for i, group in groups.items()})
    yield from _twice("codes", "id", {i: entry.id for i, entry in codes.items()})
    yield from _twice("rules", "id", {i: rule.id for i, rule in rules.items()})
    for key, name in ends.items():
        yield from _missing((key,), name, lane_names, "lane")
    for index, lane in lanes.items():
        if lane.max_fill_mm_s is not None and not calibrated:
            yield ("lanes", index, "max_fill_mm_s"), "a limit in millimetres needs belt.calibration"
    for index, group in groups.items():
        if group.id in lane_names:
            yield ("groups", index, "id"), f"{group.id!r} is already the name of a lane"
        yield from _targets(("groups", index, "lanes"), group.lanes, lane_names)
    for index, rule in rules.items():
        yield from _of_rule(index, rule, names, calibrated=calibrated)
    yield from _between_rules(rules, classes)


def _of_rule(index: int, rule: Rule, names: _Names, *, calibrated: bool) -> Iterator[Finding]:
    place: Place = ("rules", index)
    yield from _targets((*place, "to"), rule.to, names.lanes + names.groups)
    yield from _targets((*place, "late_to"), rule.late_to or (), names.lanes + names.groups)
    if rule.overflow is not None:
        yield from _missing((*place, "overflow"), rule.overflow, names.lanes, "lane")
    when: Place = (*place, "when")
    for name in rule.when.classes or ():
        if names.classes is not None and name not in names.classes:
            yield (*when, "class"), f"the model has no class {name!r}{_nearest(name, list(names.classes), 'classes')}"
    for name in rule.when.flags or ():
        if name not in PARCEL_FLAGS:
            yield (*when, "flags"), f"there is no flag {name!r}{_nearest(name, list(PARCEL_FLAGS), 'flags')}"
    for key in KEYS:
        if getattr(rule.when, key) is not None and key not in names.keys:
            yield (*when, key), f"no entry of `codes` gives a {key}, nor does the host, so no parcel ever has one"
    for band in CALIBRATED_SIZES:
        if getattr(rule.when, band) is not None and not calibrated:
            yield (*when, band), "a size rule needs belt.calibration in the configuration"
    why = impossible(rule.when)
    if why is not None:
        yield when, f"no parcel can meet this: {why}"


def _between_rules(rules: Mapping[int, Rule], classes: tuple[str, ...] | None) -> Iterator[Finding]:
    ordered = sorted(rules.items(), key=lambda item: (item[1].rank, item[0]))
    for (index, rule), others in zip(ordered, neighbours([rule.when for _, rule in ordered]), strict=True):
        for other in others:
            earlier = ordered[other][1]
            if earlier.rank == rule.rank:
                if not apart(earlier.when, rule.when):
                    yield (
                        ("rules", index, "priority"),
                        f"rules {earlier.id!r} and {rule.id!r} share priority {rule.rank} and one parcel may match "
                        "both; give one of them another priority",
                    )
                    break
            elif covers(earlier.when, rule.when, classes):
                yield (
                    ("rules", index, "when"),
                    f"rule {rule.id!r} is never reached: {earlier.id!r} (priority {earlier.rank}) takes all of "
                    "its parcels",
                )
                break


def _twice(section: str, key: str, values: Mapping[int, str | int]) -> Iterator[Finding]:
    first: dict[str | int, int] = {}
    for index, value in values.items():
        if value in first:
            yield (section, index, key), f"{value!r} is already taken by entry {first[value] + 1} of {section}"
        first.setdefault(value, index)


def _targets(place: Place, targets: Sequence[str], known: list[str]) -> Iterator[Finding]:
    for index, name in enumerate(targets):
        if name not in known:
            yield from _missing((*place, index), name, known, "lane")
        elif name in targets[:index]:
            yield (*place, index), f"lane {name!r} is named twice"


def _missing(place: Place, name: str, known: list[str], what: str) -> Iterator[Finding]:
    if name not in known:
        yield place, f"{what} {name!r} does not exist{_nearest(name, known, what + 's')}"


def _nearest(name: str, known: list[str], what: str) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; {what}: {', '.join(known)}" if known else ""
