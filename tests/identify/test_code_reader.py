from __future__ import annotations

import cv2
import numpy as np
import pytest
import zxingcpp

from edge_sorter.config import IdentifySection
from edge_sorter.errors import ConfigError
from edge_sorter.identify import CodeReader
from edge_sorter.identify.codes import code128_modules
from edge_sorter.types import CodeRead, Frame, Track, TrackState

SSCC = "(00)106141412345678908"


def label(text, barcode_format, *, scale=3):
    """A barcode as printed, black on white with a quiet zone."""
    kind = zxingcpp.barcode_format_from_str(barcode_format)
    try:
        barcode = zxingcpp.create_barcode(text, kind, **({"gs1": True} if text.startswith("(") else {}))
    except TypeError:
        pytest.skip("zxing-cpp before 3 does not write GS1")
    modules = np.array(barcode.to_image())
    return np.pad(np.kron(modules, np.ones((scale, scale), np.uint8)), 24, constant_values=255)


def scene(printed, *, turn_deg=0.0, blur_px=0.0, at=(420, 360), size_px=(840, 720)):
    """A grey belt with a carton-coloured parcel that carries the label, turned as a whole."""
    image = np.full((size_px[1], size_px[0], 3), 70, np.uint8)
    height, width = printed.shape
    parcel = np.full((height + 60, width + 60, 3), (90, 140, 180), np.uint8)
    parcel[30 : 30 + height, 30 : 30 + width] = printed[..., None]
    matrix = cv2.getRotationMatrix2D((parcel.shape[1] / 2, parcel.shape[0] / 2), turn_deg, 1.0)
    matrix[:, 2] += (at[0] - parcel.shape[1] / 2, at[1] - parcel.shape[0] / 2)
    cv2.warpAffine(parcel, matrix, size_px, dst=image, borderMode=cv2.BORDER_TRANSPARENT)
    if blur_px:
        image = cv2.GaussianBlur(image, (0, 0), blur_px)
    corners = np.array([(0, 0), (1, 0), (1, 1), (0, 1)]) * (parcel.shape[1], parcel.shape[0])
    corners = corners @ matrix[:, :2].T + matrix[:, 2]
    box = (*corners.min(axis=0), *corners.max(axis=0))
    return image, tuple(float(value) for value in box)


def frame(image, index=0):
    return Frame(index, index * 40_000_000, image)


def track(box, track_id=1, *, state=TrackState.CONFIRMED, measured=True):
    return Track(track_id, state, 0, box, (0.0, 0.0), measured, 0.9, 0, 5, 0, 0)


def section(**values):
    return IdentifySection(codes=True, **values)


@pytest.mark.parametrize("turn_deg", [0, 15, 30, 45, 60, 75, 90, 135, 180, 215, 300])
def test_code128_is_read_at_any_turn(turn_deg):
    image, box = scene(label("JD554241842479", "Code128"), turn_deg=turn_deg)
    reads = CodeReader(section()).read(frame(image), (track(box),))
    assert reads == (CodeRead(1, "Code128", "JD554241842479"),)


@pytest.mark.parametrize(
    ("text", "written", "symbology", "read"),
    [
        (SSCC, "Code128", "GS1-128", "00106141412345678908"),
        ("HUB7-000123", "QRCode", "QRCode", "HUB7-000123"),
        ("HUB7-000123", "DataMatrix", "DataMatrix", "HUB7-000123"),
        ("RR473124829DE", "Code128", "Code128", "RR473124829DE"),
    ],
)
@pytest.mark.parametrize(("turn_deg", "blur_px"), [(0, 0.0), (37, 0.0), (0, 1.2), (90, 1.0)])
def test_symbologies_turned_and_blurred(text, written, symbology, read, turn_deg, blur_px):
    image, box = scene(label(text, written, scale=4), turn_deg=turn_deg, blur_px=blur_px)
    assert CodeReader(section()).read(frame(image), (track(box),)) == (CodeRead(1, symbology, read),)


def test_a_blur_of_several_modules_reads_nothing_rather_than_something_else():
    image, box = scene(label("JD554241842479", "Code128"), blur_px=6.0)
    assert CodeReader(section()).read(frame(image), (track(box),)) == ()


def test_code128_of_too_few_pixels_a_module_is_not_believed():
    fine = label("JD554241842479", "Code128", scale=3)
    small = cv2.resize(fine, None, fx=1.6 / 3, fy=1.6 / 3, interpolation=cv2.INTER_AREA)
    image, box = scene(small)
    assert CodeReader(section()).read(frame(image), (track(box),)) == ()


@pytest.mark.parametrize("text", ["JD554241842479", "ABC", "RR473124829DE", "123456", "HUB-1"])
def test_the_estimated_width_of_code128_fits_what_is_printed(text):
    printed = label(text, "Code128", scale=1)
    dark = np.flatnonzero((printed < 128).any(axis=0))
    assert code128_modules(text) == pytest.approx(dark[-1] - dark[0] + 1, rel=0.09)


def test_only_the_formats_asked_for():
    image, box = scene(label("HUB7", "QRCode", scale=4))
    assert CodeReader(section(symbologies=("Code128",))).read(frame(image), (track(box),)) == ()


def test_a_code_is_read_on_its_own_parcel_only():
    image, box = scene(label("JD554241842479", "Code128"))
    elsewhere = (0.0, 0.0, 100.0, 100.0)
    assert CodeReader(section()).read(frame(image), (track(elsewhere),)) == ()
    assert CodeReader(section()).read(frame(image), (track(elsewhere, 1), track(box, 2)))[0].track_id == 2


def test_reading_stops_once_enough_frames_agree_and_begins_anew_for_another_track():
    image, box = scene(label("JD554241842479", "Code128"))
    reader = CodeReader(section(code_votes=2))
    counts = [len(reader.read(frame(image, i), (track(box),))) for i in range(4)]
    assert counts == [1, 1, 0, 0]
    assert len(reader.read(frame(image, 5), (track(box, 2),))) == 1


def test_codes_that_do_not_count_do_not_stop_the_reading():
    image, box = scene(label("JD554241842479", "Code128"))
    reader = CodeReader(section(code_votes=1, code_pattern="XX[0-9]+"))
    assert [len(reader.read(frame(image, i), (track(box),))) for i in range(3)] == [1, 1, 1]


def test_many_parcels_take_turns():
    reader = CodeReader(section())
    image, box = scene(label("JD554241842479", "Code128"))
    reads = [reader.read(frame(image, i), tuple(track(box, n) for n in range(1, 6))) for i in range(5)]
    assert all(len(some) <= 2 for some in reads)
    assert {read.track_id for some in reads for read in some} == {1, 2, 3, 4, 5}


@pytest.mark.parametrize(
    "box",
    [
        (0.0, 0.0, 0.0, 0.0),
        (-500.0, -500.0, -100.0, -100.0),
        (10.0, 10.0, 5.0, 5.0),
        (839.0, 719.0, 1e9, 1e9),
        (float("nan"), 0.0, 10.0, 10.0),
        (float("-inf"), 0.0, float("inf"), 10.0),
        (-1e9, -1e9, 1e9, 1e9),
        (0.0, 0.0, 30.0, 30.0),
    ],
)
def test_bad_boxes_read_nothing_and_raise_nothing(box):
    image = np.zeros((720, 840, 3), np.uint8)
    assert CodeReader(section()).read(frame(image), (track(box),)) == ()


def test_noise_reads_nothing():
    noise = np.random.default_rng(7).integers(0, 256, (400, 400, 3), dtype=np.uint8)
    assert CodeReader(section()).read(frame(noise), (track((0.0, 0.0, 400.0, 400.0)),)) == ()


def test_tracks_not_seen_in_this_frame_are_left_alone():
    image, box = scene(label("JD554241842479", "Code128"))
    reader = CodeReader(section())
    for state in (TrackState.LOST, TrackState.ENDED):
        assert reader.read(frame(image), (track(box, state=state, measured=False),)) == ()
    assert reader._attempts == {}


def test_off_by_default():
    image, box = scene(label("JD554241842479", "Code128"))
    assert CodeReader(IdentifySection()).read(frame(image), (track(box),)) == ()


def test_an_unknown_format_is_named_with_a_suggestion():
    with pytest.raises(ConfigError, match=r"'Code-128' is not a barcode format; did you mean 'Code128'"):
        CodeReader(section(symbologies=("Code-128",)))


def test_a_bad_pattern_is_a_configuration_error():
    with pytest.raises(ConfigError, match="code_pattern"):
        CodeReader(section(code_pattern="(["))
