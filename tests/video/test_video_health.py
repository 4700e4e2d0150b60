"""Pictures that arrive but show nothing: dark and frozen cameras."""

from __future__ import annotations

import time

import numpy as np
import pytest

from edge_sorter.config import BlindSection
from edge_sorter.types import Frame
from edge_sorter.video import HealthMonitor

SECTION = BlindSection(frozen_frames=4, recovered_frames=3, dark_luma=8)


def picture(number: int, *, level: int = 100, size: tuple[int, int] = (240, 320)) -> Frame:
    noise = np.random.default_rng(number).integers(-2, 3, (*size, 3))
    return Frame(number, number, np.clip(noise + level, 0, 255).astype(np.uint8))


def verdicts(frames, **options):
    monitor = HealthMonitor(SECTION, **options)
    return [monitor.check(frame) for frame in frames]


def test_lively_pictures_are_healthy():
    assert verdicts(picture(number) for number in range(20)) == [None] * 20


def test_a_dark_picture_is_blind_at_once_and_until_enough_good_ones_followed():
    levels = [100, 3, 3, 100, 100, 3, 100, 100, 100, 100]
    dark = "CAM_DARK"
    assert verdicts(picture(n, level=level) for n, level in enumerate(levels)) == [
        None, dark, dark, dark, dark, dark, dark, dark, None, None,
    ]  # fmt: skip


@pytest.mark.parametrize(("level", "reason"), [((0, 0, 25), "CAM_DARK"), ((0, 25, 0), None), ((60, 0, 0), "CAM_DARK")])
def test_darkness_is_judged_on_luma_not_on_one_colour(level, reason):
    image = np.zeros((240, 320, 3), np.uint8)
    image[:] = level
    assert verdicts([Frame(0, 0, image)]) == [reason]


def test_identical_pictures_in_a_row_are_a_frozen_camera():
    frames = [picture(number) for number in (0, 1, 2, 2, 2, 2, 2, 3, 4, 5, 6)]
    frozen = "CAM_FROZEN"
    assert verdicts(frames) == [None] * 5 + [frozen] * 4 + [None] * 2


def test_the_count_starts_again_after_a_different_picture():
    assert verdicts(picture(number) for number in (1, 1, 1, 2, 1, 1, 1, 2)) == [None] * 8


def test_pictures_that_repeat_while_recovering_do_not_count_as_good():
    frames = [picture(n) for n in (1, 1, 1, 1, 2, 2, 3, 3, 4, 5, 6)]
    assert verdicts(frames)[-4:] == ["CAM_FROZEN", "CAM_FROZEN", "CAM_FROZEN", None]


def test_drawn_clips_may_repeat_a_picture():
    assert verdicts([picture(1)] * 20, watch_frozen=False) == [None] * 20


@pytest.mark.parametrize("size", [(1, 1), (16, 9), (33, 65), (506, 898)])
def test_any_picture_size_will_do(size):
    assert verdicts(picture(number, size=size) for number in range(3)) == [None] * 3


def test_a_check_costs_well_under_a_tenth_of_a_millisecond_at_1080p():
    frames = [picture(number, size=(1080, 1920)) for number in range(2)]
    monitor = HealthMonitor(SECTION)
    best_s = 1.0
    for _ in range(20):
        start = time.thread_time()
        for index in range(20):
            monitor.check(frames[index % 2])
        best_s = min(best_s, (time.thread_time() - start) / 20)
    assert best_s < 0.0003, "three times the 0.1 ms it has to keep, for slow test machines"
    print(f"{best_s * 1e3:.3f} ms a check")
