"""Readers: each turns one label format into drafts and knows nothing of the others.

Contract: `read(source)` finds out the format, reads every picture, and raises DatasetError naming all faults before
anything is copied. Own readers instead of a library's because these files come from outside: supervision and datumaro
trust sizes, paths and numbers, and bring a second OpenCV or 200 MB; JSON is checked by pydantic, XML by defusedxml.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from edge_sorter.errors import DatasetError
from edge_sorter.lifecycle.dataset.grouping import groups_of
from edge_sorter.lifecycle.dataset.values import Draft, Groups

FORMATS = ("own", "yolo", "coco", "voc", "cvat")


@dataclass(frozen=True)
class Reading:
    """What one source gave.

    Attributes:
        classes: Names it declares, in its own order; () where the format only names what it uses.
        notes: What was left out or assumed, in words.
        earlier: Sources that an own data set was made from.
    """

    format: str
    drafts: tuple[Draft, ...]
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    earlier: tuple[dict[str, object], ...] = ()


def read(
    source: Path,
    *,
    form: str = "auto",
    names: tuple[str, ...] = (),
    pattern: re.Pattern[str] | None = None,
    clip: Path | None = None,
    scratch: Path,
) -> Reading:
    """Read a folder or label file.

    Args:
        source: Folder, COCO json or CVAT xml.
        form: One of FORMATS, or "auto".
        names: Class names, for YOLO folders without any.
        pattern: How file names tell day, clip, frame and parcel; None guesses.
        clip: Video that a CVAT video export without pictures was made on.
        scratch: Folder that outlives the reading, for frames taken from a video.

    Raises:
        DatasetError: Nothing usable there; lists every fault.
    """
    from edge_sorter.lifecycle.dataset.reading import coco, cvat, own, voc, yolo

    form = detect(source) if form == "auto" else form
    if form == "own":
        return own.read(source)
    if form == "yolo":
        found = yolo.read(source, names=names)
    elif form == "coco":
        found = coco.read(source)
    elif form == "voc":
        found = voc.read(source)
    elif form == "cvat":
        found = cvat.read(source, clip=clip, scratch=scratch)
    else:
        raise DatasetError(f"--format {form} is not one of: auto, {', '.join(FORMATS)}")
    if not found.drafts:
        raise DatasetError(f"{source} holds no picture that its {form} labels name")
    return replace(found, drafts=tuple(_grouped(draft, pattern) for draft in found.drafts))


def detect(source: Path) -> str:
    """Return the format of a source by the files it holds.

    Raises:
        DatasetError: None is recognised.
    """
    if source.is_file():
        form = {".json": "coco", ".xml": "cvat"}.get(source.suffix.lower())
        if form is None:
            raise DatasetError(f"{source} is no label file known here (.json, .xml, .zip, journal .jsonl, or a folder)")
        return form
    if (source / "dataset.json").is_file() and (source / "images").is_dir():
        return "own"
    xml = next(iter(sorted(visible(source, ".xml"))), None)
    if xml is not None:
        with xml.open("rb") as file:
            return "cvat" if b"<annotations" in file.read(4096) else "voc"
    if any(b'"annotations"' in path.read_bytes() for path in visible(source, ".json") if path.stat().st_size < 1 << 30):
        return "coco"
    if any(True for suffix in (".txt", ".yaml", ".yml") for _ in visible(source, suffix)):
        return "yolo"
    raise DatasetError(f"no labels recognised in {source}; name the format with --format ({', '.join(FORMATS)})")


def visible(root: Path, *suffixes: str) -> list[Path]:
    """List files below a folder by suffix and name; what is hidden or left by macOS is none of ours."""
    return sorted(
        path
        for path in root.rglob("*")
        if path.suffix.lower() in suffixes
        and path.is_file()
        and not any(part.startswith(".") or part == "__MACOSX" for part in path.relative_to(root).parts)
    )


def _grouped(draft: Draft, pattern: re.Pattern[str] | None) -> Draft:
    """Add what the name tells to what the format said itself."""
    guess = groups_of(draft.name, pattern)
    told = draft.groups
    frame_known = told.clip or told.frame is not None
    groups = Groups(
        day=told.day or guess.day,
        clip=told.clip if frame_known else guess.clip,
        frame=told.frame if frame_known else guess.frame,
        parcels=told.parcels or guess.parcels,
        original=told.original or guess.original,
    )
    return replace(draft, groups=groups)
