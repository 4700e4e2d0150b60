"""A network camera that is not ours: GStreamer's RTSP server sending H.264 that was encoded before.

    /usr/bin/python3 gst_camera.py PORT FOLDER FPS [USER PASSWORD]

FOLDER holds pictures as NAME.au: access units, each with its length (4 bytes) before it. Commands come on standard
input, one a line, and are answered with `ok`: `show NAME` sends that clip from its start on, over and over; `kick`
closes every connection; `quit`. It needs Debian's gir1.2-gst-rtsp-server-1.0, gstreamer1.0-plugins-good and the
system's Python; only what Debian packages is imported here.
"""

from __future__ import annotations

import struct
import sys
import threading
from pathlib import Path

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

LAUNCH = (
    "( appsrc name=pictures is-live=true do-timestamp=true format=time "
    "caps=video/x-h264,stream-format=byte-stream,alignment=au ! rtph264pay name=pay0 pt=96 )"
)


def units(path: Path) -> list[bytes]:
    data, at, found = path.read_bytes(), 0, []
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        found.append(data[at + 4 : at + 4 + length])
        at += 4 + length
    return found


class Camera:
    def __init__(self, port: str, folder: Path, fps: float, password: list[str]) -> None:
        self.clips = {path.stem: units(path) for path in folder.glob("*.au")}
        self.shown = "clip"
        self.number = 0
        self.clients: list[object] = []
        self.loop = GLib.MainLoop()
        self.server = GstRtspServer.RTSPServer()
        self.server.set_address("127.0.0.1")
        self.server.set_service(port)
        factory = GstRtspServer.RTSPMediaFactory()
        factory.set_launch(LAUNCH)
        factory.connect("media-configure", self.joined)
        if password:
            self.ask_for(*password, factory)
        self.server.get_mount_points().add_factory("/cam", factory)
        GLib.timeout_add(round(1000 / fps), self.push)
        GLib.timeout_add(200, self.open)

    def open(self) -> bool:
        """Answer calls, from the running loop: the server may leave a caller without pictures who comes before it."""
        if not self.server.attach(None):
            sys.exit("the port is taken")
        print("ready", flush=True)
        return False

    def ask_for(self, user: str, password: str, factory: object) -> None:
        """Digest, as cameras do."""
        token = GstRtspServer.RTSPToken.new()
        token.set_string("media.factory.role", user)
        auth = GstRtspServer.RTSPAuth()
        auth.set_supported_methods(2)  # GST_RTSP_AUTH_DIGEST
        auth.add_digest(user, password, token)
        self.server.set_auth(auth)
        permissions = GstRtspServer.RTSPPermissions()
        permissions.add_permission_for_role(user, "media.factory.access", True)
        permissions.add_permission_for_role(user, "media.factory.construct", True)
        factory.set_permissions(permissions)

    def joined(self, _factory: object, media: object) -> None:
        pictures = media.get_element().get_by_name_recurse_up("pictures")
        self.clients.append(pictures)
        media.connect("unprepared", lambda *_: self.clients.remove(pictures))

    def push(self) -> bool:
        """Send the next picture to all: who joins in the middle gets no key frame at once, as with real cameras."""
        clip = self.clips[self.shown]
        for pictures in list(self.clients):
            pictures.emit("push-buffer", Gst.Buffer.new_wrapped(clip[self.number % len(clip)]))
        self.number += 1
        return True

    def obey(self, command: str, *words: str) -> bool:
        if command == "show":
            self.shown, self.number = words[0], 0
        elif command == "kick":
            self.server.client_filter(lambda *_: GstRtspServer.RTSPFilterResult.REMOVE)
        elif command == "quit":
            self.loop.quit()
        print("ok", flush=True)
        return False


def main() -> None:
    Gst.init(None)
    port, folder, fps, *password = sys.argv[1:]
    camera = Camera(port, Path(folder), float(fps), password)

    def listen() -> None:
        for line in sys.stdin:
            GLib.idle_add(lambda words: camera.obey(*words), line.split())
        GLib.idle_add(camera.loop.quit)

    threading.Thread(target=listen, daemon=True).start()
    camera.loop.run()


if __name__ == "__main__":
    main()
