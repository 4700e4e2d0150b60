"""The journal: one JSON line for every frame, enough to decide it all again and to see why.

A journal opens with a header (what decided: configuration, model, plan, boot id) and then holds, for each frame, the
inputs of a decision (time, belt travel, boxes, code reads) beside its outcome (tracks, decisions). Replaying the inputs
gives the same decisions byte for byte. Boxes are written as the shortest decimal that reads back to the same float32.

What the line told before a frame stands in that frame's line as `ev`, in the order it was heard; where it changed
decisions, or there is no frame for long, it has a line of its own with only `ev` and `dec`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np

from edge_sorter.errors import JournalError
from edge_sorter.event_record import event_from, event_record
from edge_sorter.events import LineEvent, ModelInUse
from edge_sorter.types import CodeRead, Detections, SortDecision, Step

SCHEMA = "edge_sorter.journal/1"
EVENTS_A_LINE = 512
"""So many events are kept for the next frame's line before they get one of their own."""


def decision_record(decision: SortDecision) -> dict[str, Any]:
    """Return a decision as plain values in a fixed order; positions rounded to 0.1 mm and 0.1 px.

    What only a line with an encoder or photo-eyes knows is left out where it is not known.
    """
    position = decision.position
    record = {
        "parcel_uid": decision.parcel_uid,
        "seq": decision.seq,
        "rev": decision.rev,
        "lane": decision.lane,
        "alt": list(decision.alternates),
        "action": decision.action.value,
        "reason": decision.reason.value,
        "rule": decision.rule,
        "plan": decision.plan,
        "track": decision.track_id,
        "class": decision.class_name,
        "conf": round(decision.confidence, 4),
        "size_mm": decision.size_mm and [round(side, 1) for side in decision.size_mm],
        "codes": [[code.symbology, code.text, code.frames] for code in decision.codes],
        "flags": list(decision.flags),
        "pos": {
            "ref": position.ref,
            "lead_mm": _tenth(position.lead_mm),
            "trail_mm": _tenth(position.trail_mm),
            "lat_mm": _tenth(position.lateral_mm),
            "px": [_tenth(v) for v in position.center_px],
        },
        "crossed_ns": decision.crossed_ns,
        "captured_ns": decision.captured_ns,
        "deadline_ns": decision.deadline_ns,
    }
    known = {
        "lead_cnt": position.lead_count,
        "trail_cnt": position.trail_count,
        "deadline_cnt": decision.deadline_count,
        "plc_index": decision.plc_index,
        "height_mm": decision.height_mm,
        "weight_g": decision.weight_g,
        "recirc": decision.rounds or None,
    }
    return record | {name: value for name, value in known.items() if value is not None}


def journal_header(
    *,
    boot_id: str,
    source: str,
    size_px: tuple[int, int],
    classes: tuple[str, ...],
    high_confidence: float,
    model: str,
    plan: str,
) -> dict[str, Any]:
    """Return what a journal must say about who decided, for a replay to decide alike."""
    return {
        "boot_id": boot_id,
        "source": source,
        "image_size_px": list(size_px),
        "classes": list(classes),
        "high_confidence": high_confidence,
        "model": model,
        "plan": plan,
    }


def dump_line(record: dict[str, Any]) -> str:
    """Return one JSON line, compact, key order kept, no NaN."""
    return json.dumps(record, separators=(",", ":"), allow_nan=False) + "\n"


def step_record(step: Step) -> dict[str, Any]:
    """Return one frame's journal line as plain values."""
    d = step.detections
    return {
        "i": step.frame_index,
        "t": step.captured_ns,
        "mm": step.travel_mm,
        "det": [
            [*map(_shortest, box), _shortest(conf), int(cls)]
            for box, conf, cls in zip(d.xyxy, d.confidence, d.class_id, strict=True)
        ],
        "reads": [[r.track_id, r.symbology, r.text] for r in step.reads],
        "trk": [[t.track_id, t.state.value, *(round(v, 1) for v in t.xyxy), t.class_id] for t in step.tracks],
        "dec": [decision_record(decision) for decision in step.decisions],
    }


def _shortest(value: np.float32) -> float:
    return float(str(value))


def _tenth(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


class JournalWriter:
    """Appends steps to a file, line by line; a context manager.

    A journal that grows past `max_bytes` is moved to `<path>.1` (replacing an older one) and begun anew with the same
    header, so that a year of running cannot fill a disk.
    """

    def __init__(self, path: Path, *, header: dict[str, Any], max_bytes: int | None = None) -> None:
        self.path = path
        self._header = {"schema": SCHEMA, **header}
        self._max_bytes = max_bytes
        self._written = 0
        self._heard: list[list[Any]] = []
        self._file = self._open()

    def _open(self) -> IO[str]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = self.path.open("w", encoding="utf-8", newline="\n")
            self._written = file.write(dump_line(self._header))
        except OSError as error:
            raise JournalError(
                f"journal {self.path} cannot be written: {error.strerror}; check folder and disk"
            ) from None
        return file

    def write(self, step: Step) -> None:
        """Append one step; flushed to the operating system whenever it holds a decision."""
        heard = {"ev": self._heard} if self._heard else {}
        self._append(heard | step_record(step), flush=bool(step.decisions))

    def hear(self, event: LineEvent, decisions: tuple[SortDecision, ...] = ()) -> None:
        """Append what the line told, and the decisions it changed."""
        if isinstance(event, ModelInUse):  # for the file after this one
            self._header |= {"model": event.engine, "high_confidence": event.confidence}
        self._heard.append(event_record(event))
        if decisions or len(self._heard) >= EVENTS_A_LINE:
            self._append({"ev": self._heard, "dec": [decision_record(d) for d in decisions]}, flush=bool(decisions))

    def _append(self, record: dict[str, Any], *, flush: bool) -> None:
        try:
            self._written += self._file.write(dump_line(record))
            self._heard = []
            if flush:
                self._file.flush()
            if self._max_bytes is not None and self._written > self._max_bytes:
                self._rotate()
        except OSError as error:
            raise JournalError(f"journal {self.path} cannot be written: {error.strerror}") from None

    def _rotate(self) -> None:
        self._file.close()
        self.path.replace(self.path.with_name(self.path.name + ".1"))
        self._file = self._open()

    def close(self) -> None:
        """Flush and close; safe to call twice."""
        if self._heard and not self._file.closed:
            self._append({"ev": self._heard, "dec": []}, flush=True)
        self._file.close()

    def __enter__(self) -> JournalWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True)
class JournalStep:
    """One recorded frame: the inputs to decide again, what was heard before it, and the outcome it had."""

    index: int
    travel_mm: float | None
    detections: Detections
    reads: tuple[CodeRead, ...]
    tracks: list[list[Any]]
    decisions: list[dict[str, Any]]
    heard: tuple[LineEvent, ...] = ()


@dataclass(frozen=True)
class JournalEvents:
    """Line events between two frames, and the decisions that the last of them changed."""

    heard: tuple[LineEvent, ...]
    decisions: list[dict[str, Any]]


class Journal:
    """A recorded journal: `header`, all its `entries()`, and its steps by iteration.

    Raises:
        JournalError: The file is missing, no journal, or a line is damaged (a torn last line is tolerated: power
            was cut while it was written).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open(encoding="utf-8") as file:
                first = file.readline()
        except (OSError, UnicodeDecodeError) as error:
            raise JournalError(f"journal {path} cannot be read: {error}") from None
        try:
            self.header: dict[str, Any] = json.loads(first)
            schema = self.header["schema"]
        except (json.JSONDecodeError, KeyError, TypeError):
            raise JournalError(f"{path} is not an edge_sorter journal: its first line is no journal header") from None
        if schema != SCHEMA:
            raise JournalError(f"journal {path} has schema {schema!r}; this version reads {SCHEMA!r}")

    def __iter__(self) -> Iterator[JournalStep]:
        return (entry for entry in self.entries() if isinstance(entry, JournalStep))

    def entries(self) -> Iterator[JournalStep | JournalEvents]:
        """Yield every line."""
        with self.path.open(encoding="utf-8") as file:
            file.readline()
            for number, line in enumerate(file, start=2):
                try:
                    yield _parse(json.loads(line))
                except (ValueError, KeyError, TypeError, IndexError) as error:
                    if not line.endswith("\n"):
                        return
                    raise JournalError(f"journal {self.path}, line {number}: damaged ({error})") from None


def decided_by(journal: Journal) -> dict[str, int]:
    """Return how many decisions of a journal each model had seen the parcels for, in the order of their time."""
    model, counts = str(journal.header["model"]), {str(journal.header["model"]): 0}
    for entry in journal.entries():
        for event in entry.heard:
            if isinstance(event, ModelInUse):
                model = f"{event.engine} (sha256 {event.sha256[:12]})"
        counts[model] = counts.get(model, 0) + len(entry.decisions)
    return counts


def _parse(record: dict[str, Any]) -> JournalStep | JournalEvents:
    heard = tuple(map(event_from, record.get("ev", ())))
    if "i" not in record:
        return JournalEvents(heard, record["dec"])
    rows = record["det"]
    table = np.array([row[:5] for row in rows], dtype=np.float32).reshape(-1, 5)
    detections = Detections(record["t"], table[:, :4], table[:, 4], np.array([row[5] for row in rows], dtype=np.int64))
    reads = tuple(CodeRead(*row) for row in record["reads"])
    return JournalStep(record["i"], record["mm"], detections, reads, record["trk"], record["dec"], heard)
