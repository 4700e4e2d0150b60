"""Live cameras: silence is announced, a lost camera comes back, a bug is loud."""

from __future__ import annotations

import itertools
import logging
import random
import threading
import time

import cv2
import pytest
from rtsp_server import number_in, numbered_image

from edge_sorter.clock import SystemClock
from edge_sorter.config import BlindSection, VideoSection
from edge_sorter.errors import CameraError
from edge_sorter.types import Blind, Frame
from edge_sorter.video import open_source
from edge_sorter.video.camera import Backoff, CameraSource
from edge_sorter.video.capture import DeviceConnection, Grab, refuse_gstreamer_if_absent
from edge_sorter.video.network import Lost, redacted

MS = 1_000_000
SECTION = VideoSection(source="usb:9", open_timeout_s=5, reconnect_s=(0.01, 0.05))


class ScriptedCamera:
    """A camera whose connections play what the test puts in: a picture number, "stale", "decode_error" or an error."""

    def __init__(self, clock) -> None:
        self.clock = clock
        self.script: list[object] = []
        self.wanted_sizes: list[object] = []
        self.open_connections = 0
        self.fps = 25.0
        self.changed = threading.Condition()

    def play(self, *items: object) -> None:
        """Add to the script and wait until it was played."""
        with self.changed:
            self.script += items
            self.changed.notify_all()
            assert self.changed.wait_for(lambda: not self.script, 20)

    def connect(self, size_px):
        self.wanted_sizes.append(size_px)
        self.open_connections += 1
        return self

    def grab(self) -> Grab:
        with self.changed:
            while not self.script:
                self.changed.wait(0.02)
                if not self.script:
                    return self._none_yet()
            item = self.script[0]
            at_ns = self.clock.now_ns()
            try:
                if isinstance(item, Exception):
                    raise item
                if isinstance(item, str):
                    return Grab(at_ns, None, item)
                return Grab(at_ns, numbered_image(int(item)))
            finally:
                del self.script[0]
                self.changed.notify_all()

    def _none_yet(self) -> Grab:
        self.changed.release()
        try:
            return self._wait()
        finally:
            self.changed.acquire()

    def _wait(self) -> Grab:
        while not self.script:
            time.sleep(0.002)
            if self.stopped():
                raise Lost("test over")
        return self.grab()

    stopped = staticmethod(lambda: False)

    def close(self) -> None:
        self.open_connections -= 1


@pytest.fixture
def scripted(manual_clock):
    """A camera that answered with picture 0 at time 0, its source, and its clock."""
    manual_clock.at_ns = 1000 * MS
    camera = ScriptedCamera(manual_clock)
    camera.script.append(0)
    source = CameraSource(SECTION, clock=manual_clock, connect=camera.connect, jitter=random.Random(1))
    camera.stopped = source._stopping.is_set
    yield camera, source, manual_clock
    source.close()
    assert not source._thread.is_alive()
    assert camera.open_connections == 0


def until_frame(source):
    return next(picture for picture in source if isinstance(picture, Frame))


def until_blind(source):
    return next(picture for picture in source if isinstance(picture, Blind))


def test_a_camera_says_what_it_is_once_it_answered(scripted):
    _, source, _ = scripted
    assert (source.size_px, source.fps, source.frames_total, source.name) == ((320, 240), 25.0, None, "usb:9")
    assert source.drops == {"replaced": 0, "stale": 0, "decode_error": 0} and source.reconnects == 0


def test_only_the_newest_frame_is_delivered_and_its_number_shows_the_gap(scripted):
    camera, source, clock = scripted
    for number in (1, 2, 3):
        clock.at_ns += 40 * MS
        camera.play(number)
    time.sleep(0.05)
    frame = until_frame(source)
    assert (frame.index, number_in(frame.image), frame.captured_ns) == (3, 3, 1120 * MS)
    assert source.drops["replaced"] == 3


def test_none_comes_while_nothing_is_new_and_blind_past_the_limit(scripted):
    _, source, clock = scripted
    until_frame(source)
    pictures = iter(source)
    assert [next(pictures), next(pictures)] == [None, None]
    clock.at_ns += 149 * MS
    assert next(pictures) is None
    clock.at_ns += 2 * MS
    assert next(pictures) == Blind(1151 * MS, "CAM_LOST")
    clock.at_ns += 50 * MS
    assert next(pictures) == Blind(1201 * MS, "CAM_LOST")


def test_blind_is_repeated_at_least_every_100_ms(scripted):
    _, source, clock = scripted
    until_frame(source)
    clock.at_ns += 1000 * MS
    start = time.monotonic()
    assert all(isinstance(picture, Blind) for picture in itertools.islice(source, 10))
    assert time.monotonic() - start < 10 * 0.1 + 0.5


def test_a_frame_ends_blindness(scripted):
    camera, source, clock = scripted
    until_frame(source)
    clock.at_ns += 500 * MS
    until_blind(source)
    camera.play(1)
    assert number_in(until_frame(source).image) == 1
    assert next(iter(source)) is None


def test_late_pictures_make_the_camera_stale_not_lost(scripted):
    camera, source, clock = scripted
    until_frame(source)
    clock.at_ns += 500 * MS
    camera.play("stale", "stale")
    time.sleep(0.05)
    assert until_blind(source).reason == "CAM_STALE"
    clock.at_ns += 500 * MS
    assert until_blind(source).reason == "CAM_LOST"
    assert source.drops["stale"] == 2


def test_a_lost_camera_is_called_again_with_the_same_picture_size(scripted, caplog):
    camera, source, _ = scripted
    caplog.set_level(logging.INFO)
    until_frame(source)
    camera.play("decode_error", Lost("cable out"), 1)
    frame = until_frame(source)
    assert (frame.index, number_in(frame.image)) == (2, 1)
    assert source.reconnects == 1 and source.drops["decode_error"] == 1
    assert camera.wanted_sizes == [None, (320, 240)]
    assert "was lost: cable out" in caplog.text


def test_a_bug_in_the_capture_thread_is_raised_in_the_consumer(scripted):
    camera, source, _ = scripted
    camera.play(ZeroDivisionError("a bug"))
    with pytest.raises(ZeroDivisionError, match="a bug"):
        for _ in itertools.islice(source, 100):
            pass


def test_a_camera_that_never_answers_fails_with_its_last_words():
    def connect(size_px):
        raise Lost("connection refused")

    section = VideoSection(source="rtsp://user:secret@10.0.0.9/cam", open_timeout_s=0.2, reconnect_s=(0.01, 0.05))
    with pytest.raises(CameraError, match=r"gave no picture within 0\.2 s \(connection refused\)") as caught:
        CameraSource(section, clock=SystemClock(), connect=connect)
    assert caught.value.exit_code == 69
    assert "secret" not in str(caught.value) and "10.0.0.9" in str(caught.value)


def test_back_off_doubles_to_its_limit_with_jitter_and_starts_again():
    waits = Backoff((0.5, 3.0), jitter=random.Random(0))
    seen = [waits.next_s() for _ in range(6)]
    for wait, full in zip(seen, (0.5, 1, 2, 3, 3, 3), strict=True):
        assert full / 2 <= wait <= full
    assert len(set(seen)) == 6
    waits.reset()
    assert waits.next_s() <= 0.5


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("rtsp://user:pa:ss@cam.local/1", "rtsp://cam.local/1"),
        ("rtsp://cam.local/1?a=b@c", "rtsp://cam.local/1?a=b@c"),
        ("usb:0", "usb:0"),
    ],
)
def test_passwords_are_never_shown(source, shown):
    assert redacted(source) == shown


def test_gstreamer_missing_from_opencv_is_said_at_once():
    if "GStreamer:                   YES" in cv2.getBuildInformation():
        pytest.skip("this OpenCV has GStreamer")
    with pytest.raises(CameraError, match=r"built without it.*JetPack"):
        open_source(VideoSection(source="gst:videotestsrc ! appsink"), clock=SystemClock())


def test_gstreamer_present_in_opencv_is_accepted():
    refuse_gstreamer_if_absent("  Video I/O:\n    GStreamer:                   YES (1.20.3)\n")


def test_a_usb_camera_that_is_not_there_fails_in_time():
    section = VideoSection(source="usb:99", open_timeout_s=0.3, reconnect_s=(0.05, 0.1))
    with pytest.raises(CameraError, match=r"usb:99 gave no picture within 0\.3 s \(the device does not open"):
        open_source(section, clock=SystemClock())


def test_the_opencv_path_reads_scales_and_ends(make_clip):
    """No camera is plugged into a test machine: OpenCV reads a clip through the same class."""
    connection = DeviceConnection(
        str(make_clip()), api=cv2.CAP_FFMPEG, wanted=(), clock=SystemClock(), size_px=None, max_width_px=160
    )
    grabs = []
    with pytest.raises(Lost, match="stopped sending"):
        while True:
            grabs.append(connection.grab())
    connection.close()
    assert [number_in(grab.image) for grab in grabs] == list(range(30))
    assert grabs[0].image.shape == (120, 160, 3) and connection.fps == 25


def test_the_default_limits_are_the_ones_promised():
    assert BlindSection().no_frame_ms == 150
