"""What a parcel's height does to where its ends are seen, and how to take it out.

What stands up from the belt leans away from the point below the camera in the picture: an edge of height h that is seen
`a` away from that point, from a camera of height H, stands `a * (H - h) / H` away from it. An end shows the parcel's
bottom, and so its true place, while it is on the near side: the leading end before that point, the trailing end behind.

Contract: pure; ends that were once seen true are left alone, and no correction turns a parcel round.
"""

from __future__ import annotations

from collections.abc import Sequence

from edge_sorter.sort.whereabouts import RECENT_MM, Extent, Look

Camera = tuple[float, float, float]


def upright(extent: Extent, looks: Sequence[Look], *, camera_mm: Camera, height_mm: float) -> Extent:
    """Return where a parcel of known height really lies along the belt.

    Args:
        extent: Where its looks say, each end where it leans the least.
        looks: The looks at it.
        camera_mm: The camera's place and height above the belt, in belt coordinates.
        height_mm: The parcel's height.
    """
    foot_mm, _, above_mm = camera_mm
    whole = [look.travel_mm for look in looks if look.whole and look.travel_mm is not None]
    if not whole or not 0.0 < height_mm < above_mm:
        return extent
    last_mm = whole[-1]
    first_mm = min(travel_mm for travel_mm in whole if travel_mm >= last_mm - RECENT_MM)
    leaning = height_mm / above_mm
    trail_mm = extent.trail_mm + leaning * max(foot_mm - extent.trail_mm - last_mm, 0.0)
    lead_mm = extent.lead_mm - leaning * max(extent.lead_mm + first_mm - foot_mm, 0.0)
    return extent._replace(trail_mm=trail_mm, lead_mm=lead_mm) if trail_mm < lead_mm else extent
