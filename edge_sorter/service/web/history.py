"""Finds decisions of the past by parcel id or code: in memory, then backwards through the journal.

Contract: a search reads the journal in small pieces with pauses, so that it takes little of Python's lock from the main
loop, gives up after `PATIENCE_S`, and says whether it saw everything. Records come out newest first.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_sorter.clock import stopwatch_ns

PIECE = 256 * 1024
PATIENCE_S = 5.0
PAUSE_S = 0.002
SHORTEST = 3


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found.

    Attributes:
        records: Decisions as the journal holds them, newest first.
        complete: Whether everything was searched.
    """

    records: list[dict[str, Any]]
    complete: bool


def matches(record: dict[str, Any], wanted: str) -> bool:
    """Tell whether a decision is about this parcel id, or carries a code that contains the text; case is ignored."""
    text = wanted.casefold()
    return text in record["parcel_uid"].casefold() or any(text in code[1].casefold() for code in record["codes"])


async def search(journal: Path | None, wanted: str, *, limit: int) -> Found:
    """Search the journal and the one rotated before it."""
    records: list[dict[str, Any]] = []
    until_ns = stopwatch_ns() + round(PATIENCE_S * 1e9)
    for path in _files(journal):
        for line in _backwards(path):
            if line is None:
                await asyncio.sleep(PAUSE_S)
            else:
                records += [r for r in _decisions(line) if matches(r, wanted)]
            if len(records) >= limit or stopwatch_ns() > until_ns:
                return Found(records[:limit], complete=False)
    return Found(records, complete=True)


def _files(journal: Path | None) -> list[Path]:
    if journal is None:
        return []
    return [path for path in (journal, journal.with_name(journal.name + ".1")) if path.is_file()]


def _backwards(path: Path) -> Iterator[bytes | None]:
    """Yield the lines that hold a decision, last first, and None after every piece, for a pause."""
    try:
        with path.open("rb") as file:
            at = file.seek(0, 2)
            rest = b""
            while at > 0:
                size = min(PIECE, at)
                at -= size
                file.seek(at)
                lines = (file.read(size) + rest).split(b"\n")
                rest = lines[0]
                yield from (line for line in reversed(lines[1:]) if b'"dec":[{' in line)
                yield None
    except OSError:
        return  # rotated away while we read: what is left of it is in the other file


def _decisions(line: bytes) -> list[dict[str, Any]]:
    try:
        decisions: list[dict[str, Any]] = json.loads(line)["dec"]
    except (ValueError, KeyError, TypeError):
        return []  # the last line of a journal may be half written
    return decisions[::-1]
