"""Is a new model worse than the one before? The old one goes on looking, now and then, at the very same pictures.

Contract: the main loop hands a picture with what the new model found to a `SecondLook` and never waits for it: one
picture at a time, on a thread of its own, the rest is passed over. What it finds is tallied; `verdict` is pure. Boxes
of the same picture are compared, so traffic, light and belt speed make no difference between the two.
"""

from __future__ import annotations

import logging
import math
import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field, replace
from queue import Empty, Full, Queue

import numpy as np

from edge_sorter.config import DetectSection, SwapSection
from edge_sorter.detect import Detector
from edge_sorter.detect.acceptance import overlaps
from edge_sorter.errors import EngineError
from edge_sorter.types import Detections, Frame, Step

log = logging.getLogger(__name__)

SAME_BOX_IOU = 0.5
SURELY = 0.1
"""A box is only missed or invented if the other model was so much surer than its threshold: scores are never equal."""
CERTAIN_Z = 1.96
LEAST_BOXES = 10
SLOWER, SLOWER_NS = 1.5, 5_000_000
KEPT_TIMES = 900
EVERY_NS = 500_000_000
"""The old model looks at a picture so often; oftener would take processor time from the one that decides."""
PACE = 0.8
"""Share of the time between two pictures beyond which a slower model begins to cost pictures."""


@dataclass(frozen=True, slots=True)
class Tally:
    """How two models differ on the same pictures.

    Attributes:
        pictures: Pictures both looked at.
        wanted, missed: Boxes the old model was sure of, and those of them that the new one does not find.
        found, invented: Boxes the new model was sure of, and those of them where the old one sees nothing.
        both, other_class: Boxes both find, and those of them with another class.
    """

    pictures: int = 0
    wanted: int = 0
    missed: int = 0
    found: int = 0
    invented: int = 0
    both: int = 0
    other_class: int = 0


def compare(tally: Tally, old: Detections, new: Detections, *, old_confidence: float, confidence: float) -> Tally:
    """Add one picture.

    Args:
        tally: What was counted before.
        old, new: What each model found.
        old_confidence, confidence: Above this a box of the old or the new model may start a track.
    """
    table = overlaps(old.xyxy, new.xyxy)
    wanted = np.flatnonzero(old.confidence >= old_confidence + SURELY)
    usable = new.confidence >= confidence
    best = np.where(usable[None, :], table, 0.0)
    hit = [row for row in wanted if len(new) and best[row].max() >= SAME_BOX_IOU]
    found = np.flatnonzero(new.confidence >= confidence + SURELY)
    invented = sum(not len(old) or table[:, column].max() < SAME_BOX_IOU for column in found)
    other = sum(old.class_id[row] != new.class_id[int(best[row].argmax())] for row in hit)
    return replace(
        tally,
        pictures=tally.pictures + 1,
        wanted=tally.wanted + len(wanted),
        missed=tally.missed + len(wanted) - len(hit),
        found=tally.found + len(found),
        invented=tally.invented + int(invented),
        both=tally.both + len(hit),
        other_class=tally.other_class + int(other),
    )


def verdict(tally: Tally, *, most_different: float) -> str | None:
    """Return why the new model is worse, or None as long as nothing speaks against it with 95 % certainty."""
    for count, of, words in (
        (tally.missed, tally.wanted, "misses {} of {} boxes of the model before"),
        (tally.invented, tally.found, "sees {} of {} boxes where the model before sees nothing"),
        (tally.other_class, tally.both, "gives {} of {} boxes another class"),
    ):
        if of >= LEAST_BOXES and _surely_above(count, of) > most_different:
            return words.format(count, of)
    return None


def slower(old_p99_ns: int | None, new_p99_ns: int | None, *, period_ns: int | None) -> str | None:
    """Return why the new model is too slow, or None.

    A model that takes longer is no fault while it keeps up with the camera.
    """
    if new_p99_ns is None or old_p99_ns is None:
        return None
    too_slow = new_p99_ns > SLOWER * old_p99_ns + SLOWER_NS
    if not too_slow or (period_ns is not None and new_p99_ns <= PACE * period_ns):
        return None
    return f"takes {new_p99_ns / 1e6:.0f} ms (99 %) instead of {old_p99_ns / 1e6:.0f} ms"


def p99_ns(durations_ns: list[int], *, least: int = 100) -> int | None:
    """Return what 99 % of the durations stay below; None where there are too few to tell."""
    if len(durations_ns) < least:
        return None
    return sorted(durations_ns)[math.ceil(0.99 * len(durations_ns)) - 1]


def _surely_above(count: int, of: int) -> float:
    """Return the lower end of Wilson's 95 % interval of a share."""
    share, z2 = count / of, CERTAIN_Z**2
    middle = share + z2 / (2 * of)
    spread = CERTAIN_Z * math.sqrt(share * (1 - share) / of + z2 / (4 * of * of))
    return max(0.0, (middle - spread) / (1 + z2 / of))


@dataclass(frozen=True, slots=True)
class _Look:
    frame: Frame
    new: Detections
    confidence: float


class SecondLook:
    """Lets the old model look at pictures the new one has seen, on a thread of its own.

    Args:
        old: The detector that decided before; nobody else may use it until `close` has returned.
        confidence: Above this a box of it may start a track.

    Attributes:
        old: The same.
        tally: What was counted so far; replaced as a whole, so any thread may read it.
        busy: Whether it works right now, and so takes processor time from the main loop.
    """

    def __init__(self, old: Detector, *, confidence: float) -> None:
        self.tally = Tally()
        self.old, self._confidence = old, confidence
        self._looks: Queue[_Look | None] = Queue(maxsize=1)
        self._working = threading.Event()
        self._thread = threading.Thread(target=self._work, name="second-look", daemon=True)
        self._thread.start()

    @property
    def busy(self) -> bool:
        """Whether a picture is waiting or being looked at."""
        return self._working.is_set() or not self._looks.empty()

    def offer(self, frame: Frame, new: Detections, *, confidence: float) -> None:
        """Have this picture looked at, unless there is another one to do."""
        try:
            self._looks.put_nowait(_Look(frame, new, confidence))
        except Full:
            return

    def close(self) -> None:
        """Stop, after the picture in work if there is one; then the old detector is free to be used or closed."""
        with suppress(Empty):
            self._looks.get_nowait()
        self._looks.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (look := self._looks.get()) is not None:
            self._working.set()
            try:
                old = self.old.detect(look.frame)
                self.tally = compare(
                    self.tally, old, look.new, old_confidence=self._confidence, confidence=look.confidence
                )
            except EngineError as error:
                log.warning("the model before cannot look any more, so nothing is compared: %s", error)
                return self._drain()
            finally:
                self._working.clear()
        return None

    def _drain(self) -> None:
        """Take what is still offered and do nothing with it, until closed."""
        while self._looks.get() is not None:
            pass


@dataclass
class Probation:
    """A new model that is watched.

    Attributes:
        looks: The old model, looking on.
        before: What that one was opened with, and the sha256 of the file it was opened for.
        old_p99_ns: What it took, before anything else was loaded; None: not known.
        began_ns: When the new model took over.
        judge_ns: When to judge it next.
        parcels: How many it has decided.
        took_ns: What it takes for a picture, without those during which the old one took processor time.
    """

    looks: SecondLook
    before: tuple[DetectSection, str]
    old_p99_ns: int | None
    began_ns: int
    judge_ns: int = 0
    parcels: int = 0
    took_ns: deque[int] = field(default_factory=lambda: deque(maxlen=KEPT_TIMES))
    _next_look_ns: int = 0

    def __str__(self) -> str:
        tally = self.looks.tally
        return (
            f"{self.parcels} parcels, {tally.wanted} boxes in {tally.pictures} pictures compared, "
            f"{tally.missed} missed, {tally.invented} new, {tally.other_class} of another class"
        )

    def note(self, step: Step, took_ns: int, frame: Frame | None, *, confidence: float) -> None:
        """Take one step of the pipeline, what the detector took for it, and its picture."""
        self.parcels += sum(decision.rev == 0 for decision in step.decisions)
        if not self.looks.busy:
            self.took_ns.append(took_ns)
        if step.captured_ns >= self._next_look_ns and frame is not None and frame.index == step.frame_index:
            self._next_look_ns = step.captured_ns + EVERY_NS
            self.looks.offer(frame, step.detections, confidence=confidence)

    def worse(self, swap: SwapSection, *, period_ns: int | None) -> str | None:
        """Return why the new model is worse, or None."""
        took_ns = p99_ns(list(self.took_ns), least=200)
        return verdict(self.looks.tally, most_different=swap.most_different) or slower(
            self.old_p99_ns, took_ns, period_ns=period_ns
        )

    def over(self, swap: SwapSection, now_ns: int) -> bool:
        """Tell whether it has been watched for long enough."""
        return now_ns - self.began_ns >= swap.probation_s * 1e9 and self.parcels >= swap.probation_parcels
