"""One decision for every parcel that crosses the decision line, and never two.

Contract: `Router.update` gets the parcels of every frame in order and returns the decisions that became due. It reads
no clock and draws no random number, so the same parcels give the same decisions on any machine.

A crossing is swept: it lies between two positions of a track, however far apart. A lost track goes on being swept
while the belt's motion is known; otherwise it is only believed when it is seen again, or, when it ends, for a decision
that says TRACK_LOST. A track that is not confirmed yet keeps its crossing until it is. A parcel found only past the
line is counted (`unseen`) and not decided, unless `sort.found_late` asks for the exception lane: on a belt of known
motion its place is as sure as any.

A detector that cuts a parcel in two gives birth to a track inside another's footprint. Such a part waits for the
track it came from, and only decides if that one is gone.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from edge_sorter.belt import Belt, Crossing, DecisionLine
from edge_sorter.config import SortSection
from edge_sorter.events import LaneStatus, LineEvent
from edge_sorter.sort.counts import RouterCounts
from edge_sorter.sort.deadline import STANDSTILL_MM_S
from edge_sorter.sort.dispatch import Arrival, Dispatch
from edge_sorter.sort.doubles import Doubles, Group
from edge_sorter.sort.flush import FlushWatch
from edge_sorter.sort.footprint import TOGETHER_NS, Footprint, Trail, belt_fixed, share_inside
from edge_sorter.sort.plan import SortPlan
from edge_sorter.sort.plan_switch import PlanStatus
from edge_sorter.sort.verdict import Evidence
from edge_sorter.types import BeltPosition, Box, Parcel, Reason, SortDecision, TrackState

PART = 0.7
"""A track of which this share was born inside another's footprint is a part of that parcel."""
REMEMBERED = 64
"""Decided parcels kept for telling a split from a newcomer; a line carries fewer between camera and diverter."""
FORGET_NS = 1_000_000_000
"""Where belt travel is unknown, a place in the picture is trusted this long after its track ended."""


@dataclass(slots=True)
class _Path:
    """What is remembered of a live track: its last believed anchor, and what has become of it."""

    anchor_px: tuple[float, float]
    at_ns: int
    travel_mm: float | None
    trail: Trail
    began_past: bool
    confirmed: bool = False
    settled: bool = False
    crossing: Crossing | None = None
    crossing_travel_mm: float | None = None
    guess: Crossing | None = None
    part_of: int | None = None
    flushed: Reason | None = None


class Router:
    """Latches one decision on every parcel; memory is bounded by what is in view."""

    def __init__(
        self,
        section: SortSection,
        *,
        plan: SortPlan,
        line: DecisionLine,
        belt: Belt,
        boot_id: str,
        classes: tuple[str, ...] | None = None,
        flush_at_start: bool = False,
    ) -> None:
        self.counts = RouterCounts()
        self._section = section
        self._line = line
        self._belt = belt
        self._dispatch = Dispatch(
            section,
            plan=plan,
            motion=belt.motion,
            boot_id=boot_id,
            counts=self.counts,
            classes=classes,
            calibrated=belt.map is not None,
        )
        self._flush_watch = FlushWatch(section)
        self._flush_at_start = flush_at_start
        self._degraded = False
        self._paths: dict[int, _Path] = {}
        self._taken: OrderedDict[int, Footprint] = OrderedDict()
        self._doubles = Doubles(gap_mm=section.doubles_gap_mm) if section.doubles == "exception" else None

    def update(
        self, parcels: Sequence[Parcel], *, captured_ns: int, travel_mm: float | None, degraded: bool = False
    ) -> tuple[SortDecision, ...]:
        """Take every live parcel of one frame, and those whose track ended in it.

        Args:
            parcels: All of them; a track that is missing is forgotten.
            captured_ns: Time of the frame.
            travel_mm: Belt travel at that time, or None when unknown.
            degraded: Whether positions cannot be trusted now, so that all there is to decide is an exception.
        """
        self._degraded = degraded
        decisions = list(self._dispatch.tick(captured_ns, gap=self._gap))
        due: list[tuple[Crossing, Parcel, _Path]] = []
        for parcel in parcels:
            path = self._follow(parcel, parcels, captured_ns, travel_mm)
            if path is None or path.settled or not path.confirmed or self._waits(path):
                continue
            if path.began_past:
                crossing = self._settle_unseen(parcel, path, travel_mm)
                if crossing is not None:
                    due.append((crossing, parcel, path))
            else:
                crossing = path.crossing or (path.guess if parcel.track.state is TrackState.ENDED else None)
                if crossing is not None:
                    due.append((crossing, parcel, path))
        self._carry_taken(parcels, captured_ns)
        due.sort(key=lambda item: (item[0].at_ns, item[1].track.track_id))
        for item in due:
            if not item[2].settled:
                decisions += self._settle(*item, parcels=parcels, captured_ns=captured_ns, travel_mm=travel_mm)
        self._forget(parcels, captured_ns)
        return tuple(decisions)

    def hear(self, event: LineEvent) -> tuple[SortDecision, ...]:
        """Take what the line tells between two frames; return the decisions it changes, with a higher `rev`."""
        reason = self._flush_watch.reason(event)
        if reason is None:
            return self._dispatch.hear(event)
        for path in self._paths.values():
            path.flushed = reason
        return self._dispatch.flush(event.at_ns, reason)

    @property
    def plan(self) -> SortPlan:
        """The plan that decides now."""
        return self._dispatch.plans.active

    @property
    def plan_status(self) -> PlanStatus:
        """What became of the newest plan that was offered; another object whenever there is news."""
        return self._dispatch.plans.status

    def lane_status(self, at_ns: int) -> dict[str, LaneStatus]:
        """Return what every lane of the plan can take."""
        return {lane.id: self._dispatch.board.status(lane, at_ns) for lane in self.plan.lanes}

    def _follow(
        self, parcel: Parcel, parcels: Sequence[Parcel], captured_ns: int, travel_mm: float | None
    ) -> _Path | None:
        """Move a track's path on to this frame and note a crossing on the way."""
        track = parcel.track
        path = self._paths.get(track.track_id)
        if path is None:
            if track.state is TrackState.ENDED:
                return None
            anchor = self._line.anchor(track.xyxy)
            past = self._line.side(anchor) >= 0.0
            path = _Path(anchor, captured_ns, travel_mm, Trail(self._belt.map, captured_ns), began_past=past)
            path.part_of = self._whole_of(parcel, parcels, travel_mm)
            self._paths[track.track_id] = path
        path.confirmed |= track.state in (TrackState.CONFIRMED, TrackState.LOST)
        if track.measured:
            path.trail.add(track, travel_mm=travel_mm, whole="TOUCHES_EDGE" not in parcel.flags)
        if path.settled or path.began_past or path.crossing is not None:
            return path
        anchor = self._line.anchor(track.xyxy)
        crossing = self._line.crossing(path.anchor_px, path.at_ns, anchor, captured_ns)
        if track.measured or travel_mm is not None:
            path.crossing, path.guess = crossing, None
            if crossing is not None and travel_mm is not None:
                before = travel_mm if path.travel_mm is None else path.travel_mm
                path.crossing_travel_mm = before + crossing.fraction * (travel_mm - before)
            path.anchor_px, path.at_ns, path.travel_mm = anchor, captured_ns, travel_mm
        else:
            path.guess = path.guess or crossing
        return path

    def _whole_of(self, born: Parcel, parcels: Sequence[Parcel], travel_mm: float | None) -> int | None:
        """Return the undecided track in whose footprint a new one was born, on a belt of known motion.

        A track whose own box goes on covering that place was not cut: something lies on it or in the corner of its box.
        """
        if self._belt.map is None or travel_mm is None:
            return None
        box: Box | None = None
        for parcel in parcels:
            path = self._paths.get(parcel.track.track_id)
            if path is None or path.settled or not _near(parcel.track.xyxy, born.track.xyxy):
                continue
            if parcel.track.measured and share_inside(born.track.looked_xyxy, parcel.track.looked_xyxy) > 1.0 - PART:
                continue
            if box is None:
                box = belt_fixed(self._belt.map, [(born.track.looked_xyxy, travel_mm)])
            whole = path.trail.largest()
            if whole is not None and share_inside(box, whole) >= PART:
                return parcel.track.track_id
        return None

    def _waits(self, path: _Path) -> bool:
        """Tell whether a part leaves deciding to the track it came from.

        Seen beside it for long, with belt between the two, it is no part: both came in as one box and came apart.
        """
        whole = None if path.part_of is None else self._paths.get(path.part_of)
        if whole is None:
            return False
        if path.trail.together_ns(whole.trail) >= TOGETHER_NS:
            one, other = path.trail.extent(), whole.trail.extent()
            if one is None or other is None or one.clear_mm(other) > self._section.doubles_gap_mm:
                path.part_of = None
                return False
        return not whole.settled and whole.confirmed

    def _settle(
        self,
        crossing: Crossing,
        parcel: Parcel,
        path: _Path,
        *,
        parcels: Sequence[Parcel],
        captured_ns: int,
        travel_mm: float | None,
    ) -> tuple[SortDecision, ...]:
        """Decide a parcel that crossed, unless what crossed is part of one that is decided already."""
        path.settled = True
        footprint = path.trail.footprint(parcel.track, travel_mm=travel_mm)
        if self._is_part(path) or self._is_taken(footprint):
            self.counts.split_suppressed += 1
            return ()
        self._taken[parcel.track.track_id] = footprint
        group = self._group(parcel, path, parcels, travel_mm)
        crossed_ns = crossing.at_ns // 1000 * 1000  # as fine as messages are, and free of floating-point dust
        speed_mm_s = self._belt.motion.speed_mm_s(crossed_ns)
        return self._dispatch.decide(
            Arrival(
                Evidence(
                    parcel,
                    lost=path.crossing is None,
                    inseparable=None if group is None else group.reason,
                    flushed=Reason.DEGRADED_MODE if self._degraded else self._flushed(parcel, path),
                ),
                crossed_ns,
                captured_ns,
                path.trail.speed_mm_s() if speed_mm_s is None else speed_mm_s,
                self._position(crossing, parcel, path, group),
                path.crossing_travel_mm if self._belt.motion.ref(crossed_ns) == "ENC1" else None,
            )
        )

    def _flushed(self, parcel: Parcel, path: _Path) -> Reason | None:
        """Return why a parcel is not trusted since before it crossed, or None."""
        whole = None if path.part_of is None else self._paths.get(path.part_of)
        flushed = path.flushed or (None if whole is None else whole.flushed)
        if flushed is None and self._flush_at_start and parcel.track.in_view_at_start:
            return Reason.RESTART_FLUSH
        return flushed

    def _gap(self) -> bool:
        """Tell whether no undecided parcel is in view."""
        return all(path.settled or not path.confirmed for path in self._paths.values())

    def _position(self, crossing: Crossing, parcel: Parcel, path: _Path, group: Group | None) -> BeltPosition:
        """Say where on the belt the parcel is: the belt travel at which its two edges are at the line."""
        belt_map = self._belt.map
        center_px = (round(crossing.point_px[0], 2), round(crossing.point_px[1], 2))
        if belt_map is None:
            return BeltPosition("TIME", None, None, None, center_px)
        xyxy = parcel.track.xyxy
        centre = belt_map.centre_mm([xyxy])[0]
        lateral_mm = round(float(centre[1]) - belt_map.middle_y_mm, 1)
        travel_mm = path.crossing_travel_mm
        if travel_mm is None:
            return BeltPosition("TIME", None, None, lateral_mm, center_px)
        ends = path.trail.ends_mm()
        if group is not None:
            ends = group.extent.trail_mm, group.extent.lead_mm
            lateral_mm = round((group.extent.near_mm + group.extent.far_mm) / 2.0 - belt_map.middle_y_mm, 1)
        if ends is not None:
            line_mm = belt_map.point_mm(crossing.point_px)[0]
            at_line_mm = line_mm - ends[1], line_mm - ends[0]
            return self._counted(crossing.at_ns, at_line_mm, lateral_mm=lateral_mm, center_px=center_px)
        anchor = belt_map.to_mm([self._line.anchor(xyxy)])[0]
        ahead_mm = float(centre[0] - anchor[0])
        length_mm = parcel.size_mm[0] if parcel.size_mm else float(belt_map.size_mm([xyxy])[0, 0])
        middle_mm = travel_mm - ahead_mm
        at_line_mm = middle_mm - length_mm / 2.0, middle_mm + length_mm / 2.0
        return self._counted(crossing.at_ns, at_line_mm, lateral_mm=lateral_mm, center_px=center_px)

    def _counted(
        self, at_ns: int, at_line_mm: tuple[float, float], *, lateral_mm: float, center_px: tuple[float, float]
    ) -> BeltPosition:
        """Put the travels at which both ends are at the line beside the encoder's counts, where it counted then."""
        motion = self._belt.motion
        lead_mm, trail_mm = (round(mm, 1) for mm in at_line_mm)
        ref = motion.ref(at_ns)
        counts = (motion.count_at(lead_mm), motion.count_at(trail_mm)) if ref == "ENC1" else (None, None)
        return BeltPosition(ref, lead_mm, trail_mm, lateral_mm, center_px, *counts)

    def _group(self, parcel: Parcel, path: _Path, parcels: Sequence[Parcel], travel_mm: float | None) -> Group | None:
        """Find what cannot be sorted apart from a parcel and settle it too; see `sort.doubles`."""
        if self._doubles is None or travel_mm is None:
            return None
        waiting = {p.track.track_id: self._paths.get(p.track.track_id) for p in parcels}
        undecided = {track_id: q for track_id, q in waiting.items() if q is not None and not q.settled}
        group = self._doubles.group(path.trail, {track_id: q.trail for track_id, q in undecided.items()})
        if group is None:
            return None
        for track_id in group.members:
            undecided[track_id].settled = True
        self.counts.joined += len(group.members)
        trail, lead, near, far = group.extent
        life = self._taken[parcel.track.track_id]
        self._taken[parcel.track.track_id] = replace(life, box=(trail, near, lead, far))
        return group

    def _settle_unseen(self, parcel: Parcel, path: _Path, travel_mm: float | None) -> Crossing | None:
        """Judge a track first seen past the line: part of a decided parcel, one nobody decided, or one found late.

        What was there before the first picture is neither: it was decided, if at all, before this start.

        Returns:
            Where and when a parcel that is found late, but may still be sent to the exception lane, was at the line.
        """
        path.settled = True
        if self._is_part(path) or self._is_taken(path.trail.footprint(parcel.track, travel_mm=travel_mm)):
            self.counts.split_suppressed += 1
            return None
        if parcel.track.in_view_at_start:
            return None
        crossing = self._found_late(parcel, path, travel_mm)
        if crossing is None:
            self.counts.unseen += 1
        path.settled = crossing is None
        return crossing

    def _found_late(self, parcel: Parcel, path: _Path, travel_mm: float | None) -> Crossing | None:
        speed_mm_s = self._belt.motion.speed_mm_s(parcel.track.captured_ns)
        extent, belt_map = path.trail.extent(), self._belt.map
        if self._section.found_late != "exception" or extent is None or belt_map is None or travel_mm is None:
            return None
        if speed_mm_s is None or speed_mm_s < STANDSTILL_MM_S:
            return None
        anchor_mm = belt_map.point_mm(self._line.anchor(parcel.track.xyxy))
        past_mm = self._line.side(self._line.anchor(parcel.track.xyxy))
        at_ns = parcel.track.captured_ns - round(past_mm / speed_mm_s * 1e9)
        path.crossing_travel_mm = travel_mm - past_mm
        return Crossing(at_ns, belt_map.point_px((anchor_mm[0] - past_mm, anchor_mm[1])), 1.0)

    def _is_part(self, path: _Path) -> bool:
        """Tell whether the track that this one is a part of was decided, alone or in a group."""
        whole = None if path.part_of is None else self._paths.get(path.part_of)
        return path.part_of in self._taken or (whole is not None and whole.settled)

    def _is_taken(self, footprint: Footprint) -> bool:
        return any(taken.at(footprint.at_ns).same_parcel(footprint) for taken in self._taken.values())

    def _carry_taken(self, parcels: Sequence[Parcel], captured_ns: int) -> None:
        """Move decided footprints on with their tracks, so that a belt that stops does not lose them."""
        for parcel in parcels:
            taken = self._taken.get(parcel.track.track_id)
            if taken is not None:
                self._taken[parcel.track.track_id] = taken.at(captured_ns, parcel.track.velocity_px_s)

    def _forget(self, parcels: Sequence[Parcel], captured_ns: int) -> None:
        """Drop what can no longer matter."""
        live = {parcel.track.track_id for parcel in parcels if parcel.track.state is not TrackState.ENDED}
        for track_id in [track_id for track_id in self._paths if track_id not in live]:
            path = self._paths.pop(track_id)
            self.counts.unconfirmed += path.crossing is not None and not path.confirmed
        for track_id, taken in list(self._taken.items()):
            if taken.velocity_s is not None and captured_ns - taken.at_ns > FORGET_NS:
                del self._taken[track_id]
        while len(self._taken) > REMEMBERED:
            self._taken.popitem(last=False)


def _near(a: Box, b: Box) -> bool:
    """Tell whether two boxes in the picture overlap when `a` is taken three times as large."""
    width, height = a[2] - a[0], a[3] - a[1]
    across = b[0] < a[2] + width and b[2] > a[0] - width
    return across and b[1] < a[3] + height and b[3] > a[1] - height
