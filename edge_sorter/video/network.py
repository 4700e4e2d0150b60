"""How to reach a network camera quickly, and how to speak of it without its password.

Contract: whatever goes wrong is a `Lost`, or a `Refused` where trying again at once would only lock the account.
"""

from __future__ import annotations

import re
import socket
from typing import Any
from urllib.parse import urlsplit

import av

SILENT = "no answer in time"
KNOCK_S = 1.5
"""Two tries of TCP: the second follows the first after one second."""
_PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}


class Lost(Exception):
    """The connection failed or ended; says why, without any password."""


class Refused(Lost):
    """The camera answers and does not want us: user or password are wrong."""


def redacted(source: str) -> str:
    """Return a source without the user name and password of its URL, for messages and logs."""
    return re.sub(r"(?<=://)[^/@\s]+@", "", source)


def knock(source: str) -> None:
    """See whether anybody listens at a camera's address.

    A handshake may take a slow camera seconds, so it has a long limit. But while the cable is out TCP repeats its call
    after 1, 3, 7, 15 s, and the camera would wait that long for us after it came back. Calling anew finds it at once.

    Raises:
        Lost: Nobody answers.
    """
    try:
        address = urlsplit(source)
        host, port = address.hostname, address.port or _PORTS[address.scheme]
    except (ValueError, KeyError):
        return  # FFmpeg will say what is wrong with it
    if host is None:
        return
    try:
        socket.create_connection((host, port), timeout=KNOCK_S).close()
    except TimeoutError:
        raise Lost(SILENT) from None
    except UnicodeError:
        return  # no name that could be looked up; FFmpeg will say so
    except OSError as error:
        raise Lost(error.strerror or "the address does not answer") from error


def stream_options(source: str) -> dict[str, str]:
    """Return what FFmpeg has to know about a stream.

    It looks at no more of it than it needs to know the picture's size, and keeps what it looked at: the first key
    frame is usually in there, and without it there is no picture until the next one, a second or more later. Measured
    from calling to the first picture, key frames a second apart: 2.2 s with FFmpeg's own choice, 0.3 s with this.
    """
    options = {"flags": "low_delay", "analyzeduration": "1000000", "probesize": "500000", "fpsprobesize": "0"}
    if source.startswith(("rtsp://", "rtsps://")):
        # TCP: a lost UDP packet smears the picture until the next key frame. Video only: with a second stream FFmpeg
        # shifts the stamps when the first sender report arrives.
        options |= {"rtsp_transport": "tcp", "allowed_media_types": "video", "max_delay": "0"}
    return options


def loss(error: Any, *, gave_up: bool = False) -> Lost:
    """Return FFmpeg's error as ours, without the URL, which may hold a password."""
    if isinstance(error, av.error.HTTPUnauthorizedError | av.error.HTTPForbiddenError):
        return Refused(str(error.strerror))
    if gave_up or isinstance(error, av.error.ExitError | TimeoutError):
        return Lost(SILENT)
    return Lost(str(error.strerror or type(error).__name__))
