"""An MQTT broker inside this process, so that a demo needs no server.

A context manager around amqtt in a thread of its own; it listens on 127.0.0.1 only, lets anyone in and speaks MQTT
3.1.1. For demos and tests: a plant runs a real broker.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from types import TracebackType
from typing import Any

from edge_sorter.errors import PlcError

START_S, STOP_S = 10.0, 0.2
STOP_ATTEMPTS = 3
_ATTEMPTS = 5


class EmbeddedBroker:
    """A broker that lives as long as its `with` block.

    Attributes:
        host: Where it listens.
        port: Its TCP port; when 0 was asked for, the free one that was found.
    """

    host = "127.0.0.1"

    def __init__(self, port: int = 0) -> None:
        self.port = port
        self._any_port = port == 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread: threading.Thread | None = None
        self._started = threading.Event()
        self._failure: BaseException | None = None

    @property
    def alive(self) -> bool:
        """Whether the broker's thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Begin to serve.

        Raises:
            PlcError: The port is taken, or the broker did not come up.
        """
        for attempt in range(_ATTEMPTS):
            self.port = _free_port(self.host) if self._any_port else self.port
            _check_free(self.host, self.port)
            self._started.clear()
            self._failure = None
            self._thread = threading.Thread(target=self._run, name="embedded-mqtt-broker", daemon=True)
            self._thread.start()
            if self._started.wait(START_S) and self._failure is None:
                return
            if not self._any_port or attempt == _ATTEMPTS - 1:
                break
        raise PlcError(
            f"the embedded MQTT broker could not start on {self.host}:{self.port}: "
            f"{self._failure or f'not up within {START_S:g} s'}; give another port"
        )

    def close(self) -> None:
        """Stop serving; connected clients are cut off."""
        if self._loop is not None and self._stop is not None and self.alive:
            self._loop.call_soon_threadsafe(self._stop.set)
        if self._thread is not None:
            self._thread.join(STOP_ATTEMPTS * STOP_S + 0.3)

    def __enter__(self) -> EmbeddedBroker:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:  # whatever it is, start() is waiting to tell it
            self._failure = error
        finally:
            self._started.set()

    async def _serve(self) -> None:
        from amqtt.broker import Broker

        # Every client that goes away is an "error" to amqtt; an operator would take it for one of ours.
        for name in ("amqtt", "transitions"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        clients: set[asyncio.StreamWriter] = set()

        class TidyBroker(Broker):  # type: ignore[misc]
            """amqtt leaves connections open that end in the middle of something; this one closes every one."""

            async def stream_connected(self, reader: Any, writer: asyncio.StreamWriter, listener_name: str) -> None:
                clients.add(writer)
                try:
                    await super().stream_connected(reader, writer, listener_name)
                finally:
                    clients.discard(writer)
                    writer.close()

        broker = TidyBroker(
            {
                "listeners": {"default": {"type": "tcp", "bind": f"{self.host}:{self.port}"}},
                "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
            }
        )
        await broker.start()
        self._started.set()
        await self._stop.wait()
        for writer in tuple(clients):
            writer.close()
        await asyncio.sleep(0.05)  # their handlers notice
        # amqtt can lose the cancellation of a client that is just talking; the next attempt reaches it.
        for _ in range(STOP_ATTEMPTS):
            try:
                await asyncio.wait_for(broker.shutdown(), STOP_S)
                break
            except (asyncio.TimeoutError, asyncio.CancelledError):  # the latter from its own broken-off tasks
                continue


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def _check_free(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise PlcError(
                f"the embedded MQTT broker cannot listen on {host}:{port}: {error.strerror}; "
                "stop what runs there (another broker?) or give another port"
            ) from None
