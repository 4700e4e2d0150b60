"""The motion model: what is learnt from measured boxes, with belt motion known and unknown."""

from __future__ import annotations

import numpy as np
import pytest

from edge_sorter.track import motion as moving

ALL = np.array([True])
NONE = np.array([False])


def box(x: float, y: float = 100.0, w: float = 80.0, h: float = 60.0) -> np.ndarray:
    return np.array([(x, y, x + w, y + h)])


def follow(speed: float, fps: float, seconds: float = 1.0) -> moving.Motion:
    """Motion after an object was measured at constant speed, belt unknown."""
    motion = moving.at_rest(box(0), belt_known=False)
    for i in range(1, round(seconds * fps) + 1):
        motion = moving.predict(motion, dt_s=1 / fps)
        motion = moving.correct(motion, box(speed * i / fps), ALL if i == 1 else NONE, belt_known=False)
    return motion


@pytest.mark.parametrize("fps", [5, 15, 30, 60])
@pytest.mark.parametrize("speed", [-400.0, 0.0, 150.0, 900.0])
def test_velocity_is_learnt_in_seconds_not_frames(fps: float, speed: float) -> None:
    assert follow(speed, fps).velocity[0] == pytest.approx((speed, 0), abs=0.03 * abs(speed) + 1e-6)


def test_prediction_does_not_depend_on_how_time_is_cut() -> None:
    motion = follow(300.0, 30)
    once, twice = moving.predict(motion, dt_s=0.2), moving.predict(moving.predict(motion, dt_s=0.1), dt_s=0.1)
    for name in ("centre", "velocity", "var", "cov", "var_slope", "var_size"):
        assert getattr(once, name) == pytest.approx(getattr(twice, name), rel=1e-6), name


def drive(motion: moving.Motion, delta_px: float, dt_s: float = 0.04) -> moving.Motion:
    """A belt of 1 px per mm that moves to the right."""
    shifted = motion.xyxy + np.array([delta_px, 0, delta_px, 0])
    return moving.predict_with_belt(motion, shifted, delta_mm=delta_px, dt_s=dt_s)


@pytest.mark.parametrize("gain", [1.0, 1.2, 0.0])
def test_what_moves_unlike_the_belt_is_learnt_and_stops_and_reverses_with_it(gain: float) -> None:
    """A tall parcel (1.2) runs ahead of the belt, one that jams (0) falls behind; neither drifts on a belt at rest."""
    motion, x = moving.at_rest(box(0), belt_known=True), 0.0
    for i in range(25):
        x += 30 * gain
        motion = moving.correct(drive(motion, 30), box(x), ALL if i == 0 else NONE, belt_known=True)
    assert motion.velocity[0, 0] == pytest.approx(30 * gain / 0.04, abs=20)
    centre = motion.centre[0, 0]
    stopped = drive(motion, 0)
    assert stopped.centre[0, 0] == pytest.approx(centre, abs=1e-9)
    assert stopped.velocity[0] == pytest.approx((0, 0), abs=1e-9)
    assert drive(stopped, -30).centre[0, 0] == pytest.approx(centre - 30 * gain, abs=1)


def test_a_parcel_that_enters_as_a_sliver_keeps_the_belts_speed() -> None:
    """Its visible centre moves at half the speed; its leading edge does not lie."""
    motion = moving.at_rest(np.array([(0.0, 0.0, 10.0, 80.0)]), belt_known=True)
    for i in range(1, 5):
        motion = moving.correct(drive(motion, 20), np.array([(0.0, 0.0, 10.0 + 20 * i, 80.0)]), NONE, belt_known=True)
    assert motion.slope[0] == pytest.approx((0, 0), abs=0.02)
    assert motion.xyxy[0] == pytest.approx((0, 0, 90, 80), abs=2)


def test_flow_is_the_median_of_the_neighbours_and_trusted_less_where_they_disagree() -> None:
    motion = moving.at_rest(np.concatenate((box(0), box(200))), belt_known=False)
    first = np.array([True, False])
    agreeing = moving.with_flow(motion, first, np.array([(300.0, 0), (310.0, 5), (290.0, -5)]))
    assert agreeing.slope.tolist() == [[300.0, 0.0], [0.0, 0.0]]
    unsure = moving.with_flow(motion, first, np.array([(300.0, 0), (-300.0, 0), (0.0, 200)]))
    assert unsure.var_slope[0, 0] > 4 * agreeing.var_slope[0, 0]
    assert (unsure.var_slope[0] <= motion.var_slope[0]).all()
    assert moving.with_flow(motion, first, np.empty((0, 2))) is motion


def test_late_flow_moves_what_was_already_predicted() -> None:
    motion = moving.predict(moving.at_rest(box(0), belt_known=False), dt_s=0.1)
    moved = moving.with_flow(motion, ALL, np.array([(300.0, 0.0)]), dt_s=0.1)
    assert (moved.centre - motion.centre)[0] == pytest.approx((30, 0))
    assert moved.var[0, 0] < motion.var[0, 0]


def test_losing_and_regaining_the_belts_motion_keeps_the_speed() -> None:
    motion = moving.at_rest(box(0), belt_known=True)
    for i in range(1, 10):
        motion = moving.correct(drive(motion, 20), box(20.0 * i), NONE, belt_known=True)
    free = moving.predict(moving.without_belt(motion), dt_s=0.04)
    assert free.centre[0, 0] == pytest.approx(motion.centre[0, 0] + 20, abs=0.5)
    again = drive(moving.with_belt(free), 20)
    assert again.centre[0, 0] == pytest.approx(free.centre[0, 0] + 20, abs=0.5)


def test_covariances_stay_valid_under_random_life() -> None:
    rng = np.random.default_rng(3)
    motion = moving.at_rest(
        rng.uniform(0, 500, (30, 2)).repeat(2, axis=1)[:, [0, 2, 1, 3]] + [0, 0, 80, 60], belt_known=False
    )
    for _ in range(300):
        dt_s = float(rng.choice([0.0, 0.01, 0.2, 3.0]))
        newborn = rng.random(30) < 0.2
        motion = moving.predict(moving.with_flow(motion, newborn, motion.velocity[~newborn]), dt_s=dt_s)
        motion = moving.with_flow(motion, rng.random(30) < 0.1, motion.velocity[:5], dt_s=dt_s)
        seen = rng.random(30) < 0.6
        rows = np.flatnonzero(seen).tolist()
        measured = motion.xyxy[rows] + rng.normal(0, 10, (len(rows), 4))
        before = motion
        motion = moving.correct(motion, measured, rng.random(30) < 0.2, belt_known=False, rows=rows)
        assert all((new[~seen] == old[~seen]).all() for new, old in zip(motion, before, strict=True))
        assert (motion.var > 0).all()
        assert (motion.var_slope > 0).all()
        assert (motion.var * motion.var_slope - motion.cov**2 > -1e-6 * motion.var * motion.var_slope).all()
