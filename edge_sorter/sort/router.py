"""One decision for every parcel that crosses the decision line, and never two.

Contract: `Router.update` gets the parcels of every frame in order and returns the decisions that became due. It reads
no clock and draws no random number, so the same parcels give the same decisions on any machine.

A crossing is swept: it lies between two positions of a track, however far apart. A lost track goes on being swept while
the belt's motion is known; otherwise it is only believed when it is seen again, or, when it ends, for a decision that
says TRACK_LOST; where a belt of set speed stood meanwhile, only when it is seen again. A track that is not confirmed
yet keeps its crossing until it is. A parcel found only past the line is counted (`unseen`) and not decided, unless
`sort.found_late` asks for the exception lane: on a belt of known motion its place is as sure as any.

A detector that cuts a parcel in two gives birth to a track inside another's footprint, or to two tracks of which one
dies when the parcel is whole again. Such a part waits for the other track, and only decides if that one is gone, or
was decided about a place that is clear of it. A track that takes over another parcel after its own was decided starts
anew there, with a doubt: its evidence is that of two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edge_sorter.belt import Belt, Crossing, DecisionLine
from edge_sorter.config import SortSection
from edge_sorter.events import LaneStatus, LineEvent, LineReport
from edge_sorter.sort.arrival import Arrival
from edge_sorter.sort.counts import RouterCounts
from edge_sorter.sort.dispatch import Dispatch
from edge_sorter.sort.doubles import Doubles, Group
from edge_sorter.sort.flush import FlushWatch
from edge_sorter.sort.footprint import Footprint, Trail
from edge_sorter.sort.overdue import RESERVE_NS, Predicted, predicted
from edge_sorter.sort.parts import cut_from, grown_into, is_part, parts_of, waits
from edge_sorter.sort.path import Path
from edge_sorter.sort.place import met_before, position_of, sweep
from edge_sorter.sort.plan import SortPlan
from edge_sorter.sort.plan_switch import PlanStatus
from edge_sorter.sort.plc_items import PlcItems
from edge_sorter.sort.restart import FirstView
from edge_sorter.sort.taken import Taken
from edge_sorter.sort.unseen_stop import UnseenStop
from edge_sorter.sort.verdict import Evidence
from edge_sorter.sort.whereabouts import Extent
from edge_sorter.types import Parcel, Reason, SortDecision, TrackState

STRAY_LOOKS = 2
"""Looks at another place on the belt that make a decided track another parcel's."""


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
        items: PlcItems | None = None,
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
            items=items,
        )
        self._flush_watch = FlushWatch(section)
        self._unseen_stop = UnseenStop(belt.motion)
        self._flush_at_start = flush_at_start
        self._first_view = FirstView(belt)
        self._degraded = False
        self._paths: dict[int, Path] = {}
        self._parcels: Sequence[Parcel] = ()
        self._taken = Taken()
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
        if self._first_view.began_mm is None:
            self._first_view.began_mm = travel_mm
        decisions = list(self._dispatch.tick(captured_ns, gap=self._gap))
        due: list[tuple[Crossing, Parcel, Path]] = []
        followed = [(parcel, self._follow(parcel, parcels, captured_ns, travel_mm)) for parcel in parcels]
        for parcel, path in followed:  # a part waits for what this very frame shows of the whole
            if path is None or path.settled or not path.confirmed or self._waits(parcel, path, parcels):
                continue
            if path.began_past:
                crossing = self._settle_unseen(parcel, path, travel_mm)
                if crossing is not None:
                    due.append((crossing, parcel, path))
            else:
                crossing = path.crossing or (path.guess if parcel.track.state is TrackState.ENDED else None)
                if crossing is not None:
                    due.append((crossing, parcel, path))
        self._taken.carry([parcel.track for parcel in parcels], captured_ns)
        due.sort(key=lambda item: (item[0].at_ns, item[1].track.track_id))
        for item in due:
            if not item[2].settled:
                decisions += self._settle(*item, parcels=parcels, captured_ns=captured_ns, travel_mm=travel_mm)
        self._forget(parcels, captured_ns)
        self._parcels = parcels
        return tuple(decisions)

    def overdue(self, at_ns: int, travel_mm: float | None) -> list[tuple[Predicted, Parcel, Path]]:
        """Return the parcels that crossed unseen since the last frame and cannot wait for the next, in that order."""
        due: list[tuple[Predicted, Parcel, Path]] = []
        for parcel in () if travel_mm is None else self._parcels:
            path = self._paths.get(parcel.track.track_id)
            if path is None or path.part_of or travel_mm is None or self._unseen_stop.hides(parcel.track, at_ns):
                continue
            found = predicted(parcel, path, line=self._line, belt=self._belt, at_ns=at_ns, travel_mm=travel_mm)
            if found is not None and self._dispatch.left_ns(*found.met, at_ns=at_ns) < RESERVE_NS:
                due.append((found, parcel, path))
        return sorted(due, key=lambda item: (item[0].crossing.at_ns, item[1].track.track_id))

    def decide_overdue(self, at_ns: int, travel_mm: float | None, *, degraded: bool) -> tuple[SortDecision, ...]:
        """Decide those parcels on what was seen before, flag NO_PICTURE, the belt's motion telling where they are."""
        self._degraded = degraded
        decisions: list[SortDecision] = []
        for found, parcel, path in self.overdue(at_ns, travel_mm):
            if path.settled:  # with another one, as a group
                continue
            path.crossing, path.crossing_travel_mm = found
            unseen = replace(parcel, flags=tuple(sorted({*parcel.flags, "NO_PICTURE"})))
            decisions += self._settle(
                found.crossing, unseen, path, parcels=self._parcels, captured_ns=at_ns, travel_mm=travel_mm
            )
        return tuple(decisions)

    def hear(self, event: LineEvent) -> tuple[SortDecision, ...]:
        """Take what the line tells between two frames; return the decisions it changes, with a higher `rev`."""
        if isinstance(event, LineReport):
            self._unseen_stop.hear(event)
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

    @property
    def clear(self) -> bool:
        """Whether nothing in view waits for its decision, not even what is not yet believed to be a parcel."""
        return all(path.settled for path in self._paths.values())

    def lane_status(self, at_ns: int) -> dict[str, LaneStatus]:
        """Return what every lane of the plan can take."""
        return {lane.id: self._dispatch.board.status(lane, at_ns) for lane in self.plan.lanes}

    def _follow(
        self, parcel: Parcel, parcels: Sequence[Parcel], captured_ns: int, travel_mm: float | None
    ) -> Path | None:
        """Move a track's path on to this frame and note a crossing on the way."""
        track = parcel.track
        path = self._paths.get(track.track_id)
        if path is None:
            if track.state is TrackState.ENDED:
                return None
            path = self._paths[track.track_id] = self._begin(parcel, captured_ns, travel_mm)
            if self._belt.map is not None and travel_mm is not None:
                path.part_of = cut_from(parcel, parcels, self._paths, belt_map=self._belt.map, travel_mm=travel_mm)
        path.confirmed |= track.state in (TrackState.CONFIRMED, TrackState.LOST)
        if path.settled and self._strays(parcel, path, captured_ns, travel_mm):
            path = self._paths[track.track_id]
        if track.measured:
            path.trail.add(track, travel_mm=travel_mm, whole="TOUCHES_EDGE" not in parcel.flags)
        astray = not track.measured and self._unseen_stop.hides(track, captured_ns)
        if not (path.settled or path.began_past or path.crossing is not None or astray):
            sweep(path, parcel.track, line=self._line, travel_mm=travel_mm)
        return path

    def _begin(self, parcel: Parcel, captured_ns: int, travel_mm: float | None) -> Path:
        anchor = self._line.anchor(parcel.track.xyxy)
        past = self._line.side(anchor) >= 0.0
        trail, at_start = Trail(self._belt.map, captured_ns), parcel.track.in_view_at_start
        if self._flush_at_start:
            at_start = self._first_view.held(parcel.track, travel_mm)
        return Path(anchor, captured_ns, travel_mm, trail, began_past=past, at_start=at_start)

    def _strays(self, parcel: Parcel, path: Path, captured_ns: int, travel_mm: float | None) -> bool:
        """Tell whether a decided track now follows another parcel, and if so, let it begin a new path there."""
        track = parcel.track
        if not track.measured or self._belt.map is None or travel_mm is None:
            return False
        extent = self._taken.extent(track.track_id)
        if extent is None:
            return False
        x1, y1, x2, y2 = track.looked_xyxy
        centre_mm = self._belt.map.point_mm(((x1 + x2) / 2.0, (y1 + y2) / 2.0))[0] - travel_mm
        if extent.trail_mm <= centre_mm <= extent.lead_mm:
            path.stray = None
            return False
        if path.stray is None:
            path.stray = self._begin(parcel, captured_ns, travel_mm)
        stray = path.stray
        stray.trail.add(track, travel_mm=travel_mm, whole="TOUCHES_EDGE" not in parcel.flags)
        if not stray.began_past and stray.crossing is None:
            sweep(stray, parcel.track, line=self._line, travel_mm=travel_mm)
        if len(stray.trail.seen) < STRAY_LOOKS or not stray.trail.clear_of(extent, self._section.doubles_gap_mm):
            return False
        stray.confirmed = stray.taken_over = True
        stray.flushed = path.flushed
        self._taken.leave(track.track_id)
        self._paths[track.track_id] = stray
        return True

    def _waits(self, parcel: Parcel, path: Path, parcels: Sequence[Parcel]) -> bool:
        """Tell whether a part leaves deciding to the track it belongs to."""
        if not path.part_of and path.crossing is not None and not parcel.track.measured and self._belt.map:
            path.part_of = grown_into(parcel, path.trail, parcels, self._paths, belt_map=self._belt.map)
            for whole in path.part_of:  # it waits for this one no longer, if it did
                rest = (track_id for track_id in self._paths[whole].part_of if track_id != parcel.track.track_id)
                self._paths[whole].part_of = tuple(rest)
        return waits(path, self._paths, gap_mm=self._section.doubles_gap_mm)

    def _settle(
        self,
        crossing: Crossing,
        parcel: Parcel,
        path: Path,
        *,
        parcels: Sequence[Parcel],
        captured_ns: int,
        travel_mm: float | None,
    ) -> tuple[SortDecision, ...]:
        """Decide a parcel that crossed, unless what crossed is part of one that is decided already."""
        path.settled = True
        footprint = path.trail.footprint(parcel.track, travel_mm=travel_mm)
        if self._is_decided(path, footprint):
            self.counts.split_suppressed += 1
            return ()
        self._taken.add(parcel.track.track_id, footprint)
        group = self._group(parcel, path, parcels, footprint, travel_mm)
        crossed_ns = crossing.at_ns // 1000 * 1000  # as fine as messages are, and free of floating-point dust
        speed_mm_s = self._belt.motion.speed_mm_s(crossed_ns)
        decisions = self._dispatch.decide(
            Arrival(
                Evidence(
                    parcel,
                    lost=path.crossing is None or path.taken_over,
                    inseparable=None if group is None else group.reason,
                    flushed=Reason.DEGRADED_MODE if self._degraded else self._flushed(path),
                ),
                crossed_ns,
                captured_ns,
                path.trail.speed_mm_s() if speed_mm_s is None else speed_mm_s,
                position_of(
                    crossing,
                    parcel,
                    path,
                    claim=self._claim(parcel.track.track_id, path, footprint, group),
                    grouped=group is not None,
                    height_mm=parcel.height_mm or self._section.typical_height_mm.get(parcel.class_name),
                    line=self._line,
                    belt=self._belt,
                ),
                path.crossing_travel_mm if self._belt.motion.ref(crossed_ns) == "ENC1" else None,
                hangs_on=() if group is None else group.hangs_on,
            )
        )
        if self._doubles is not None:
            self._doubles.decided(decisions[-1].parcel_uid if decisions else "")
        return decisions

    def _is_decided(self, path: Path, footprint: Footprint) -> bool:
        """Tell whether what crossed is a decided parcel, or part of one."""
        gap_mm = self._section.doubles_gap_mm
        if is_part(path, self._paths, self._taken, gap_mm=gap_mm):
            return True
        return self._taken.covers(footprint, path.trail, gap_mm=gap_mm) or self._taken.overlaid(path.trail.extent())

    def _flushed(self, path: Path) -> Reason | None:
        """Return why a parcel is not trusted since before it crossed, or None."""
        wholes = [self._paths[track_id].flushed for track_id in path.part_of if track_id in self._paths]
        flushed = next((reason for reason in (path.flushed, *wholes) if reason is not None), None)
        if flushed is None and self._flush_at_start and path.at_start:
            return Reason.RESTART_FLUSH
        return flushed

    def _gap(self) -> bool:
        """Tell whether no undecided parcel is in view."""
        return all(path.settled or not path.confirmed for path in self._paths.values())

    def _claim(self, track_id: int, path: Path, footprint: Footprint, group: Group | None) -> Extent | None:
        """Claim the stretch of belt a decision is about, where it is known."""
        if group is not None:
            return self._taken.claim(track_id, group.extent)
        ends = path.trail.ends_mm()
        if ends is None or footprint.velocity_s is not None:
            return None
        extent = Extent(*ends, footprint.box[1], footprint.box[3])
        for found in parts_of(track_id, path, self._paths):
            extent = extent.joined(found)
        return self._taken.claim(track_id, extent)

    def _group(
        self,
        parcel: Parcel,
        path: Path,
        parcels: Sequence[Parcel],
        footprint: Footprint,
        travel_mm: float | None,
    ) -> Group | None:
        """Find what cannot be sorted apart from a parcel and settle it too; see `sort.doubles`."""
        if self._doubles is None or travel_mm is None:
            return None
        waiting = {p.track.track_id: self._paths.get(p.track.track_id) for p in parcels}
        undecided = {track_id: q for track_id, q in waiting.items() if q is not None and not q.settled}
        group = self._doubles.group(path.trail, {track_id: q.trail for track_id, q in undecided.items()})
        if group is None:
            return None
        trail, lead, near, far = group.extent
        footprint = replace(footprint, box=(trail, near, lead, far))
        self._taken.add(parcel.track.track_id, footprint)
        for track_id in group.members:
            undecided[track_id].settled = True
            self._taken.add(track_id, footprint)  # so that a track which leaves this place is free again
        self.counts.joined += len(group.members)
        return group

    def _settle_unseen(self, parcel: Parcel, path: Path, travel_mm: float | None) -> Crossing | None:
        """Judge a track first seen past the line: part of a decided parcel, one nobody decided, or one found late.

        What was there before the first picture is neither: it was decided, if at all, before this start.

        Returns:
            Where and when a parcel that is found late, but may still be sent to the exception lane, was at the line.
        """
        path.settled = True
        if self._is_decided(path, path.trail.footprint(parcel.track, travel_mm=travel_mm)):
            self.counts.split_suppressed += 1
            return None
        if path.at_start:
            return None
        crossing = None
        if self._section.found_late == "exception" and travel_mm is not None:
            crossing = met_before(parcel, path, line=self._line, belt=self._belt, travel_mm=travel_mm)
        if crossing is None:
            self.counts.unseen += 1
        path.settled = crossing is None
        return crossing

    def _forget(self, parcels: Sequence[Parcel], captured_ns: int) -> None:
        """Drop what can no longer matter."""
        live = {parcel.track.track_id for parcel in parcels if parcel.track.state is not TrackState.ENDED}
        for track_id in [track_id for track_id in self._paths if track_id not in live]:
            path = self._paths.pop(track_id)
            self.counts.unconfirmed += path.crossing is not None and not path.confirmed
        self._taken.forget(captured_ns)
