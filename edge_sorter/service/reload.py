"""SIGHUP: sort plan, thresholds and model anew, between two frames and without losing a parcel.

Contract: files are read and checked on a thread of their own; what is right reaches the main loop as line events, which
the journal keeps like all others, so that a replay decides alike. A mistake changes nothing: it is told, and what was
active stays. Whatever else was changed in the configuration is named as waiting for a restart.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import yaml

from edge_sorter.clock import Clock
from edge_sorter.config import Config, DetectSection, load_config
from edge_sorter.errors import ConfigError
from edge_sorter.events import LineEvent, PlanOffer, Thresholds
from edge_sorter.service.notify import Notify
from edge_sorter.sort import load_plan

log = logging.getLogger(__name__)

RELOADABLE = (
    ("sort", "plan"),
    ("sort", "min_hits"),
    ("sort", "min_class_confidence"),
    ("detect", "confidence"),
    ("detect", "model"),
    ("detect", "swap"),
)
"""What a reload changes; of the plan its content, too."""


class Reload:
    """A `LineInput` that speaks when somebody asked for a reload.

    Args:
        path: The configuration.
        config: What runs.
        asked: True once after every SIGHUP.
        clock: The pipeline's.
        classes: The model's, which the plan must fit.
        confidence: Returns the model's own, where the configuration names none.
        model: Given what is configured, begins to change the model if it is another one; raises if that cannot be.
        notify: Told RELOADING, and READY when it is over.
        tell: Told in one line how it went.
    """

    def __init__(
        self,
        path: Path,
        config: Config,
        *,
        asked: Callable[[], bool],
        clock: Clock,
        classes: tuple[str, ...],
        confidence: Callable[[], float],
        model: Callable[[DetectSection], None] = lambda _: None,
        notify: Notify,
        tell: Callable[[str], None],
    ) -> None:
        self._path, self._config, self._asked, self._clock = path, config, asked, clock
        self._classes, self._confidence, self._notify, self._tell = classes, confidence, notify, tell
        self._model = model
        self._results: SimpleQueue[Config | ConfigError] = SimpleQueue()
        self._reading: threading.Thread | None = None
        self._document: dict[str, Any] = {}
        self._commanded = False

    def command(self, _: dict[str, Any]) -> str:
        """Take the command "reload" from the broker; how it went is told on the state topic."""
        self._commanded = True
        return "reading the files; the state topic tells how it went"

    def take_events(self, now_ns: int) -> list[LineEvent]:
        """Start a reload where one is asked for; return what one that is finished changes."""
        if self._reading is None and (self._asked() or self._commanded):
            self._commanded = False
            log.info("reload asked for: %s", self._path)
            self._notify.reloading(self._clock.now_ns())
            self._reading = threading.Thread(target=self._read, name="reload", daemon=True)
            self._reading.start()
        try:
            result = self._results.get_nowait()
        except Empty:
            return []
        self._reading = None
        events = self._adopt(result, now_ns)
        self._notify.ready()
        return events

    def _read(self) -> None:
        try:
            config = load_config(self._path)
            load_plan(config.sort.plan, classes=self._classes, calibrated=config.belt.calibration is not None)
            self._document = yaml.safe_load(config.sort.plan.read_text(encoding="utf-8"))
            if (config.detect.confidence or self._confidence()) < config.detect.low_confidence:
                raise ConfigError("detect.confidence must not be below detect.low_confidence")
        except (ConfigError, OSError) as error:
            self._results.put(error if isinstance(error, ConfigError) else ConfigError(str(error)))
        else:
            self._results.put(config)

    def _adopt(self, result: Config | ConfigError, now_ns: int) -> list[LineEvent]:
        if isinstance(result, ConfigError):
            log.error("reload refused, nothing changed: %s", result)
            self._tell(f"reload refused: {'; '.join(str(result).splitlines())[:180]}")
            return []
        waiting = changes(self._config, result)
        if waiting:
            log.warning("reload: these wait for a restart: %s", ", ".join(waiting))
        confidence = self._confidence() if result.detect.confidence is None else result.detect.confidence
        told = "reloaded" + (f"; waiting for a restart: {', '.join(waiting)}" if waiting else "")
        log.info("%s: plan %s, confidence %g, min_hits %d, min_class_confidence %g", told, result.sort.plan.name,
                 confidence, result.sort.min_hits, result.sort.min_class_confidence)  # fmt: skip
        try:
            self._model(result.detect)
        except ConfigError as error:
            told += f"; {error}"
        self._tell(told[:200])
        return [
            PlanOffer(now_ns, self._document, source=str(result.sort.plan)),
            Thresholds(now_ns, confidence, result.sort.min_hits, result.sort.min_class_confidence),
        ]


def changes(running: Config, wanted: Config) -> list[str]:
    """Return the keys that differ and that only a restart changes, such as "video.source"."""
    found = []
    for name in type(running).model_fields:
        one, other = getattr(running, name), getattr(wanted, name)
        found += [
            f"{name}.{key}"
            for key in type(one).model_fields
            if (name, key) not in RELOADABLE and getattr(one, key) != getattr(other, key)
        ]
    return found
