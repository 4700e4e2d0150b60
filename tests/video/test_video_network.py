"""Reaching a network camera: whether anybody listens is known at once, and what FFmpeg says never shows a password."""

from __future__ import annotations

import socket
import time

import av
import pytest

from edge_sorter.video.network import SILENT, Lost, Refused, knock, loss, stream_options


def test_somebody_listens():
    with socket.create_server(("127.0.0.1", 0)) as server:
        knock(f"rtsp://user:secret@127.0.0.1:{server.getsockname()[1]}/cam?x=1")


def test_nobody_listens():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(Lost, match="refused"):
        knock(f"rtsp://127.0.0.1:{port}/cam")


def test_a_camera_behind_a_cut_cable_is_called_anew_instead_of_waited_for(monkeypatch):
    """A listener whose queue is full answers calls as a cut cable does: not at all."""
    monkeypatch.setattr("edge_sorter.video.network.KNOCK_S", 0.2)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            began = time.monotonic()
            with pytest.raises(Lost, match=SILENT):
                knock(f"rtsp://127.0.0.1:{port}/cam")
            assert time.monotonic() - began >= 0.2


@pytest.mark.parametrize(
    "source", ["rtsp://host:no-port/cam", "rtsp:///cam", "what://host/cam", f"rtsp://{70 * 'a'}.local/cam"]
)
def test_an_odd_address_is_left_to_ffmpeg(source):
    knock(source)


def test_a_refusal_is_told_from_a_loss():
    assert isinstance(loss(av.error.HTTPUnauthorizedError(1, "401 Unauthorized", "rtsp://u:secret@cam")), Refused)
    assert isinstance(loss(av.error.HTTPForbiddenError(1, "403 Forbidden")), Refused)
    told = loss(av.error.InvalidDataError(1, "Invalid data", "rtsp://u:secret@cam"))
    assert type(told) is Lost and "secret" not in str(told)
    assert str(loss(av.error.ExitError(1, "Immediate exit"))) == SILENT
    assert str(loss(av.error.InvalidDataError(1, "Invalid data"), gave_up=True)) == SILENT


def test_only_rtsp_is_told_what_is_rtsps_own():
    assert "rtsp_transport" in stream_options("rtsps://cam/1")
    assert "rtsp_transport" not in stream_options("http://cam/1")
