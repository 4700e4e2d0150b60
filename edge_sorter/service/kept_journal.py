"""The journal of a line that runs for years: it gives way to a full or broken disk, the line does not.

Contract: nothing that happens to the journal stops a decision. Below `LEAST_FREE` of the disk, or when writing fails,
it is closed and the PLC is told; after `REST_S` it is tried again. A journal of an earlier run is kept as `<path>.1`:
what led to a crash must not be overwritten by the restart that follows it.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Protocol

from edge_sorter.errors import JournalError
from edge_sorter.events import LineEvent
from edge_sorter.journal import JournalWriter
from edge_sorter.plc.publisher import PublishResult
from edge_sorter.types import Blind, SortDecision, Step

log = logging.getLogger(__name__)

LEAST_FREE = 0.05
LEAST_FREE_BYTES = 200_000_000
LOOK_NS = 5_000_000_000
REST_NS = 60_000_000_000


def room_on_disk(folder: Path, *, share: float = LEAST_FREE, least_bytes: int = LEAST_FREE_BYTES) -> bool:
    """Tell whether this share and so many bytes of a folder's disk are free: room for more than decisions."""
    usage = shutil.disk_usage(folder)
    return usage.free >= max(least_bytes, share * usage.total)


class Tell(Protocol):
    """Hears what becomes of the journal."""

    def __call__(self, *, writes: bool, why: str) -> None:
        """Take whether it writes from now on, and one line about it."""


class KeptJournal:
    """An observer that writes every step while it can; a context manager.

    Args:
        path: The journal.
        open_with: Opens it afresh.
        tell: Told whether it writes, and why, when it stops and when it goes on.
        has_room: Asked now and then about the journal's folder.

    Attributes:
        skipped: Steps that were not written.
    """

    def __init__(
        self,
        path: Path,
        *,
        open_with: Callable[[], JournalWriter],
        tell: Tell,
        has_room: Callable[[Path], bool] = room_on_disk,
    ) -> None:
        self.skipped = 0
        self._path, self._open, self._tell, self._has_room = path, open_with, tell, has_room
        self._next_look_ns: int | None = None
        self._stopped = False
        self._writer: JournalWriter | None = self._opened()

    def on_step(self, step: Step, results: tuple[PublishResult, ...], publish_ns: int) -> None:
        """Write a step, if there is room for it."""
        self._look(step.captured_ns)
        if self._writer is None:
            self.skipped += 1
            return
        try:
            self._writer.write(step)
        except JournalError as error:
            self._stop(str(error), step.captured_ns)

    def on_heard(
        self, event: LineEvent, decisions: tuple[SortDecision, ...], results: tuple[PublishResult, ...]
    ) -> None:
        """Write what the line told and what it changed, if there is room for it."""
        if self._writer is None:
            return
        try:
            self._writer.hear(event, decisions)
        except JournalError as error:
            self._stop(str(error), event.at_ns)

    def on_blind(self, blind: Blind) -> None:
        """A journal records what was seen; the state topic records blindness."""

    def close(self) -> None:
        """Flush and close; safe to call twice."""
        writer, self._writer = self._writer, None
        if writer is not None:
            with suppress(OSError):  # the rest does not fit on the disk
                writer.close()

    def __enter__(self) -> KeptJournal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _look(self, now_ns: int) -> None:
        if self._next_look_ns is not None and now_ns < self._next_look_ns:
            return
        self._next_look_ns = now_ns + LOOK_NS
        room = self._room()
        if self._writer is not None and not room:
            self._stop("the disk is nearly full", now_ns)
        elif self._writer is None and room:
            self._resume(now_ns)

    def _room(self) -> bool:
        try:
            return self._has_room(self._path.parent)
        except OSError:
            return False

    def _stop(self, why: str, now_ns: int) -> None:
        self.close()
        self._next_look_ns = now_ns + REST_NS
        if not self._stopped:
            self._stopped = True
            log.error("journal stopped: %s; sorting goes on without it", why)
            self._tell(writes=False, why=f"journal stopped: {why}"[:200])

    def _resume(self, now_ns: int) -> None:
        try:
            self._writer = self._opened()
        except JournalError as error:
            self._stop(str(error), now_ns)
            return
        self._stopped = False
        log.warning("journal goes on, %d frames are missing", self.skipped)
        self._tell(writes=True, why="journal goes on")

    def _opened(self) -> JournalWriter:
        with suppress(OSError):
            if self._path.stat().st_size:
                self._path.replace(self._path.with_name(self._path.name + ".1"))
        return self._open()
