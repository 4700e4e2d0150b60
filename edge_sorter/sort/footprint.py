"""Whether two tracks are the same parcel: where each lies on the belt, robust to a few odd frames.

Contract: a `Trail` keeps a bounded number of measured boxes of one track and says where the parcel is now as their
median. With a calibrated belt of known motion all of them are moved to one belt-fixed frame, in which a parcel stands
still; without, they are moved along in the picture at the track's present velocity. The median makes a parcel keep
its place when the detector cuts it in two, or melts it with its neighbour, for less than half of the kept frames.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field, replace

import numpy as np

from edge_sorter.belt import BeltMap
from edge_sorter.sort.whereabouts import ALIKE, Extent, Look, Whereabouts, belt_fixed, median_box
from edge_sorter.types import Box, Track

KEPT = 31
"""Measured boxes kept a track: half a second at 60 fps, all of a parcel's way at 5 fps."""
SAME = 0.5
"""Share of overlap from which two tracks are one parcel."""
ODD_LOOKS = 8
"""Of so many looks one may be at a false box or a second one on the parcel, and say nothing of its size."""
TORN_MM = 100.0
"""Looks that differ in size by less than this, and by less than `ALIKE`, differ for height and noise alone."""
BLUR_MM = (60.0, 20.0, 10.0, 0.0)
"""How far off the ends of a parcel may be that was seen whole so many times: never, once, twice, often."""
TOUCHING = 0.05
"""Boxes in one picture with less than this share of the shorter one between them touch."""
OFTEN = 4
"""A track that was seen less often was not seen for long, however far apart those looks are."""
SELDOM = 0.25
"""What was found in less than this share of the looks that could have found it is no parcel."""
TOGETHER_NS = 500_000_000
"""Tracks that were both seen for this long are two parcels even if the picture shows them partly over one another."""
GONE_NS = 300_000_000
"""A track that was unseen for longer was not seen with any other meanwhile."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """A box in one of two frames that do not compare: of the belt (mm, standing still) or of the picture (px)."""

    box: Box
    at_ns: int
    velocity_s: tuple[float, float] | None
    """Velocity in the picture, or None in the frame of the belt."""
    first_seen_ns: int
    last_seen_ns: int

    def at(self, at_ns: int, velocity_s: tuple[float, float] | None = None) -> Footprint:
        """Move the box to another time, and go on with another velocity if given."""
        if self.velocity_s is None:
            return self
        elapsed_s = (at_ns - self.at_ns) / 1e9
        dx, dy = (v * elapsed_s for v in self.velocity_s)
        x1, y1, x2, y2 = self.box
        moved = (x1 + dx, y1 + dy, x2 + dx, y2 + dy)
        return replace(self, box=moved, at_ns=at_ns, velocity_s=velocity_s or self.velocity_s)

    def same_parcel(self, other: Footprint) -> bool:
        """Tell whether both are one parcel at a common time.

        Of two that were seen together for long, one has to cover the other as a second box on one parcel does. Else
        it is enough that the smaller one lies on the larger: a part that split off, or a track that took over.
        """
        shared = self._shared(other)
        if shared <= 0.0:
            return False
        together_ns = min(self.last_seen_ns, other.last_seen_ns) - max(self.first_seen_ns, other.first_seen_ns)
        mine, its = self._area, other._area
        of = mine + its - shared if together_ns >= TOGETHER_NS else min(mine, its)
        return shared / of >= SAME

    @property
    def _area(self) -> float:
        x1, y1, x2, y2 = self.box
        return (x2 - x1) * (y2 - y1)

    def _shared(self, other: Footprint) -> float:
        """Return the area that both cover."""
        if (self.velocity_s is None) != (other.velocity_s is None):
            return 0.0
        a, b = self.box, other.box
        width = min(a[2], b[2]) - max(a[0], b[0])
        if width <= 0.0:
            return 0.0
        return width * max(min(a[3], b[3]) - max(a[1], b[1]), 0.0)


@dataclass(slots=True)
class Trail:
    """The latest measured boxes of one track."""

    belt_map: BeltMap | None
    since_ns: int
    """When it was first seen, or found again after it was gone."""
    seen: deque[Look] = field(default_factory=lambda: deque(maxlen=KEPT))
    last_seen_ns: int | None = None
    longest_ns: tuple[int, int] | None = None
    """Beginning and end of the longest time in which it was not gone."""
    _whereabouts: Whereabouts | None = field(default=None, init=False, compare=False)

    def add(self, track: Track, *, travel_mm: float | None, whole: bool) -> None:
        """Keep the box of a measured track; of a belt that stands still, the first."""
        if self.last_seen_ns is not None and track.captured_ns - self.last_seen_ns > GONE_NS:
            self.since_ns = track.captured_ns
        self.last_seen_ns = track.captured_ns
        if self.longest_ns is None or track.captured_ns - self.since_ns >= self.longest_ns[1] - self.longest_ns[0]:
            self.longest_ns = self.since_ns, track.captured_ns
        last = self.seen[-1] if self.seen else None
        if last is None or not last.stands(travel_mm) or whole > last.whole:
            self.seen.append(Look(track.looked_xyxy, track.captured_ns, travel_mm, whole))
            self._whereabouts = None

    @property
    def whereabouts(self) -> Whereabouts | None:
        """Where all looks say that the parcel lies on the belt, or None where that is not known."""
        known = self._whereabouts is None and any(look.travel_mm is not None for look in self.seen)
        if known and self.belt_map is not None:
            self._whereabouts = Whereabouts(self.belt_map, tuple(self.seen))
        return self._whereabouts

    def footprint(self, track: Track, *, travel_mm: float | None) -> Footprint:
        """Return where the parcel is at the time of `track`."""
        first_ns, last_ns = self.longest_ns or (self.since_ns, self.since_ns)
        life = (first_ns if len(self.seen) >= OFTEN else last_ns, last_ns)
        if self.belt_map is not None and travel_mm is not None:
            known = self.whereabouts
            place = belt_fixed(self.belt_map, track.xyxy, travel_mm) if known is None else known.middle
            return Footprint(place, track.captured_ns, None, *life)
        velocity = track.velocity_px_s
        moved = [Footprint(look.box, look.at_ns, velocity, *life).at(track.captured_ns).box for look in self.seen]
        return Footprint(median_box(np.array(moved or [track.xyxy])), track.captured_ns, velocity, *life)

    def speed_mm_s(self) -> float | None:
        """Return the parcel's speed along the belt as seen over the kept boxes, or None where that says nothing."""
        if self.belt_map is None or len(self.seen) < 3:
            return None
        first, last = self.seen[0], self.seen[-1]
        x = self.belt_map.centre_mm([first.box, last.box])[:, 0]
        return None if last.at_ns <= first.at_ns else float(x[1] - x[0]) / ((last.at_ns - first.at_ns) / 1e9)

    def together_ns(self, other: Trail) -> int:
        """Return for how long both were seen."""
        if self.longest_ns is None or other.longest_ns is None:
            return 0
        return min(self.longest_ns[1], other.longest_ns[1]) - max(self.longest_ns[0], other.longest_ns[0])

    def hangs_on(self, other: Trail) -> bool:
        """Tell whether looks at the same moments show both touching: one parcel, cut in two there, or two that touch.

        The picture tells it, not the ends: what is cut high above the belt seems to move against the belt, so that
        ends taken where they lean the least lie apart.
        """
        mine = {look.at_ns: look.box for look in self.seen}
        both = [(mine[look.at_ns], look.box) for look in other.seen if look.at_ns in mine]
        if len(both) < OFTEN:
            return False
        one, two = (np.array(boxes) for boxes in zip(*both, strict=True))
        between = np.maximum(one[:, :2], two[:, :2]) - np.minimum(one[:, 2:], two[:, 2:])
        shorter = np.minimum(one[:, 2:] - one[:, :2], two[:, 2:] - two[:, :2])
        apart = (between > TOUCHING * shorter).any(axis=1)
        return int(apart.sum()) * 4 <= len(both)

    def seldom_seen(self, other: Trail) -> bool:
        """Tell whether another was looked at often while all of this one was in the picture, and this one hardly ever.

        Nothing lies there: a false box, or a second one on a parcel, is seen once or twice.
        """
        if len(self.seen) >= SELDOM * len(other.seen):
            return False
        extent = self.extent()
        if self.belt_map is None or extent is None:
            return False
        in_view_mm = self.belt_map.entry_mm - extent.trail_mm
        chances = sum(look.travel_mm is not None and look.travel_mm >= in_view_mm for look in other.seen)
        return len(self.seen) < SELDOM * chances

    def apart_mm(self, extent: Extent) -> float:
        """Return about how much belt lies between the latest look and an extent; cheap, and wrong by a leaning height.

        Negative: they overlap along the belt. Minus infinity: not known.
        """
        look = self.seen[-1] if self.seen else None
        if self.belt_map is None or look is None or look.travel_mm is None:
            return -math.inf
        x1, y1, x2, y2 = look.box
        x, y = (x1 + x2) / 2.0, (y1 + y2) / 2.0
        along = [self.belt_map.point_mm(point)[0] - look.travel_mm for point in ((x1, y), (x2, y), (x, y1), (x, y2))]
        return max(min(along) - extent.lead_mm, extent.trail_mm - max(along))

    def extent(self) -> Extent | None:
        """Return where the parcel lies in the belt-fixed frame, or None where that is not known."""
        return None if self.whereabouts is None else self.whereabouts.extent

    def ends_mm(self) -> tuple[float, float] | None:
        """Return trailing and leading end of the parcel in the belt-fixed frame, or None where that is not known."""
        return None if self.whereabouts is None else self.whereabouts.ends_mm

    def clear_of(self, decided: Extent | None, gap_mm: float) -> bool:
        """Tell whether the parcel lies clear of what was decided, so that it was one of its own all along."""
        extent = None if decided is None else self.extent()
        return extent is not None and decided is not None and extent.clear_mm(decided) > gap_mm

    def torn(self) -> bool:
        """Tell whether looks at the whole parcel disagree on its size: it was cut in two, or melted with another.

        One odd look in `ODD_LOOKS` does not count.
        """
        boxes = [look.box for look in self.seen if look.whole]
        if self.belt_map is None or len(boxes) < 2:
            return False
        sizes, odd = np.sort(self.belt_map.size_mm(boxes), axis=0), len(boxes) // ODD_LOOKS
        spread = (sizes[len(sizes) - 1 - odd :] - sizes[: odd + 1]).min(axis=0)
        return bool((spread > np.maximum(ALIKE * sizes[len(sizes) // 2], TORN_MM)).any())

    def seen_whole(self) -> bool:
        """Tell whether all of the parcel was in the picture at least once."""
        return any(look.whole for look in self.seen)

    def blur_mm(self) -> float:
        """Return how far off the parcel's ends may be for want of looks at all of it."""
        return BLUR_MM[min(sum(look.whole for look in self.seen), len(BLUR_MM) - 1)]


def share_inside(part: Box, whole: Box) -> float:
    """Return how much of the area of `part` lies inside `whole`, 0..1."""
    width = min(part[2], whole[2]) - max(part[0], whole[0])
    height = min(part[3], whole[3]) - max(part[1], whole[1])
    area = (part[2] - part[0]) * (part[3] - part[1])
    return width * height / area if width > 0.0 and height > 0.0 and area > 0.0 else 0.0
