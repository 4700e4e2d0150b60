"""When a parcel meets the decision line and where on the belt it is then, with the encoder's counts.

Contract: functions of what was seen; what the belt's map and motion do not tell is None, never a guess.
"""

from __future__ import annotations

from edge_sorter.belt import Belt, Crossing, DecisionLine
from edge_sorter.belt.motion import STANDSTILL_MM_S
from edge_sorter.sort.parallax import upright
from edge_sorter.sort.path import Path
from edge_sorter.sort.whereabouts import Extent
from edge_sorter.types import BeltPosition, Parcel, Track


def sweep(path: Path, track: Track, *, line: DecisionLine, travel_mm: float | None) -> None:
    """Note on a path whether the track crossed the line between its last believed position and this one."""
    anchor = line.anchor(track.xyxy)
    crossing = line.crossing(path.anchor_px, path.at_ns, anchor, track.captured_ns)
    if track.measured or travel_mm is not None:
        path.crossing, path.guess = crossing, None
        if crossing is not None and travel_mm is not None:
            before = travel_mm if path.travel_mm is None else path.travel_mm
            path.crossing_travel_mm = before + crossing.fraction * (travel_mm - before)
        path.anchor_px, path.at_ns, path.travel_mm = anchor, track.captured_ns, travel_mm
    else:
        path.guess = path.guess or crossing


def met_before(parcel: Parcel, path: Path, *, line: DecisionLine, belt: Belt, travel_mm: float) -> Crossing | None:
    """Return where and when a parcel first seen past the line was at it, or None where the belt does not tell."""
    track, belt_map = parcel.track, belt.map
    speed_mm_s = belt.motion.speed_mm_s(track.captured_ns)
    if path.trail.extent() is None or belt_map is None or speed_mm_s is None or speed_mm_s < STANDSTILL_MM_S:
        return None
    anchor = line.anchor(track.xyxy)
    (x_mm, y_mm), past_mm = belt_map.point_mm(anchor), line.side(anchor)
    path.crossing_travel_mm = travel_mm - past_mm
    at_ns = track.captured_ns - round(past_mm / speed_mm_s * 1e9)
    return Crossing(at_ns, belt_map.point_px((x_mm - past_mm, y_mm)), 1.0)


def position_of(
    crossing: Crossing,
    parcel: Parcel,
    path: Path,
    *,
    claim: Extent | None,
    grouped: bool,
    height_mm: float | None,
    line: DecisionLine,
    belt: Belt,
) -> BeltPosition:
    """Say where a parcel is.

    Args:
        crossing: Where it met the line.
        parcel: The parcel.
        path: Its track's way.
        claim: The stretch of belt that its decision is about, where looks at it tell; else its size stands in.
        grouped: The claim is about several parcels: it alone says where they lie across the belt.
        height_mm: How high it is, where that is known: seen from one side, tall parcels look longer and further out.
        line, belt: Where all of it is.
    """
    belt_map = belt.map
    center_px = (round(crossing.point_px[0], 2), round(crossing.point_px[1], 2))
    if belt_map is None:
        return BeltPosition("TIME", None, None, None, center_px)
    xyxy = parcel.track.xyxy
    centre = belt_map.centre_mm([xyxy])[0]
    lateral_mm = round(float(centre[1]) - belt_map.middle_y_mm, 1)
    travel_mm = path.crossing_travel_mm
    if travel_mm is None:
        return BeltPosition("TIME", None, None, lateral_mm, center_px)
    if claim is not None:
        line_mm = belt_map.point_mm(crossing.point_px)[0]
        if height_mm is not None and belt.camera_mm is not None and not grouped:
            claim = upright(claim, path.trail.seen, camera_mm=belt.camera_mm, height_mm=height_mm)
        if grouped:
            lateral_mm = round((claim.near_mm + claim.far_mm) / 2.0 - belt_map.middle_y_mm, 1)
        at_line_mm = line_mm - claim.lead_mm, line_mm - claim.trail_mm
    else:
        anchor = belt_map.to_mm([line.anchor(xyxy)])[0]
        length_mm = parcel.size_mm[0] if parcel.size_mm else float(belt_map.size_mm([xyxy])[0, 0])
        middle_mm = travel_mm - float(centre[0] - anchor[0])
        at_line_mm = middle_mm - length_mm / 2.0, middle_mm + length_mm / 2.0
    lead_mm, trail_mm = (round(mm, 1) for mm in at_line_mm)
    ref = belt.motion.ref(crossing.at_ns)
    counts = (belt.motion.count_at(lead_mm), belt.motion.count_at(trail_mm)) if ref == "ENC1" else (None, None)
    return BeltPosition(ref, lead_mm, trail_mm, lateral_mm, center_px, *counts)
