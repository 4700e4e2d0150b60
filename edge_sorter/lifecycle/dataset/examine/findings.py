"""What `dataset check` can find, how bad it is, and from which value on.

Contract: plain values. Every finding names picture, box, the measured value and the limit it broke.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from edge_sorter.errors import DatasetError

ERROR, WARNING = "error", "warning"


@dataclass(frozen=True)
class Limits:
    """From which value on something is reported; each can be set with `--limit NAME=VALUE`.

    Attributes:
        edge_px: Blurred: the sharpest edges are wider than this, in px of a picture scaled to 640 px.
        dark: Too dark: the brightest twentieth of the picture is darker than this, 0..255.
        burnt: Over-exposed: a larger share of the picture is pure white.
        twin_bits: Near-duplicate: at most so many of 64 bits of the perceptual hash differ ...
        twin_grey: ... and no 1/32 of the picture differs by more grey levels than this.
        tiny_px: Box whose shorter side is smaller, in px.
        outside_px: Box that reaches further out of its picture, in px.
        overlap: Boxes of any class that cover each other by a larger IoU.
        same: Two boxes of one class with a larger IoU are one object labelled twice.
        follow: Boxes of neighbouring frames with a larger IoU are the same parcel.
        neighbour_frames: Frames at most so far apart are neighbours.
        imbalance: A class with so many times fewer boxes than the largest.
        few: A class with fewer boxes than this.
    """

    edge_px: float = 7.0
    dark: float = 60.0
    burnt: float = 0.4
    twin_bits: float = 4
    twin_grey: float = 16.0
    tiny_px: float = 8.0
    outside_px: float = 2.0
    overlap: float = 0.6
    same: float = 0.9
    follow: float = 0.5
    neighbour_frames: float = 5
    imbalance: float = 10.0
    few: float = 20

    def changed(self, texts: Sequence[str]) -> Limits:
        """Return the limits with `NAME=VALUE` set.

        Raises:
            DatasetError: No such limit or no number.
        """
        known = {item.name for item in fields(self)}
        changes = {}
        for text in texts:
            name, _, value = text.partition("=")
            try:
                changes[name] = float(value)
            except ValueError:
                raise DatasetError(f"--limit '{text}': '{value}' is no number") from None
            if name not in known:
                raise DatasetError(f"--limit '{text}': there is no '{name}'. There are: {', '.join(sorted(known))}")
        return replace(self, **changes)


KINDS: dict[str, tuple[str, str]] = {
    "corrupt": (ERROR, "the picture cannot be decoded, or is cut off"),
    "changed": (ERROR, "the picture is not the one that was imported"),
    "exif_turn": (WARNING, "EXIF turns the picture; tools that ignore EXIF put its boxes elsewhere"),
    "blurred": (WARNING, "no sharp edge across one direction: out of focus, or moved while exposed"),
    "dark": (WARNING, "too dark"),
    "burnt": (WARNING, "over-exposed"),
    "duplicate": (WARNING, "the same file twice"),
    "near_duplicate": (WARNING, "nearly the same picture twice"),
    "twin_labels": (ERROR, "the same picture twice, labelled differently"),
    "no_label_file": (WARNING, "no label file: forgotten, or nothing on it? An empty file says nothing is"),
    "pre_labels": (WARNING, "labels by a model, not yet looked at"),
    "no_area": (ERROR, "a box without area, or turned inside out"),
    "outside": (ERROR, "a box reaches out of its picture"),
    "tiny": (WARNING, "a tiny box"),
    "overlapping": (WARNING, "boxes that cover each other"),
    "labelled_twice": (ERROR, "one object labelled twice"),
    "class_flips": (ERROR, "the same parcel is of another class in the next frame of its clip"),
    "class_names": (ERROR, "class names that differ in case or spaces only"),
    "class_absent": (WARNING, "a class without any box"),
    "class_few": (WARNING, "a class with few boxes"),
    "imbalance": (WARNING, "far fewer boxes than the largest class"),
    "leak": (ERROR, "parts of a split share a clip, parcel, original or picture"),
}
"""Kind -> default severity and what it means."""


@dataclass(frozen=True)
class Finding:
    """One fault.

    Attributes:
        kind: One of KINDS.
        severity: "error" or "warning".
        file: Picture it is about, or "" for the whole set.
        box: Index of the box in the label file's order, or None.
        value: What was measured; a number or a word.
        limit: What it was held against.
        other: Second picture, where two do not fit together.
    """

    kind: str
    severity: str
    file: str = ""
    box: int | None = None
    value: float | str = ""
    limit: float | str = ""
    other: str = ""

    def record(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def finding(
    kind: str,
    file: str = "",
    *,
    box: int | None = None,
    value: float | str = "",
    limit: float | str = "",
    other: str = "",
) -> Finding:
    """Return a finding with its kind's severity; numbers rounded, so that reports compare."""
    value = round(value, 3) if isinstance(value, float) else value
    return Finding(kind, KINDS[kind][0], file, box, value, limit, other)


def severities(texts: Sequence[str]) -> dict[str, str]:
    """Return kind -> severity of `KIND=error|warning|off`.

    Raises:
        DatasetError: Anything else.
    """
    wanted = {}
    for text in texts:
        kind, _, severity = text.partition("=")
        if kind not in KINDS or severity not in (ERROR, WARNING, "off"):
            kinds = ", ".join(KINDS)
            raise DatasetError(f"--severity '{text}' is not KIND=error, warning or off with KIND one of: {kinds}")
        wanted[kind] = severity
    return wanted


def judged(found: Sequence[Finding], wanted: dict[str, str]) -> list[Finding]:
    """Return the findings with the user's severities, worst first, without those turned off."""
    kinds = list(KINDS)
    rated = [replace(item, severity=wanted.get(item.kind, item.severity)) for item in found]
    kept = [item for item in rated if item.severity != "off"]
    return sorted(kept, key=lambda f: (f.severity != ERROR, kinds.index(f.kind), f.file, f.box or 0, f.other))
