"""Network cameras, real ones: RTSP and MJPEG that stop, fall silent, come late, damaged, or not at all."""

from __future__ import annotations

import http.server
import io
import socket
import threading
import time

import cv2
import pytest
from rtsp_server import RtspCamera, number_in, numbered_image

from edge_sorter.clock import SystemClock
from edge_sorter.config import VideoSection
from edge_sorter.errors import CameraError
from edge_sorter.types import Blind, Frame
from edge_sorter.video import open_source

MS = 1_000_000


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
