"""Talking to the service manager: ready, status, reloading, stopping, and the watchdog's food (sd_notify(3)).

Contract: without NOTIFY_SOCKET every call does nothing; with it none ever blocks or raises. There is no thread in here:
`alive` is called by the main loop, so a loop that hangs in any stage starves the watchdog.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

log = logging.getLogger(__name__)

MEALS = 4
"""How often `alive` feeds the watchdog within its limit; systemd advises at least 2."""


class Notify:
    """Sends datagrams to the service manager that started us, if one did.

    Args:
        environ: NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID are looked up here.

    Attributes:
        watchdog_s: The manager kills us after so long a silence; None where it does not watch.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self.watchdog_s = _watchdog_s(environ) if self._address else None
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) if self._address else None
        if self._socket is not None:
            self._socket.setblocking(False)
        self._meal_ns = None if self.watchdog_s is None else round(self.watchdog_s / MEALS * 1e9)
        self._next_meal_ns: int | None = None
        self._told = ""
        self._warned = False

    def ready(self) -> None:
        """Say that start-up is over; also ends a reload."""
        self._send("READY=1")

    def status(self, text: str) -> None:
        """Say in one line what is going on; `systemctl status` shows it. Only what changed is sent."""
        line = " ".join(text.split())
        if line != self._told:
            self._told = line
            self._send(f"STATUS={line}")

    def reloading(self, monotonic_ns: int) -> None:
        """Say that a reload began; `ready` ends it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={monotonic_ns // 1000}")

    def stopping(self) -> None:
        """Say that we are on the way out."""
        self._send("STOPPING=1")

    def alive(self, now_ns: int) -> None:
        """Feed the watchdog if it is time to; call it from the loop whose progress matters, as often as it comes round.

        Args:
            now_ns: The present on any steady axis, always the same.
        """
        if self._meal_ns is not None and (self._next_meal_ns is None or now_ns >= self._next_meal_ns):
            self._next_meal_ns = now_ns + self._meal_ns
            self._send("WATCHDOG=1")

    @contextmanager
    def patient(self, limit_s: float) -> Iterator[None]:
        """Let the loop be silent for longer while the block runs: for work that is long and is known to be."""
        if self.watchdog_s is not None:
            self._send(f"WATCHDOG_USEC={round(limit_s * 1e6)}")
        try:
            yield
        finally:
            if self.watchdog_s is not None:
                self._send(f"WATCHDOG_USEC={round(self.watchdog_s * 1e6)}\nWATCHDOG=1")

    def close(self) -> None:
        """Give the socket back; safe to call twice."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, text: str) -> None:
        if self._socket is None or self._address is None:
            return
        try:
            self._socket.sendto(text.encode(), self._address)
        except OSError as error:
            # A manager that is busy or gone is no reason to stop sorting.
            if not self._warned:
                self._warned = True
                log.warning("the service manager does not listen on NOTIFY_SOCKET: %s", error)


def _address(path: str) -> str | None:
    """A leading @ stands for the zero byte of an abstract address; anything else must be a path."""
    if path.startswith("@"):
        return "\0" + path[1:]
    return path if path.startswith("/") else None


def _watchdog_s(environ: Mapping[str, str]) -> float | None:
    """Return the limit, or None: not asked for, or meant for another process."""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    text = environ.get("WATCHDOG_USEC", "")
    return int(text) / 1e6 if text.isdigit() and int(text) > 0 else None
