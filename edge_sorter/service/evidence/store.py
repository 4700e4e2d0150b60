"""The folder of evidence: records with their clips and pictures, found by parcel, gone after some days.

Contract: a record appears when everything it names is there, and is the last to be written and the first to go. What is
older than it may be, or too much, is removed, the oldest first. Any thread may look things up.
"""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from edge_sorter.atomic import write_json

log = logging.getLogger(__name__)

SCHEMA = "edge_sorter.evidence/1"
STAMP = "%Y%m%dT%H%M%S%fZ"
NAME = re.compile(r"^(\d{8}T\d{12}Z)-([a-z_]+)-([A-Za-z0-9_-]+)$")
KINDS = (".json", ".jpg", ".mp4")
ORPHAN = timedelta(minutes=10)
"""A clip without a record is left by a crash; younger ones may be on the way."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One piece of evidence.

    Attributes:
        id: Name of its files without suffix.
        at: When it happened, UTC.
        why: Why it is kept.
        parcel: Parcel and revision, "<uid>-<rev>", or "line" for a moment without a parcel.
        clip, picture: Whether it has them.
        size: Bytes of all its files.
    """

    id: str
    at: datetime
    why: str
    parcel: str
    clip: bool
    picture: bool
    size: int


def name_of(at: datetime, why: str, parcel: str) -> str:
    """Return the id of new evidence."""
    return f"{at.strftime(STAMP)}-{why}-{re.sub(r'[^A-Za-z0-9_-]', '_', parcel)}"


class Store:
    """All evidence of one line.

    Raises:
        OSError: The folder cannot be made or read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._entries: dict[str, Entry] = {}
        names = {path.stem for path in folder.iterdir() if path.suffix == ".json"}
        for name in sorted(names):
            entry = self._entry(name)
            if entry is not None:
                self._entries[name] = entry

    def entries(self) -> list[Entry]:
        """Return everything, newest first."""
        with self._lock:
            return sorted(self._entries.values(), key=lambda entry: entry.id, reverse=True)

    def of_parcel(self, uid: str) -> list[Entry]:
        """Return the evidence about a parcel, newest first."""
        return [entry for entry in self.entries() if entry.parcel.rpartition("-")[0] == uid]

    def picture_of(self, uid: str, rev: int) -> Path | None:
        """Return the newest picture of a parcel, of this revision or another."""
        shown = [entry for entry in self.of_parcel(uid) if entry.picture]
        shown.sort(key=lambda entry: entry.parcel != f"{uid}-{rev}")
        return self.file(shown[0].id, ".jpg") if shown else None

    def file(self, name: str, kind: str) -> Path | None:
        """Return a file of a piece of evidence, if it is there; any other name gives nothing."""
        with self._lock:
            known = name in self._entries
        path = self.folder / f"{name}{kind}"
        return path if known and kind in KINDS and path.is_file() else None

    def record(self, name: str) -> dict[str, Any] | None:
        """Return a record, or None where there is none that can be read."""
        path = self.file(name, ".json")
        try:
            content: dict[str, Any] | None = None if path is None else json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return content

    def add(self, name: str, record: dict[str, Any]) -> None:
        """Write the record, when its clip and picture are there.

        Raises:
            OSError: It cannot be written.
        """
        write_json(self.folder / f"{name}.json", {"schema": SCHEMA, "id": name, **record})
        entry = self._entry(name)
        if entry is not None:
            with self._lock:
                self._entries[name] = entry

    def sweep(self, now: datetime, *, retention: timedelta, most_bytes: int) -> int:
        """Remove what is too old or too much; return how much evidence went."""
        entries = self.entries()
        gone = [entry for entry in entries if now - entry.at > retention]
        left = [entry for entry in entries if now - entry.at <= retention]
        total = sum(entry.size for entry in left)
        while left and total > most_bytes:
            total -= left[-1].size
            gone.append(left.pop())
        self._remove(gone)
        self._remove_orphans(now)
        return len(gone)

    def _remove(self, gone: Iterable[Entry]) -> None:
        for entry in gone:
            with self._lock:
                self._entries.pop(entry.id, None)
            for kind in KINDS:
                (self.folder / f"{entry.id}{kind}").unlink(missing_ok=True)

    def _remove_orphans(self, now: datetime) -> None:
        with self._lock:
            known = set(self._entries)
        for path in self.folder.iterdir():
            name = path.name.lstrip(".").partition(".")[0]  # what was being written begins with a dot
            match = NAME.match(name)
            if match and (path.name.startswith(".") or name not in known) and now - _moment(match[1]) > ORPHAN:
                path.unlink(missing_ok=True)

    def _entry(self, name: str) -> Entry | None:
        match = NAME.match(name)
        if match is None:
            return None
        sizes = {}
        for kind in KINDS:
            path = self.folder / f"{name}{kind}"
            if path.is_file():
                sizes[kind] = path.stat().st_size
        return Entry(name, _moment(match[1]), match[2], match[3], ".mp4" in sizes, ".jpg" in sizes, sum(sizes.values()))


def _moment(stamp: str) -> datetime:
    return datetime.strptime(stamp, STAMP).replace(tzinfo=timezone.utc)
