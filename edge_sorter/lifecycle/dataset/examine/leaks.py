"""Find what two parts of a split share: then the test measures memory, not skill.

Contract: pure. `parts` maps picture files to part names; files in no part are ignored.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from edge_sorter.lifecycle.dataset.examine.findings import Finding, finding
from edge_sorter.lifecycle.dataset.values import Dataset, Picture

SHARED = {
    "day": ("day", "clip", "parcel", "original"),
    "clip": ("clip", "parcel", "original"),
    "parcel": ("parcel", "original"),
}
"""What a split keeps together -> what its parts may not share."""
LEVELS = SHARED["clip"]


def keys_of(picture: Picture, levels: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield what a picture may share with others, as (level, name); names count within their source only."""
    groups = picture.groups
    for level in levels:
        if level == "day" and groups.day:
            yield "day", groups.day
        elif level == "clip" and groups.clip:
            yield "clip", f"{picture.source}/{groups.clip}"
        elif level == "parcel":
            yield from (("parcel", f"{picture.source}/{parcel}") for parcel in groups.parcels)
        elif level == "original" and groups.original:
            yield "original", f"{picture.source}/{groups.original}"


def leaks(
    data: Dataset,
    parts: Mapping[str, str],
    twins: Iterable[Sequence[str]],
    *,
    levels: Iterable[str] = LEVELS,
) -> Iterator[Finding]:
    """Yield one finding for everything that lies in two parts: a clip, a parcel, an original, or a pair of twins."""
    holders: dict[tuple[str, str], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    levels = tuple(levels)
    for picture in sorted(data.pictures, key=lambda item: item.file):
        part = parts.get(picture.file)
        for key in keys_of(picture, levels) if part else ():
            holders[key][str(part)].append(picture.file)
    for (level, name), by_part in sorted(holders.items()):
        if len(by_part) > 1:
            first, second = (files[0] for _, files in sorted(by_part.items())[:2])
            spread = ", ".join(f"{part} {len(files)}" for part, files in sorted(by_part.items()))
            yield finding("leak", first, value=f"{level} {name}: {spread}", other=second)
    for one, two, *_ in twins:
        if parts.get(one) and parts.get(two) and parts[one] != parts[two]:
            yield finding("leak", one, value=f"same picture: {parts[one]}, {parts[two]}", other=two)
