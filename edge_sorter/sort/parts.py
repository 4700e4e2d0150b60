"""Which track may be a part of another track's parcel: cut off from it, or grown back into it.

Contract: functions of what was seen; they name suspects, and `is_part` is the last word once those were decided.
All of it needs the belt-fixed frame, so without a calibrated belt of known motion there are no suspects.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edge_sorter.belt import BeltMap
from edge_sorter.sort.footprint import TOGETHER_NS, Trail, share_inside
from edge_sorter.sort.path import Path
from edge_sorter.sort.taken import Taken
from edge_sorter.sort.whereabouts import Extent, belt_fixed
from edge_sorter.types import Box, Parcel

PART = 0.7
"""A track of which this share was born inside another's footprint may be a part of that parcel."""
GROWN = 0.5
"""The same for the place of a lost track in a later look: what stands up leans this way first, then that way."""
CUT = 0.2
"""A parcel that lost this share of a side while a new box gives it back was cut there."""
REPLACED_LOOKS = 2
"""Looks at all of a parcel, since its track was seen last, that make its former part the one to decide."""


def cut_from(
    born: Parcel, parcels: Sequence[Parcel], paths: Mapping[int, Path], *, belt_map: BeltMap, travel_mm: float
) -> tuple[int, ...]:
    """Return the tracks in whose footprint a new one was born, or that lost what the new one shows.

    Else a track whose own box goes on covering that place was not cut: something lies on it, or in its box's corner.
    """
    box: Box | None = None
    found = []
    for parcel in parcels:
        path = paths.get(parcel.track.track_id)
        if path is None or parcel is born or not _near(parcel.track.xyxy, born.track.xyxy):
            continue
        if parcel.track.measured and _complete(born, parcel, path.trail, belt_map=belt_map):
            found.append(parcel.track.track_id)
            continue
        if parcel.track.measured and share_inside(born.track.looked_xyxy, parcel.track.looked_xyxy) > 1.0 - PART:
            continue
        if box is None:
            box = belt_fixed(belt_map, born.track.looked_xyxy, travel_mm)
        if path.trail.whereabouts and any(share_inside(box, whole) >= PART for whole in path.trail.whereabouts.reaches):
            found.append(parcel.track.track_id)
    return tuple(found)


def grown_into(
    lost: Parcel, trail: Trail, parcels: Sequence[Parcel], paths: Mapping[int, Path], *, belt_map: BeltMap
) -> tuple[int, ...]:
    """Return the tracks that have since been seen where an unseen one has to be: its parcel is whole again.

    One that waits for the unseen track itself is named when it has replaced it: the parts have changed their roles.
    """
    mine: Box | None = None
    found = []
    for parcel in parcels:
        path = paths.get(parcel.track.track_id)
        if path is None or path.trail is trail or not path.confirmed or not _near(parcel.track.xyxy, lost.track.xyxy):
            continue
        if _waits_for(path, lost.track.track_id, paths) and not _replaced(lost, path):
            continue
        look = path.trail.seen[-1] if path.trail.seen else None
        if look is None or look.travel_mm is None or look.at_ns <= lost.track.last_seen_ns:
            continue
        mine = mine or _flat(trail.extent())
        if mine is not None and share_inside(mine, belt_fixed(belt_map, look.box, look.travel_mm)) >= GROWN:
            found.append(parcel.track.track_id)
    return tuple(found)


def _complete(born: Parcel, cut: Parcel, trail: Trail, *, belt_map: BeltMap) -> bool:
    """Tell whether a new box and what is left of a parcel's are as large as the parcel was, and fill what they span.

    Else the new one is a parcel of its own that comes in close behind one that was cut.
    """
    before = [look.box for look in list(trail.seen)[:-1] if look.whole]
    if len(before) < 2:
        return False
    a, b = cut.track.looked_xyxy, born.track.looked_xyxy
    both = (min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3]))
    *earlier, now, new, together = belt_map.size_mm([*before, a, b, both]).tolist()
    was = [sorted(sides)[-2] for sides in zip(*earlier, strict=True)]  # the largest may be an odd one
    alike = all(abs(side / full - 1.0) <= CUT for side, full in zip(together, was, strict=True))
    filled = all(one + other >= (1.0 - CUT) * full for one, other, full in zip(now, new, was, strict=True))
    return alike and filled and any(side < (1.0 - CUT) * full for side, full in zip(now, was, strict=True))


def _replaced(lost: Parcel, path: Path) -> bool:
    """Tell whether a track that waits for a lost one, and may decide itself, was looked at often since."""
    since = sum(look.at_ns > lost.track.last_seen_ns for look in path.trail.seen)
    return path.part_of == (lost.track.track_id,) and not path.began_past and since >= REPLACED_LOOKS


def seen_apart(part: Trail, whole: Trail, *, gap_mm: float) -> bool:
    """Tell whether two tracks were seen together for long with belt between them: they came in as one box."""
    if part.together_ns(whole) < TOGETHER_NS or part.hangs_on(whole):
        return False
    one, other = part.extent(), whole.extent()
    return one is None or other is None or one.clear_mm(other) > gap_mm


def waits(path: Path, paths: Mapping[int, Path], *, gap_mm: float) -> bool:
    """Tell whether a suspect leaves deciding to a track it may be a part of; forget those it was seen apart from."""
    if not path.part_of:
        return False
    path.part_of = tuple(
        track_id
        for track_id in path.part_of
        if track_id not in paths or not seen_apart(path.trail, paths[track_id].trail, gap_mm=gap_mm)
    )
    wholes = [paths[track_id] for track_id in path.part_of if track_id in paths]
    return any(not whole.settled and whole.confirmed for whole in wholes)


def is_part(path: Path, paths: Mapping[int, Path], taken: Taken, *, gap_mm: float) -> bool:
    """Tell whether a track that this one may be a part of was decided, alone or in a group, about this place."""
    for track_id in path.part_of:
        decided = track_id in taken or (track_id in paths and paths[track_id].settled)
        if not decided:
            continue
        whole = paths.get(track_id)
        hangs_on = whole is not None and path.trail.hangs_on(whole.trail)
        place = taken.extent(track_id)
        if whole is not None and track_id not in taken:  # a part itself, so no decision was about its place
            place = whole.trail.extent()
        if hangs_on or not path.trail.clear_of(place, gap_mm):
            return True
    return False


def parts_of(track_id: int, path: Path, paths: Mapping[int, Path]) -> list[Extent]:
    """Return where the parts of a parcel lie that its decision is about as well: they wait for it and hang on it."""
    parts = (p for p in paths.values() if track_id in p.part_of and not p.settled and p.trail.hangs_on(path.trail))
    return [extent for part in parts if (extent := part.trail.extent()) is not None]


def _waits_for(path: Path, track_id: int, paths: Mapping[int, Path]) -> bool:
    """Tell whether a track waits for another, maybe by way of a third: two that wait for one another never decide."""
    reached, rest = set[int](), list(path.part_of)
    while rest:
        whole = rest.pop()
        if whole not in reached:
            reached.add(whole)
            rest += paths[whole].part_of if whole in paths else ()
    return track_id in reached


def _flat(extent: Extent | None) -> Box | None:
    return None if extent is None else (extent.trail_mm, extent.near_mm, extent.lead_mm, extent.far_mm)


def _near(a: Box, b: Box) -> bool:
    """Tell whether two boxes in the picture overlap when `a` is taken three times as large."""
    width, height = a[2] - a[0], a[3] - a[1]
    across = b[0] < a[2] + width and b[2] > a[0] - width
    return across and b[1] < a[3] + height and b[3] > a[1] - height
