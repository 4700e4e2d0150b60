"""The audit trail as a SQLite file: parcels begun, records of those that ended, and which of them were forwarded.

Used by one thread at a time. WAL without a sync per commit: a killed program loses nothing, a power cut at most the
last moments. Contract: one record per parcel; a file at its limit loses the oldest records, forwarded ones first.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path

_SCHEMA = """
CREATE TABLE IF NOT EXISTS open_parcel (uid TEXT PRIMARY KEY, payload BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS record (
    id INTEGER PRIMARY KEY AUTOINCREMENT, uid TEXT NOT NULL UNIQUE, payload BLOB NOT NULL,
    forwarded INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS waiting ON record (id) WHERE forwarded = 0;
"""
_AT_ONCE = 500


class Trail:
    """One file.

    Attributes:
        dropped: Records that made room before they were forwarded, in this run.
    """

    def __init__(self, path: Path, *, max_bytes: int) -> None:
        """Open or make the file; one that SQLite cannot read is moved aside, not deleted.

        Raises:
            sqlite3.Error: It cannot be opened or written.
        """
        self.dropped = 0
        self._max_bytes = max_bytes
        try:
            self._base = _open(path)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):  # locked, no room, no right: the file itself is fine
                raise
            path.replace(path.with_name(path.name + ".broken"))
            self._base = _open(path)
        self._read_up_to = 0

    def store(self, entries: Iterable[tuple[bool, str, bytes]]) -> None:
        """Store (ended, uid, payload) in one transaction.

        Raises:
            sqlite3.Error: Nothing of it was stored.
        """
        with self._base:
            for ended, uid, payload in entries:
                if ended:
                    self._base.execute("DELETE FROM open_parcel WHERE uid = ?", (uid,))
                    self._base.execute("INSERT OR IGNORE INTO record (uid, payload) VALUES (?, ?)", (uid, payload))
                else:
                    self._base.execute(
                        "INSERT OR REPLACE INTO open_parcel (uid, payload) "
                        "SELECT ?, ? WHERE NOT EXISTS (SELECT 1 FROM record WHERE uid = ?)",
                        (uid, payload, uid),
                    )
        self._make_room()

    def end_all(self, record_of: Callable[[bytes], bytes]) -> int:
        """End parcels that were begun and never ended, with a record made of what was known; returns how many."""
        rows = self._base.execute("SELECT uid, payload FROM open_parcel").fetchall()
        self.store((True, uid, record_of(payload)) for uid, payload in rows)
        return len(rows)

    def newest(self, limit: int) -> list[bytes]:
        """Return the newest records, the last one first."""
        rows = self._base.execute("SELECT payload FROM record ORDER BY id DESC LIMIT ?", (limit,))
        return [payload for (payload,) in rows]

    def waiting(self, limit: int) -> list[tuple[int, bytes]]:
        """Return records that were neither forwarded nor returned here before, the oldest first."""
        rows = self._base.execute(
            "SELECT id, payload FROM record WHERE forwarded = 0 AND id > ? ORDER BY id LIMIT ?",
            (self._read_up_to, limit),
        ).fetchall()
        if rows:
            self._read_up_to = rows[-1][0]
        return rows

    def mark_forwarded(self, numbers: Iterable[int]) -> None:
        """Note that records arrived; they stay as history."""
        with self._base:
            self._base.executemany("UPDATE record SET forwarded = 1 WHERE id = ?", ((n,) for n in numbers))

    def close(self) -> None:
        """Close the file."""
        self._base.close()

    def _make_room(self) -> None:
        while self._used_bytes() > self._max_bytes:
            with self._base:
                gone = self._base.execute(
                    "DELETE FROM record WHERE id IN (SELECT id FROM record WHERE forwarded = 1 ORDER BY id LIMIT ?)",
                    (_AT_ONCE,),
                ).rowcount
                if gone == 0:
                    gone = self._base.execute(
                        "DELETE FROM record WHERE id IN (SELECT id FROM record ORDER BY id LIMIT ?)", (_AT_ONCE,)
                    ).rowcount
                    self.dropped += gone
            if gone == 0:
                return

    def _used_bytes(self) -> int:
        def ask(pragma: str) -> int:
            return int(self._base.execute(f"PRAGMA {pragma}").fetchone()[0])

        return (ask("page_count") - ask("freelist_count")) * ask("page_size")


def _open(path: Path) -> sqlite3.Connection:
    base = sqlite3.connect(path, timeout=1.0, check_same_thread=False)
    try:
        base.execute("PRAGMA journal_mode = WAL")
        base.execute("PRAGMA synchronous = NORMAL")
        base.execute("PRAGMA journal_size_limit = 4194304")
        base.executescript(_SCHEMA)
    except sqlite3.Error:
        base.close()
        raise
    return base
