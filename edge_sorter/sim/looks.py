"""Where each parcel of a simulated line is in each picture, before any detector has looked.

Contract: `look` projects every parcel at every frame time through the line's camera. A box is the upright hull of the
parcel's eight corners in the picture, so a tall parcel leans away from the camera's foot point as a real one does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_sorter.sim.camera import PinholeCamera
from edge_sorter.sim.line import Floats, Ints, Parcels

Bools = NDArray[np.bool_]

IMAGE_PX = (960, 540)
CAMERA = PinholeCamera(  # as on the demo line
    (950.0, -420.0, 2560.0), (950.0, 385.0, 0.0), 480.0 / math.tan(math.radians(39.5) / 2.0), IMAGE_PX
)
VIEW_MM = (-250.0, 2150.0)
"""Belt beyond which nothing can be in the picture."""
LEAST_SHARE = 0.3
"""A parcel of which less is in the picture is not seen."""


@dataclass(frozen=True, slots=True)
class Looks:
    """Every parcel in every frame that was taken, arrived or not: k looks."""

    frame: Ints
    source: Ints
    place_mm: Floats
    xyxy: Floats
    whole: Bools
    first: Ints
    """(n + 1,) where each parcel's looks begin."""


def look(parcels: Parcels, travel: Floats) -> Looks:
    """Return all looks at parcels of which enough is in the picture; `travel` is the belt's at each frame, in mm."""
    low = np.searchsorted(travel, VIEW_MM[0] - parcels.start_mm - parcels.reach_mm[:, 0])
    high = np.searchsorted(travel, VIEW_MM[1] - parcels.start_mm + parcels.reach_mm[:, 0] + parcels.slip_mm[:, 2])
    counts = high - low
    source = np.repeat(np.arange(len(parcels)), counts)
    frame = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(low, counts)
    moved = travel[frame] - parcels.slipped_mm(source, travel[frame])
    corners = parcels.corners_mm()[source]
    corners[..., 0] += moved[:, None]
    pixels = CAMERA.project(corners.reshape(-1, 3)).reshape(-1, 8, 2)
    hull = np.concatenate((pixels.min(axis=1), pixels.max(axis=1)), axis=1)
    clipped = np.clip(hull, 0.0, (*IMAGE_PX, *IMAGE_PX))
    sides, whole_sides = clipped[:, 2:] - clipped[:, :2], hull[:, 2:] - hull[:, :2]
    visible = (sides > 8.0).all(axis=1) & (sides.prod(axis=1) > LEAST_SHARE * whole_sides.prod(axis=1))
    source, frame, moved = source[visible], frame[visible], moved[visible]
    return Looks(
        frame=frame,
        source=source,
        place_mm=parcels.start_mm[source] + moved,
        xyxy=clipped[visible],
        whole=(clipped == hull).all(axis=1)[visible],
        first=np.searchsorted(source, np.arange(len(parcels) + 1)),
    )
