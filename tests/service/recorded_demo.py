"""The demo's own pictures and recorded detections, and the keeper of evidence that looks at them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import av
import mosquitto as real
import numpy as np

from edge_sorter.clock import ReplayClock
from edge_sorter.config import EvidenceSection, load_config
from edge_sorter.journal import Journal, JournalStep
from edge_sorter.pipeline import Pipeline
from edge_sorter.plc.publisher import PublishResult
from edge_sorter.service.evidence import Evidence, Store
from edge_sorter.service.status import LineStatus
from edge_sorter.sort import load_plan
from edge_sorter.types import Code, Frame, Reason, SortDecision
from edge_sorter.video import open_source

CODE = "JJD000390007816423"
NOW = datetime(2026, 11, 21, 12, tzinfo=timezone.utc)
PATIENCE_S = 120.0


class Recorded:
    """The first pictures of the demo, decided again from the golden journal: everything but the detector."""

    def __init__(self, root: Path) -> None:
        config = load_config(root / "configs/demo/line.yaml")
        journal = Journal(root / "tests/golden/demo.jsonl")
        header = journal.header
        self.clock = ReplayClock(wall_at_zero=NOW)
        self.status = LineStatus(self.clock)
        self._entries = journal.entries()
        self._source = open_source(config.video, clock=self.clock)
        self._frames = (item for item in self.status.watching(self._source) if isinstance(item, Frame))
        self._pipeline = Pipeline(
            config,
            detector=None,
            plan=load_plan(config.sort.plan, classes=tuple(header["classes"]), calibrated=True),
            image_size_px=tuple(header["image_size_px"]),
            boot_id="B",
            classes=tuple(header["classes"]),
            high_confidence=header["high_confidence"],
        )

    def play(
        self, evidence: Evidence, until: Callable[[], bool], *, spoil=lambda decision: decision
    ) -> list[SortDecision]:
        """Show frames until something holds; `spoil` makes exceptions of ordinary decisions."""
        made: list[SortDecision] = []
        while not until():
            entry = next(self._entries)
            for event in entry.heard:
                self._pipeline.hear(event)
            if not isinstance(entry, JournalStep):
                continue
            frame = next(self._frames)
            assert frame.index == entry.index
            step = self._pipeline.decide(
                entry.index, entry.detections, travel_mm=entry.travel_mm, read=lambda _, reads=entry.reads: reads
            )
            step = replace(step, decisions=tuple(map(spoil, step.decisions)))
            results = (PublishResult.SENT,) * len(step.decisions)
            self.status.on_step(step, results, 0)
            evidence.on_step(step, results, 0)
            made += step.decisions
            # A camera leaves the keeper its time; a clip that is played as fast as it goes must, too.
            real.wait_until(evidence.has_taken_all, timeout_s=PATIENCE_S, what="the pictures are taken")
        return made

    def close(self) -> None:
        self._source.close()


def opened(recorded: Recorded, folder: Path, **changes) -> Evidence:
    rooms = {key: changes.pop(key) for key in list(changes) if key.endswith("_room") or key == "tell"}
    section = EvidenceSection(path=folder, **changes)
    rooms = {"pictures_room": lambda _: True, "records_room": lambda _: True} | rooms
    return Evidence(section, Store(folder), recorded.status, recorded.clock, line="acme/line03", **rooms)


def no_read_once():
    """Spoil the fifth decision: its code was not read, and there is one that must not be told."""
    seen: list[str] = []

    def spoil(decision: SortDecision) -> SortDecision:
        seen.append(decision.parcel_uid)
        if len(seen) != 5:
            return decision
        return replace(decision, reason=Reason.NO_READ, codes=(Code("Code128", CODE, 3),))

    return spoil


def pictures_of(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
