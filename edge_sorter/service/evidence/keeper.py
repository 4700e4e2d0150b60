"""Watches for exceptions and keeps them: a ring of pictures in memory, and a thread that writes when there is reason.

Contract: the main loop only ever puts references into a queue that drops when it is full (`on_step`, `ended`, `mark`);
encoding, blurring and writing happen on a thread of low priority. A failure there is told and costs evidence, nothing
else. Times come from the pipeline's clock.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any

from edge_sorter.clock import Clock
from edge_sorter.config import EvidenceSection
from edge_sorter.errors import ConfigError, EdgeSorterError
from edge_sorter.events import LineEvent
from edge_sorter.plc.book import Outcome, Story
from edge_sorter.plc.publisher import PublishResult
from edge_sorter.service.evidence.asked import Asked, why
from edge_sorter.service.evidence.clip import write_clip, write_picture
from edge_sorter.service.evidence.privacy import Pseudonyms
from edge_sorter.service.evidence.record import record_of
from edge_sorter.service.evidence.ring import Kept, Ring, keep
from edge_sorter.service.evidence.store import Store, name_of
from edge_sorter.service.kept_journal import LEAST_FREE, LEAST_FREE_BYTES, room_on_disk
from edge_sorter.service.status import LineStatus
from edge_sorter.state_folder import state_folder
from edge_sorter.types import Blind, Frame, SortDecision, Step

log = logging.getLogger(__name__)

PICTURES_WAITING, ASKED_WAITING = 4, 64
PATIENCE_NS = 1_000_000_000
"""So long after its end a clip is written, whether a later picture came or not."""
SWEEP_NS = 60_000_000_000
HOUR_NS = 3600 * 10**9
NICENESS = 15
IDLE_S = 0.25
STEEP = 2
"""Pictures stop at so many times the free space at which records, and the journal, stop."""

Room = Callable[[Path], bool]


def pictures_have_room(folder: Path) -> bool:
    """Tell whether the disk has room for pictures, which are the first to go."""
    return room_on_disk(folder, share=STEEP * LEAST_FREE, least_bytes=STEEP * LEAST_FREE_BYTES)


def folder_of(section: EvidenceSection) -> Path | None:
    """Return where evidence is kept: as configured, else in the state directory of the service, else nowhere."""
    if section.path is not None:
        return section.path
    state = state_folder()
    return None if state is None else state / "evidence"


def open_evidence(
    section: EvidenceSection,
    status: LineStatus,
    clock: Clock,
    *,
    line: str,
    tell: Callable[[bool, str], None] = lambda *_: None,
) -> Evidence | None:
    """Open the evidence of a line, or None where none is kept.

    Raises:
        ConfigError: The folder cannot be used.
    """
    folder = folder_of(section)
    if folder is None or not section.on:
        return None
    try:
        return Evidence(section, Store(folder), status, clock, line=line, tell=tell)
    except OSError as error:
        raise ConfigError(
            f"evidence.path {folder} cannot be used: {error}; name a folder this program may write"
        ) from None


class Evidence:
    """An `Observer` that keeps what is worth it; a context manager; must come after the status it asks.

    Args:
        section: What to keep and for how long.
        store: Where.
        status: Asked for the newest frame and what is running.
        clock: The pipeline's.
        line: Name of the line, for records.
        tell: Told on the main loop whether evidence is kept, and why not.
        pictures_room, records_room: Asked whether the disk has room.

    Attributes:
        counts: What was kept, by why, and what was left out, as "dropped_<why not>".
    """

    def __init__(
        self,
        section: EvidenceSection,
        store: Store,
        status: LineStatus,
        clock: Clock,
        *,
        line: str,
        tell: Callable[[bool, str], None] = lambda *_: None,
        pictures_room: Room = pictures_have_room,
        records_room: Room = room_on_disk,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.store = store
        self._section, self._status, self._clock, self._line, self._tell = section, status, clock, line, tell
        self._pictures_room, self._records_room = pictures_room, records_room
        self._pseudonyms = Pseudonyms(store.folder)
        self._period_ns, self._next_ns = round(1e9 / section.fps), 0
        self._pictures: SimpleQueue[tuple[Frame, Step]] = SimpleQueue()
        self._asked: SimpleQueue[Asked] = SimpleQueue()
        self._ring = Ring(seconds=section.buffer_s)
        self._pending: list[Asked] = []
        self._written_ns: deque[int] = deque()
        self._sweep_ns = 0
        self._trouble, self._told = "", ""
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._work, name="evidence", daemon=True)
        self._thread.start()

    # On the main loop.

    def on_step(self, step: Step, results: tuple[PublishResult, ...], publish_ns: int) -> None:
        """Hand over a picture when it is time to, and what was decided exceptionally."""
        seen = self._status.seen()
        if seen is not None and step.captured_ns >= self._next_ns and seen.frame.index == step.frame_index:
            self._next_ns = max(self._next_ns + self._period_ns, step.captured_ns)
            if self._pictures.qsize() < PICTURES_WAITING:
                self._pictures.put((seen.frame, step))
            else:
                self.counts["dropped_picture"] += 1
        self._look(step.decisions, results)
        if self._trouble != self._told:
            self._told = self._trouble
            self._tell(not self._told, self._told)

    def on_heard(
        self, event: LineEvent, decisions: tuple[SortDecision, ...], results: tuple[PublishResult, ...]
    ) -> None:
        """Hand over what was changed to an exception."""
        self._look(decisions, results)

    def on_blind(self, blind: Blind) -> None:
        """There is no picture to keep."""

    def ended(self, story: Story) -> None:
        """Take the end of a parcel's story: one that went to another lane than decided is kept."""
        if story.outcome is Outcome.MISSORT:
            self._ask("missort", story.decision, lane_act=story.lane_act, model=story.model)

    def _look(self, decisions: tuple[SortDecision, ...], results: tuple[PublishResult, ...]) -> None:
        for decision, result in zip(decisions, results, strict=True):
            word = why(decision, result, on=self._section.on)
            if word is not None:
                self._ask(word, decision, result=result.value)

    # On any thread.

    def mark(self, uid: str | None, note: str = "") -> str:
        """Keep what a person points at: a parcel decided of late, or without one, this moment.

        Raises:
            ConfigError: No such parcel, or marks are not kept here.
        """
        if "mark" not in self._section.on:
            raise ConfigError("marks are not kept here: evidence.on does not name them")
        if not uid:
            self._put(Asked("mark", self._clock.now_ns(), note=note[:200], model=self._model()))
            return "this moment is kept"
        recent = self._status.snapshot(timings=0).recent
        decided = next((d for d in reversed(recent) if d.decision.parcel_uid == uid), None)
        if decided is None:
            raise ConfigError(f"parcel {uid[:64]!r} is not among the newest decisions")
        self._ask("mark", decided.decision, result=decided.result.value, note=note[:200])
        return f"parcel {uid} is kept"

    def command(self, args: dict[str, Any]) -> str:
        """Take the command "mark" from the broker."""
        return self.mark(str(args.get("parcel_uid", "")) or None, str(args.get("note", "")))

    def _ask(
        self,
        word: str,
        decision: SortDecision,
        *,
        result: str | None = None,
        lane_act: str | None = None,
        note: str = "",
        model: str | None = None,
    ) -> None:
        if word in self._section.on:
            model = model or self._model()
            self._put(Asked(word, decision.captured_ns, decision, result, lane_act, note, model))

    def _model(self) -> str | None:
        """Return the model of now: by the time a record is written another one may decide."""
        info = self._status.info
        return None if info is None else info.model

    def _put(self, asked: Asked) -> None:
        if self._asked.qsize() >= ASKED_WAITING:
            self.counts["dropped_too_many"] += 1
            return
        self._asked.put(asked)

    def has_taken_all(self) -> bool:
        """Tell whether no picture waits to be taken into memory."""
        return self._pictures.empty()

    def close(self) -> None:
        """Write what is asked for, without waiting for more pictures; safe to call twice."""
        self._done.set()
        self._thread.join()

    def __enter__(self) -> Evidence:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    # On the thread of its own.

    def _work(self) -> None:
        if sys.platform == "linux":
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        while not self._done.is_set():
            try:
                self._take_pictures(timeout_s=IDLE_S)
                self._take_asked()
                self._write_due(self._clock.now_ns())
                self._sweep(self._clock.now_ns())
            except Exception as error:  # told; evidence must never end the line
                self._stop(f"{type(error).__name__}: {error}")
        self._take_pictures(timeout_s=0)
        self._take_asked()
        for asked in self._pending:
            self._try_write(asked)

    def _take_pictures(self, *, timeout_s: float) -> None:
        try:
            while True:
                frame, step = self._pictures.get(timeout=timeout_s) if timeout_s else self._pictures.get_nowait()
                self._ring.add(keep(frame, step, width_px=self._section.width_px))
                timeout_s = 0
        except Empty:
            return

    def _take_asked(self) -> None:
        try:
            while True:
                self._pending.append(self._asked.get_nowait())
        except Empty:
            return

    def _write_due(self, now_ns: int) -> None:
        due = []
        for asked in self._pending:
            end_ns = asked.at_ns + round(self._section.after_s * 1e9)
            if (self._ring.newest_ns or 0) >= end_ns or now_ns > end_ns + PATIENCE_NS:
                due.append(asked)
        for asked in due:
            self._pending.remove(asked)
            self._try_write(asked)

    def _try_write(self, asked: Asked) -> None:
        now_ns = self._clock.now_ns()
        while self._written_ns and now_ns - self._written_ns[0] > HOUR_NS:
            self._written_ns.popleft()
        if asked.why != "mark" and len(self._written_ns) >= self._section.per_hour:
            self.counts["dropped_per_hour"] += 1
            return None
        if not self._records_room(self.store.folder):
            self.counts["dropped_disk_full"] += 1
            return self._stop("the disk is nearly full")
        try:
            self._write(asked)
        except (OSError, EdgeSorterError, ValueError) as error:
            self.counts["dropped_failed"] += 1
            return self._stop(str(error))
        self._written_ns.append(now_ns)
        self.counts[asked.why] += 1
        return None

    def _write(self, asked: Asked) -> None:
        decision, section = asked.decision, self._section
        parcel = "line" if decision is None else f"{decision.parcel_uid}-{decision.rev}"
        name = name_of(self._clock.wall(asked.at_ns), asked.why, parcel)
        pictures = self._ring.between(
            asked.at_ns - round(section.before_s * 1e9), asked.at_ns + round(section.after_s * 1e9)
        )
        missing = None if pictures else "no picture of that time is in memory any more"
        if pictures and not self._pictures_room(self.store.folder):
            missing = "the disk is nearly full: pictures stop first"
            self.counts["dropped_clip"] += 1
            self._stop("pictures are not kept: the disk is nearly full")
        elif self._trouble:
            self._trouble = ""
        if missing is None:
            self._write_pictures(name, asked, pictures)
        record = record_of(
            asked, pictures, self._status, self._clock, self._pseudonyms, line=self._line, blur=section.blur
        )
        self.store.add(name, record | {"no_clip_because": missing})
        log.info("evidence %s", name)

    def _write_pictures(self, name: str, asked: Asked, pictures: list[Kept]) -> None:
        blurred = self._section.blur == "parcels"
        track_id = None if asked.decision is None else asked.decision.track_id
        folder = self.store.folder
        write_clip(folder / f"{name}.mp4", pictures, self._ring, track_id=track_id, blurred=blurred)
        shown = [(kept, box) for kept in pictures for track, box in kept.parcels if track == track_id]
        if shown:
            kept, box = min(shown, key=lambda pair: abs(pair[0].captured_ns - asked.at_ns))
            write_picture(folder / f"{name}.jpg", kept, box, self._ring, blurred=blurred)

    def _sweep(self, now_ns: int) -> None:
        if now_ns < self._sweep_ns:
            return
        self._sweep_ns = now_ns + SWEEP_NS
        retention = timedelta(hours=self._section.retention_h)
        self.store.sweep(self._clock.wall(now_ns), retention=retention, most_bytes=round(self._section.max_mb * 1e6))

    def _stop(self, reason: str) -> None:
        if reason != self._trouble:
            log.error("evidence: %s; sorting goes on without it", reason)
        self._trouble = reason[:200]
