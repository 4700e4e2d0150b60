"""Write-ahead slots in a file mapped into memory: what is put here survives the death of this program at any moment.

Putting costs a copy in memory: no system call, no disk, no lock that a disk could hold. The file is as large as it will
ever be from the start, so a full disk cannot refuse it. Contract: `put` never waits and never fails; what was not
taken away before its slot comes round again is overwritten and counted. A record torn by a crash is not read back.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SLOTS, SLOT_BYTES = 1024, 4096
_HEAD = struct.Struct("<QIHBB")
LARGEST = SLOT_BYTES - _HEAD.size
_FREE, _FULL = 0, 1


@dataclass(frozen=True, slots=True)
class Entry:
    """One record in a slot: its number (they only grow), what kind it is, and its bytes."""

    number: int
    kind: int
    data: bytes


class AheadLog:
    """A ring of slots.

    Attributes:
        overwritten: Entries lost because nobody took them away in time.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, or make it.

        Raises:
            OSError: It cannot be made, another program has it open, or the disk has no room for it.
        """
        size = SLOTS * SLOT_BYTES
        self._file = path.open("r+b" if path.is_file() else "w+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # two programs would number the same slots
            self._file.truncate(size)
            os.posix_fallocate(self._file.fileno(), 0, size)
            self._map = mmap.mmap(self._file.fileno(), size)
        except OSError:
            self._file.close()
            raise
        self.overwritten = 0
        self._lock = threading.Lock()
        left = self.entries()
        self._number = left[-1].number if left else 0

    def put(self, kind: int, data: bytes) -> None:
        """Write one entry, over the oldest if need be."""
        if len(data) > LARGEST:
            raise ValueError(f"an entry of {len(data)} bytes is over the limit of {LARGEST}")
        with self._lock:
            self._number += 1
            at = self._number % SLOTS * SLOT_BYTES
            if self._map[at + _HEAD.size - 1] == _FULL:
                self.overwritten += 1
                self._map[at + _HEAD.size - 1] = _FREE
            self._map[at + _HEAD.size : at + _HEAD.size + len(data)] = data
            # The mark that makes it count goes last.
            self._map[at : at + _HEAD.size] = _HEAD.pack(self._number, zlib.crc32(data), len(data), kind, _FREE)
            self._map[at + _HEAD.size - 1] = _FULL

    def entries(self) -> list[Entry]:
        """Return what is in the slots, the oldest first."""
        with self._lock:
            return sorted(self._read(), key=lambda entry: entry.number)

    def remove(self, entries: list[Entry]) -> None:
        """Free the slots of entries, as far as they still hold them."""
        with self._lock:
            for entry in entries:
                at = entry.number % SLOTS * SLOT_BYTES
                if _HEAD.unpack_from(self._map, at)[0] == entry.number:
                    self._map[at + _HEAD.size - 1] = _FREE

    def close(self) -> None:
        """Unmap the file; what is in it stays."""
        self._map.close()
        self._file.close()

    def _read(self) -> Iterator[Entry]:
        for at in range(0, SLOTS * SLOT_BYTES, SLOT_BYTES):
            if self._map[at + _HEAD.size - 1] != _FULL:
                continue
            number, checksum, length, kind, _ = _HEAD.unpack_from(self._map, at)
            data = self._map[at + _HEAD.size : at + _HEAD.size + min(length, LARGEST)]
            if zlib.crc32(data) == checksum:
                yield Entry(number, kind, data)
