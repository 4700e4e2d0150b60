"""The life of tracks: birth, confirmation, loss, end, and what must never happen on the way."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sorter.config import TrackSection
from edge_sorter.track import Tracker
from edge_sorter.types import Detections, Track, TrackState

S = 1_000_000_000
Row = tuple[float, float, float, float]


def seen(
    at_s: float, *boxes: Row, confidence: float | Iterable[float] = 0.9, classes: Iterable[int] = ()
) -> Detections:
    scores = [confidence] * len(boxes) if isinstance(confidence, float) else list(confidence)
    return Detections(
        round(at_s * S), np.array(boxes).reshape(-1, 4), np.array(scores), np.array(list(classes) or [0] * len(boxes))
    )


def shift(xyxy: np.ndarray, delta_mm: float) -> np.ndarray:
    """A belt of 1 px per mm that moves to the right."""
    return xyxy + np.array([delta_mm, 0, delta_mm, 0])


def tracker(*, belt: bool = False, **section: float) -> Tracker:
    return Tracker(TrackSection(**section), high_confidence=0.5, shift=shift if belt else None)


def box(x: float, y: float = 100.0, w: float = 100.0, h: float = 80.0) -> Row:
    return (x, y, x + w, y + h)


def states(tracks: tuple[Track, ...]) -> list[tuple[int, str]]:
    return [(track.track_id, track.state.value) for track in tracks]


def test_the_life_of_a_track() -> None:
    follow = tracker(confirm_hits=3, lost_s=0.5)
    assert states(follow.update(seen(0.0, box(0)))) == [(1, "TENTATIVE")]
    assert states(follow.update(seen(0.1, box(10)))) == [(1, "TENTATIVE")]
    (track,) = follow.update(seen(0.2, box(20), classes=[4]))
    assert (track.state, track.hits, track.measured, track.class_id) == (TrackState.CONFIRMED, 3, True, 4)
    assert track.velocity_px_s == pytest.approx((100, 0), abs=5)
    assert (track.first_seen_ns, track.last_seen_ns, track.captured_ns) == (0, S // 5, S // 5)
    (track,) = follow.update(seen(0.5))
    assert (track.state, track.measured, track.last_seen_ns) == (TrackState.LOST, False, S // 5)
    assert track.xyxy == pytest.approx(box(50), abs=3), "a lost track keeps moving"
    assert states(follow.update(seen(0.7))) == [(1, "LOST")]
    assert states(follow.update(seen(0.8))) == [(1, "ENDED")]
    assert follow.update(seen(0.9)) == ()
    assert states(follow.update(seen(1.0, box(30)))) == [(2, "TENTATIVE")], "ids are never reused"


def test_a_lost_track_is_found_again() -> None:
    follow = tracker()
    for i in range(10):
        follow.update(seen(i * 0.04, box(20 * i)))
    for i in range(10, 22):
        follow.update(seen(i * 0.04))
    (track,) = follow.update(seen(22 * 0.04, box(440)))
    assert (track.track_id, track.state, track.hits) == (1, TrackState.CONFIRMED, 11)


def test_a_tentative_track_is_forgotten_soon() -> None:
    follow = tracker(tentative_s=0.25, lost_s=2.0)
    follow.update(seen(0.0, box(0)))
    assert states(follow.update(seen(0.2))) == [(1, "TENTATIVE")]
    assert states(follow.update(seen(0.3))) == [(1, "ENDED")]


@pytest.mark.parametrize("gap_s", [0.3, 2.0])
def test_a_gap_in_the_video_is_no_reason_to_end(gap_s: float) -> None:
    """There was no chance to see the parcel; belt motion says where it is now."""
    follow = tracker(belt=True, lost_s=0.2)
    for i in range(5):
        follow.update(seen(i * 0.1, box(10 * i)), travel_mm=10.0 * i)
    at_mm = 40 + 100 * gap_s
    (track,) = follow.update(seen(0.4 + gap_s, box(at_mm)), travel_mm=at_mm)
    assert (track.track_id, track.state) == (1, TrackState.CONFIRMED)


def test_a_parcel_behind_a_worker_is_predicted_with_the_belt_also_when_it_stops() -> None:
    follow = tracker(belt=True, lost_s=5.0)
    for i in range(5):
        follow.update(seen(i * 0.1, box(50 * i)), travel_mm=50.0 * i)
    for i, travel in enumerate([250.0, 260.0, 260.0, 260.0, 230.0]):
        (track,) = follow.update(seen(0.5 + i * 0.1), travel_mm=travel)
        assert track.xyxy == pytest.approx(box(travel), abs=1)
    assert track.velocity_px_s == pytest.approx((-300, 0), abs=5)


def test_a_jammed_parcel_keeps_its_identity() -> None:
    follow, travel = tracker(belt=True), 0.0
    for i in range(60):
        travel += 20
        tracks = follow.update(seen(i * 0.04, box(min(20.0 * i, 400))), travel_mm=travel)
        assert [track.track_id for track in tracks] == [1]
    assert tracks[0].velocity_px_s == pytest.approx((0, 0), abs=30)


def test_unsure_detections_continue_a_track_but_never_start_one() -> None:
    follow = tracker()
    assert follow.update(seen(0.0, box(0), box(500), confidence=0.2)) == ()
    follow.update(seen(0.1, box(0)))
    (track,) = follow.update(seen(0.2, box(5), box(500), confidence=0.2))
    assert (track.hits, track.measured, track.confidence) == (2, True, pytest.approx(0.2))


def test_unsure_detections_do_not_make_a_track_believed() -> None:
    followed = tracker(confirm_hits=3)
    for index, confidence in enumerate((0.9, 0.3, 0.3, 0.3, 0.9)):
        (track,) = followed.update(seen(0.04 * index, box(10.0 * index), confidence=confidence))
        assert (track.state, track.hits) == (TrackState.TENTATIVE, index + 1)
    (track,) = followed.update(seen(0.2, box(50.0)))
    assert track.state is TrackState.CONFIRMED


def test_many_unsure_detections_in_a_row_do() -> None:
    """A carton that the detector is never sure of is still a carton: it was missed on a real clip of 50 fps."""
    followed = tracker(confirm_hits=3)
    (track,) = followed.update(seen(0.0, box(0)))
    for index in range(1, 8):
        (track,) = followed.update(seen(0.02 * index, box(5.0 * index), confidence=0.3))
        assert track.state is TrackState.TENTATIVE
    (track,) = followed.update(seen(0.16, box(40.0), confidence=0.3))
    assert track.state is TrackState.CONFIRMED


def test_a_sure_detection_is_preferred_to_an_unsure_one() -> None:
    follow = tracker()
    follow.update(seen(0.0, box(0)))
    (track,) = follow.update(seen(0.1, box(0), box(30), confidence=(0.3, 0.8)))
    assert track.confidence == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("twin", "born"),
    [
        (box(8, 104), False),  # the same parcel, seen twice
        ((20, 110, 70, 150), False),  # a part of it
        (box(70, 140), True),  # a neighbour that overlaps a little
        (box(0, 185), True),
    ],
)
def test_no_twins(twin: Row, born: bool) -> None:
    follow = tracker()
    for i in range(4):
        tracks = follow.update(seen(i * 0.04, box(0), twin, confidence=(0.9, 0.8)))
    assert len(tracks) == (2 if born else 1)


def test_a_second_box_on_a_parcel_is_not_where_an_unseen_track_went() -> None:
    """A false box is followed unseen along the belt; a label on the parcel behind it is no look at it."""
    follow = tracker(belt=True, confirm_hits=2, tentative_s=0.6)
    for i in range(9):
        parcel_there = (box(100 + 100 * i, w=200, h=120),)
        false = (box(380, h=110),) if i == 0 else ()
        label = (box(100 + 100 * i + 130, 110, 60, 60),) if i == 8 else ()
        tracks = follow.update(seen(i / 15, *parcel_there, *false, *label), travel_mm=100.0 * i)
    unseen = next(track for track in tracks if track.track_id == 2)
    assert (unseen.hits, unseen.state, unseen.measured) == (1, TrackState.TENTATIVE, False)
    assert len(tracks) == 2


def test_no_track_teleports() -> None:
    follow = tracker(lost_s=3.0)
    for i in range(10):
        follow.update(seen(i * 0.04, box(2 * i)))
    tracks = follow.update(seen(0.4, box(600)))
    assert states(tracks) == [(1, "LOST"), (2, "TENTATIVE")]
    assert max(abs(v) for v in tracks[0].velocity_px_s) < 100


@pytest.mark.parametrize(
    ("second", "believed"),
    [
        (box(195, 103, 96, 77), True),  # where the belt took it, with noise
        (box(200, 100, 50, 80), True),  # the front of it, cut
        (box(195, 70, 120, 110), True),  # grown around it, as what lies askew does on its way into the picture
        (box(270), False),  # two false boxes a length apart
        (box(200, 180), False),
        (box(250, 140, 70, 60), False),  # overlaps, but neither its place nor its size fit
    ],
)
def test_a_track_of_one_look_is_found_again_where_the_belt_took_it(second: Row, believed: bool) -> None:
    follow = tracker(belt=True, confirm_hits=2)
    follow.update(seen(0.0, box(0)), travel_mm=0.0)
    follow.update(seen(0.1), travel_mm=100.0)  # a frame that shows nothing
    tracks = follow.update(seen(0.2, second), travel_mm=200.0)
    assert [track.state for track in tracks] == (
        [TrackState.CONFIRMED] if believed else [TrackState.TENTATIVE, TrackState.TENTATIVE]
    )


def test_first_frame_is_marked() -> None:
    follow = tracker()
    assert [t.in_view_at_start for t in follow.update(seen(5.0, box(0)))] == [True]
    assert [t.in_view_at_start for t in follow.update(seen(5.1, box(0), box(300)))] == [True, False]
    follow = tracker()
    follow.update(seen(5.0))
    assert [t.in_view_at_start for t in follow.update(seen(5.1, box(0)))] == [False]


def test_ids_belong_to_the_instance() -> None:
    for _ in range(2):
        assert states(tracker().update(seen(0.0, box(0), box(300)))) == [(1, "TENTATIVE"), (2, "TENTATIVE")]


def test_confirmed_at_once_where_asked() -> None:
    assert states(tracker(confirm_hits=1).update(seen(0.0, box(0)))) == [(1, "CONFIRMED")]


@pytest.mark.parametrize("at_s", [0.1, 0.05])
def test_time_that_stands_or_steps_back_breaks_nothing(at_s: float) -> None:
    follow = tracker()
    follow.update(seen(0.0, box(0)))
    follow.update(seen(0.1, box(10)))
    (track,) = follow.update(seen(at_s, box(11)))
    assert (track.track_id, track.hits) == (1, 3)
    assert np.isfinite((*track.xyxy, *track.velocity_px_s)).all()


def scene(rng: np.random.Generator, frames: int) -> list[Detections]:
    """Crowded nonsense: boxes that come and go, overlap, leave the picture, and score anything."""
    base = rng.uniform(-50, 900, (120, 2))
    size = rng.uniform(5, 200, (120, 2))
    velocity = rng.normal(0, 300, (120, 2))
    found = []
    for i in range(frames):
        keep = rng.random(120) < rng.choice([0.0, 0.3, 1.0], p=[0.1, 0.3, 0.6])
        corner = (base + velocity * i * 0.04 + rng.normal(0, 4, base.shape))[keep]
        boxes = np.concatenate((corner, corner + size[keep]), axis=1)
        found.append(Detections(i * S // 25, boxes, rng.random(keep.sum()), rng.integers(0, 3, keep.sum())))
    return found


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10_000), belt=st.booleans())
def test_anything_goes_in_and_only_sound_tracks_come_out(seed: int, belt: bool) -> None:
    follow, ended, known = tracker(belt=belt), set(), set()
    for i, detections in enumerate(scene(np.random.default_rng(seed), 25)):
        tracks = follow.update(detections, travel_mm=3.0 * i)
        ids = [track.track_id for track in tracks]
        assert ids == sorted(set(ids))
        assert not ended & set(ids), "an ended track is returned once"
        ended |= {track.track_id for track in tracks if track.state is TrackState.ENDED}
        assert sum(track.measured for track in tracks) <= len(detections)
        known |= set(ids)
        for track in tracks:
            assert np.isfinite((*track.xyxy, *track.velocity_px_s)).all()
            assert track.xyxy[0] < track.xyxy[2]
            assert track.xyxy[1] < track.xyxy[3]
            assert track.measured is (track.last_seen_ns == detections.captured_ns)
            assert track.first_seen_ns <= track.last_seen_ns <= track.captured_ns == detections.captured_ns
    assert known == set(range(1, len(known) + 1))


def test_same_input_same_output_and_input_untouched() -> None:
    found = scene(np.random.default_rng(1), 30)
    copies = [dataclasses.replace(detections) for detections in found]
    runs = []
    for _ in range(2):
        follow = tracker(belt=True)
        runs.append([follow.update(detections, travel_mm=2.0 * i) for i, detections in enumerate(found)])
    assert runs[0] == runs[1]
    assert all(np.array_equal(a.xyxy, b.xyxy) for a, b in zip(found, copies, strict=True))


def test_nothing_is_kept_of_tracks_that_ended() -> None:
    follow = tracker(lost_s=0.2)
    for i in range(3000):
        follow.update(seen(i * 0.04, box(37.0 * i % 1000, 131.0 * i % 700)))
    assert len(follow._lives) < 20
