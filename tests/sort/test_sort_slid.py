"""A parcel that slid back on the belt is where its newest looks show it."""

from __future__ import annotations

import numpy as np
import pytest
from sorting_world import MM_PER_PX, make_belt

from edge_sorter.sort.footprint import Trail
from edge_sorter.sort.slid import first_after_slide
from edge_sorter.types import Track, TrackState

STEP_MM = 67.0


def looks(fallen_mm, *, length_mm=300.0, lean=0.0, noise_mm=0.0, seed=1):
    """Ends (n, 2) in the belt-fixed frame of a parcel that has fallen back by so much at each look.

    With `lean` it stands high: each end looks further out by that share of its distance from below the camera, which
    hangs over the middle of its way.
    """
    rng = np.random.default_rng(seed)
    ends = np.array([[-length_mm / 2, length_mm / 2]]) - np.array(fallen_mm)[:, None]
    under = (np.arange(len(fallen_mm)) - len(fallen_mm) / 2) * STEP_MM
    at = ends + under[:, None]
    ends = ends + lean * np.stack((np.minimum(at[:, 0], 0.0), np.maximum(at[:, 1], 0.0)), axis=1)
    return ends + rng.normal(0.0, noise_mm, ends.shape) if noise_mm else ends


def test_who_lies_still_keeps_all_looks():
    for seed in range(300):
        assert first_after_slide(looks([0.0] * 12, noise_mm=4.0, seed=seed)) == 0
    assert first_after_slide(looks([0.0] * 16, lean=0.12)) == 0, "a tall parcel seems to go forward"


@pytest.mark.parametrize(
    ("fallen_mm", "first"),
    [
        ([0, 0, 0, 0, 30, 60, 90, 90, 90], 6),
        ([0, 0, 0, 0, 45, 90], 5),
        ([0, 40, 80, 80, 80, 80, 80, 80], 2),
        ([0, 0, 67, 134, 201, 268, 268, 268], 5),  # stuck
        ([0, 0, 0], 0),
        ([0, 0, 0, 0, 10, 10], 0),  # no more than noise
        ([0, 0, 0, 120, 0, 0, 0], 0),  # one odd look
    ],
)
def test_who_slid_keeps_the_looks_since_then(fallen_mm, first):
    assert first_after_slide(looks(np.array(fallen_mm, float))) == first


@pytest.mark.parametrize("end", [0, 1])
def test_one_end_alone_is_no_slide(end):
    ends = looks([0.0] * 10)
    ends[5:, end] -= 80.0  # cut off in front, or melted with what is behind
    assert first_after_slide(ends) == 0


def test_a_trail_names_the_place_after_the_slide():
    belt = make_belt()
    trail = Trail(belt.map, 0)
    for i, fallen_mm in enumerate([0.0, 0.0, 0.0, 0.0, 30.0, 60.0, 90.0, 90.0, 90.0]):
        travel_mm = i * STEP_MM
        x1, x2 = ((300.0 + travel_mm - fallen_mm + half) / MM_PER_PX for half in (-150.0, 150.0))
        track = Track(1, TrackState.CONFIRMED, i, (x1, 100.0, x2, 200.0), (0.0, 0.0), True, 0.9, 0, i + 1, 0, i)
        trail.add(track, travel_mm=travel_mm, whole=True)
    assert trail.ends_mm() == pytest.approx((300.0 - 90.0 - 150.0, 300.0 - 90.0 + 150.0), abs=0.5)
