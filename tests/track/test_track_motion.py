"""The motion model: what is learnt from measured boxes, with belt motion known and unknown."""

from __future__ import annotations

import numpy as np
import pytest

from edge_sorter.track.motion import Flow, Motion
from edge_sorter.types import Box


def box(x: float, y: float = 100.0, w: float = 80.0, h: float = 60.0) -> Box:
    return x, y, x + w, y + h


def follow(speed: float, fps: float, seconds: float = 1.0) -> Motion:
    """Motion after an object was measured at constant speed, belt unknown."""
    motion = Motion.at_rest(box(0), belt_known=False)
    for i in range(1, round(seconds * fps) + 1):
        motion.predict(dt_s=1 / fps)
        motion.correct(box(speed * i / fps), first=i == 1, belt_known=False)
    return motion


@pytest.mark.parametrize("fps", [5, 15, 30, 60])
@pytest.mark.parametrize("speed", [-400.0, 0.0, 150.0, 900.0])
def test_velocity_is_learnt_in_seconds_not_frames(fps: float, speed: float) -> None:
    assert follow(speed, fps).velocity == pytest.approx((speed, 0), abs=0.03 * abs(speed) + 1e-6)


def test_prediction_does_not_depend_on_how_time_is_cut() -> None:
    once, twice = follow(300.0, 30), follow(300.0, 30)
    once.predict(dt_s=0.2)
    twice.predict(dt_s=0.1)
    twice.predict(dt_s=0.1)
    for one, two in ((once.x, twice.x), (once.y, twice.y)):
        for name in ("centre", "velocity", "var", "cov", "var_slope", "var_size"):
            assert getattr(one, name) == pytest.approx(getattr(two, name), rel=1e-6), name


def drive(motion: Motion, delta_px: float, dt_s: float = 0.04) -> None:
    """A belt of 1 px per mm that moves to the right."""
    x1, y1, x2, y2 = motion.xyxy
    motion.predict_with_belt((x1 + delta_px, y1, x2 + delta_px, y2), delta_mm=delta_px, dt_s=dt_s)


@pytest.mark.parametrize("gain", [1.0, 1.2, 0.0])
def test_what_moves_unlike_the_belt_is_learnt_and_stops_and_reverses_with_it(gain: float) -> None:
    """A tall parcel (1.2) runs ahead of the belt, one that jams (0) falls behind; neither drifts on a belt at rest."""
    motion, x = Motion.at_rest(box(0), belt_known=True), 0.0
    for i in range(25):
        x += 30 * gain
        drive(motion, 30)
        motion.correct(box(x), first=i == 0, belt_known=True)
    assert motion.x.velocity == pytest.approx(30 * gain / 0.04, abs=20)
    centre = motion.x.centre
    drive(motion, 0)
    assert motion.x.centre == pytest.approx(centre, abs=1e-9)
    assert motion.velocity == pytest.approx((0, 0), abs=1e-9)
    drive(motion, -30)
    assert motion.x.centre == pytest.approx(centre - 30 * gain, abs=1)


def test_a_parcel_that_enters_as_a_sliver_keeps_the_belts_speed() -> None:
    """Its visible centre moves at half the speed; its leading edge does not lie."""
    motion = Motion.at_rest((0.0, 0.0, 10.0, 80.0), belt_known=True)
    for i in range(1, 5):
        drive(motion, 20)
        motion.correct((0.0, 0.0, 10.0 + 20 * i, 80.0), first=False, belt_known=True)
    assert (motion.x.slope, motion.y.slope) == pytest.approx((0, 0), abs=0.02)
    assert motion.xyxy == pytest.approx((0, 0, 90, 80), abs=2)


def test_flow_is_the_median_of_the_neighbours_and_trusted_less_where_they_disagree() -> None:
    alone, agreeing, unsure = (Motion.at_rest(box(0), belt_known=False) for _ in range(3))
    agreeing.with_flow(Flow.of([(300.0, 0.0), (310.0, 5.0), (290.0, -5.0)]))
    assert (agreeing.x.slope, agreeing.y.slope) == (300.0, 0.0)
    unsure.with_flow(Flow.of([(300.0, 0.0), (-300.0, 0.0), (0.0, 200.0)]))
    assert unsure.x.var_slope > 4 * agreeing.x.var_slope
    assert unsure.x.var_slope <= alone.x.var_slope
    assert unsure.y.var_slope <= alone.y.var_slope
    assert Flow.of([(1.0, 4.0), (3.0, 8.0)]) == ((2.0, 6.0), pytest.approx(5**0.5))


def test_late_flow_moves_what_was_already_predicted() -> None:
    motion = Motion.at_rest(box(0), belt_known=False)
    motion.predict(dt_s=0.1)
    x, y, var = motion.x.centre, motion.y.centre, motion.x.var
    motion.with_flow(Flow.of([(300.0, 0.0)]), dt_s=0.1)
    assert (motion.x.centre - x, motion.y.centre - y) == pytest.approx((30, 0))
    assert motion.x.var < var


def test_losing_and_regaining_the_belts_motion_keeps_the_speed() -> None:
    motion = Motion.at_rest(box(0), belt_known=True)
    for i in range(1, 10):
        drive(motion, 20)
        motion.correct(box(20.0 * i), first=False, belt_known=True)
    x = motion.x.centre
    motion.without_belt()
    motion.predict(dt_s=0.04)
    assert motion.x.centre == pytest.approx(x + 20, abs=0.5)
    motion.with_belt()
    drive(motion, 20)
    assert motion.x.centre == pytest.approx(x + 40, abs=0.7)


@pytest.mark.parametrize("seed", range(30))
def test_covariances_stay_valid_under_random_life(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0, 500, 2).tolist()
    motion = Motion.at_rest(box(x, y), belt_known=False)
    for _ in range(100):
        dt_s = float(rng.choice([0.0, 0.01, 0.2, 3.0]))
        flow = Flow.of([(vx, vy) for vx, vy in rng.normal(0, 300, (5, 2)).tolist()])
        if rng.random() < 0.2:
            motion.with_flow(flow)
        motion.predict(dt_s=dt_s)
        if rng.random() < 0.1:
            motion.with_flow(flow, dt_s=dt_s)
        if rng.random() < 0.6:
            x1, y1, x2, y2 = (np.array(motion.xyxy) + rng.normal(0, 10, 4)).tolist()
            motion.correct((x1, y1, x2, y2), first=bool(rng.random() < 0.2), belt_known=False)
        for axis in (motion.x, motion.y):
            assert axis.var > 0
            assert axis.var_slope > 0
            assert axis.var * axis.var_slope - axis.cov**2 > -1e-6 * axis.var * axis.var_slope
