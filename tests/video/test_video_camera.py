"""Live cameras: newest picture wins, silence is announced, a lost camera comes back, a bug is loud."""

from __future__ import annotations

import http.server
import io
import itertools
import logging
import random
import socket
import threading
import time

import cv2
import numpy as np
import pytest
from rtsp_server import RtspCamera, number_in, numbered_image

from edge_sorter.clock import SystemClock
from edge_sorter.config import BlindSection, VideoSection
from edge_sorter.errors import CameraError
from edge_sorter.types import Blind, Frame
from edge_sorter.video import ListSource, open_source
from edge_sorter.video.camera import Backoff, CameraSource
from edge_sorter.video.capture import DeviceConnection, Grab, refuse_gstreamer_if_absent
from edge_sorter.video.lag import Lag
from edge_sorter.video.network import Lost, redacted
from edge_sorter.video.slot import NewestSlot

MS = 1_000_000
SECTION = VideoSection(source="usb:9", open_timeout_s=5, reconnect_s=(0.01, 0.05))


def test_the_slot_keeps_the_newest_and_counts_what_it_replaced():
    slot: NewestSlot[int] = NewestSlot()
    for value in (1, 2, 3):
        slot.put(value)
    assert (slot.get(timeout_s=0), slot.replaced) == (3, 2)
    assert slot.get(timeout_s=0.01) is None


def test_the_slot_wakes_a_waiting_consumer():
    slot: NewestSlot[int] = NewestSlot()
    threading.Timer(0.05, slot.put, args=(7,)).start()
    assert slot.get(timeout_s=20) == 7


def test_a_failure_comes_out_of_the_slot_after_the_last_value_and_again():
    slot: NewestSlot[int] = NewestSlot()
    slot.put(1)
    slot.fail(ZeroDivisionError("a bug"))
    assert slot.get(timeout_s=0) == 1
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            slot.get(timeout_s=0)


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


def rtsp(url: str, **options: object) -> VideoSection:
    fields = {"open_timeout_s": 10, "reconnect_s": (0.1, 0.3), **options}
    return VideoSection(source=url, **fields)


def watch(source, *, until, limit_s: float = 20.0):
    """Collect pictures until one satisfies `until`."""
    seen = []
    start = time.monotonic()
    for picture in source:
        seen.append(picture)
        if until(picture):
            return seen
        if time.monotonic() - start > limit_s:
            pytest.fail(f"not seen within {limit_s} s; last: {seen[-5:]}")
    return seen


def is_frame(picture) -> bool:
    return isinstance(picture, Frame)


def is_blind(picture) -> bool:
    return isinstance(picture, Blind)


def test_rtsp_frames_come_in_order_with_growing_times():
    with RtspCamera() as camera, open_source(rtsp(camera.url), clock=SystemClock()) as source:
        frames = []
        while len(frames) < 25:
            frames += [picture for picture in watch(source, until=is_frame) if is_frame(picture)]
        numbers = [number_in(frame.image) for frame in frames]
        assert numbers == sorted(set(numbers)) and source.size_px == (320, 240)
        times = [frame.captured_ns for frame in frames]
        assert times == sorted(set(times))
        assert abs(source._clock.now_ns() - times[-1]) < 1e9


def test_rtsp_cut_is_announced_and_the_camera_found_again():
    camera = RtspCamera()
    with open_source(rtsp(camera.url), clock=SystemClock()) as source:
        before = watch(source, until=is_frame)[-1]
        camera.stop()
        blind = watch(source, until=is_blind)[-1]
        assert blind.reason == "CAM_LOST" and blind.at_ns - before.captured_ns > 150 * MS
        with RtspCamera(port=camera.port):
            after = watch(source, until=is_frame)[-1]
            assert after.index > before.index and after.captured_ns > blind.at_ns
            assert source.reconnects == 1


def test_rtsp_silence_on_an_open_connection_ends_in_a_new_one():
    with RtspCamera() as camera, open_source(rtsp(camera.url), clock=SystemClock()) as source:
        watch(source, until=is_frame)
        camera.silent.set()
        watch(source, until=is_blind)
        time.sleep(2.6)  # the read times out after 1 s, once more after FFmpeg gave out what it had kept
        camera.silent.clear()
        watch(source, until=lambda picture: is_frame(picture) and source.reconnects == 1)


def test_rtsp_frames_held_up_by_the_network_are_not_taken_for_new():
    with RtspCamera() as camera, open_source(rtsp(camera.url), clock=SystemClock()) as source:
        for _ in range(10):
            watch(source, until=is_frame)
        camera.held.set()
        last = watch(source, until=is_blind)
        time.sleep(0.4)
        camera.held.clear()
        after = watch(source, until=is_frame)[-1]
        assert source.drops["stale"] >= 5
        shown = [number_in(picture.image) for picture in last if is_frame(picture)] or [0]
        assert number_in(after.image) > max(shown) + 5


def test_rtsp_pictures_built_on_a_damaged_one_are_not_shown():
    with RtspCamera() as camera, open_source(rtsp(camera.url), clock=SystemClock()) as source:
        watch(source, until=is_frame)
        before = source.drops["decode_error"]
        camera.torn.set()
        watch(source, until=lambda _: source.drops["decode_error"] > before)
        watch(source, until=is_frame)
        assert source.drops["decode_error"] >= before + 5, "nine pictures are built on each key frame"


def test_rtsp_backlog_of_a_new_connection_is_thrown_away():
    with RtspCamera(backlog=50) as camera, open_source(rtsp(camera.url), clock=SystemClock()) as source:
        first = watch(source, until=is_frame)[-1]
        assert number_in(first.image) >= 45
        assert source.drops["stale"] >= 5


def test_rtsp_password_is_used_and_a_wrong_one_named():
    with RtspCamera(password="right") as camera:
        good = camera.url.replace("//", "//user:right@")
        with open_source(rtsp(good), clock=SystemClock()) as source:
            watch(source, until=is_frame)
            assert "right" not in source.name
        bad = camera.url.replace("//", "//user:wrong@")
        with pytest.raises(CameraError, match="401") as caught:
            open_source(rtsp(bad, open_timeout_s=1.0), clock=SystemClock())
        assert "wrong" not in str(caught.value)


def test_an_address_where_nobody_listens_fails_in_time():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    start = time.monotonic()
    with pytest.raises(CameraError, match="refused"):
        open_source(rtsp(f"rtsp://127.0.0.1:{port}/cam", open_timeout_s=0.5), clock=SystemClock())
    assert time.monotonic() - start < 5


def test_a_camera_that_accepts_and_stays_mute_fails_in_time():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        start = time.monotonic()
        with pytest.raises(CameraError, match="no answer in time"):
            open_source(rtsp(f"rtsp://127.0.0.1:{server.getsockname()[1]}/cam", open_timeout_s=1), clock=SystemClock())
        assert time.monotonic() - start < 6


def test_a_call_that_is_never_answered_is_given_up_early_for_the_next():
    """The first caller is taken and left without an answer; the camera's own port serves the second."""
    with RtspCamera() as camera, socket.create_server(("127.0.0.1", 0)) as door:
        port = door.getsockname()[1]

        def answer() -> None:
            door.accept()[0].close()  # the knock
            mute, _ = door.accept()
            while not answered.is_set():
                caller, _ = door.accept()
                behind = socket.create_connection(("127.0.0.1", camera.port))
                for one, other in ((caller, behind), (behind, caller)):
                    threading.Thread(target=_pass_on, args=(one, other), daemon=True).start()
            mute.close()

        answered = threading.Event()
        threading.Thread(target=answer, daemon=True).start()
        began = time.monotonic()
        with open_source(rtsp(f"rtsp://127.0.0.1:{port}/cam", open_timeout_s=30), clock=SystemClock()) as source:
            watch(source, until=is_frame)
            answered.set()
        assert time.monotonic() - began < 20, "less than the limit of a patient call"


def _pass_on(one: socket.socket, other: socket.socket) -> None:
    try:
        while data := one.recv(65536):
            other.sendall(data)
    except OSError:
        return
    finally:
        other.close()


def test_closing_a_live_camera_is_quick_and_leaves_no_thread():
    with RtspCamera() as camera:
        source = open_source(rtsp(camera.url), clock=SystemClock())
        watch(source, until=is_frame)
        start = time.monotonic()
        source.close()
        assert time.monotonic() - start < 1.0
        assert not source._thread.is_alive() and list(source) == []


class _Mjpeg(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        try:
            for number in range(300):
                jpeg = cv2.imencode(".jpg", numbered_image(number))[1].tobytes()
                part = io.BytesIO()
                part.write(b"--frame\r\nContent-Type: image/jpeg\r\n")
                part.write(f"Content-Length: {len(jpeg)}\r\n\r\n".encode() + jpeg + b"\r\n")
                self.wfile.write(part.getvalue())
                time.sleep(0.05)
        except OSError:
            return

    def log_message(self, *_: object) -> None:
        """Stay quiet."""


def test_mjpeg_over_http_works_too():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Mjpeg)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        with open_source(rtsp(f"http://127.0.0.1:{server.server_port}/"), clock=SystemClock()) as source:
            frames = [watch(source, until=is_frame)[-1] for _ in range(5)]
            numbers = [number_in(frame.image) for frame in frames]
            assert numbers == sorted(set(numbers)) and source.drops["stale"] == 0
    finally:
        server.shutdown()
        server.server_close()


def test_frames_from_memory_move_the_clock(manual_clock):
    image = np.zeros((4, 6, 3), np.uint8)
    pictures = (Frame(0, 10, image), None, Blind(20, "CAM_LOST"), Frame(1, 30, image))
    with ListSource(pictures, clock=manual_clock, fps=5) as source:
        assert tuple(source) == pictures
        assert (source.size_px, source.frames_total, source.duration_ns, source.fps) == ((6, 4), 2, 20, 5)
    assert manual_clock.waits == [10, 20, 30]


def test_a_source_from_memory_needs_a_frame():
    with pytest.raises(ValueError, match="at least one Frame"):
        ListSource([None])


def test_the_default_limits_are_the_ones_promised():
    assert BlindSection().no_frame_ms == 150
