"""One decision a parcel, however many tracks or boxes it has: id switches, cuts, melted and second boxes, a stop."""

from __future__ import annotations

import pytest
from sorting_world import feed, make_belt, make_router, parcel

from edge_sorter.config import TimingSection
from edge_sorter.types import TrackState


@pytest.mark.parametrize("calibrated", [True, False])
@pytest.mark.parametrize("born_mm", [1000.0, 1150.0, 1190.0, 1250.0])
def test_an_id_switch_near_the_line_gives_no_second_decision(born_mm, calibrated):
    """Track 1 is lost at `born_mm` and the same parcel goes on as track 2, while 1 is still predicted."""
    belt = make_belt(calibrated=calibrated)
    router = make_router(belt, timing=TimingSection(travel_s=2.0))
    decisions = []
    for index in range(40):
        at_s = index / 25
        x_mm = 600.0 + 1000.0 * at_s
        parcels = []
        if x_mm < born_mm:
            parcels.append(parcel(1, at_s, x_mm))
        else:
            since = x_mm - born_mm
            state = TrackState.LOST if since < 600 else TrackState.ENDED
            if since < 640:
                parcels.append(parcel(1, at_s, x_mm, state=state, measured=False))
            state = TrackState.TENTATIVE if since < 120 else TrackState.CONFIRMED
            parcels.append(parcel(2, at_s, x_mm + 4.0, state=state))
        decisions += feed(router, belt, at_s, *parcels)
    assert len(decisions) == 1
    assert decisions[0].lane in ("L01", "HOSP")


@pytest.mark.parametrize("calibrated", [True, False])
@pytest.mark.parametrize("split_mm", [1100.0, 1180.0, 1210.0, 1260.0])
def test_a_parcel_cut_in_two_near_the_line_gives_no_second_decision(split_mm, calibrated):
    belt = make_belt(calibrated=calibrated)
    router = make_router(belt)
    decisions = []
    for index in range(44):
        at_s = index / 25
        x_mm = 400.0 + 1000.0 * at_s
        if x_mm < split_mm:
            parcels = [parcel(1, at_s, x_mm)]
        else:
            front = parcel(1, at_s, x_mm + 80, size_mm=(140.0, 200.0))
            state = TrackState.TENTATIVE if x_mm < split_mm + 80 else TrackState.CONFIRMED
            parcels = [front, parcel(2, at_s, x_mm - 80, size_mm=(140.0, 200.0), state=state)]
        decisions += feed(router, belt, at_s, *parcels)
    assert len(decisions) == 1
    assert router.counts.split_suppressed == 1


@pytest.mark.parametrize("calibrated", [True, False])
def test_two_parcels_that_melt_at_the_line_still_get_one_decision_each(calibrated):
    """The detector sees one box for both near the line; track 1 takes it, track 2 is predicted and comes back."""
    belt = make_belt(calibrated=calibrated)
    router = make_router(belt)
    decisions = []
    for index in range(50):
        at_s = index / 25
        x_mm = 400.0 + 1000.0 * at_s
        if 1150.0 < x_mm < 1400.0:
            first = parcel(1, at_s, x_mm - 155.0, size_mm=(610.0, 200.0))
            second = parcel(2, at_s, x_mm - 310.0, measured=False, state=TrackState.LOST)
        else:
            first, second = parcel(1, at_s, x_mm), parcel(2, at_s, x_mm - 310.0)
        decisions += feed(router, belt, at_s, first, second)
    assert [decision.track_id for decision in decisions] == [1, 2]


def test_two_boxes_on_one_parcel_give_one_decision():
    belt = make_belt()
    router = make_router(belt)
    decisions = []
    for index in range(30):
        at_s = index / 25
        x_mm = 600.0 + 1000.0 * at_s
        twin = parcel(2, at_s, x_mm - 10.0, size_mm=(280.0, 190.0), class_name="mailer")
        decisions += feed(router, belt, at_s, parcel(1, at_s, x_mm), twin)
    assert [decision.track_id for decision in decisions] == [1]
    assert router.counts.split_suppressed == 1


@pytest.mark.parametrize("calibrated", [True, False])
def test_neighbours_get_a_decision_each_in_the_order_they_cross(calibrated):
    """Close behind one another and side by side, one frame covering several crossings."""
    belt = make_belt(calibrated=calibrated)
    router = make_router(belt)
    decisions = []
    for index in range(12):
        at_s = index / 5
        x_mm = 300.0 + 1000.0 * at_s
        places = {3: (x_mm, 300.0), 1: (x_mm - 310.0, 300.0), 2: (x_mm - 20.0, 520.0)}
        decisions += feed(router, belt, at_s, *(parcel(i, at_s, x, y_mm=y) for i, (x, y) in places.items()))
    assert [decision.track_id for decision in decisions] == [3, 2, 1]
    assert [decision.seq for decision in decisions] == [1, 2, 3]


def test_a_belt_that_stops_with_a_parcel_on_the_line_decides_it_once():
    belt = make_belt(calibrated=False)
    router = make_router(belt)
    decisions = []
    for index in range(500):
        at_s = index / 25
        x_mm = min(1000.0 + 1000.0 * at_s, 1200.0) + (-1) ** index * 3.0
        moving = 1000.0 if at_s < 0.2 else 0.0
        parcels = [parcel(1, at_s, x_mm, speed_mm_s=moving)]
        if at_s > 10:  # a second box appears on it while it stands
            parcels.append(parcel(2, at_s, x_mm - 15.0, speed_mm_s=moving))
        decisions += feed(router, belt, at_s, *parcels)
    assert len(decisions) == 1


def test_a_second_box_on_a_decided_parcel_that_stopped_past_the_line_is_no_second_parcel():
    belt = make_belt(calibrated=False)
    router = make_router(belt)
    decisions = []
    for index in range(400):
        at_s = index / 25
        x_mm = min(1000.0 + 1000.0 * at_s, 1260.0)
        moving = 1000.0 if x_mm < 1260.0 else 0.0
        parcels = [parcel(1, at_s, x_mm, speed_mm_s=moving)]
        if at_s > 8.0:
            parcels.append(parcel(2, at_s, x_mm - 60.0 + (-1) ** index * 3.0, size_mm=(150, 150), speed_mm_s=0.0))
        decisions += feed(router, belt, at_s, *parcels)
    assert len(decisions) == 1


@pytest.mark.parametrize("calibrated", [True, False])
def test_two_parcels_seen_one_over_the_other_for_long_are_two(calibrated):
    """A small parcel in the empty corner of the upright box around a large one that lies askew."""
    belt = make_belt(calibrated=calibrated)
    router = make_router(belt)
    decisions = []
    for index in range(30):
        at_s = index / 25
        x_mm = 600.0 + 1000.0 * at_s
        small = parcel(2, at_s, x_mm - 200.0, y_mm=660.0, size_mm=(150.0, 120.0))
        decisions += feed(router, belt, at_s, parcel(1, at_s, x_mm, size_mm=(580.0, 530.0)), small)
    assert [decision.track_id for decision in decisions] == [1, 2]


def test_a_place_in_the_picture_is_forgotten_when_its_track_is_gone():
    """Somebody takes a decided parcel off a standing belt; the next one comes along and is decided."""
    belt = make_belt(calibrated=False)
    router = make_router(belt)
    feed(router, belt, 0.0, parcel(1, 0.0, 1150.0, speed_mm_s=0.0))
    assert len(feed(router, belt, 0.1, parcel(1, 0.1, 1210.0, speed_mm_s=0.0))) == 1
    feed(router, belt, 0.7, parcel(1, 0.7, 1210.0, speed_mm_s=0.0, state=TrackState.ENDED, measured=False))
    feed(router, belt, 5.0, parcel(2, 5.0, 1150.0))
    assert len(feed(router, belt, 5.1, parcel(2, 5.1, 1250.0))) == 1
