"""A tall parcel is found where it stands, when its height is known and where the camera hangs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sorting_world import LINE_MM, feed, make_belt, make_router, parcel

from edge_sorter.sort.parallax import upright
from edge_sorter.sort.whereabouts import Extent, Look

LENGTH, WIDTH = 300.0, 200.0


def seen_ends(x_mm: float, *, height_mm: float, foot_mm: float, above_mm: float) -> tuple[float, float]:
    """Ends of the box around a block whose bottom and top face the camera both shows."""
    ends = []
    for end in (x_mm - LENGTH / 2, x_mm + LENGTH / 2):
        top = foot_mm + (end - foot_mm) * above_mm / (above_mm - height_mm)
        ends.append((end, top))
    return min(ends[0]), max(ends[1])


def position_with(camera_mm, *, foot_mm: float, height_mm: float, known: float | None, prior=None, above_mm=2500.0):
    belt = replace(make_belt(), camera_mm=camera_mm)
    router = make_router(belt, typical_height_mm=prior or {})
    decisions = []
    for i in range(45):
        at_s, x_mm = i / 50, LINE_MM - 500 + 20 * i
        trail, lead = seen_ends(x_mm, height_mm=height_mm, foot_mm=foot_mm, above_mm=above_mm)
        box = parcel(1, at_s, (trail + lead) / 2, size_mm=(lead - trail, WIDTH))
        decisions += feed(router, belt, at_s, replace(box, height_mm=known))
    (decision,) = decisions
    return decision.position


@pytest.mark.parametrize("foot_mm", [400.0, 1200.0, 1900.0])
@pytest.mark.parametrize("height_mm", [100.0, 500.0])
def test_both_ends_are_where_the_parcel_stands(foot_mm: float, height_mm: float) -> None:
    """Its centre is at the line at travel 500: the ends at 350 and 650."""
    camera_mm = (foot_mm, 500.0, 2500.0)
    found = position_with(camera_mm, foot_mm=foot_mm, height_mm=height_mm, known=height_mm)
    assert (found.lead_mm, found.trail_mm) == (pytest.approx(350.0, abs=6.0), pytest.approx(650.0, abs=6.0))
    prior = position_with(camera_mm, foot_mm=foot_mm, height_mm=height_mm, known=None, prior={"carton": height_mm})
    assert prior == found


def test_without_height_or_camera_a_tall_parcel_far_from_the_camera_is_off() -> None:
    for camera_mm, known in ((None, 500.0), ((1900.0, 500.0, 2500.0), None)):
        found = position_with(camera_mm, foot_mm=1900.0, height_mm=500.0, known=known)
        assert found.trail_mm - 650.0 > 100.0


def test_no_correction_turns_a_parcel_round() -> None:
    looks = [Look((0.0, 0.0, 1.0, 1.0), 0, 0.0, True)]
    short = Extent(0.0, 10.0, 0.0, 10.0)
    assert upright(short, looks, camera_mm=(5000.0, 0.0, 2000.0), height_mm=1900.0) == short
    assert upright(short, looks, camera_mm=(5000.0, 0.0, 2000.0), height_mm=2100.0) == short, "higher than the camera"
    assert upright(short, [], camera_mm=(5000.0, 0.0, 2000.0), height_mm=100.0) == short
