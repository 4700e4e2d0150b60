"""One parcel out of many looks at it: class by weighted vote, size by median, codes by agreement.

Contract: `Identifier.update` returns one `Parcel` for every track it is given, from the evidence of that track's
whole life, so that no single frame can turn a decision. It keeps a bounded state a track and drops it when the track
ends. Evidence is taken from measured frames only; predictions add nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from edge_sorter.belt import BeltMap
from edge_sorter.config import IdentifySection
from edge_sorter.errors import ConfigError
from edge_sorter.identify.codes import Acceptance
from edge_sorter.types import Box, Code, CodeRead, Parcel, Track, TrackState

EDGE_MARGIN = 0.01
"""A box within this share of the picture's size from an edge of the view may be cut off there."""
EDGE_WEIGHT = 0.2
"""What a look at a cut-off parcel counts compared with one at a whole parcel."""
OVERTAKE = 1.1
"""A class must lead by this factor to take over: near a tie the answer stays."""
SIZES_KEPT = 64
CODES_KEPT = 16


@dataclass(slots=True)
class _Evidence:
    """What is known of one track so far."""

    votes: dict[int, float] = field(default_factory=dict)
    winner: int = -1
    sizes_mm: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=SIZES_KEPT))
    size_mm: tuple[float, float] | None = None
    code_frames: dict[tuple[str, str], int] = field(default_factory=dict)
    touches_edge: bool = False
    hazard: bool = False
    """A look had a class that stands for dangerous goods; missing those is worse than being wrong."""
    parcel: Parcel | None = None
    """What it amounted to when something was last learnt."""


class Identifier:
    """Fuses the looks at each track into a parcel.

    The size is that of the upright box around a parcel, brought to the belt: one that lies askew by an angle a shows
    l cos a + w sin a along travel, and a tall one, being nearer to the camera, looks larger than it is. Both only ever
    enlarge. Size rules must leave room for that.

    Args:
        section: What makes a code count.
        classes: Class names by id.
        belt_map: For sizes; None without calibration.
        image_size_px: Width and height of the picture.
        view_xyxy_px: The part of it the detector looks at; default: all.
    """

    def __init__(
        self,
        section: IdentifySection,
        *,
        classes: tuple[str, ...],
        belt_map: BeltMap | None,
        image_size_px: tuple[int, int],
        view_xyxy_px: Box | None = None,
    ) -> None:
        self._classes = classes
        self._belt_map = belt_map
        self._flag_of = _flags_by_class(section.class_flags, classes)
        self._code_votes = section.code_votes
        self._accepts = Acceptance(section)
        width, height = image_size_px
        x1, y1, x2, y2 = view_xyxy_px or (0.0, 0.0, float(width), float(height))
        margin_x, margin_y = EDGE_MARGIN * width, EDGE_MARGIN * height
        self._whole: Box = (x1 + margin_x, y1 + margin_y, x2 - margin_x, y2 - margin_y)
        self._evidence: dict[int, _Evidence] = {}

    def update(self, tracks: Sequence[Track], reads: Sequence[CodeRead]) -> tuple[Parcel, ...]:
        """Take the tracks of one frame and the codes read on them; return a parcel for each track, in their order."""
        seen_codes: dict[int, set[tuple[str, str]]] = {}
        for read in reads:
            seen_codes.setdefault(read.track_id, set()).add((read.symbology, read.text))
        parcels = tuple([self._update_one(track, seen_codes.get(track.track_id, set())) for track in tracks])
        live = {track.track_id for track in tracks if track.state is not TrackState.ENDED}
        for track_id in [track_id for track_id in self._evidence if track_id not in live]:
            del self._evidence[track_id]
        return parcels

    def _update_one(self, track: Track, codes: set[tuple[str, str]]) -> Parcel:
        evidence = self._evidence.get(track.track_id)
        if evidence is None:
            evidence = self._evidence[track.track_id] = _Evidence()
        elif not track.measured and not codes and evidence.parcel is not None:
            known = evidence.parcel
            return Parcel(
                track, known.class_name, known.class_confidence, known.size_mm, codes=known.codes, flags=known.flags
            )
        if track.measured:
            x1, y1, x2, y2 = track.looked_xyxy
            left, top, right, bottom = self._whole
            evidence.touches_edge = x1 < left or y1 < top or x2 > right or y2 > bottom
            _vote(evidence, track)
            evidence.hazard |= self._flag_of.get(track.class_id) == "DG"
            if self._belt_map is not None and not evidence.touches_edge:
                evidence.sizes_mm.append(self._belt_map.size_of(track.looked_xyxy))
                evidence.size_mm = _median(evidence.sizes_mm)
        for code in sorted(codes):
            if code in evidence.code_frames or len(evidence.code_frames) < CODES_KEPT:
                evidence.code_frames[code] = evidence.code_frames.get(code, 0) + 1
        accepted = self._accepted(evidence)
        total = sum(evidence.votes.values())
        winner = evidence.winner if evidence.winner >= 0 else track.class_id
        evidence.parcel = Parcel(
            track=track,
            class_name=self._classes[winner] if 0 <= winner < len(self._classes) else f"class_{winner}",
            class_confidence=round(evidence.votes.get(winner, 0.0) / total, 4) if total > 0.0 else 0.0,
            size_mm=evidence.size_mm,
            codes=accepted,
            flags=self._flags(evidence, accepted),
        )
        return evidence.parcel

    def _flags(self, evidence: _Evidence, accepted: tuple[Code, ...]) -> tuple[str, ...]:
        """Name what is odd; two different codes of one symbology contradict each other (a pattern filters by-codes)."""
        flags: set[str] = set()
        if len(accepted) > len({code.symbology for code in accepted}):
            flags.add("CODE_CONFLICT")
        if not accepted and any(
            frames >= self._code_votes and self._accepts.fails_check(*code)
            for code, frames in evidence.code_frames.items()
        ):
            flags.add("CHECK_FAIL")
        if evidence.touches_edge:
            flags.add("TOUCHES_EDGE")
        if evidence.hazard:
            flags.add("DG")
        if evidence.winner in self._flag_of:
            flags.add(self._flag_of[evidence.winner])
        return tuple(sorted(flags))

    def _accepted(self, evidence: _Evidence) -> tuple[Code, ...]:
        """Return the codes to believe, in the order they were first seen."""
        if not evidence.code_frames:
            return ()
        return tuple(
            Code(symbology, text, frames)
            for (symbology, text), frames in evidence.code_frames.items()
            if frames >= self._code_votes and self._accepts(symbology, text)
        )


def _vote(evidence: _Evidence, track: Track) -> None:
    """Add one look: the surer and the more whole, the more it counts."""
    weight = track.confidence * (EDGE_WEIGHT if evidence.touches_edge else 1.0)
    evidence.votes[track.class_id] = evidence.votes.get(track.class_id, 0.0) + weight
    if evidence.winner == track.class_id:
        return
    best = min(evidence.votes, key=lambda class_id: (-evidence.votes[class_id], class_id))
    if evidence.winner < 0 or evidence.votes[best] > OVERTAKE * evidence.votes[evidence.winner]:
        evidence.winner = best


def _median(sizes_mm: Sequence[tuple[float, float]]) -> tuple[float, float]:
    half = len(sizes_mm) // 2
    along, across = (sorted(side) for side in zip(*sizes_mm, strict=True))
    return round((along[half] + along[-1 - half]) / 2.0, 1), round((across[half] + across[-1 - half]) / 2.0, 1)


def _flags_by_class(class_flags: Mapping[str, str], classes: tuple[str, ...]) -> dict[int, str]:
    """Return flags by class id.

    Raises:
        ConfigError: The model knows no such class.
    """
    unknown = sorted(set(class_flags) - set(classes))
    if unknown:
        raise ConfigError(
            f"identify.class_flags: the model has no class {', '.join(unknown)}; its classes are {', '.join(classes)}"
        )
    return {classes.index(name): flag for name, flag in class_flags.items()}
