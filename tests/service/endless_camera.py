"""A network camera that shows a clip for ever, as MJPEG over HTTP: `python endless_camera.py CLIP PORT`."""

from __future__ import annotations

import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import av
import cv2

FRAME_S = 1 / 30


def serve(clip: str, port: int) -> None:
    with av.open(clip) as container:
        images = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
    pictures = [cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes() for image in images]

    class Camera(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=picture")
            self.end_headers()
            due = time.monotonic()
            while True:
                for picture in pictures:
                    due += FRAME_S
                    time.sleep(max(0.0, due - time.monotonic()))
                    head = f"--picture\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
                    try:
                        self.wfile.write(head.encode() + picture + b"\r\n")
                    except OSError:
                        return

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    ThreadingHTTPServer(("127.0.0.1", port), Camera).serve_forever()


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
