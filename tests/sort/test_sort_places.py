"""No two decisions about one place: rigid parcels do not lie in one another."""

from __future__ import annotations

import pytest
from sorting_world import feed, lost, make_belt, make_router, parcel, run

from edge_sorter.sort.taken import Taken
from edge_sorter.sort.whereabouts import Extent
from edge_sorter.types import Reason, TrackState

DECIDED = Extent(0.0, 300.0, 400.0, 600.0)


@pytest.mark.parametrize(
    ("extent", "left"),
    [
        ((-600.0, 20.0, 400.0, 600.0), (-600.0, 0.0, 400.0, 600.0)),
        ((290.0, 500.0, 400.0, 600.0), (300.0, 500.0, 400.0, 600.0)),
        ((-290.0, 304.0, 410.0, 590.0), (-290.0, 0.0, 410.0, 590.0)),
        ((-4.0, 590.0, 410.0, 590.0), (300.0, 590.0, 410.0, 590.0)),
        ((-60.0, 340.0, 410.0, 590.0), (-60.0, 340.0, 410.0, 590.0)),
        ((0.0, 300.0, 610.0, 800.0), (0.0, 300.0, 610.0, 800.0)),
    ],
    ids=["behind", "ahead", "melted, behind", "melted, ahead", "the same place", "beside"],
)
def test_no_two_decisions_name_the_same_belt(extent, left):
    taken = Taken()
    assert taken.claim(1, DECIDED) == DECIDED
    assert taken.claim(2, Extent(*extent)) == left


@pytest.mark.parametrize(
    ("extent", "overlaid"),
    [
        ((50.0, 200.0, 405.0, 595.0), True),
        ((-60.0, 78.0, 405.0, 595.0), True),
        ((70.0, 280.0, 430.0, 566.0), True),
        ((-60.0, 38.0, 405.0, 595.0), False),
        ((-50.0, 45.0, 405.0, 595.0), False),
        ((-310.0, 35.0, 400.0, 600.0), False),
        ((-310.0, 300.0, 400.0, 600.0), False),
        ((0.0, 300.0, 590.0, 790.0), False),
        ((50.0, 200.0, 450.0, 550.0), False),
        ((-20.0, 320.0, 400.0, 800.0), False),
    ],
    ids=[
        "part",
        "part, its end cut off",
        "second box, kept long",
        "near",
        "a small one",
        "touches",
        "melted",
        "beside",
        "on it",
        "both, side by side",
    ],
)
def test_what_lies_on_a_decided_parcel_is_a_part_of_it(extent, overlaid):
    taken = Taken()
    taken.claim(1, DECIDED)
    assert taken.overlaid(Extent(*extent)) is overlaid


def test_a_parcel_that_is_whole_again_in_the_frame_in_which_its_front_crosses_gets_one_decision():
    """The front has the older track and is asked first: what the frame shows of the other has to be known then."""
    belt = make_belt()
    router = make_router(belt)

    def frame(at_s, x_mm):
        size_mm = (150.0, 200.0)
        if x_mm < 1130.0:
            return parcel(1, at_s, x_mm + 75.0, size_mm=size_mm), parcel(2, at_s, x_mm - 75.0, size_mm=size_mm)
        return lost(1, at_s, x_mm + 75.0, since_s=0.8, size_mm=size_mm), parcel(2, at_s, x_mm)

    (decision,) = run(router, belt, frame)
    assert decision.track_id == 2
    assert decision.position.trail_mm - decision.position.lead_mm == pytest.approx(300.0, abs=2.0)


def test_an_end_that_was_cut_off_early_is_no_parcel_when_a_second_box_shows_it_again():
    """It was followed since long ago, and unseen nearly as long: that is not two parcels that were seen together."""
    belt = make_belt()
    router = make_router(belt)

    def frame(at_s, x_mm):
        end_mm = (70.0, 200.0)
        if x_mm < 650.0:
            return parcel(1, at_s, x_mm + 35.0, size_mm=(210.0, 200.0)), parcel(2, at_s, x_mm - 105.0, size_mm=end_mm)
        if x_mm < 1230.0:
            return parcel(1, at_s, x_mm, size_mm=(280.0, 200.0)), lost(2, at_s, x_mm - 105.0, since_s=0.32)
        again = parcel(2, at_s, x_mm - 45.0, size_mm=(150.0, 190.0))
        return parcel(1, at_s, x_mm, size_mm=(280.0, 200.0)), again

    assert [decision.track_id for decision in run(router, belt, frame)] == [1]


def test_what_lies_beside_a_parcel_is_decided_with_it_though_it_was_never_seen_whole():
    """A carton cut in two along the belt: its narrow side crosses first, the rest is seen whole only past the line."""
    belt = make_belt()
    router = make_router(belt, doubles="exception")
    decisions = []
    for frame in range(12):
        at_s = frame * 0.15
        x = 300.0 + at_s * 1000.0
        if x < 700.0:
            edge = ("TOUCHES_EDGE",)
            seen = [
                parcel(1, at_s, x, y_mm=350.0, size_mm=(400.0, 300.0), flags=edge),
                parcel(2, at_s, x + 40.0, y_mm=590.0, size_mm=(380.0, 180.0)),
            ]
        elif x < 1250.0:
            seen = [
                lost(1, at_s, x, y_mm=350.0, size_mm=(400.0, 300.0), since_s=0.3),
                lost(2, at_s, x + 40.0, y_mm=590.0, size_mm=(380.0, 180.0), since_s=0.3),
            ]
        else:
            seen = [parcel(1, at_s, x, y_mm=440.0, size_mm=(420.0, 480.0))]
        decisions += feed(router, belt, at_s, *seen)
    assert [decision.reason for decision in decisions] == [Reason.SIDE_BY_SIDE]


def test_one_look_beside_a_parcel_does_not_widen_what_its_decision_is_about():
    """It may be a false box: for it a parcel seen few times goes to the exception lane, but is named where it lies."""
    belt = make_belt()
    router = make_router(belt, doubles="exception")

    def frame(at_s, x_mm):
        state = TrackState.TENTATIVE
        beside = parcel(1, at_s, x_mm, y_mm=250.0, state=state, measured=at_s == 0.0, flags=("TOUCHES_EDGE",))
        return beside, parcel(2, at_s, x_mm, y_mm=600.0, measured=x_mm < 400.0 or x_mm > 1200.0)

    (decision,) = run(router, belt, frame)
    assert (decision.reason, decision.position.lateral_mm) == (Reason.SIDE_BY_SIDE, pytest.approx(100.0, abs=1.0))
