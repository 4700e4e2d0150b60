"""What the command `selftest` says of a line, from a snapshot of its status."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edge_sorter.clock import ReplayClock
from edge_sorter.errors import EdgeSorterError
from edge_sorter.plc.alarms import Alarm
from edge_sorter.plc.messages import AppState
from edge_sorter.service.self_test import self_test
from edge_sorter.service.status import LineSnapshot, LineStatus, Peers

ALARM = Alarm("UNVERIFIED", "ACTIVE", 0)


def line(**changes) -> LineSnapshot:
    whole = LineStatus(ReplayClock()).snapshot()
    works = {"state": AppState.RUNNING, "cause": "running", "fps": 24.9, "frame_age_ms": 21.0, "blind_for": None}
    return replace(whole, **works | changes)


def test_a_line_that_works_says_how_well():
    assert self_test(line()) == "RUNNING, 24.9 frames/s, newest 21 ms old"
    degraded = line(state=AppState.DEGRADED, peers=Peers({}, alarms=(ALARM,)))
    assert self_test(degraded) == "DEGRADED, 24.9 frames/s, newest 21 ms old, alarms: UNVERIFIED"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"state": AppState.HOLD, "cause": "PLC_SILENT"}, "state HOLD: PLC_SILENT"),
        ({"frame_age_ms": None}, "no new picture"),
        ({"frame_age_ms": 501.0}, "no new picture"),
        ({"frame_age_ms": 900.0, "blind_for": "CAM_DARK"}, "no usable picture: CAM_DARK"),
        ({"blind_for": "CAM_DARK"}, "no usable picture: CAM_DARK"),
        ({"state": AppState.HOLD, "cause": "x", "frame_age_ms": None}, "state HOLD: x; no new picture"),
    ],
)
def test_a_line_that_would_not_sort_says_why(changes, says):
    with pytest.raises(EdgeSorterError) as caught:
        self_test(line(**changes))
    assert str(caught.value) == says
