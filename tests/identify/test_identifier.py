from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sorter.belt import BeltMap, Calibration
from edge_sorter.config import IdentifySection
from edge_sorter.errors import ConfigError
from edge_sorter.identify import Identifier
from edge_sorter.types import Code, CodeRead, Track, TrackState

CLASSES = ("carton", "polybag", "tube")
IMAGE_PX = (1000, 500)
CARTON, POLYBAG, TUBE = range(3)


def belt_map():
    corners = ((0.0, 0.0), (1000.0, 0.0), (1000.0, 500.0), (0.0, 500.0))
    belt = ((0.0, 1000.0), (2000.0, 1000.0), (2000.0, 0.0), (0.0, 0.0))
    calibration = Calibration(image_size_px=IMAGE_PX, image_points_px=corners, belt_points_mm=belt)
    return BeltMap(calibration, image_size_px=IMAGE_PX)


def identifier(*, calibrated=True, view=None, **section):
    return Identifier(
        IdentifySection(codes=True, **section),
        classes=CLASSES,
        belt_map=belt_map() if calibrated else None,
        image_size_px=IMAGE_PX,
        view_xyxy_px=view,
    )


def track(class_id=CARTON, confidence=0.9, *, box=(400.0, 200.0, 550.0, 300.0), track_id=1, **rest):
    rest = {"state": TrackState.CONFIRMED, "measured": True, **rest}
    return Track(
        track_id, rest["state"], 0, box, (0.0, 0.0), rest["measured"], confidence, class_id, 5, 0, 0
    )  # fmt: skip


def last(identify, looks):
    for look in looks:
        (parcel,) = identify.update((look,), ())
    return parcel


def test_class_is_the_one_with_most_weight_of_evidence():
    parcel = last(identifier(), [track(CARTON, 0.9)] * 3 + [track(POLYBAG, 0.3)] * 4)
    assert parcel.class_name == "carton"
    assert parcel.class_confidence == pytest.approx(2.7 / 3.9, abs=1e-4)


def test_one_odd_frame_turns_nothing():
    identify = identifier()
    last(identify, [track(CARTON, 0.6)] * 2)
    assert last(identify, [track(TUBE, 1.0)]).class_name == "carton"


def test_near_a_tie_the_answer_stays():
    looks = [track(CARTON, 0.5), track(POLYBAG, 0.52)] * 10
    identify = identifier()
    assert {last(identify, [look]).class_name for look in looks} == {"carton"}


def test_a_cut_off_parcel_says_little():
    at_edge = (0.0, 200.0, 100.0, 300.0)
    parcel = last(identifier(), [track(TUBE, 0.9, box=at_edge)] * 4 + [track(CARTON, 0.9)] * 2)
    assert parcel.class_name == "carton"


def test_predictions_add_no_evidence():
    identify = identifier()
    before = last(identify, [track(CARTON)])
    lost = track(POLYBAG, state=TrackState.LOST, measured=False, box=(0.0, 0.0, 10.0, 10.0))
    after = last(identify, [lost] * 50)
    assert (after.class_name, after.class_confidence, after.size_mm, after.flags) == (
        before.class_name,
        before.class_confidence,
        before.size_mm,
        before.flags,
    )


def test_a_class_the_list_does_not_have_is_named_by_its_number():
    assert last(identifier(), [track(7)]).class_name == "class_7"


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.floats(0.1, 1.0)), min_size=1, max_size=60), st.integers(1, 6))
def test_shares_do_not_depend_on_the_frame_rate(looks, times):
    once = last(identifier(), [track(c, p) for c, p in looks])
    often = last(identifier(), [track(c, p) for c, p in looks for _ in range(times)])
    assert often.class_confidence == pytest.approx(once.class_confidence, abs=0.11)
    assert 0.0 < once.class_confidence <= 1.0


def test_size_is_the_median_of_whole_looks():
    boxes = [(400.0, 200.0, 550.0, 300.0)] * 5 + [(400.0, 200.0, 900.0, 450.0)] * 2
    parcel = last(identifier(), [track(box=box) for box in boxes])
    assert parcel.size_mm == (300.0, 200.0)


@pytest.mark.parametrize(
    ("box", "view", "cut_off"),
    [
        ((400.0, 200.0, 550.0, 300.0), None, False),
        ((3.0, 200.0, 150.0, 300.0), None, True),
        ((400.0, 2.0, 550.0, 300.0), None, True),
        ((800.0, 200.0, 998.0, 300.0), None, True),
        ((400.0, 200.0, 550.0, 499.0), None, True),
        ((400.0, 102.0, 550.0, 300.0), (0.0, 100.0, 1000.0, 400.0), True),
        ((400.0, 120.0, 550.0, 300.0), (0.0, 100.0, 1000.0, 400.0), False),
    ],
)
def test_a_parcel_at_the_edge_of_the_view_has_no_size_yet(box, view, cut_off):
    parcel = last(identifier(view=view), [track(box=box)])
    assert ("TOUCHES_EDGE" in parcel.flags) is cut_off
    assert (parcel.size_mm is None) is cut_off


def test_size_stays_when_the_parcel_leaves_the_view():
    identify = identifier()
    whole = last(identify, [track()] * 3)
    leaving = last(identify, [track(box=(900.0, 200.0, 1000.0, 300.0))] * 9)
    assert leaving.size_mm == whole.size_mm and leaving.flags == ("TOUCHES_EDGE",)


def test_no_size_without_calibration():
    assert last(identifier(calibrated=False), [track()]).size_mm is None


def read(text, symbology="Code128", track_id=1):
    return CodeRead(track_id, symbology, text)


def codes_after(identify, *frames):
    for reads in frames:
        (parcel,) = identify.update((track(),), reads)
    return parcel


@pytest.mark.parametrize(
    ("section", "frames", "accepted"),
    [
        ({}, [[read("A1")]], []),
        ({}, [[read("A1")], [read("A1")]], ["A1"]),
        ({}, [[read("A1"), read("A1")]], []),
        ({}, [[read("A1")], [], [read("B2")], [read("A1")]], ["A1"]),
        ({"code_votes": 1}, [[read("A1")]], ["A1"]),
        ({"code_votes": 1, "code_pattern": "JD[0-9]+"}, [[read("A1"), read("JD7"), read("JD7X")]], ["JD7"]),
        ({"code_votes": 1}, [[read("RR473124828DE"), read("RR473124829DE")]], ["RR473124829DE"]),
        ({"code_votes": 1}, [[read("00106141412345678907", "GS1-128")]], []),
        ({"code_votes": 1}, [[read("A1", track_id=99)]], []),
    ],
)
def test_codes_count_when_frames_agree_and_form_and_check_digit_fit(section, frames, accepted):
    parcel = codes_after(identifier(**section), *frames)
    assert [code.text for code in parcel.codes] == accepted


def test_a_code_says_how_many_frames_agreed():
    assert codes_after(identifier(), *[[read("A1")]] * 5).codes == (Code("Code128", "A1", 5),)


@pytest.mark.parametrize(
    ("reads", "conflict"),
    [
        ([read("A1"), read("B2")], True),
        ([read("A1"), read("A1", "QRCode")], False),
        ([read("A1"), read("B2", "QRCode")], False),
        ([read("A1")], False),
    ],
)
def test_two_codes_of_one_symbology_contradict(reads, conflict):
    parcel = codes_after(identifier(code_votes=1), reads)
    assert ("CODE_CONFLICT" in parcel.flags) is conflict


BAD_S10, GOOD_S10 = "RR473124820DE", "RR473124829DE"


@pytest.mark.parametrize(
    ("frames", "failed"),
    [
        ([BAD_S10, BAD_S10], True),
        ([BAD_S10], False),
        ([BAD_S10, BAD_S10, GOOD_S10, GOOD_S10], False),
        (["FREE TEXT", "FREE TEXT"], False),
    ],
)
def test_a_wrong_check_digit_is_told_from_no_code(frames, failed):
    identify = identifier(code_votes=2)
    for text in frames:
        (parcel,) = identify.update((track(),), (read(text),))
    assert ("CHECK_FAIL" in parcel.flags) is failed


def test_a_class_may_stand_for_a_condition_and_dangerous_goods_count_at_once():
    identify = identifier(class_flags={"polybag": "DG", "tube": "DAMAGED"})
    assert last(identify, [track(CARTON)] * 5).flags == ()
    assert last(identify, [track(TUBE, 0.3)]).flags == (), "the others go by the vote"
    assert last(identify, [track(POLYBAG, 0.1)]).flags == ("DG",)
    assert last(identify, [track(TUBE)] * 9).flags == ("DAMAGED", "DG")


def test_a_class_that_the_model_does_not_have_stands_for_nothing():
    with pytest.raises(ConfigError, match="no class dg_label; its classes are carton, polybag, tube"):
        identifier(class_flags={"dg_label": "DG"})


def test_state_is_bounded_and_dropped_with_the_track():
    identify = identifier()
    for index in range(2000):
        identify.update((track(),), [read(f"X{index}")])
    (evidence,) = identify._evidence.values()
    assert len(evidence.code_frames) == 16 and len(evidence.sizes_mm) == 64
    for number in range(2, 3000):
        identify.update((track(track_id=number),), ())
    assert len(identify._evidence) == 1
    (parcel,) = identify.update((track(track_id=2999, state=TrackState.ENDED, measured=False),), ())
    assert parcel.class_name == "carton" and identify._evidence == {}


def test_parcels_come_in_the_order_of_their_tracks():
    tracks = tuple(track(track_id=n) for n in (5, 2, 9))
    assert [parcel.track.track_id for parcel in identifier().update(tracks, ())] == [5, 2, 9]


def test_sizes_are_rounded_so_that_machines_agree():
    rng = np.random.default_rng(3)
    looks = [track(box=(400.0, 200.0, 550.0 + rng.uniform(), 300.0 + rng.uniform())) for _ in range(9)]
    size = last(identifier(), looks).size_mm
    assert size is not None and size == tuple(round(value, 1) for value in size)
