"""Another model takes over while the line runs: loaded and proven beside the old one, watched, taken back if worse.

Contract: everything slow happens on threads of its own; the change itself is one assignment between two frames, on the
main loop, and a line event that the journal keeps. It waits for a moment in which no parcel is between first sight and
decision; where none comes within `detect.swap.wait_s` it happens between two frames all the same: tracks are carried by
the belt's motion, not by the model, so no parcel is lost or decided twice. The old model stays in memory until the new
one has passed its probation; then it is freed. There are never more than these two.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from edge_sorter.config import DetectSection
from edge_sorter.detect import Detector, open_detector
from edge_sorter.detect.manifest import load_manifest
from edge_sorter.errors import ConfigError, EdgeSorterError, EngineError, ModelError
from edge_sorter.events import LineEvent
from edge_sorter.pipeline import Pipeline
from edge_sorter.plc.publisher import PublishResult
from edge_sorter.service.model_load import Open, Running, SameModelError, load
from edge_sorter.service.model_memory import ModelMemory
from edge_sorter.service.probation import EVERY_NS, KEPT_TIMES, Probation, SecondLook, p99_ns
from edge_sorter.types import Blind, Frame, SortDecision, Step

log = logging.getLogger(__name__)

CLOSE_S = 1.5
"""A model that is still being loaded keeps the program no longer from ending: systemd would kill it, unheard."""


class Stage(str, Enum):
    """Where a swap stands."""

    IDLE = "IDLE"
    LOADING = "LOADING"
    WAITING = "WAITING"
    PROBATION = "PROBATION"


class News(str, Enum):
    """What there is to tell; NONE: the model that is asked for is the one that runs."""

    NONE = "NONE"
    REFUSED = "REFUSED"
    SWITCHED = "SWITCHED"
    KEPT = "KEPT"
    ROLLED_BACK = "ROLLED_BACK"


class ModelSwap:
    """A `LineInput` and `Observer` that changes the pipeline's detector.

    Attributes:
        stage: Where a change stands.
        section: What the detector of now was opened with.

    Args:
        pipeline: The one whose detector is changed.
        section: What that detector was opened with.
        size_px: Width and height of the pictures.
        fps: Nominal rate of the camera, or None.
        frame: Returns the newest frame.
        tell: Told every piece of news in one line.
        memory: Remembers for the next start which models were taken back.
        open_with: Opens a detector.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        section: DetectSection,
        *,
        size_px: tuple[int, int],
        fps: float | None,
        frame: Callable[[], Frame | None],
        tell: Callable[[News, str], None],
        memory: ModelMemory | None = None,
        open_with: Open = open_detector,
    ) -> None:
        self.stage = Stage.IDLE
        self.section = self._configured = section
        self._pipeline = pipeline
        self._sha256 = load_manifest(section.model).sha256
        self._size_px, self._period_ns = size_px, None if fps is None else round(1e9 / fps)
        self._frame, self._tell, self._open = frame, tell, open_with
        self._loaded: SimpleQueue[Detector | EdgeSorterError] = SimpleQueue()
        self._loader: threading.Thread | None = None
        self._wanted: DetectSection = section
        self._next: Detector | None = None
        self._ready_ns: int | None = None
        self._baseline_ns: int | None = None
        self._took_ns: deque[int] = deque(maxlen=KEPT_TIMES)
        self._probation: Probation | None = None
        self._memory = memory or ModelMemory()
        self._failed: set[str] = set(self._memory.taken_back)

    @property
    def manifest_confidence(self) -> float:
        """What the model of now needs by its own manifest for a detection to start a track."""
        detector = self._pipeline.detector
        return 0.0 if detector is None else detector.manifest.confidence

    def reloaded(self, section: DetectSection) -> None:
        """Take the configuration of now, and begin to change to its model if that is another one.

        Raises:
            ConfigError: Another change is not over yet.
        """
        self._configured = section
        self._want(section.model, again=False)

    def _want(self, model: Path, *, again: bool) -> None:
        """Begin to change; `again` tries a model once more that was refused or taken back in this run."""
        detector = self._pipeline.detector
        if detector is None or self.stage is not Stage.IDLE:
            raise ConfigError(f"model {self._wanted.model.name} is not through yet ({self.stage.value}); wait for it")
        update = {"model": model, "confidence": self._configured.confidence, "swap": self._configured.swap}
        self._wanted, self.stage = self.section.model_copy(update=update), Stage.LOADING
        times = list(self._took_ns)
        self._baseline_ns = p99_ns(times)
        running = Running(
            self._sha256,
            detector.classes,
            self._size_px,
            self._period_ns,
            sorted(times)[len(times) // 2] if times else None,
        )
        failed = frozenset() if again else frozenset(self._failed)
        self._loader = threading.Thread(
            target=self._load, args=(self._wanted, running, failed), name="model-load", daemon=True
        )
        self._loader.start()

    def command(self, args: dict[str, Any]) -> str:
        """Take the command "model" from the broker: a model file in the folder of the configured one.

        Raises:
            ConfigError: No such file, or another change is not over yet.
        """
        name = str(args.get("file", ""))
        folder = self._configured.model.parent
        path = folder / name
        if not name or Path(name).name != name or not path.is_file():
            raise ConfigError(f"no model file {name[:64]!r} in {folder}; say which in args.file")
        self._want(path, again=True)
        return f"loading {name} beside the old one; the state topic tells how it went. To keep it, set detect.model"

    def take_events(self, now_ns: int) -> list[LineEvent]:
        """Do what is due between two frames; return the change of models, if there is one."""
        if self.stage is Stage.LOADING:
            self._take_loaded(now_ns)
        if self.stage is Stage.WAITING:
            return self._switch(now_ns)
        if self.stage is Stage.PROBATION:
            return self._judge(now_ns)
        return []

    def rescue(self, failed: Detector, error: EngineError) -> Detector | None:
        """Return the old model while it is there, for the frame on which the new one failed; None: there is none.

        Then another engine takes over, and what the failed one took for a picture is no measure for a model to come.
        """
        if self._probation is None or failed is not self._pipeline.detector:
            self._took_ns.clear()
            self._baseline_ns = None
            return None
        self._back(f"failed: {error}")
        return self._pipeline.detector

    def on_step(self, step: Step, results: tuple[PublishResult, ...], publish_ns: int) -> None:
        """Note what the detector took and found."""
        took_ns = sum(step.stage_ns.get(stage, 0) for stage in ("preprocess", "infer", "decode"))
        watched = self._probation
        if watched is None:
            if self.stage is Stage.IDLE:  # while another model is being loaded the processor is not its own
                self._took_ns.append(took_ns)
            return
        watched.note(step, took_ns, self._frame(), confidence=self._pipeline.tracker.high_confidence)

    def on_heard(
        self, event: LineEvent, decisions: tuple[SortDecision, ...], results: tuple[PublishResult, ...]
    ) -> None:
        """What the line tells says nothing about models."""

    def on_blind(self, blind: Blind) -> None:
        """Without a picture there is nothing to compare."""

    def close(self) -> None:
        """Give back every detector but the pipeline's first, which belongs to whoever opened it."""
        self._memory.ended()
        if self._loader is not None:
            self._loader.join(CLOSE_S)
            if self._loader.is_alive():
                log.warning("model %s is still being loaded; it is left to itself", self._wanted.model)
            with suppress(Empty):
                loaded = self._loaded.get_nowait()
                self._next = loaded if isinstance(loaded, Detector) else self._next
        if self._probation is not None:
            self._probation.looks.close()
        old = None if self._probation is None else self._probation.looks.old
        held = (self._next, old, self._pipeline.detector)
        for detector in held:
            if detector is not None:
                with suppress(EngineError):
                    detector.close()

    def _load(self, section: DetectSection, running: Running, failed: frozenset[str]) -> None:
        try:
            sha256 = load_manifest(section.model).sha256
            if sha256 in failed:
                raise ModelError("it was refused or taken back before; the command `model` tries it again")
            detector = load(section, running, open_with=self._open)
        except EdgeSorterError as error:
            self._loaded.put(error)
        except Exception as error:  # a broken library must not look like a model that loads for ever
            log.exception("model %s", section.model)
            self._loaded.put(EngineError(f"{type(error).__name__}: {error}"))
        else:
            self._loaded.put(detector)

    def _take_loaded(self, now_ns: int) -> None:
        try:
            loaded = self._loaded.get_nowait()
        except Empty:
            return
        self._loader = None
        if isinstance(loaded, SameModelError):
            self.stage = Stage.IDLE
            self._tell(News.NONE, str(loaded))
        elif isinstance(loaded, EdgeSorterError):
            self.stage = Stage.IDLE
            self._refuse(loaded)
        else:
            self.stage, self._next, self._ready_ns = Stage.WAITING, loaded, now_ns

    def _refuse(self, error: EdgeSorterError) -> None:
        with suppress(ModelError):
            self._failed.add(load_manifest(self._wanted.model).sha256)
        first_line = str(error).splitlines()[0]
        log.error("model %s is not taken: %s", self._wanted.model, error)
        self._tell(News.REFUSED, f"model {self._wanted.model.name} not taken: {first_line}")

    def _switch(self, now_ns: int) -> list[LineEvent]:
        """Let the new model take over, if nothing is undecided or it has waited long enough."""
        pipeline, old, new = self._pipeline, self._pipeline.detector, self._next
        if new is None or old is None or self._ready_ns is None:
            return []
        clear = pipeline.router.clear
        if not clear and now_ns - self._ready_ns < self._wanted.swap.wait_s * 1e9:
            return []
        before = (self.section, self._sha256)
        self._probation = Probation(
            SecondLook(old, confidence=pipeline.tracker.high_confidence),
            before,
            old_p99_ns=self._baseline_ns,
            began_ns=now_ns,
        )
        self._memory.begins(new.manifest.sha256, model=self._wanted.model, before=self.section.model)
        self._next, self.stage = None, Stage.PROBATION
        self.section, self._sha256 = self._wanted, new.manifest.sha256
        pipeline.detector, pipeline.tracker.high_confidence = new, self._confidence_of(new)
        when = "nothing undecided in view" if clear else "between two frames, parcels in view"
        sentence = f"model {new.manifest.short_name} decides from now on ({when}); on probation"
        log.warning("%s; %s", sentence, new.description)
        self._tell(News.SWITCHED, sentence)
        return [pipeline.in_use(now_ns, why=sentence)]

    def _confidence_of(self, detector: Detector) -> float:
        """Return above what its detections start tracks, by the configuration of now, not of when it was opened."""
        confidence = self._configured.confidence
        return detector.manifest.confidence if confidence is None else confidence

    def _judge(self, now_ns: int) -> list[LineEvent]:
        """End the probation if there is reason to."""
        watched = self._probation
        if watched is None:
            return []
        if now_ns < watched.judge_ns:
            return []
        watched.judge_ns = now_ns + EVERY_NS
        worse = watched.worse(self.section.swap, period_ns=self._period_ns)
        if worse is not None:
            self._back(worse)
            return [self._pipeline.in_use(now_ns, why=f"rolled back: {worse}")]
        if watched.over(self.section.swap, now_ns):
            self._keep(watched)
        return []

    def _keep(self, watched: Probation) -> None:
        watched.looks.close()
        with suppress(EngineError):
            watched.looks.old.close()
        self._probation, self.stage = None, Stage.IDLE
        self._took_ns = watched.took_ns
        self._memory.passed()
        self._failed.discard(self._sha256)
        detector = self._pipeline.detector
        sentence = f"model {detector.manifest.short_name if detector else '?'} passed its probation: {watched}"
        log.warning("%s", sentence)
        self._tell(News.KEPT, sentence)

    def _back(self, why: str) -> None:
        """Take the old model back, at once."""
        watched, new = self._probation, self._pipeline.detector
        if watched is None or new is None:
            return
        watched.looks.close()
        self._failed.add(new.manifest.sha256)
        self._memory.took_back(why)
        old = watched.looks.old
        self._pipeline.detector, self._pipeline.tracker.high_confidence = old, self._confidence_of(old)
        self.section, self._sha256 = watched.before
        self._probation, self.stage = None, Stage.IDLE
        with suppress(Exception):  # a broken driver may not even let go of its memory
            new.close()
        sentence = f"model {new.manifest.short_name} rolled back to {old.manifest.short_name}: it {why}"
        log.error("%s", sentence)
        self._tell(News.ROLLED_BACK, sentence)
