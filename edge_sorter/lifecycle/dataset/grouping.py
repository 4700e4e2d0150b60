"""Guess from a file name which pictures belong together: the day, the clip, and the picture it is a copy of.

Contract: pure. A guess only ever joins pictures of one source; `pattern` replaces the guesses by what the user knows.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from edge_sorter.errors import DatasetError
from edge_sorter.lifecycle.dataset.values import PART_NAMES, Groups

# Roboflow exports augmented copies as NAME.rf.HASH.jpg: same NAME, same photograph.
COPY = re.compile(r"[._]rf[._][0-9a-f]{8,}$", re.IGNORECASE)
DAY = re.compile(r"(?<!\d)(20\d\d)[-_.]?(0[1-9]|1[0-2])[-_.]?(0[1-9]|[12]\d|3[01])(?!\d)")
FRAME = re.compile(r"^(?P<clip>.*?)[-_ .]?(?P<word>frame[-_ ]?)?(?P<frame>\d{4,9})$", re.IGNORECASE)
PHOTO = re.compile(r"^(img|dsc|dscn|dscf|dcim|pxl|photo|picture|image|p|gopr)$", re.IGNORECASE)
"""Cameras number photographs, too; those numbers make no clip."""
NAMES = ("day", "clip", "frame", "parcel")


def compiled(pattern: str) -> re.Pattern[str] | None:
    """Return the user's name pattern, checked; None for an empty one.

    Raises:
        DatasetError: No regular expression, or without any of the groups that mean something here.
    """
    if not pattern:
        return None
    try:
        result = re.compile(pattern)
    except re.error as error:
        raise DatasetError(f"--name-pattern {pattern!r} is no regular expression: {error}") from None
    if not set(result.groupindex) & set(NAMES):
        raise DatasetError(f"--name-pattern {pattern!r} names none of: " + ", ".join(f"(?P<{n}>...)" for n in NAMES))
    return result


def groups_of(name: str, pattern: re.Pattern[str] | None = None) -> Groups:
    """Return the groups of a picture by its path in its source."""
    path = PurePosixPath(name)
    folders = [part for part in path.parts[:-1] if part != "images" and part.lower() not in PART_NAMES]
    stem = COPY.sub("", path.stem)
    original = "/".join((*folders, stem))
    if pattern is not None:
        return _by_pattern(pattern, name, original)
    day = _day(stem) or _day("/".join(folders))
    match = FRAME.match(stem)
    # Photographs are numbered, too, or named by date and time; without a word or a name there is no telling.
    if match is None or DAY.search(match["frame"]) or _is_photo(match):
        return Groups(day=day, original=original)
    clip = "/".join((*folders, match["clip"])).strip("/") or "frames"
    return Groups(day=day, clip=clip, frame=int(match["frame"]), original=original)


def _is_photo(match: re.Match[str]) -> bool:
    name = DAY.sub("", match["clip"]).strip("-_ .")
    return PHOTO.match(name) is not None or (not name and match["word"] is None)


def _by_pattern(pattern: re.Pattern[str], name: str, original: str) -> Groups:
    match = pattern.search(name)
    if match is None:
        return Groups(original=original)
    found = {key: value for key, value in match.groupdict().items() if value}
    digits = found.get("frame", "")
    return Groups(
        day=found.get("day", ""),
        clip=found.get("clip", ""),
        frame=int(digits) if digits.isdecimal() else None,
        parcels=(found["parcel"],) if "parcel" in found else (),
        original=original,
    )


def _day(text: str) -> str:
    match = DAY.search(text)
    return "-".join(match.groups()) if match else ""
