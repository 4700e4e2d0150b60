"""What cannot be sorted apart gets one decision; what is only a part of a parcel gets none; ends are where they are."""

from __future__ import annotations

import pytest
from sorting_world import MM_PER_PX, feed, make_belt, make_router, parcel, run

from edge_sorter.sort.doubles import inseparable
from edge_sorter.sort.footprint import Trail
from edge_sorter.sort.whereabouts import Extent
from edge_sorter.types import Action, Reason, Track, TrackState


def drive(router, belt, places, *, until_mm=1500.0, step_s=0.04):
    """Feed parcels of 300 x 200 mm that start at places {track id: (x mm, y mm)} at 1 m/s; return all decisions."""
    decisions, at_s = [], 0.0
    while at_s * 1000.0 < until_mm:
        seen = []
        for track_id, (x, y, *rest) in places.items():
            from_s = rest[0] if rest else 0.0
            if at_s >= from_s:
                seen.append(parcel(track_id, at_s, x + at_s * 1000.0, y_mm=y))
        decisions += feed(router, belt, at_s, *seen)
        at_s += step_s
    return decisions


@pytest.mark.parametrize(
    ("behind", "reason", "count"),
    [
        ((200.0, 500.0), None, 2),  # 200 mm of belt between them
        ((395.0, 500.0), Reason.DOUBLE, 1),  # 5 mm: touching
        ((395.0, 200.0), Reason.DOUBLE, 1),  # touching corner to corner: no diverter parts them either
        ((600.0, 200.0), Reason.SIDE_BY_SIDE, 1),
    ],
    ids=["apart", "touching", "diagonal", "side by side"],
)
def test_what_cannot_be_sorted_apart_gets_one_decision_for_the_exception_lane(behind, reason, count):
    belt = make_belt()
    decisions = drive(make_router(belt, doubles="exception"), belt, {1: (700.0, 500.0), 2: behind})
    assert len(decisions) == count
    if reason is not None:
        (decision,) = decisions
        assert (decision.reason, decision.action, decision.lane) == (reason, Action.EXCEPTION, "HOSP")
        trailing = min(700.0, behind[0]) - 150.0
        assert decision.position.trail_mm == pytest.approx(1200.0 - trailing, abs=1.0)


def test_doubles_are_sorted_one_by_one_unless_the_configuration_says_otherwise():
    belt = make_belt()
    decisions = drive(make_router(belt), belt, {1: (700.0, 500.0), 2: (395.0, 500.0)})
    assert [d.reason for d in decisions] == [Reason.PLAN_MATCH] * 2


def test_a_third_parcel_joins_a_chain():
    belt = make_belt()
    router = make_router(belt, doubles="exception")
    decisions = drive(router, belt, {1: (700.0, 500.0), 2: (390.0, 500.0), 3: (80.0, 500.0)})
    assert [d.reason for d in decisions] == [Reason.DOUBLE]
    assert router.counts.joined == 2


def test_what_touches_in_every_picture_is_one_group_though_its_ends_seem_apart():
    """Seen as two from the first look on. Where both touch stands high: ends that lean least lie 50 mm apart."""
    belt = make_belt()
    router = make_router(belt, doubles="exception")
    decisions = []
    for frame in range(50):
        at_s = frame * 0.04
        x = 200.0 + at_s * 1000.0
        between = x + (x - 900.0) * 0.1
        front, back = (between, x + 250.0), (x - 250.0, between)
        seen = [
            parcel(track_id, at_s, (low + high) / 2.0, size_mm=(high - low, 200.0))
            for track_id, (low, high) in ((1, front), (2, back))
        ]
        decisions += feed(router, belt, at_s, *seen)
    assert [decision.reason for decision in decisions] == [Reason.DOUBLE]


def test_a_parcel_that_seemed_a_part_of_one_in_a_group_gets_its_own_decision():
    """Born when the second of a decided group looked too long for a moment, melted with it."""
    belt = make_belt()
    router = make_router(belt, doubles="exception")
    decisions = []
    for frame in range(50):
        at_s = frame * 0.04
        x = 700.0 + at_s * 1000.0
        melted = 0.75 < at_s < 0.9
        second = parcel(2, at_s, x - 505.0, size_mm=(700.0, 200.0)) if melted else parcel(2, at_s, x - 305.0)
        seen = [parcel(1, at_s, x), second]
        if at_s > 0.9:
            seen.append(parcel(3, at_s, x - 705.0))
        decisions += feed(router, belt, at_s, *seen)
    assert [(d.track_id, d.reason) for d in decisions] == [(1, Reason.DOUBLE), (3, Reason.PLAN_MATCH)]


@pytest.mark.parametrize(
    ("seen_from_mm", "looks", "reason"),
    [
        (500.0, 1, Reason.PLAN_MATCH),  # once, and never again in 16 looks
        (1140.0, 1, Reason.PLAN_MATCH),  # at the last moment, where nothing was in 21 looks
        (500.0, 3, Reason.PLAN_MATCH),
        (500.0, 6, Reason.SIDE_BY_SIDE),
    ],
)
def test_what_is_hardly_ever_seen_where_it_was_looked_for_makes_no_double(seen_from_mm, looks, reason):
    """A false box, or a second one on a parcel, beside a parcel that is seen in every picture."""
    belt = make_belt()
    router = make_router(belt, doubles="exception")

    def frame(at_s, x_mm):
        (left,) = counted
        beside = x_mm >= seen_from_mm and left > 0
        counted[0] -= beside
        state = TrackState.TENTATIVE if looks < 3 else TrackState.CONFIRMED
        second = parcel(2, at_s, x_mm, y_mm=250.0, state=state, measured=beside)
        return (parcel(1, at_s, x_mm, y_mm=600.0), *([second] if x_mm >= seen_from_mm else []))

    counted = [looks]
    first = next(decision for decision in run(router, belt, frame) if decision.track_id == 1)
    assert (first.reason, first.position.lateral_mm) == (reason, pytest.approx(100.0 if looks < 6 else -75.0, abs=1.0))


def test_a_parcel_that_has_just_come_in_behind_another_is_its_double_after_one_look():
    belt = make_belt()
    router = make_router(belt, doubles="exception")

    def frame(at_s, x_mm):
        behind = [parcel(2, at_s, x_mm - 950.0, size_mm=(600.0, 200.0), state=TrackState.TENTATIVE)]
        return (parcel(1, at_s, x_mm, size_mm=(1250.0, 200.0)), *(behind if x_mm > 1180.0 else []))

    first = next(decision for decision in run(router, belt, frame) if decision.track_id == 1)
    assert first.reason is Reason.DOUBLE


def test_a_false_box_in_a_group_may_still_follow_another_parcel():
    belt = make_belt()
    router = make_router(belt, doubles="exception", found_late="exception")
    decisions = []
    for frame in range(60):
        at_s = frame * 0.04
        x = 700.0 + at_s * 1000.0
        state, measured = (TrackState.TENTATIVE, frame == 1) if x < 1250.0 else (TrackState.CONFIRMED, True)
        seen = [parcel(1, at_s, x)]
        if frame:  # a false box touches the first parcel; its track then takes over the next one
            place = x - 280.0 if state is TrackState.TENTATIVE else x - 800.0
            seen.append(parcel(2, at_s, place, state=state, measured=measured, hits=1 if measured else 5))
        decisions += feed(router, belt, at_s, *seen)
    assert [d.track_id for d in decisions] == [1, 2]


def test_a_box_longer_than_any_single_parcel_is_a_double():
    belt = make_belt()
    router = make_router(belt, doubles="exception", longest_mm={"carton": 290.0})
    assert [d.reason for d in drive(router, belt, {1: (700.0, 500.0)})] == [Reason.DOUBLE]


@pytest.mark.parametrize(("slimmest", "reason"), [(1.55, Reason.PLAN_MATCH), (1.45, Reason.DOUBLE)])
def test_a_box_slimmer_than_any_single_parcel_is_a_double(slimmest, reason):
    belt = make_belt()
    router = make_router(belt, doubles="exception", slimmest={"carton": slimmest})
    assert [d.reason for d in drive(router, belt, {1: (700.0, 500.0)})] == [reason]


@pytest.mark.parametrize(
    ("divert_mm", "revised"),
    [(1500.0, True), (450.0, False)],
    ids=["in flight", "past its point of no return"],
)
def test_a_parcel_decided_before_its_neighbour_was_seen_is_revised_while_that_is_possible(divert_mm, revised):
    """The second of two that touch is seen from 1230 mm on, when the first has crossed."""
    belt = make_belt()
    router = make_router(belt, doubles="exception", found_late="exception", timing={"divert_mm": divert_mm})
    decisions = drive(router, belt, {1: (700.0, 500.0), 2: (395.0, 500.0, 0.64)})
    first, *others = [d for d in decisions if d.track_id == 1]
    (second,) = [d for d in decisions if d.track_id == 2]
    assert (first.reason, first.rev) == (Reason.PLAN_MATCH, 0)
    assert (second.reason, second.lane, second.rev) == (Reason.DOUBLE, "HOSP", 0)
    assert [(d.parcel_uid, d.reason, d.lane, d.rev) for d in others] == (
        [(first.parcel_uid, Reason.DOUBLE, "HOSP", 1)] if revised else []
    )


@pytest.mark.parametrize("doubles", ["sort", "exception"])
def test_a_parcel_cut_in_two_before_the_line_is_decided_once(doubles):
    """The original track keeps the trailing half; the leading half is a new one and would cross first."""
    belt = make_belt()
    router = make_router(belt, doubles=doubles)
    decisions = []
    for frame in range(30):
        at_s = frame * 0.04
        x = 700.0 + at_s * 1000.0
        if at_s < 0.2:
            seen = [parcel(1, at_s, x)]
        else:
            seen = [
                parcel(1, at_s, x - 90.0, size_mm=(120.0, 200.0)),
                parcel(2, at_s, x + 60.0, size_mm=(180.0, 200.0)),
            ]
        decisions += feed(router, belt, at_s, *seen)
    assert len(decisions) == 1
    assert router.counts.split_suppressed + router.counts.joined == 1


@pytest.mark.parametrize(("gap_mm", "count"), [(0.0, 1), (80.0, 2)], ids=["still touching", "came apart"])
def test_parts_seen_for_long_are_two_parcels_only_with_belt_between_them(gap_mm, count):
    belt = make_belt()
    router = make_router(belt)
    decisions = []
    for frame in range(45):
        at_s = frame * 0.04
        x = 100.0 + at_s * 1000.0
        if at_s < 0.1:
            seen = [parcel(1, at_s, x, size_mm=(600.0, 200.0))]
        else:
            size_mm = (300.0 - gap_mm / 2, 200.0)
            off = 150.0 + gap_mm / 4
            seen = [parcel(1, at_s, x - off, size_mm=size_mm), parcel(2, at_s, x + off, size_mm=size_mm)]
        decisions += feed(router, belt, at_s, *seen)
    assert len(decisions) == count


def test_the_part_decides_if_the_track_it_came_from_was_never_believed():
    belt = make_belt()
    router = make_router(belt)
    decisions = []
    for frame in range(30):
        at_s = frame * 0.04
        x = 900.0 + at_s * 1000.0
        seen = [parcel(1, at_s, x, state=TrackState.TENTATIVE)] if at_s < 0.1 else []
        if at_s >= 0.04:
            seen.append(parcel(2, at_s, x))
        decisions += feed(router, belt, at_s, *seen)
    assert [d.track_id for d in decisions] == [2]


@pytest.mark.parametrize(("found_late", "count"), [("count", 0), ("exception", 1)])
def test_a_parcel_first_seen_past_the_line(found_late, count):
    belt = make_belt()
    router = make_router(belt, found_late=found_late)
    decisions = drive(router, belt, {1: (900.0, 500.0), 2: (800.0, 200.0, 0.6)}, until_mm=900.0)
    late = [d for d in decisions if d.track_id == 2]
    assert (len(late), router.counts.unseen) == (count, 1 - count)
    if late:
        assert (late[0].reason, late[0].lane) == (Reason.TRACK_LOST, "HOSP")
        assert late[0].position.lead_mm == pytest.approx(1200.0 - 950.0, abs=1.0)
        assert late[0].crossed_ns == pytest.approx(0.4e9, abs=2e6)


@pytest.mark.parametrize(
    ("a", "b", "reason"),
    [
        (Extent(0, 300, 0, 200), Extent(340, 600, 0, 200), None),
        (Extent(0, 300, 0, 200), Extent(320, 600, 0, 200), Reason.DOUBLE),
        (Extent(0, 300, 0, 200), Extent(50, 250, 210, 400), Reason.SIDE_BY_SIDE),
        (Extent(0, 300, 0, 200), Extent(50, 250, 100, 300), Reason.DOUBLE),  # one on the other
        (Extent(0, 300, 0, 200), Extent(280, 600, 210, 400), Reason.DOUBLE),  # hardly beside one another
    ],
)
def test_inseparable(a, b, reason):
    assert inseparable(a, b, gap_mm=30.0) == inseparable(b, a, gap_mm=30.0) == reason


def trail_of(belt, lengths_mm, *, start_mm=300.0, step_mm=40.0, extra_mm=lambda x: (0.0, 0.0)):
    """Looks at a parcel whose ends lean out by `extra_mm(x)` (trailing, leading) when its centre is at x."""
    trail = Trail(belt.map, 0)
    for i, length in enumerate(lengths_mm):
        x = start_mm + i * step_mm
        back, ahead = extra_mm(x)
        x1, x2 = (x - length / 2 - back) / MM_PER_PX, (x + length / 2 + ahead) / MM_PER_PX
        track = Track(
            1, TrackState.CONFIRMED, i, (x1, 100.0, x2, 200.0), (0.0, 0.0), True, 0.9, 0, i + 1, 0, i,
        )  # fmt: skip
        trail.add(track, travel_mm=i * step_mm, whole=True)
    return trail


def test_the_ends_of_a_tall_parcel_are_taken_where_it_does_not_lean():
    """Camera above 900 mm: what is upstream of it leans upstream, what is downstream leans downstream, by a tenth."""
    leaning = trail_of(
        make_belt(),
        [400.0] * 20,
        extra_mm=lambda x: (max(900.0 - (x - 200.0), 0.0) / 10.0, max(x + 200.0 - 900.0, 0.0) / 10.0),
    )
    trail, lead = leaning.ends_mm()
    assert lead == pytest.approx(500.0, abs=0.5)  # exact while it was upstream of the camera
    assert trail == pytest.approx(100.0, abs=10.0)  # nearly below the camera in the last looks


@pytest.mark.parametrize(
    ("lengths_mm", "torn"),
    [
        ([300, 300, 310, 290], False),
        ([300, 300, 130, 300], True),
        ([300, 640, 640, 640], True),
        ([120, 160, 140], False),
        ([300, 130, *[300] * 5], True),
        ([300, 130, *[300] * 6], False),  # one odd look of eight: a second box on it, or a false one
        ([300, 130, 150, *[300] * 7], True),
        ([300, 640, 660, *[300] * 14], False),
        ([300, 640, 130, *[300] * 6], True),
    ],
)
def test_looks_that_disagree_on_the_length_are_torn(lengths_mm, torn):
    assert trail_of(make_belt(), lengths_mm).torn() is torn


def test_a_cut_or_melted_look_does_not_move_the_ends():
    trail = trail_of(make_belt(), [300, 300, 300, 300, 120, 300, 700, 300])
    assert trail.ends_mm() == pytest.approx((150.0, 450.0), abs=0.5)


def test_a_standing_belt_does_not_outvote_the_moving_one():
    belt = make_belt()
    trail = trail_of(belt, [300.0] * 5)
    standing = Track(1, TrackState.CONFIRMED, 9, (0.0, 100.0, 40.0, 200.0), (0.0, 0.0), True, 0.9, 0, 9, 0, 9)
    for _ in range(50):
        trail.add(standing, travel_mm=160.0, whole=True)
    assert len(trail.seen) == 5
