"""Where and when a parcel crosses the line at which it is decided."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from belt_calibrations import FLAT, SIZE
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sorter.belt import (
    BeltMap,
    Calibration,
    DecisionLine,
)
from edge_sorter.config import DecisionLineSection
from edge_sorter.errors import ConfigError

S = 1_000_000_000


def line_between(a: tuple[float, float], b: tuple[float, float], **more: object) -> DecisionLine:
    return DecisionLine(DecisionLineSection(points=(a, b)), **{"belt_map": None, "image_size_px": (1000, 1000), **more})


def test_crossing_is_interpolated_in_time_and_place() -> None:
    crossing = line_between((0.5, 0.0), (0.5, 1.0)).crossing((400, 300), 0, (800, 500), S)
    assert crossing is not None
    assert crossing.at_ns == S // 4
    assert crossing.fraction == 0.25
    assert crossing.point_px == pytest.approx((500, 350))


@pytest.mark.parametrize(
    ("p0", "p1", "crosses"),
    [
        ((400, 500), (600, 500), True),
        ((600, 500), (400, 500), False),  # against travel
        ((400, 500), (499.9, 500), False),
        ((499.9, 500), (500, 500), True),  # the line itself is downstream
        ((500, 500), (600, 500), False),
        ((-5000, 500), (9000, 500), True),  # over the whole picture in one step
        ((400, 240), (600, 240), True),  # just past the end of the line
        ((400, 160), (600, 160), False),  # another belt
        ((400, 900), (600, 900), False),
        ((400, 100), (600, 500), True),  # enters slanted: where it crosses counts
    ],
)
def test_which_ways_cross(p0: tuple[float, float], p1: tuple[float, float], crosses: bool) -> None:
    line = line_between((0.5, 0.25), (0.5, 0.75))
    assert (line.crossing(p0, 0, p1, S) is not None) is crosses


@pytest.mark.parametrize("direction", [(1, 0), (-1, 0), (0, 1), (0, -3), (0.7, 0.7), (-0.2, 0.1)])
@pytest.mark.parametrize("swap", [False, True])
def test_travel_direction_decides_which_side_is_upstream(direction: tuple[float, float], swap: bool) -> None:
    dx, dy = direction[0] / math.hypot(*direction), direction[1] / math.hypot(*direction)
    ends = ((0.5 - dy / 4, 0.5 + dx / 4), (0.5 + dy / 4, 0.5 - dx / 4))
    line = line_between(*(ends[::-1] if swap else ends), direction=direction)
    upstream, downstream = (500 - 100 * dx, 500 - 100 * dy), (500 + 100 * dx, 500 + 100 * dy)
    assert line.side(upstream) == pytest.approx(-100)
    assert line.side(downstream) == pytest.approx(100)
    assert line.crossing(upstream, 0, downstream, S) is not None
    assert line.crossing(downstream, 0, upstream, S) is None


@settings(max_examples=300)
@given(
    start=st.floats(-400, 499), speed=st.floats(20, 30_000), phase=st.floats(0, 1),
    fps=st.floats(1, 200), slant=st.floats(-0.3, 0.3),
)  # fmt: skip
def test_what_passes_crosses_exactly_once_at_any_frame_rate(
    start: float, speed: float, phase: float, fps: float, slant: float
) -> None:
    """Also where it jumps over the whole picture between two frames; and the time does not depend on the rate."""
    line = line_between((0.5, -0.0), (0.5, 1.0))
    steps = min(int((1000 - start) / speed * fps) + 3, 4000)
    if (steps - 1) / fps * speed + start < 500:
        return
    times = [round((i + phase) / fps * S) for i in range(steps)]
    path = [(start + speed * at / S - speed * phase / fps, 500 + slant * speed * at / S % 100) for at in times]
    found = [line.crossing(path[i], times[i], path[i + 1], times[i + 1]) for i in range(steps - 1)]
    crossings = [crossing for crossing in found if crossing is not None]
    assert len(crossings) == 1
    assert crossings[0].at_ns == pytest.approx(((500 - start) / speed + phase / fps) * S, abs=1000)
    assert crossings[0].point_px[0] == pytest.approx(500, abs=1e-6)


@given(xs=st.lists(st.floats(0, 1000), min_size=2, max_size=60))
def test_jitter_crosses_again_but_downstream_and_upstream_always_balance(xs: list[float]) -> None:
    """The primitive is honest about each crossing; that a parcel is decided once is latched by the router."""
    line = line_between((0.5, 0.0), (0.5, 1.0))
    forwards = sum(line.crossing((a, 500), 0, (b, 500), 1) is not None for a, b in pairwise(xs))
    backwards = sum(a >= 500 > b for a, b in pairwise(xs))
    assert forwards - backwards == (xs[-1] >= 500) - (xs[0] >= 500)


def test_crossing_time_is_right_in_perspective() -> None:
    """Halfway in millimetres is not halfway in pixels."""
    along_view = Calibration(  # travel away from the camera: strong foreshortening along x
        image_size_px=SIZE,
        image_points_px=((100, 500), (860, 500), (600, 100), (360, 100)),
        belt_points_mm=((0, 0), (0, 800), (3000, 800), (3000, 0)),
    )
    belt_map = BeltMap(along_view, image_size_px=SIZE)
    line = DecisionLine(DecisionLineSection(at_mm=1500), belt_map=belt_map, image_size_px=SIZE)
    p0, p1 = (belt_map.point_px((x, 400)) for x in (500, 2500))
    crossing = line.crossing(p0, 0, p1, S)
    assert crossing is not None
    assert crossing.at_ns == pytest.approx(S / 2, rel=1e-3)
    assert crossing.point_px == pytest.approx(belt_map.point_px((1500, 400)), abs=0.05)
    assert crossing.point_px[1] < (p0[1] + p1[1]) / 2 - 20
    assert line.side(p0) == pytest.approx(-1000, abs=0.5)
    far_off = [belt_map.point_px((x, 5000)) for x in (500, 2500)]
    assert line.crossing(far_off[0], 0, far_off[1], S) is not None, "at_mm spans the belt without end"


def test_a_drawn_line_on_a_calibrated_belt_measures_in_millimetres() -> None:
    belt_map = BeltMap(FLAT, image_size_px=SIZE)
    section = DecisionLineSection(points=((0.5, 0.1), (0.5, 0.9)))
    line = DecisionLine(section, belt_map=belt_map, image_size_px=SIZE)
    assert line.side((380, 270)) == pytest.approx(-200, abs=0.1)
    assert line.ends_px == (pytest.approx((480, 54), abs=0.01), pytest.approx((480, 486), abs=0.01))


@pytest.mark.parametrize(("anchor", "expected"), [("center", (15.0, 30.0)), ("bottom_center", (15.0, 40.0))])
def test_anchor(anchor: str, expected: tuple[float, float]) -> None:
    section = DecisionLineSection(points=((0.5, 0.1), (0.5, 0.9)), anchor=anchor)
    assert DecisionLine(section, belt_map=None, image_size_px=SIZE).anchor((10, 20, 20, 40)) == expected


@pytest.mark.parametrize("points", [((0.1, 0.5), (0.9, 0.5)), ((0.5, 0.5), (0.5, 0.5))])
def test_a_line_along_the_belt_is_refused(points: tuple[tuple[float, float], tuple[float, float]]) -> None:
    with pytest.raises(ConfigError, match="must go across the belt"):
        line_between(*points, direction=(1, 0))
