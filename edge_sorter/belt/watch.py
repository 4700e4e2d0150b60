"""Whether the encoder can be believed: silence, jumps, and what it counts against what the picture shows.

Contract: `EncoderWatch.look` gets the tracks of every frame and names the trouble, or None: ENCODER_LOST (silent for
100 ms, reset, or not counting while the picture moves), ENCODER_REVERSED (it counts the other way), ENCODER_SLIP (off
by more than 5 % for a second), ENCODER_SCALE (the PLC states another length of a count). Trouble lasts until a second
has passed without any.

A box moves faster in the picture than the belt it stands on, the more the taller it is: only an edge that is on the
near side of the camera's foot point shows the belt itself. Where the camera's place is not known, one of the two edges
of a parcel is such an edge at most places, so the slower one is taken for belts that seem too fast and the faster one
for belts that seem too slow, and the limit for the former is wider.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import NamedTuple

from edge_sorter.belt.mapping import BeltMap
from edge_sorter.belt.motion import HOLD_NS, EncoderMotion
from edge_sorter.types import Box, Track, TrackState

CONSISTENT_NS = 1_000_000_000
"""Trouble is over after so long without any."""
STANDS_MM = 60.0
"""The picture moves when it moved by so much; noise of a box at rest stays far below."""
STUCK_NS = 300_000_000
"""Window in which movement without counts is looked for."""
STUCK_FOR_NS, SLIP_FOR_NS = 100_000_000, 1_000_000_000
"""For so long a contradiction must last to count: a box may jump once."""
STUCK = 0.1
"""Counting less than this share of the movement is not counting."""
SLIP = 0.05
TALL = 0.15
"""What height may add to the speed of a parcel's slower edge while it is below a camera whose place is not known."""
SLIP_MM = 400.0
"""A slip is judged over so much travel, of which 5 % is well above the noise of an edge."""
SKEW_S = 0.05
"""Picture and counts may be stamped so far apart; while the belt changes its speed that looks like slip."""
LOOKS_NS = 3_000_000_000
CUT_OFF = 0.01
"""A box within this share of the picture's size from its border may be cut off there."""


class _Look(NamedTuple):
    at_ns: int
    trail_mm: float
    lead_mm: float
    travel_mm: float
    speed_mm_s: float


class _Moved(NamedTuple):
    """How far a parcel went in the picture, at least and at most, and the belt by its encoder.

    `skew_mm` is what the two may differ by if their clocks do.
    """

    least_mm: float
    most_mm: float
    counted_mm: float
    skew_mm: float


@dataclass
class EncoderWatch:
    """Compares one encoder with one camera's tracks.

    Args:
        motion: Fed by somebody else.
        belt_map: Of the camera.
        image_size_px: Width and height of the picture.
        foot_x_mm: Belt coordinate below the camera, or None when not known.
        mm_per_count: As configured.

    Attributes:
        trouble: What is wrong, or None.
        misleads: Whether the counts are so wrong that no travel is better than theirs.
    """

    motion: EncoderMotion
    belt_map: BeltMap
    image_size_px: tuple[int, int]
    foot_x_mm: float | None
    mm_per_count: float
    trouble: str | None = None
    misleads: bool = False
    _looks: dict[int, deque[_Look]] = field(default_factory=dict)
    _resets: int = 0
    _began_ns: int | None = None
    _since: dict[str, int] = field(default_factory=dict)
    _bad_ns: int = 0
    _scale_wrong: bool = False

    def stated(self, mm_per_count: float | None) -> None:
        """Note what the PLC says a count is worth."""
        if mm_per_count is not None:
            self._scale_wrong = abs(mm_per_count / self.mm_per_count - 1.0) > 0.01

    def look(self, tracks: Sequence[Track], *, at_ns: int) -> str | None:
        """Take the tracks of one frame and return what is wrong with the encoder, or None."""
        silent = fault = self._silent(at_ns)
        if fault is not None:
            self._looks.clear()
            self._since.clear()
        else:
            self._note(tracks, at_ns)
            fault = "ENCODER_SCALE" if self._scale_wrong else self._contradicted(at_ns)
        if fault is not None:
            self.trouble, self._bad_ns = fault, at_ns
            self.misleads |= silent is None and fault in ("ENCODER_LOST", "ENCODER_REVERSED")
        elif self.trouble is not None and at_ns - self._bad_ns >= CONSISTENT_NS:
            self.trouble, self.misleads = None, False
        return self.trouble

    def _silent(self, at_ns: int) -> str | None:
        motion = self.motion
        reset, self._resets = motion.resets > self._resets, motion.resets
        if self._began_ns is None:
            self._began_ns = at_ns
        heard_ns = self._began_ns if motion.newest_ns is None else motion.newest_ns
        return "ENCODER_LOST" if reset or at_ns - heard_ns > HOLD_NS else None

    def _note(self, tracks: Sequence[Track], at_ns: int) -> None:
        """Keep where the ends of every whole, believed, measured parcel are."""
        travel_mm, speed_mm_s = self.motion.travel_mm(at_ns), self.motion.speed_mm_s(at_ns)
        if travel_mm is None or speed_mm_s is None:
            return
        live = set()
        for track in tracks:
            if track.state is TrackState.ENDED:
                continue
            live.add(track.track_id)
            if not track.measured or track.state is not TrackState.CONFIRMED or self._cut_off(track.looked_xyxy):
                continue
            looks = self._looks.setdefault(track.track_id, deque())
            looks.append(_Look(at_ns, *self._ends_mm(track.looked_xyxy), travel_mm, speed_mm_s))
            while at_ns - looks[0].at_ns > LOOKS_NS:
                looks.popleft()
        for track_id in [track_id for track_id in self._looks if track_id not in live]:
            del self._looks[track_id]

    def _cut_off(self, xyxy: Box) -> bool:
        width, height = self.image_size_px
        x1, y1, x2, y2 = xyxy
        margin_x, margin_y = CUT_OFF * width, CUT_OFF * height
        return x1 < margin_x or y1 < margin_y or x2 > width - margin_x or y2 > height - margin_y

    def _ends_mm(self, xyxy: Box) -> tuple[float, float]:
        x1, y1, x2, y2 = xyxy
        x, y = (x1 + x2) / 2.0, (y1 + y2) / 2.0
        along = [self.belt_map.point_mm(point)[0] for point in ((x1, y), (x2, y), (x, y1), (x, y2))]
        return min(along), max(along)

    def _contradicted(self, at_ns: int) -> str | None:
        """Return what the picture says against the counts for long enough, or None."""
        short = [_moved(_since(looks, at_ns - STUCK_NS), looks[-1]) for looks in self._fresh(at_ns)]
        self._mark("ENCODER_LOST", at_ns, bool(short) and _not_counting(short))
        self._mark("ENCODER_REVERSED", at_ns, bool(short) and _reversed(short))
        far = [moved for looks in self._fresh(at_ns) if (moved := self._over_far(looks)) is not None]
        if far:  # where nobody went far enough, the last answer stands
            self._mark("ENCODER_SLIP", at_ns, self._slips(far))
        for fault, for_ns in (
            ("ENCODER_REVERSED", STUCK_FOR_NS),
            ("ENCODER_LOST", STUCK_FOR_NS),
            ("ENCODER_SLIP", SLIP_FOR_NS),
        ):
            since_ns = self._since.get(fault)
            if since_ns is not None and at_ns - since_ns >= for_ns:
                return fault
        return None

    def _fresh(self, at_ns: int) -> list[deque[_Look]]:
        return [looks for looks in self._looks.values() if len(looks) > 1 and looks[-1].at_ns == at_ns]

    def _mark(self, fault: str, at_ns: int, holds: bool) -> None:
        if holds:
            self._since.setdefault(fault, at_ns)
        else:
            self._since.pop(fault, None)

    def _over_far(self, looks: deque[_Look]) -> _Moved | None:
        """Return the movement over the last `SLIP_MM`, by ground edges where the camera's place is known."""
        last = looks[-1]
        for look in reversed(looks):
            moved = self._by_ground(look, last)
            if moved is not None and max(abs(moved.counted_mm), abs(moved.least_mm)) >= SLIP_MM:
                return moved
        return None

    def _by_ground(self, first: _Look, last: _Look) -> _Moved | None:
        foot_x_mm, moved = self.foot_x_mm, _moved(first, last)
        if foot_x_mm is None:
            return moved
        if max(first.lead_mm, last.lead_mm) <= foot_x_mm:
            ground_mm = last.lead_mm - first.lead_mm
        elif min(first.trail_mm, last.trail_mm) >= foot_x_mm:
            ground_mm = last.trail_mm - first.trail_mm
        else:
            return None
        return moved._replace(least_mm=ground_mm, most_mm=ground_mm)

    def _slips(self, far: list[_Moved]) -> bool:
        least, most, counted, skew = (median(values) for values in zip(*far, strict=True))
        above = 1.0 + SLIP + (TALL if self.foot_x_mm is None else 0.0)
        if counted < 0.0:  # backing up
            least, most, counted = -least, -most, -counted
        return bool(most < (1.0 - SLIP) * counted - skew or least > above * counted + skew)


def _since(looks: deque[_Look], at_ns: int) -> _Look:
    """Return the first look at or after a time, and at least the one before the last."""
    return next((look for look in looks if look.at_ns >= at_ns and look is not looks[-1]), looks[-2])


def _moved(first: _Look, last: _Look) -> _Moved:
    ends = sorted((last.trail_mm - first.trail_mm, last.lead_mm - first.lead_mm), key=abs)
    skew_mm = SKEW_S * abs(last.speed_mm_s - first.speed_mm_s)
    return _Moved(ends[0], ends[1], last.travel_mm - first.travel_mm, skew_mm)


def _not_counting(moves: list[_Moved]) -> bool:
    seen_mm, counted_mm = median(m.least_mm for m in moves), median(m.counted_mm for m in moves)
    return abs(seen_mm) >= STANDS_MM and abs(counted_mm) < STUCK * abs(seen_mm)


def _reversed(moves: list[_Moved]) -> bool:
    seen_mm, counted_mm = median(m.least_mm for m in moves), median(m.counted_mm for m in moves)
    return abs(seen_mm) >= STANDS_MM and seen_mm * counted_mm < 0.0 and abs(counted_mm) >= STUCK * abs(seen_mm)
