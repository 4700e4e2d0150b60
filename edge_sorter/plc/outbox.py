"""Parcel records on their way out, and the audit trail: kept through outages, crashes and full disks; bounded.

What the main loop writes goes into memory-mapped slots (`ahead`) and costs microseconds; a thread of its own moves it
into SQLite and reads back what is to be forwarded, so that no disk ever delays a decision. Contract: a parcel that was
begun here ends as exactly one record, also when this program is killed; the oldest records go first when room runs
out, forwarded ones before others, and each record lost before it was forwarded is counted. Forwarding is at least
once: whoever reads records tells repetitions by (boot_id, parcel_uid).
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections import deque
from contextlib import ExitStack, closing
from pathlib import Path

from edge_sorter.config import OutboxSection
from edge_sorter.errors import PlcError
from edge_sorter.plc.ahead import AheadLog, Entry
from edge_sorter.plc.record import unfinished_record
from edge_sorter.plc.trail import Trail
from edge_sorter.state_folder import state_folder

log = logging.getLogger(__name__)

PERIOD_S = 0.05
RETRY_S = 1.0
READY = 200
IN_MEMORY = 1000
BEFORE = 256
"""Records of earlier runs that a restart looks at: more parcels than lie between a photo-eye and the last diverter."""
_BEGIN, _END = 1, 2


class MemoryOutbox:
    """Keeps records in memory only, at most `IN_MEMORY`; for replays, and where no file is configured.

    Attributes:
        dropped: Records lost before they were forwarded.
        trouble: Always empty: memory does not fail.
        before: Always empty: memory forgets with the program.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self.trouble = ""
        self.before: list[bytes] = []
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._number = 0
        self._sent: dict[int, bytes] = {}

    def begin(self, uid: str, payload: bytes) -> None:
        """Nothing survives in memory, so nothing needs to be begun."""

    def end(self, uid: str, payload: bytes) -> None:
        """Keep the record of a parcel whose story is over."""
        self._number += 1
        self._waiting.append((self._number, payload))
        if len(self._waiting) > IN_MEMORY:
            self._waiting.popleft()
            self.dropped += 1

    def next(self) -> tuple[int, bytes] | None:
        """Return the next record to forward with its number, or None."""
        if not self._waiting:
            return None
        number, payload = self._waiting.popleft()
        self._sent[number] = payload
        return number, payload

    def forwarded(self, number: int, *, gone: bool) -> None:
        """Note that a record arrived, or must be sent again."""
        payload = self._sent.pop(number, None)
        if payload is not None and not gone:
            self._waiting.appendleft((number, payload))

    def close(self) -> None:
        """Nothing to close."""


class Outbox:
    """Records in a SQLite file.

    Attributes:
        trouble: Why records cannot be stored right now, or empty.
        before: The newest records of earlier runs, at most `BEFORE`.
    """

    before: list[bytes]

    def __init__(self, path: Path, *, max_bytes: int) -> None:
        """Open the file or make it, and end the stories that an earlier run left open.

        Raises:
            PlcError: The file cannot be used; says why.
        """
        with ExitStack() as opened:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._ahead = opened.enter_context(closing(AheadLog(path.with_name(path.name + ".ahead"))))
                self._trail = opened.enter_context(closing(Trail(path, max_bytes=max_bytes)))
                self._move()
                self._trail.end_all(unfinished_record)
                self.before = self._trail.newest(BEFORE)
                opened.pop_all()  # all is well: they stay open
            except (OSError, sqlite3.Error) as error:
                raise PlcError(
                    f"plc.outbox.path {path} cannot be used: {error}; free disk space or name another"
                ) from None
        self.trouble = ""
        self._ready: deque[tuple[int, bytes]] = deque()
        self._sent: dict[int, bytes] = {}
        self._gone: deque[int] = deque()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Records lost before they were forwarded."""
        return self._ahead.overwritten + self._trail.dropped

    def begin(self, uid: str, payload: bytes) -> None:
        """Write down that a decision goes out; from here on its parcel gets a record whatever happens."""
        self._ahead.put(_BEGIN, uid.encode() + b"\0" + payload)

    def end(self, uid: str, payload: bytes) -> None:
        """Write down the record of a parcel whose story is over."""
        self._ahead.put(_END, uid.encode() + b"\0" + payload)

    def next(self) -> tuple[int, bytes] | None:
        """Return the next record to forward with its number, or None."""
        try:
            number, payload = self._ready.popleft()
        except IndexError:
            return None
        self._sent[number] = payload
        return number, payload

    def forwarded(self, number: int, *, gone: bool) -> None:
        """Note that a record arrived, or must be sent again."""
        payload = self._sent.pop(number, None)
        if payload is None:
            return
        if gone:
            self._gone.append(number)
        else:
            self._ready.appendleft((number, payload))

    def close(self) -> None:
        """Store what is in memory and stop; what was not forwarded waits for the next run."""
        self._closing.set()
        self._thread.join(2.0)
        if not self._thread.is_alive():
            self._ahead.close()

    def _run(self) -> None:
        wait_s = PERIOD_S
        try:
            while not self._closing.wait(wait_s):
                wait_s = PERIOD_S if self._work() else RETRY_S
            self._work()
        except Exception as error:  # a bug here must show, and must not take the line down
            self.trouble = f"{type(error).__name__}: {error}"
            log.exception("outbox stopped")
        finally:
            self._trail.close()

    def _work(self) -> bool:
        """Store what was put, mark what was forwarded, read what is next; False where the file refuses."""
        try:
            self._move()
            while self._gone:
                numbers = [self._gone[index] for index in range(min(len(self._gone), READY))]
                self._trail.mark_forwarded(numbers)
                for _ in numbers:
                    self._gone.popleft()
            if len(self._ready) < READY // 2:
                self._ready.extend(self._trail.waiting(READY))
        except sqlite3.Error as error:
            if not self.trouble:
                log.error("outbox: %s; records wait in memory", error)
            self.trouble = str(error)
            return False
        if self.trouble:
            log.info("outbox: records are stored again")
        self.trouble = ""
        return True

    def _move(self) -> None:
        entries = self._ahead.entries()
        if entries:
            self._trail.store([(entry.kind == _END, *_split(entry)) for entry in entries])
            self._ahead.remove(entries)


def open_outbox(section: OutboxSection, *, replay: bool) -> Outbox | MemoryOutbox:
    """Open where records wait: the configured file, the service's state folder, else memory; memory for replays.

    Raises:
        PlcError: The file cannot be used.
    """
    path = outbox_path(section)
    if replay:
        return MemoryOutbox()
    if path is None:
        log.warning("parcel records wait in memory and are lost with the program; set plc.outbox.path to keep them")
        return MemoryOutbox()
    return Outbox(path, max_bytes=round(section.max_mb * 1e6))


def outbox_path(section: OutboxSection) -> Path | None:
    """Return the file that records wait in: the configured one, or the service's own; None where there is none."""
    if section.path is None and (folder := state_folder()) is not None:
        return folder / "outbox.sqlite"
    return section.path


def _split(entry: Entry) -> tuple[str, bytes]:
    uid, _, payload = entry.data.partition(b"\0")
    return uid.decode(errors="replace"), payload
