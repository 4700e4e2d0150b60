"""Belt geometry, belt motion and the decision line."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sorter.belt import (
    BeltMap,
    Calibration,
    DecisionLine,
    EncoderMotion,
    SteadyMotion,
    load_calibration,
    open_belt,
)
from edge_sorter.config import BeltSection, DecisionLineSection
from edge_sorter.errors import ConfigError

SIZE = (960, 540)
S = 1_000_000_000

TRAPEZE = Calibration(  # camera at the belt's side, looking across: the far edge is shorter
    image_size_px=SIZE,
    image_points_px=((200, 100), (760, 100), (900, 500), (60, 500)),
    belt_points_mm=((0, 800), (1500, 800), (1500, 0), (0, 0)),
)
FLAT = Calibration(  # straight down, 0.5 px per mm
    image_size_px=SIZE,
    image_points_px=((0, 0), (960, 0), (960, 540), (0, 540)),
    belt_points_mm=((0, 0), (1920, 0), (1920, 1080), (0, 1080)),
)


def turned(degrees: float) -> Calibration:
    """A camera straight down, turned on its axis: 0.5 px per mm about the picture's middle."""
    angle = math.radians(degrees)
    mm = [(-400, -400), (400, -400), (400, 400), (-400, 400)]
    px = [
        (
            480 + 0.5 * (x * math.cos(angle) - y * math.sin(angle)),
            270 + 0.5 * (x * math.sin(angle) + y * math.cos(angle)),
        )
        for x, y in mm
    ]
    return Calibration(image_size_px=SIZE, image_points_px=tuple(px), belt_points_mm=tuple(mm))


def line_between(a: tuple[float, float], b: tuple[float, float], **more: object) -> DecisionLine:
    return DecisionLine(DecisionLineSection(points=(a, b)), **{"belt_map": None, "image_size_px": (1000, 1000), **more})


# --- calibration ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "why"),
    [
        ([[0, 0], [100, 0], [200, 0], [0, 100]], "three on one line"),
        ([[0, 0], [100, 100], [100, 0], [0, 100]], "order crosses over"),
        ([[0, 0], [100, 0], [100, 0], [0, 100]], "two the same"),
        ([[0, 0], [100, 0], [10, 10], [0, 100]], "not convex"),
    ],
)
def test_four_points_must_enclose_an_area(tmp_path: Path, image: list[list[float]], why: str) -> None:
    path = tmp_path / "camera.yaml"
    path.write_text(
        f"image_size_px: [960, 540]\nimage_points_px: {image}\nbelt_points_mm: [[0, 0], [9, 0], [9, 9], [0, 9]]\n"
    )
    with pytest.raises(ConfigError, match="line 2, image_points_px: the four points must be the corners"):
        load_calibration(path)


def test_a_calibration_may_be_mirrored() -> None:
    """Across the belt, y may grow to either side: both hands are right."""
    mirrored = FLAT.model_copy(update={"belt_points_mm": ((0, 1080), (1920, 1080), (1920, 0), (0, 0))})
    assert BeltMap(mirrored, image_size_px=SIZE).to_mm([(0, 0)]) == pytest.approx(np.array([[0, 1080]]))


def test_calibration_is_scaled_to_the_picture_in_use() -> None:
    small, large = BeltMap(TRAPEZE, image_size_px=SIZE), BeltMap(TRAPEZE, image_size_px=(1920, 1080))
    points = np.array([(300.0, 200.0), (700.0, 400.0)])
    assert large.to_mm(points * 2) == pytest.approx(small.to_mm(points), abs=0.01)


def test_another_picture_shape_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"960x540 picture.*640x480"):
        BeltMap(TRAPEZE, image_size_px=(640, 480))


# --- mapping -------------------------------------------------------------------------------------------------------


@given(x=st.floats(0, 1500), y=st.floats(0, 800))
def test_belt_to_picture_and_back(x: float, y: float) -> None:
    belt_map = BeltMap(TRAPEZE, image_size_px=SIZE)
    there = belt_map.to_px([(x, y)])
    assert belt_map.to_mm(there)[0] == pytest.approx((x, y), abs=0.01)
    assert belt_map.point_mm(tuple(there[0])) == pytest.approx((x, y), abs=0.01)
    assert belt_map.point_px((x, y)) == pytest.approx(tuple(there[0]), abs=0.01)


def test_the_calibrated_points_map_onto_each_other() -> None:
    belt_map = BeltMap(TRAPEZE, image_size_px=SIZE)
    assert belt_map.to_mm(TRAPEZE.image_points_px) == pytest.approx(np.array(TRAPEZE.belt_points_mm), abs=0.05)
    assert belt_map.across_mm == (0.0, 800.0)
    assert belt_map.middle_y_mm == 400.0


@given(
    x=st.floats(-5000, 5000), y=st.floats(-50_000, 5000), w=st.floats(0.1, 900), h=st.floats(0.1, 900),
    delta=st.floats(-1e5, 1e5),
)  # fmt: skip
def test_nothing_explodes_at_the_horizon(x: float, y: float, w: float, h: float, delta: float) -> None:
    belt_map = BeltMap(TRAPEZE, image_size_px=SIZE)
    box = np.array([(x, y, x + w, y + h)])
    for result in (belt_map.to_mm([(x, y)]), belt_map.to_px([(x, y)]), belt_map.shift(box, delta)):
        assert np.isfinite(result).all()
        assert np.abs(result).max() < 1e9
    assert np.isfinite(belt_map.size_mm(box)).all()


def test_a_box_beyond_the_horizon_stays() -> None:
    belt_map = BeltMap(TRAPEZE, image_size_px=SIZE)
    above = np.array([(400.0, -5000.0, 500.0, -4900.0)])
    assert np.array_equal(belt_map.shift(above, 100.0), above)


@given(x=st.floats(100, 1300), y=st.floats(100, 700), delta=st.floats(-100, 100))
def test_a_shifted_box_is_where_the_belt_took_it(x: float, y: float, delta: float) -> None:
    belt_map = BeltMap(TRAPEZE, image_size_px=SIZE)

    def box_at(x_mm: float) -> np.ndarray:
        corners = belt_map.to_px([(x_mm + i, y + j) for i in (-60, 60) for j in (-40, 40)])
        return np.concatenate((corners.min(axis=0), corners.max(axis=0)))[None]

    moved = belt_map.shift(box_at(x), delta)
    assert moved == pytest.approx(box_at(x + delta), abs=3.0)
    assert belt_map.shift(moved, -delta) == pytest.approx(box_at(x), abs=1.0)


def test_a_belt_at_rest_moves_nothing_and_input_is_untouched() -> None:
    belt_map = BeltMap(TRAPEZE, image_size_px=SIZE)
    boxes = np.array([(300.0, 200.0, 400.0, 260.0), (500.0, 300.0, 700.0, 420.0)])
    before = boxes.copy()
    assert belt_map.shift(boxes, 0.0) == pytest.approx(boxes, abs=1e-6)
    belt_map.shift(boxes, 500.0)
    assert np.array_equal(boxes, before)
    assert belt_map.shift(np.empty((0, 4)), 10.0).shape == (0, 4)


@pytest.mark.parametrize("degrees", [0, 5, -10, 20, 90, 80, 180, 270])
@pytest.mark.parametrize("size", [(150.0, 150.0), (600.0, 400.0), (200.0, 90.0)])
def test_size_of_a_parcel_from_its_box(degrees: float, size: tuple[float, float]) -> None:
    """The camera may be turned: what is measured is the parcel, not the box around its turned picture."""
    belt_map = BeltMap(turned(degrees), image_size_px=SIZE)
    corners = belt_map.to_px([(sx * size[0] / 2, sy * size[1] / 2) for sx in (-1, 1) for sy in (-1, 1)])
    box = np.concatenate((corners.min(axis=0), corners.max(axis=0)))
    assert belt_map.size_mm(box)[0] == pytest.approx(size, rel=0.02)
    assert belt_map.centre_mm(box)[0] == pytest.approx((0, 0), abs=0.1)


@pytest.mark.parametrize("degrees", [0, -10, 44, 45, 90, 200])
def test_the_size_of_one_box_is_that_of_many_to_the_last_bit(degrees: float) -> None:
    belt_map = BeltMap(turned(degrees), image_size_px=SIZE)
    corner = np.random.default_rng(5).uniform(-50, 900, (200, 2))
    boxes = np.concatenate((corner, corner + np.random.default_rng(6).uniform(0, 300, (200, 2))), axis=1)
    boxes[0, 2:] = boxes[0, :2]
    assert [list(belt_map.size_of(tuple(box))) for box in boxes.tolist()] == belt_map.size_mm(boxes).tolist()


def test_size_stays_sensible_where_it_cannot_be_solved() -> None:
    belt_map = BeltMap(turned(45), image_size_px=SIZE)
    length, width = belt_map.size_mm((400, 200, 560, 340))[0]
    assert 100 < length < 500
    assert 100 < width < 500


# --- motion --------------------------------------------------------------------------------------------------------


def test_steady_and_unknown_motion() -> None:
    assert SteadyMotion(1500.0).travel_mm(2 * S) == 3000.0
    assert (SteadyMotion(1500.0).ref(0), SteadyMotion(None).ref(0)) == ("SPEED", "TIME")
    assert SteadyMotion(None).travel_mm(S) is None
    assert SteadyMotion(None).speed_mm_s(S) is None


def encoder(samples: list[tuple[float, int]], **options: float) -> EncoderMotion:
    motion = EncoderMotion(mm_per_count=0.5, **options)
    for at_s, count in samples:
        motion.feed(round(at_s * S), count)
    return motion


@pytest.mark.parametrize(
    ("at_s", "travel", "speed"),
    [
        (0.9, None, None),  # before the first sample
        (1.0, 0.0, 1000.0),
        (1.05, 50.0, 1000.0),  # between samples
        (1.2, 200.0, 1000.0),
        (1.25, 250.0, 1000.0),  # shortly past the newest
        (1.3, 300.0, 1000.0),
        (1.301, None, None),  # the encoder has gone silent
    ],
)
def test_encoder_interpolates_and_then_says_it_does_not_know(
    at_s: float, travel: float | None, speed: float | None
) -> None:
    motion = encoder([(1.0, 500), (1.1, 700), (1.2, 900)])
    assert motion.travel_mm(round(at_s * S)) == (None if travel is None else pytest.approx(travel))
    assert motion.speed_mm_s(round(at_s * S)) == (None if speed is None else pytest.approx(speed))


@pytest.mark.parametrize(
    ("samples", "travel"),
    [
        ([(0, 2**32 - 100), (0.1, 100)], 100.0),  # wraps forwards
        ([(0, 100), (0.1, 2**32 - 100)], -100.0),  # wraps backwards
        ([(0, 1000), (0.1, 1200), (0.2, 1000)], 0.0),  # there and back
        ([(0, 1000), (0.1, 1200), (0.1, 9999), (0.05, 9999)], 100.0),  # late and repeated samples are ignored
        ([(0, 2**31), (0.1, 2**31 + 200), (0.2, 3), (0.3, 203)], 200.0),  # counter reset: travel goes on
    ],
)
def test_encoder_counts(samples: list[tuple[float, int]], travel: float) -> None:
    assert encoder(samples).travel_mm(round(max(at for at, _ in samples) * S)) == pytest.approx(travel)


def test_encoder_knows_nothing_across_a_reset_and_before_the_first_sample() -> None:
    assert EncoderMotion(mm_per_count=1.0).travel_mm(0) is None
    motion = encoder([(0, 2**31), (0.1, 2**31 + 200), (0.2, 3)])
    assert motion.travel_mm(S // 10) is None
    assert motion.speed_mm_s(S // 5) is None


def test_encoder_history_is_bounded() -> None:
    motion = encoder([(i / 50, i * 10) for i in range(10_000)])
    assert len(motion._at_ns) <= 2048
    assert motion.travel_mm(9_999 * S // 50) == pytest.approx(9_999 * 5.0)
    assert motion.travel_mm(0) is None


def test_samples_that_were_held_up_are_no_reset() -> None:
    """Six samples of a 50 Hz feed, stuck for 120 ms, arrive within a fifth of a millisecond."""
    motion = encoder([(0.0, 0), (0.02, 40), (0.16, 80), (0.16, 120), (0.1601, 160), (0.1602, 320)])
    assert motion.resets == 0
    assert motion.travel_mm(round(0.1602 * S)) == pytest.approx(160.0)


def test_while_the_encoder_is_silent_the_set_speed_stands_in_and_travel_never_jumps() -> None:
    motion = encoder([(i / 50, i * 40) for i in range(51)], fallback_mm_s=800.0)
    assert (motion.ref(S), motion.ref(S + S // 10), motion.ref(2 * S)) == ("ENC1", "ENC1", "SPEED")
    assert motion.travel_mm(S + S // 10) == pytest.approx(1100.0)
    assert motion.travel_mm(2 * S) == pytest.approx(1100.0 + 720.0)
    assert motion.speed_mm_s(2 * S) == 800.0
    motion.feed(2 * S, 50 * 40 + 7)  # it was the belt that stood, not only the encoder: nobody can know
    assert motion.travel_mm(2 * S) == pytest.approx(1820.0)
    motion.feed(2 * S + S // 50, 50 * 40 + 47)
    assert motion.travel_mm(2 * S + S // 50) == pytest.approx(1840.0)
    assert motion.ref(2 * S) == "ENC1"


def test_before_the_first_sample_the_set_speed_stands_in() -> None:
    motion = EncoderMotion(mm_per_count=0.5, fallback_mm_s=1000.0)
    assert (motion.travel_mm(S), motion.speed_mm_s(S), motion.ref(S)) == (1000.0, 1000.0, "SPEED")
    motion.feed(2 * S, 77)
    assert (motion.travel_mm(S), motion.travel_mm(2 * S)) == (1000.0, 2000.0)


@given(
    start=st.integers(0, 2**32 - 1),
    moves=st.lists(st.integers(-40, 200), min_size=1, max_size=60),
    at_mm=st.floats(-5000, 5000),
)
def test_counts_and_travel_convert_both_ways_over_any_wrap(start: int, moves: list[int], at_mm: float) -> None:
    motion = encoder([])
    motion.feed(0, start)
    count = start
    for i, move in enumerate(moves, start=1):
        count += move
        motion.feed(i * S // 50, count % 2**32)
    travel = 0.5 * sum(moves)
    assert motion.travel_mm(len(moves) * S // 50) == pytest.approx(travel)
    assert motion.count_at(travel) == count % 2**32
    there = motion.count_at(travel + at_mm)
    assert there is not None
    assert 0 <= there < 2**32
    assert motion.travel_of(there) == pytest.approx(travel + at_mm, abs=0.26)


def test_without_samples_there_is_no_count() -> None:
    assert EncoderMotion(mm_per_count=0.5).count_at(1.0) is None
    assert EncoderMotion(mm_per_count=0.5).travel_of(1) is None
    assert SteadyMotion(1000.0).count_at(1.0) is None


def test_a_16_bit_counter() -> None:
    assert encoder([(0, 65_500), (0.1, 100)], bits=16).travel_mm(S // 10) == pytest.approx(68.0)


def test_the_configured_encoder_moves_the_belt(tmp_path: Path) -> None:
    path = tmp_path / "flat.yaml"
    path.write_text(FLAT.model_dump_json())
    section = {"calibration": path, "decision_line": {"at_mm": 900}, "encoder": {"source": "mqtt", "mm_per_count": 0.5}}
    belt = open_belt(BeltSection.model_validate(section), image_size_px=SIZE)
    assert isinstance(belt.motion, EncoderMotion)
    assert belt.motion.travel_mm(0) is None
    belt = open_belt(BeltSection.model_validate(section | {"speed_mm_s": 500}), image_size_px=SIZE)
    assert belt.motion.ref(0) == "SPEED"


# --- decision line -------------------------------------------------------------------------------------------------


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


# --- the bundle ----------------------------------------------------------------------------------------------------


@pytest.fixture
def camera_yaml(tmp_path: Path) -> Path:
    path = tmp_path / "camera.yaml"
    path.write_text(
        "image_size_px: [960, 540]\n"
        "image_points_px: [[900, 100], [900, 500], [100, 500], [100, 100]]\n"
        "belt_points_mm: [[0, 800], [0, 0], [1600, 0], [1600, 800]]\n"  # travel is to the left
    )
    return path


def test_open_belt_with_calibration(camera_yaml: Path) -> None:
    section = BeltSection(calibration=camera_yaml, speed_mm_s=1200, decision_line=DecisionLineSection(at_mm=800))
    belt = open_belt(section, image_size_px=SIZE)
    assert belt.map is not None
    assert belt.direction == pytest.approx((-1, 0), abs=1e-6)
    assert belt.motion.travel_mm(S) == 1200
    assert belt.line.ends_px[0][0] == pytest.approx(500, abs=0.01)
    assert belt.line.side((900, 300)) < 0 < belt.line.side((100, 300))


def test_open_belt_without_calibration() -> None:
    section = BeltSection(direction=(0, 2), decision_line=DecisionLineSection(points=((0, 0.5), (1, 0.5))))
    belt = open_belt(section, image_size_px=SIZE)
    assert (belt.map, belt.direction, belt.motion.ref(0)) == (None, (0.0, 1.0), "TIME")
    assert belt.line.side((480, 100)) == pytest.approx(-170)


def test_direction_against_the_calibration_is_refused(camera_yaml: Path) -> None:
    section = BeltSection(calibration=camera_yaml, direction=(1, 0), decision_line=DecisionLineSection(at_mm=800))
    with pytest.raises(ConfigError, match="grows the other way"):
        open_belt(section, image_size_px=SIZE)
    with pytest.raises(ConfigError, match=r"camera\.yaml: made on a 960x540"):
        open_belt(section, image_size_px=(640, 480))
