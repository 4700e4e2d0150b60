"""What was seen of each parcel on its way: how often as which class, how surely, and where.

Contract: the main loop hands over values it has made anyway (`Witness.on_step`: an append, and a cut-out of the picture
for each decision); everything else happens on the thread that calls `Looks.take`. Memory is bounded by the number of
tracks and pictures kept.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field

from edge_sorter.events import LaneReport, LineEvent, LineReport
from edge_sorter.plc.publisher import PublishResult
from edge_sorter.service.status import LineStatus
from edge_sorter.types import Blind, Box, Image, SortDecision, Step, TrackState

STEPS = 512
"""Frames that may wait to be taken: far more than pass between two takes."""
PICTURES = 64
TRACKS = 400
PLACES = 160
LANES = 1000
MARGIN = 0.12
"""A picture of a parcel shows this share of its box around it."""


@dataclass
class TrackLooks:
    """All looks at one track.

    Attributes:
        by_class: For each class id, in how many frames it was the answer, and the sum of its confidences.
        places: (captured_ns, xyxy) of the measured boxes, newest `PLACES`.
    """

    by_class: dict[int, tuple[int, float]] = field(default_factory=dict)
    places: deque[tuple[int, Box]] = field(default_factory=lambda: deque(maxlen=PLACES))


class Witness:
    """An `Observer` of the main loop that keeps references for `Looks`; must come after the status it asks.

    Attributes:
        steps: Steps not yet taken.
        pictures: Parcel, revision and cut-out picture of decided parcels, not yet taken.
        heard: How many decisions came from what the line told, between frames.
        lanes: What the PLC last said of each lane.
        line: What the PLC last said of the whole line.
    """

    def __init__(self, status: LineStatus) -> None:
        self._status = status
        self.steps: deque[Step] = deque(maxlen=STEPS)
        self.heard = 0
        self.lanes: dict[str, LaneReport] = {}
        self.line: LineReport | None = None
        self.pictures: deque[tuple[str, int, Image]] = deque(maxlen=PICTURES)

    def on_step(self, step: Step, results: tuple[PublishResult, ...], publish_ns: int) -> None:
        """Keep one step, and the picture of every parcel that was decided in it."""
        self.steps.append(step)
        if not step.decisions:
            return
        seen = self._status.seen()
        if seen is None or seen.frame.index != step.frame_index:
            return
        boxes = {track.track_id: track.looked_xyxy for track in step.tracks}
        for decision in step.decisions:
            if decision.track_id in boxes:
                picture = cut_out(seen.frame.image, boxes[decision.track_id])
                self.pictures.append((decision.parcel_uid, decision.rev, picture))

    def on_heard(
        self, event: LineEvent, decisions: tuple[SortDecision, ...], results: tuple[PublishResult, ...]
    ) -> None:
        """Keep what the PLC says of lanes and line, and note decisions that were changed by what the line told."""
        self.heard += len(decisions)
        if isinstance(event, LaneReport) and (event.lane in self.lanes or len(self.lanes) < LANES):
            self.lanes[event.lane] = event
        elif isinstance(event, LineReport):
            self.line = event

    def on_blind(self, blind: Blind) -> None:
        """There is nothing to look at."""


class Looks:
    """Tallies what a `Witness` kept; belongs to one thread."""

    def __init__(self) -> None:
        self._tracks: OrderedDict[int, TrackLooks] = OrderedDict()
        self._heard = 0

    def take(self, witness: Witness) -> int:
        """Tally everything that was kept since the last call; return how many decisions came with it."""
        heard, self._heard = self._heard, witness.heard
        decisions = witness.heard - heard
        while witness.steps:
            step = witness.steps.popleft()
            for track in step.tracks:
                if track.measured and track.state is not TrackState.ENDED:
                    self._note(track.track_id, track.class_id, track.confidence, (step.captured_ns, track.looked_xyxy))
            decisions += len(step.decisions)
        return decisions

    def of(self, track_id: int) -> TrackLooks | None:
        """Return the looks at a track, or None when it was never seen or is long gone."""
        return self._tracks.get(track_id)

    def tracks(self) -> dict[int, TrackLooks]:
        """Return all tracks remembered, oldest first."""
        return dict(self._tracks)

    def _note(self, track_id: int, class_id: int, confidence: float, place: tuple[int, Box]) -> None:
        looks = self._tracks.get(track_id)
        if looks is None:
            looks = self._tracks[track_id] = TrackLooks()
            if len(self._tracks) > TRACKS:
                self._tracks.popitem(last=False)
        frames, total = looks.by_class.get(class_id, (0, 0.0))
        looks.by_class[class_id] = (frames + 1, total + confidence)
        looks.places.append(place)


def cut_out(image: Image, xyxy: Box) -> Image:
    """Return a copy of what fills a box with a margin around it; at least one pixel, whatever the box."""
    height, width = image.shape[:2]
    x1, y1, x2, y2 = xyxy
    dx, dy = MARGIN * (x2 - x1), MARGIN * (y2 - y1)
    left, top = min(max(int(x1 - dx), 0), width - 1), min(max(int(y1 - dy), 0), height - 1)
    right, bottom = min(max(int(x2 + dx), left + 1), width), min(max(int(y2 + dy), top + 1), height)
    cut: Image = image[top:bottom, left:right].copy()
    return cut
