"""A network camera whose mood a test sets: `python moody_camera.py CLIP PORT`, then one word a line on stdin.

`on` shows the clip at its own rate, over and over; `dark` a black picture, `frozen` the same picture again and again,
`silent` none at all, also to those who connect. MJPEG over HTTP; it says `ready` once it listens.
"""

from __future__ import annotations

import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import av
import cv2
import numpy as np

FPS = 25
CLIP_S = 13
"""The demo's belt moves evenly so far."""


def jpeg(image: np.ndarray) -> bytes:
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()


def serve(clip: str, port: int) -> None:
    pictures: list[bytes] = []
    with av.open(clip) as container:
        for frame in container.decode(video=0):
            pictures.append(jpeg(frame.to_ndarray(format="bgr24")))
            if len(pictures) == CLIP_S * FPS:
                break
        black = jpeg(np.zeros((frame.height, frame.width, 3), np.uint8))
    mood, began = ["on"], time.monotonic()

    def listen() -> None:
        for word in sys.stdin:
            mood[0] = word.strip()

    class Camera(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=picture")
            self.end_headers()
            shown = black
            while True:
                now = int((time.monotonic() - began) * FPS)
                time.sleep(max(0.0, began + (now + 1) / FPS - time.monotonic()))
                if mood[0] == "silent":
                    continue
                if mood[0] == "on":
                    shown = pictures[(now + 1) % len(pictures)]
                picture = black if mood[0] == "dark" else shown
                head = f"--picture\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
                try:
                    self.wfile.write(head.encode() + picture + b"\r\n")
                except OSError:
                    return

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    threading.Thread(target=listen, daemon=True).start()
    server = ThreadingHTTPServer(("127.0.0.1", port), Camera)
    print("ready", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
