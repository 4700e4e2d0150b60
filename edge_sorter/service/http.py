"""The one small HTTP server of a line: metrics, health and page share it, in a thread of their own.

Contract: `HttpServer` listens before it returns or says why it cannot; nothing it does waits for the main loop or makes
the main loop wait. When its thread dies, `failure` says so; the line goes on sorting.
"""

from __future__ import annotations

import ipaddress
import logging
import socket
import threading
from collections.abc import Sequence
from types import TracebackType

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import BaseRoute

from edge_sorter.errors import ConfigError
from edge_sorter.service import health
from edge_sorter.service.status import LineStatus

log = logging.getLogger(__name__)

GOODBYE_S = 1


def open_http(address: str, status: LineStatus) -> HttpServer:
    """Open metrics and health of a line at the address of `service.http`.

    Raises:
        ConfigError: The address cannot be listened on, or is open to others without a way to tell friends.
    """
    if not is_loopback(address):
        raise ConfigError(
            f"service.http: {address} can be reached from other machines, and nothing here asks who they are; "
            "use 127.0.0.1 and a proxy in front"
        )
    server = HttpServer(address, routes=health.routes(status))
    log.info("metrics and health at %smetrics, healthz, readyz", server.url)
    return server


class HttpServer:
    """Serves routes on one address until closed; a context manager.

    Args:
        address: "host:port"; port 0 takes a free one.
        routes: What to serve, in order of matching.
        middleware: What every request passes through, such as the check of a token.

    Attributes:
        url: Where it listens.
        failure: What ended the server's thread by itself, else None.

    Raises:
        ConfigError: The address cannot be listened on.
    """

    def __init__(self, address: str, *, routes: Sequence[BaseRoute], middleware: Sequence[Middleware] = ()) -> None:
        host, port = split_address(address)
        self._socket = _listen(host, port)
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self._socket.getsockname()[1]}/"
        self.failure: BaseException | None = None
        config = uvicorn.Config(
            Starlette(routes=list(routes), middleware=list(middleware)),
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=GOODBYE_S,
            limit_concurrency=64,
            server_header=False,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._serve, name="http", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        try:
            self._server.run(sockets=[self._socket])
        except BaseException as error:  # not swallowed: told, and kept for whoever asks
            self.failure = error
            log.exception("the HTTP server ended; sorting goes on without it")

    def close(self) -> None:
        """Stop listening; safe to call twice."""
        self._server.should_exit = True
        self._thread.join(timeout=GOODBYE_S + 1)
        self._socket.close()

    def __enter__(self) -> HttpServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def split_address(address: str) -> tuple[str, int]:
    """Return host and port of "host:port" or "[host]:port".

    Raises:
        ConfigError: It is neither.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise ConfigError(f"service.http: {address!r} is not an address and a port; write 127.0.0.1:9464")
    return host.removeprefix("[").removesuffix("]"), int(port)


def is_loopback(address: str) -> bool:
    """Tell whether only this machine itself can reach an address."""
    host = split_address(address)[0]
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(where)
            listening.listen(64)
        except BaseException:
            listening.close()
            raise
    except OSError as error:
        raise ConfigError(
            f"service.http: cannot listen on {host}:{port}: {error.strerror or error}; stop what runs there, or choose "
            "another port"
        ) from None
    return listening
