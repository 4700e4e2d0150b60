"""How old a picture is, told by the camera's own stamps: backlogs, bursts and clocks that drift."""

from __future__ import annotations

import pytest

from edge_sorter.video.lag import Lag

MS = 1_000_000


def ages(rows):
    lag = Lag()
    return [lag.age_ns(stamp_ns=stamp * MS, arrived_ns=arrived * MS) for stamp, arrived in rows]


@pytest.mark.parametrize("pauses", [(), (3,), (2, 7)])
def test_the_backlog_of_a_new_connection_is_recognised_by_its_pace(pauses):
    held_up = [30 * sum(number > pause for pause in pauses) for number in range(10)]
    backlog = [(40 * number, number + held_up[number]) for number in range(10)]
    live = [(stamp, held_up[-1] + 10 + stamp - 400 + 40) for stamp in range(400, 800, 40)]
    found = ages(backlog + live)
    assert found[:12] == [None] * 12
    assert all(age == 0 for age in found[12:])


def test_frames_held_up_by_the_network_show_their_age():
    live = [(stamp, stamp + 5) for stamp in range(0, 400, 40)]
    burst = [(stamp, 1000 + stamp // 40) for stamp in range(400, 1000, 40)]
    found = ages(live + burst)
    assert found[10] == (1010 - 400 - 5) * MS
    assert found[-1] is not None and found[-1] < 100 * MS


def test_a_camera_clock_that_drifts_or_jumps_is_followed():
    slow = [(round(at * 0.999), at) for at in range(0, 60_000, 40)]
    assert max(age for age in ages(slow) if age is not None) < 25 * MS
    jumped = [(stamp, stamp) for stamp in range(0, 400, 40)] + [
        (stamp - 50_000, stamp) for stamp in range(400, 800, 40)
    ]
    assert ages(jumped)[-1] == 0
