"""Gets another model ready beside the one that runs: file and manifest, golden pictures, a few looks to warm it up.

Contract: `load` runs on a thread of its own and returns a warm detector that has proven itself here, or raises with the
reason; nothing that happens in it touches the running line but the processor time it takes.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from statistics import median

import numpy as np

from edge_sorter.clock import stopwatch_ns
from edge_sorter.config import DetectSection
from edge_sorter.detect import Detector
from edge_sorter.detect.manifest import load_manifest
from edge_sorter.errors import EdgeSorterError, EngineError, ModelError
from edge_sorter.types import Frame

TRIALS = 7

Open = Callable[[DetectSection], Detector]


class SameModelError(ModelError):
    """What is asked for already decides."""


@dataclass(frozen=True, slots=True)
class Running:
    """What the new model must fit.

    Attributes:
        asked_sha256: Of the file the running detector was opened for.
        classes: Its classes, by which plan and evidence go.
        size_px: Width and height of the pictures.
        period_ns: Time between two pictures, or None.
        typical_ns: What it takes for one, or None before it has looked at enough.
    """

    asked_sha256: str
    classes: tuple[str, ...]
    size_px: tuple[int, int]
    period_ns: int | None
    typical_ns: int | None


def load(section: DetectSection, running: Running, *, open_with: Open) -> Detector:
    """Return the new detector.

    Raises:
        SameModelError: It is the one that was asked for before.
        EdgeSorterError: Why it cannot take over.
    """
    manifest = load_manifest(section.model)
    if manifest.sha256 == running.asked_sha256:
        raise SameModelError(f"{manifest.short_name} already decides")
    if manifest.classes != running.classes:
        raise ModelError(
            f"classes are {', '.join(manifest.classes)} instead of {', '.join(running.classes)}; this needs a restart"
        )
    if manifest.golden is None:
        raise ModelError("it comes without golden pictures; make them: edge-sorter golden")
    detector = open_with(section)
    try:
        if detector.manifest.sha256 != manifest.sha256:
            raise ModelError("; ".join(detector.acceptance.refused) if detector.acceptance else "it was not taken")
        _warm_up(detector, running)
    except BaseException as error:
        with suppress(EdgeSorterError):
            detector.close()
        if isinstance(error, EdgeSorterError):
            raise
        raise EngineError(f"{type(error).__name__}: {error}") from error
    return detector


def _warm_up(detector: Detector, running: Running) -> None:
    """Look at a few pictures of the line's size: buffers and kernels are ready then, and what it takes is known."""
    width, height = running.size_px
    frame = Frame(0, 0, np.full((height, width, 3), 114, np.uint8))
    took_ns = []
    for _ in range(TRIALS):
        began_ns = stopwatch_ns()
        detector.detect(frame)
        took_ns.append(stopwatch_ns() - began_ns)
    if running.typical_ns is None or running.period_ns is None:
        return
    typical_ns = round(median(took_ns[2:]))
    # The running model works at the same time, so the trial is not fair; only what is hopeless is refused here.
    if typical_ns > max(2 * running.period_ns, 4 * running.typical_ns):
        raise ModelError(
            f"it takes {typical_ns / 1e6:.0f} ms for a picture, and one comes every {running.period_ns / 1e6:.0f} ms"
        )
