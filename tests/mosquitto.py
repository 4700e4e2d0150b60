"""A real mosquitto for tests, and `mosquitto_sub` as the outsider that sees what a PLC gateway would see."""

from __future__ import annotations

import secrets
import shutil
import signal
import socket
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

INSTALLED = shutil.which("mosquitto") is not None and shutil.which("mosquitto_sub") is not None


def free_port() -> int:
    """Return a port nobody has, below those that outgoing connections take: one of these would have it before us."""
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def wait_until(condition, *, timeout_s: float = 30.0, what: str = "condition", meanwhile=lambda: None) -> None:
    until = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until, f"not within {timeout_s} s: {what}"
        meanwhile()
        time.sleep(0.01)


class Mosquitto:
    """One broker on a port of its own; may be stopped, killed, frozen and started again on that port."""

    host = "127.0.0.1"

    def __init__(self, folder: Path, *, extra: str = "allow_anonymous true", persistence: bool = False) -> None:
        self.port = free_port()
        self._config = folder / "mosquitto.conf"
        kept = f"persistence true\npersistence_location {folder}/\n" if persistence else "persistence false\n"
        self._config.write_text(
            f"listener {self.port} 127.0.0.1\nuser root\nset_tcp_nodelay true\nmax_queued_messages 10000\n"
            f"log_dest stderr\nlog_type error\n{kept}{extra}\n"
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Mosquitto:
        self._process = subprocess.Popen(
            ["mosquitto", "-c", str(self._config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            wait_until(self._answers, what="mosquitto listens")
        except AssertionError:
            self.kill()
            raise
        return self

    def stop(self, signum: int = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(signum)
            if signum != signal.SIGKILL:
                self._process.send_signal(signal.SIGCONT)  # a frozen one could not obey
            self._process.wait(30)
            self._process = None

    def kill(self) -> None:
        self.stop(signal.SIGKILL)

    def freeze(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((self.host, self.port)) == 0


class Outsider:
    """`mosquitto_sub` on some topics: collects (topic, retained, payload) lines with a program that is not ours.

    It keeps a session at the broker, as a gateway must, and stays when the broker restarts.
    """

    def __init__(self, broker: Mosquitto, *topics: str, client_id: str = "outsider") -> None:
        subscribe = [word for topic in topics for word in ("-t", topic)]
        self._process = subprocess.Popen(
            [
                *("mosquitto_sub", "-h", broker.host, "-p", str(broker.port), "-V", "mqttv5", "-q", "1"),
                *("-i", client_id, "-c", "-x", "3600", "-F", "%t %r %q %p", *subscribe),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self.lines: list[tuple[str, bool, int, bytes]] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def on(self, topic: str) -> list[bytes]:
        """Payloads seen on one topic, in order."""
        return [payload for seen, _, _, payload in self.lines if seen == topic]

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(30)
        self._reader.join(5)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            topic, retained, qos, payload = line.rstrip(b"\n").split(b" ", 3)
            self.lines.append((topic.decode(), retained == b"1", int(qos), payload))
