"""A small RTSP camera for tests: real RTSP and RTP (H.264, RFC 6184) over one TCP connection, with faults on demand.

Every picture carries its number as sixteen black or white blocks, so that a test can tell which one it got.
"""

from __future__ import annotations

import base64
import re
import socket
import socketserver
import struct
import threading
import time
from fractions import Fraction

import av
import numpy as np

WIDTH, HEIGHT = 320, 240
STEP_S = 0.04
MTU = 1200


def numbered_image(number: int) -> np.ndarray:
    """Return uint8 (240, 320, 3) showing the lower 16 bits of a number."""
    image = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    for bit in range(16):
        image[100:140, bit * 20 : bit * 20 + 20] = 235 if number >> bit & 1 else 20
    return image


def number_in(image: np.ndarray) -> int:
    """Read what `numbered_image` wrote, at any scale."""
    height, width = image.shape[:2]
    row = image[height // 2, :, 1]
    return sum(1 << bit for bit in range(16) if row[round((bit * 20 + 10) * width / WIDTH)] > 128)


class RtspCamera:
    """Serves `rtsp://127.0.0.1:<port>/cam`. `stop` cuts every connection; a new one may take the same port.

    Attributes:
        held: While set, frames pile up unsent and then come all at once, as after a stalled network.
        silent: While set, frames are not made at all, but the connection stays.
        torn: When set, the last part of the next key frame is lost.
        backlog: How many old frames a new client gets first, at once.
    """

    def __init__(self, *, port: int = 0, password: str | None = None, backlog: int = 0) -> None:
        self.password = password
        self.backlog = backlog
        self.held = threading.Event()
        self.silent = threading.Event()
        self.torn = threading.Event()
        self.stopping = threading.Event()
        self.sockets: set[socket.socket] = set()
        self._server = _Server(("127.0.0.1", port), _Client)
        self._server.camera = self
        self.port = self._server.server_address[1]
        self.url = f"rtsp://127.0.0.1:{self.port}/cam"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def __enter__(self) -> RtspCamera:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        for connection in list(self.sockets):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        self._thread.join(5)


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    camera: RtspCamera

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is no error here."""


class _Client(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        camera = self.server.camera
        camera.sockets.add(self.request)
        self.writing = threading.Lock()
        try:
            while not camera.stopping.is_set():
                method, headers = self._request()
                if method is None:
                    return
                self._answer(method, headers)
        finally:
            camera.sockets.discard(self.request)

    def _request(self) -> tuple[str | None, dict[str, str]]:
        line = self.rfile.readline()
        while line[:1] == b"$":  # the client's receiver reports
            rest = line[1:] + self.rfile.read(max(0, 3 - len(line[1:])))
            length = struct.unpack(">H", rest[1:3])[0]
            self.rfile.read(length - len(rest[3:]))
            line = self.rfile.readline()
        if not line:
            return None, {}
        headers = {}
        while (header := self.rfile.readline().decode().strip()) != "":
            key, _, value = header.partition(":")
            headers[key.lower()] = value.strip()
        return line.decode(errors="replace").split(" ")[0], headers

    def _answer(self, method: str, headers: dict[str, str]) -> None:
        camera = self.server.camera
        reply, body, status = [f"CSeq: {headers.get('cseq', '0')}", "Session: 1"], "", "200 OK"
        wanted = camera.password and "Basic " + base64.b64encode(f"user:{camera.password}".encode()).decode()
        if wanted and headers.get("authorization") != wanted:
            status = "401 Unauthorized"
            reply.append('WWW-Authenticate: Basic realm="cam"')
        elif method == "OPTIONS":
            reply.append("Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER")
        elif method == "DESCRIBE":
            body = (
                "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=test\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n"
                "a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\na=control:track0\r\n"
            )
            reply += [f"Content-Base: {camera.url}/", "Content-Type: application/sdp", f"Content-Length: {len(body)}"]
        elif method == "SETUP":
            reply.append("Transport: RTP/AVP/TCP;unicast;interleaved=0-1")
        self._send(("\r\n".join([f"RTSP/1.0 {status}", *reply]) + "\r\n\r\n" + body).encode())
        if method == "PLAY":
            threading.Thread(target=self._play, daemon=True).start()

    def _send(self, data: bytes) -> None:
        with self.writing:
            self.wfile.write(data)

    def _play(self) -> None:
        camera = self.server.camera
        encoder = av.CodecContext.create("libx264", "w")
        encoder.width, encoder.height, encoder.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        encoder.time_base, encoder.framerate = Fraction(1, 25), Fraction(25)
        encoder.options = {
            "preset": "ultrafast",
            "tune": "zerolatency",
            "g": "10",
            "crf": "23",
            "x264-params": "slices=4",
        }
        packets = _Packets()
        waiting: list[bytes] = []
        start = time.monotonic() - camera.backlog * STEP_S
        number = 0
        try:
            while not camera.stopping.is_set():
                due = start + number * STEP_S
                time.sleep(max(0.0, due - time.monotonic()))
                if not camera.silent.is_set():
                    frame = av.VideoFrame.from_ndarray(numbered_image(number), format="bgr24")
                    frame.pts = number
                    stamp = 500_000 + round(number * STEP_S * 90_000)
                    for packet in encoder.encode(frame):
                        sent = packets.of(bytes(packet), stamp)
                        if packet.is_keyframe and camera.torn.is_set():
                            camera.torn.clear()
                            sent = sent[:-1]
                        waiting += sent
                    if not camera.held.is_set() and number >= camera.backlog:
                        self._send(b"".join(waiting))
                        waiting.clear()
                number += 1
        except OSError:
            return


class _Packets:
    """Cuts H.264 pictures into RTP packets, framed for the RTSP connection."""

    def __init__(self) -> None:
        self.sequence = 1000

    def of(self, picture: bytes, stamp: int) -> list[bytes]:
        units = [unit for unit in re.split(b"\x00\x00\x00?\x01", picture) if unit]
        framed: list[bytes] = []
        for position, unit in enumerate(units):
            last_unit = position == len(units) - 1
            if len(unit) <= MTU:
                framed.append(self._framed(unit, stamp, marker=last_unit))
                continue
            pieces = [unit[1:][at : at + MTU] for at in range(0, len(unit) - 1, MTU)]
            for index, piece in enumerate(pieces):
                last = index == len(pieces) - 1
                header = bytes([unit[0] & 0xE0 | 28, (index == 0) << 7 | last << 6 | unit[0] & 0x1F])
                framed.append(self._framed(header + piece, stamp, marker=last and last_unit))
        return framed

    def _framed(self, payload: bytes, stamp: int, *, marker: bool) -> bytes:
        self.sequence = (self.sequence + 1) & 0xFFFF
        rtp = struct.pack(">BBHII", 0x80, 96 | marker << 7, self.sequence, stamp & 0xFFFFFFFF, 0x1234) + payload
        return struct.pack(">cBH", b"$", 0, len(rtp)) + rtp
