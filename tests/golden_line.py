"""A steady belt's boxes, decided again on a belt with an encoder that the test drives.

`golden/steady.jsonl` is the journal of an earlier demo clip: 24 s, 33 parcels at 1 m/s without a stop, so that a test
may let the belt do what it wants.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from edge_sorter.config import Config, load_config
from edge_sorter.events import EncoderCount, LineEvent
from edge_sorter.journal import Journal, JournalWriter
from edge_sorter.pipeline import Pipeline
from edge_sorter.sort import load_plan
from edge_sorter.types import SortDecision, Step

ROOT = Path(__file__).resolve().parent.parent
JOURNAL = ROOT / "tests/golden/steady.jsonl"
CAMERA_MM = (950.0, -420.0, 2560.0)
"""Where the demo's scenario puts its camera."""

Count = Callable[[float], float | None]
"""Belt travel in mm, by time in s, as an encoder tells it; None tells nothing."""


def config_with(**belt: object) -> Config:
    config = load_config(ROOT / "configs/demo/line.yaml")
    section = config.belt.model_dump(exclude_unset=True) | {"speed_mm_s": None, "encoder": None} | belt
    sort = config.sort.model_copy(update={"doubles": "sort"})
    return config.model_copy(update={"belt": type(config.belt).model_validate(section), "sort": sort})


def encoder(count: Count, *, hz: int = 100, seconds: float = 25.0, start: int = 2**32 - 3000) -> list[EncoderCount]:
    """Samples of an encoder of 0.5 mm a count, which wraps 1.5 m after the start."""
    told = [(i / hz, count(i / hz)) for i in range(round(seconds * hz))]
    return [EncoderCount(round(at_s * 1e9), (start + round(mm * 2)) % 2**32) for at_s, mm in told if mm is not None]


class GoldenLine:
    """A pipeline that gets the golden journal's detections and the events of the test, in the order of time."""

    def __init__(self, config: Config, *, boot_id: str | None = None, recorded: Path = JOURNAL) -> None:
        journal = Journal(recorded)
        header = journal.header
        self.header = header
        self.frames = list(journal)
        self.pipeline = Pipeline(
            config,
            detector=None,
            plan=load_plan(config.sort.plan, classes=tuple(header["classes"])),
            image_size_px=tuple(header["image_size_px"]),
            boot_id=boot_id or header["boot_id"],
            classes=tuple(header["classes"]),
            high_confidence=header["high_confidence"],
        )
        self.steps: list[Step] = []
        self.decisions: list[SortDecision] = []
        self.troubles: list[tuple[float, str | None]] = []

    def play(
        self, events: Iterable[LineEvent], *, ahead_ns: int = 9_999_999, journal: JournalWriter | None = None
    ) -> GoldenLine:
        """Hear each event before the first frame that is not more than `ahead_ns` older than it."""
        waiting = sorted(events, key=lambda event: event.at_ns)
        said: str | None = None
        for frame in self.frames:
            at_ns = frame.detections.captured_ns
            while waiting and waiting[0].at_ns <= at_ns + ahead_ns:
                event = waiting.pop(0)
                decisions = self.pipeline.hear(event)
                self.decisions += decisions
                if journal is not None:
                    journal.hear(event, decisions)
            step = self.pipeline.decide(
                frame.index,
                frame.detections,
                travel_mm=self.pipeline.travel_mm(at_ns),
                read=lambda _, reads=frame.reads: reads,  # type: ignore[misc]
            )
            self.steps.append(step)
            if journal is not None:
                journal.write(step)
            self.decisions += step.decisions
            if self.pipeline.trouble != said:
                said = self.pipeline.trouble
                self.troubles.append((round(at_ns / 1e9, 2), said))
        return self
