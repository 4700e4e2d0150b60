"""A parcel that was cut, or grew whole again, gets one decision; one whose track was taken over gets its own."""

from __future__ import annotations

import pytest
from sorting_world import STEP_S, lost, make_belt, make_router, parcel, run

from edge_sorter.sort.footprint import Footprint, Trail
from edge_sorter.sort.parts import cut_from, is_part
from edge_sorter.sort.path import Path
from edge_sorter.sort.taken import REMEMBERED, Taken
from edge_sorter.sort.whereabouts import Extent
from edge_sorter.types import Reason

LENGTH_MM = 300.0


def halves(at_s, x_mm):
    """The two ends of one parcel as boxes of their own."""
    front = parcel(1, at_s, x_mm + 75.0, size_mm=(150.0, 200.0))
    return front, parcel(2, at_s, x_mm - 75.0, size_mm=(150.0, 200.0))


@pytest.mark.parametrize("doubles", ["sort", "exception"])
def test_a_parcel_that_came_in_as_two_and_grew_whole_again_gets_one_decision(doubles):
    belt = make_belt()
    router = make_router(belt, doubles=doubles)

    def frame(at_s, x_mm):
        if x_mm < 500.0:
            return halves(at_s, x_mm)
        return (
            lost(1, at_s, x_mm + 75.0, since_s=0.2, size_mm=(150.0, 200.0)),
            parcel(2, at_s, x_mm),
        )

    (decision,) = run(router, belt, frame)
    assert decision.track_id == 2
    assert decision.position.trail_mm - decision.position.lead_mm == pytest.approx(LENGTH_MM, abs=2.0)
    assert router.counts.split_suppressed + router.counts.joined == 1


@pytest.mark.parametrize("doubles", ["sort", "exception"])
def test_a_parcel_cut_in_two_high_above_the_belt_gets_one_decision(doubles):
    """Seen as two from 500 mm on. The cut leans forward on its way, so that ends that lean least lie 60 mm apart."""
    belt = make_belt()
    router = make_router(belt, doubles=doubles)

    def frame(at_s, x_mm):
        if x_mm < 500.0:
            return (parcel(1, at_s, x_mm, size_mm=(500.0, 200.0)),)
        if x_mm > 1350.0:  # whole again, past the line
            back = lost(2, at_s, x_mm - 125.0, since_s=1.04, size_mm=(250.0, 200.0))
            return parcel(1, at_s, x_mm, size_mm=(500.0, 200.0)), back
        cut_mm = x_mm + (x_mm - 900.0) * 0.1
        front, back = (cut_mm, x_mm + 250.0), (x_mm - 250.0, cut_mm)
        return tuple(
            parcel(track_id, at_s, (low + high) / 2.0, size_mm=(high - low, 200.0))
            for track_id, (low, high) in ((1, front), (2, back))
        )

    assert len(run(router, belt, frame)) == 1


def test_a_part_cut_off_a_decided_parcel_past_the_line_is_not_found_late():
    belt = make_belt()
    router = make_router(belt, found_late="exception")

    def frame(at_s, x_mm):
        if x_mm < 1400.0:  # what stands up leans forward once it is past the camera
            leans_mm = 40.0 if x_mm > 1000.0 else 0.0
            return (parcel(1, at_s, x_mm + leans_mm / 2.0, size_mm=(LENGTH_MM + leans_mm, 200.0)),)
        part = parcel(2, at_s, x_mm + 158.0, size_mm=(60.0, 200.0))  # less than half of it on the decided footprint
        return parcel(1, at_s, x_mm - 30.0, size_mm=(240.0, 200.0)), part

    decisions = run(router, belt, frame)
    assert [decision.track_id for decision in decisions] == [1]


def test_a_part_that_follows_the_whole_parcel_decides_instead_of_the_lost_track_it_was_cut_from():
    """Cut in two on the way in, whole again on the track of the lower half: the other one saw it five times, badly."""
    belt = make_belt()
    router = make_router(belt)

    def frame(at_s, x_mm):
        if x_mm < 420.0:
            return (parcel(1, at_s, x_mm, class_name="mailer"),)
        if x_mm < 520.0:
            ends = {"size_mm": (150.0, 200.0), "class_name": "mailer"}
            return parcel(1, at_s, x_mm + 75.0, **ends), parcel(2, at_s, x_mm - 75.0, **ends)
        return lost(1, at_s, x_mm + 75.0, since_s=0.2, class_name="mailer"), parcel(2, at_s, x_mm, class_name="carton")

    (decision,) = run(router, belt, frame)
    assert (decision.track_id, decision.class_name) == (2, "carton")
    assert decision.position.trail_mm - decision.position.lead_mm == pytest.approx(LENGTH_MM, abs=2.0)
    assert router.counts.split_suppressed == 1


def test_a_part_that_leans_out_of_the_decided_footprint_is_known_by_what_its_parcel_lost():
    """The cut began before the line, unsure; when the other half is believed, past it, it stands out by its height."""
    belt = make_belt()
    router = make_router(belt, doubles="exception", doubles_gap_mm=45.0, found_late="exception")

    def frame(at_s, x_mm):
        if x_mm < 1150.0:
            return (parcel(1, at_s, x_mm, size_mm=(220.0, 250.0)),)
        left = parcel(1, at_s, x_mm - 20.0, size_mm=(140.0, 250.0))
        return (left,) if x_mm < 1400.0 else (left, parcel(2, at_s, x_mm + 115.0, size_mm=(80.0, 250.0)))

    decisions = run(router, belt, frame)
    assert [decision.track_id for decision in decisions] == [1]


def test_a_parcel_that_comes_in_close_behind_one_that_is_cut_in_two_gets_its_own_decision():
    """It is born in the very picture in which the other loses its front: as long as that was, with a gap between."""
    belt = make_belt()
    router = make_router(belt)

    def frame(at_s, x_mm):
        if x_mm < 400.0:
            return (parcel(1, at_s, x_mm, size_mm=(600.0, 200.0)),)
        coming_in = {"size_mm": (60.0 if x_mm < 440.0 else 160.0, 200.0), "known_size_mm": (160.0, 200.0)}
        behind = parcel(3, at_s, x_mm - 500.0 - coming_in["size_mm"][0] / 2.0, **coming_in)
        if x_mm < 640.0:
            return parcel(1, at_s, x_mm - 160.0, size_mm=(280.0, 200.0)), behind
        whole = parcel(2, at_s, x_mm, size_mm=(600.0, 200.0))
        return lost(1, at_s, x_mm - 160.0, since_s=0.32, size_mm=(280.0, 200.0)), whole, behind

    assert [decision.track_id for decision in run(router, belt, frame)] == [2, 3]


@pytest.mark.parametrize(("length_mm", "gap_mm", "cut"), [(160.0, 0.0, (1,)), (60.0, 200.0, ())])
def test_a_new_box_is_cut_from_a_parcel_that_it_makes_whole_again_but_not_from_one_ahead(length_mm, gap_mm, cut):
    """In the picture in which 600 mm become 400 mm, or 280 mm; leaning, so that it lies outside its place so far."""
    belt_map = make_belt().map
    trail = Trail(belt_map, 0)
    left_mm = 280.0 if gap_mm else 440.0
    for frame, (ahead_mm, size_mm) in enumerate([(0.0, 600.0)] * 3 + [(150.0 - left_mm / 2.0, left_mm)]):
        now = parcel(1, frame * 0.1, 1000.0 + frame * 100.0 + ahead_mm, size_mm=(size_mm, 200.0))
        trail.add(now.track, travel_mm=frame * 100.0, whole=True)
    rear_mm = 1300.0 + 150.0 - left_mm
    new = parcel(2, 0.3, rear_mm - gap_mm - length_mm / 2.0, size_mm=(length_mm, 200.0))
    paths = {1: Path((0.0, 0.0), 0, 0.0, trail, began_past=False)}
    assert cut_from(new, (now, new), paths, belt_map=belt_map, travel_mm=300.0) == cut


@pytest.mark.parametrize(("behind_mm", "part"), [(280.0, True), (400.0, False)])
def test_what_hangs_on_a_part_that_was_not_decided_itself_is_judged_by_where_that_part_lies(behind_mm, part):
    belt_map = make_belt().map

    def path(track_id, x_mm, **what):
        trail = Trail(belt_map, 0)
        for frame in range(3):
            seen = parcel(track_id, frame * 0.1, x_mm + frame * 100.0)
            trail.add(seen.track, travel_mm=frame * 100.0, whole=True)
        return Path((0.0, 0.0), 0, 0.0, trail, began_past=False, **what)

    paths = {1: path(1, 900.0, settled=True), 2: path(2, 900.0 - behind_mm, part_of=(1,))}
    assert is_part(paths[2], paths, Taken(), gap_mm=30.0) is part


def test_what_is_born_past_the_line_cannot_decide_for_the_parcel_it_is_cut_from():
    belt = make_belt()
    router = make_router(belt)

    def frame(at_s, x_mm):
        """A false box takes the track away before the line; past it the parcel gets a new one."""
        if x_mm < 1190.0:
            return (parcel(1, at_s, x_mm),)
        drifted = lost(1, at_s, x_mm - 160.0, since_s=0.88)
        return (drifted,) if x_mm < 1210.0 else (drifted, parcel(2, at_s, x_mm))

    (decision,) = run(router, belt, frame)
    assert (decision.track_id, decision.reason) == (1, Reason.PLAN_MATCH)


def test_a_decided_footprint_that_was_melted_with_the_next_parcel_does_not_swallow_it():
    """The track of the second takes over the first after both were one box; its median reaches over both."""
    belt = make_belt()
    router = make_router(belt)

    def frame(at_s, x_mm):
        if x_mm < 680.0:
            return ()
        if x_mm < 840.0:
            return (parcel(1, at_s, x_mm - 400.0, size_mm=(270.0, 200.0), flags=("TOUCHES_EDGE",)),)
        if x_mm < 1000.0:
            return (parcel(1, at_s, x_mm - 200.0, size_mm=(700.0, 200.0)),)
        return parcel(1, at_s, x_mm), parcel(2, at_s, x_mm - 400.0, size_mm=(270.0, 200.0))

    assert [decision.track_id for decision in run(router, belt, frame)] == [1, 2]


def test_a_newcomer_beside_a_smaller_look_is_no_part():
    belt = make_belt()
    router = make_router(belt)

    def frame(at_s, x_mm):
        first = parcel(1, at_s, x_mm, size_mm=(300.0 if x_mm < 500.0 else 200.0, 200.0))
        return (first,) if x_mm < 500.0 else (first, parcel(2, at_s, x_mm - 350.0))

    assert [decision.track_id for decision in run(router, belt, frame)] == [1, 2]


def test_two_melted_for_a_moment_are_decided_one_by_one():
    """The second is born inside the first's melted footprint, but lies clear of it when that one is decided."""
    belt = make_belt()
    router = make_router(belt)

    def frame(at_s, x_mm):
        if x_mm < 500.0:
            return (parcel(1, at_s, x_mm - 200.0, size_mm=(700.0, 200.0)),)
        return parcel(1, at_s, x_mm), parcel(2, at_s, x_mm - 400.0)

    decisions = run(router, belt, frame)
    assert [decision.track_id for decision in decisions] == [1, 2]
    first, second = (decision.position for decision in decisions)
    assert second.lead_mm - first.trail_mm == pytest.approx(100.0, abs=5.0)


def test_two_tracks_that_may_be_parts_of_one_another_do_not_wait_for_ever():
    belt = make_belt()
    router = make_router(belt)

    def frame(at_s, x_mm):
        if x_mm < 900.0:
            return (parcel(1, at_s, x_mm),)
        # The old track drifts off unseen while a new one, born in its footprint, follows the parcel.
        return lost(1, at_s, x_mm - 20.0, since_s=0.56), parcel(2, at_s, x_mm)

    (decision,) = run(router, belt, frame)
    assert decision.reason is Reason.PLAN_MATCH
    assert decision.captured_ns - decision.crossed_ns < 3 * STEP_S * 1e9


def test_a_track_that_takes_over_the_next_parcel_gives_that_one_a_decision_of_its_own():
    belt = make_belt()
    router = make_router(belt)

    def frame(at_s, x_mm):
        """From 1300 mm on the track of the first parcel follows one that comes 500 mm behind it."""
        return (parcel(1, at_s, x_mm if x_mm < 1300.0 else x_mm - 500.0),)

    first, second = run(router, belt, frame)
    assert (first.reason, second.reason) == (Reason.PLAN_MATCH, Reason.TRACK_LOST)
    assert second.lane == "HOSP"
    assert second.position.lead_mm - first.position.lead_mm == pytest.approx(500.0, abs=2.0)


def test_one_odd_look_elsewhere_is_no_take_over():
    belt = make_belt()
    router = make_router(belt)

    def frame(at_s, x_mm):
        odd = 1340.0 < x_mm < 1380.0
        return (parcel(1, at_s, x_mm - 500.0 if odd else x_mm),)

    assert len(run(router, belt, frame)) == 1


def test_a_parcel_seen_with_two_widths_is_a_double():
    belt = make_belt()
    router = make_router(belt, doubles="exception")

    def frame(at_s, x_mm):
        wide = 500.0 < x_mm < 700.0
        return (parcel(1, at_s, x_mm, size_mm=(LENGTH_MM, 450.0 if wide else 200.0)),)

    (decision,) = run(router, belt, frame)
    assert decision.reason is Reason.DOUBLE


@pytest.mark.parametrize(("width_mm", "reason"), [(380.0, Reason.PLAN_MATCH), (400.0, Reason.SIDE_BY_SIDE)])
def test_what_is_broader_than_a_single_one_can_be_is_side_by_side(width_mm, reason):
    belt = make_belt()
    router = make_router(belt, doubles="exception", broadest=1.3)

    def frame(at_s, x_mm):
        return (parcel(1, at_s, x_mm, size_mm=(LENGTH_MM, width_mm), known_size_mm=(LENGTH_MM, width_mm)),)

    (decision,) = run(router, belt, frame)
    assert decision.reason is reason


@pytest.mark.parametrize(("doubles", "lane"), [("sort", "NR"), ("exception", "HOSP")])
def test_without_a_size_a_plan_that_asks_for_sizes_cannot_know_a_parcel(doubles, lane):
    belt = make_belt()
    router = make_router(belt, doubles=doubles)
    (decision,) = run(router, belt, lambda at_s, x_mm: (parcel(1, at_s, x_mm, known_size_mm=None),))
    assert decision.lane == lane


def footprint(trail_mm, lead_mm):
    return Footprint((trail_mm, 400.0, lead_mm, 600.0), 0, None, 0, 0)


def test_a_place_stays_taken_when_its_track_leaves_it_and_memory_is_bounded():
    taken = Taken()
    taken.add(7, footprint(0.0, 300.0))
    taken.claim(7, Extent(5.0, 295.0, 400.0, 600.0))
    assert taken.extent(7) == (5.0, 295.0, 400.0, 600.0)
    taken.leave(7)
    assert (7 in taken, taken.extent(7), len(taken)) == (False, None, 1)
    assert taken.covers(footprint(100.0, 200.0), Trail(None, 0), gap_mm=30.0)
    for track_id in range(8, 8 + 2 * REMEMBERED):
        taken.add(track_id, footprint(1e6 + track_id * 1000.0, 1e6 + track_id * 1000.0 + 300.0))
    taken.forget(0)
    assert len(taken) == REMEMBERED
    assert not taken.covers(footprint(100.0, 200.0), Trail(None, 0), gap_mm=30.0)
