"""What this machine learned about models while they ran, for the next start: who was taken back, who decides instead.

The configuration still names a model that was taken back until somebody changes it. Without this memory a restart,
which may come from the watchdog at night, would put it on the belt again, without the old one beside it to notice.

Contract: a verdict is about a file's content (sha256), never its name. `put_back` names the model to start with, and
why it is not the configured one. Writing happens beside the main loop; what cannot be read or written is told in the
log and counts as forgotten.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from edge_sorter.atomic import write_json
from edge_sorter.config import Config, DetectSection
from edge_sorter.detect.manifest import load_manifest
from edge_sorter.errors import EdgeSorterError
from edge_sorter.state_folder import state_folder

log = logging.getLogger(__name__)

SCHEMA = "edge_sorter.models/1"
FILE = "models.json"
DIED = "did not outlive its probation: the program ended without a word"
MOST = 50
CLOSE_S = 2.0


@dataclass(frozen=True, slots=True)
class TakenBack:
    """One model that was taken back.

    Attributes:
        model: Its file.
        why: What it did, as the alarm said.
        at: When, RFC 3339.
        before: The file that decided before it, and decides again.
    """

    model: str
    why: str
    at: str
    before: str


@dataclass
class ModelMemory:
    """Verdicts on models by sha256.

    Attributes:
        path: Where it is kept; None: nowhere, and a restart knows nothing.
        now: The wall time, RFC 3339.
        taken_back: The verdicts, oldest first.
        trial: The model on probation, if one is; still there at a start, it took the program with it.
    """

    path: Path | None = None
    now: Callable[[], str] = str
    taken_back: dict[str, TakenBack] = field(default_factory=dict)
    trial: tuple[str, TakenBack] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _writers: list[threading.Thread] = field(default_factory=list, repr=False)
    _newest: int = 0
    _written: int = 0

    @classmethod
    def of(cls, config: Config, *, now: Callable[[], str] = str) -> ModelMemory:
        """Return what is remembered for a line."""
        path = memory_path(config)
        found = cls(path, now)
        if path is None or not path.is_file():
            return found
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
            found.taken_back = {sha256: TakenBack(**verdict) for sha256, verdict in kept["taken_back"].items()}
            trial = kept["trial"]
            found.trial = None if trial is None else (trial["sha256"], TakenBack(**trial["verdict"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("%s cannot be read, so no model counts as taken back: %s", path, error)
            return cls(path, now)
        return found

    def begins(self, sha256: str, *, model: Path, before: Path) -> None:
        """Note that a model goes on probation, and what is to be said should the program not outlive it."""
        self.trial = sha256, TakenBack(str(model.resolve()), DIED, self.now(), str(before.resolve()))
        self._save()

    def settle(self) -> None:
        """At a start: a probation that the run before left open was ended by what ended that run. It was a failure."""
        if self.trial is not None:
            self.took_back(DIED)

    def took_back(self, why: str) -> None:
        """End the probation: the model was taken back."""
        if self.trial is None:
            return
        sha256, verdict = self.trial
        self.trial = None
        self.taken_back.pop(sha256, None)
        self.taken_back[sha256] = replace(verdict, why=why, at=self.now())
        while len(self.taken_back) > MOST:
            del self.taken_back[next(iter(self.taken_back))]
        self._save()

    def passed(self) -> None:
        """End the probation: nothing is held against the model any more."""
        if self.trial is not None:
            self.taken_back.pop(self.trial[0], None)
            self.ended()

    def ended(self) -> None:
        """End the probation without a verdict, as when the program is told to stop."""
        if self.trial is not None:
            self.trial = None
            self._save()

    def close(self) -> None:
        """Wait for what is being written, but not for ever: a broken disk must not keep the program from ending."""
        for writer in self._writers:
            writer.join(CLOSE_S)

    def _save(self) -> None:
        """Write on a thread of its own: the main loop never waits for a disk."""
        if self.path is None:
            return
        self._newest += 1
        trial = None if self.trial is None else {"sha256": self.trial[0], "verdict": asdict(self.trial[1])}
        verdicts = {sha256: asdict(verdict) for sha256, verdict in self.taken_back.items()}
        content = {"schema": SCHEMA, "taken_back": verdicts, "trial": trial}
        writer = threading.Thread(
            target=self._write, args=(self.path, self._newest, content), name="model-memory", daemon=True
        )
        self._writers = [*(other for other in self._writers if other.is_alive()), writer]
        writer.start()

    def _write(self, path: Path, number: int, content: dict[str, Any]) -> None:
        with self._lock:
            if number < self._written:
                return
            self._written = number
            try:
                write_json(path, content)
            except (OSError, EdgeSorterError) as error:
                log.error("%s: %s; a restart would not know which model was taken back", path, error)


def memory_path(config: Config) -> Path | None:
    """Return the file: in the service's state folder, else beside the journal; None where there is neither."""
    journal = config.journal.path
    folder = state_folder() or (None if journal is None else journal.parent)
    return None if folder is None else folder / FILE


def put_back(section: DetectSection, memory: ModelMemory) -> tuple[DetectSection, str | None]:
    """Return what to start with, and a sentence about a configured model that was taken back.

    Raises:
        ModelError: The configured model's manifest is missing or damaged.
    """
    found = memory.taken_back.get(load_manifest(section.model).sha256) if memory.taken_back else None
    if found is None:
        return section, None
    before = Path(found.before)
    said = f"{section.model.name} was taken back at {found.at}: it {found.why}"
    try:
        trusted = load_manifest(before).sha256 not in memory.taken_back
    except EdgeSorterError:
        trusted = False
    if not trusted:
        return section, f"{said}. It decides all the same: {before}, which did before, cannot be used any more"
    return section.model_copy(update={"model": before}), f"{said}. {before.name} decides"
