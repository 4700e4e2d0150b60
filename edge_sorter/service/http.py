"""The one small HTTP server of a line: metrics, health and page share it, in a thread of their own.

Contract: `HttpServer` listens before it returns or says why it cannot; nothing it does waits for the main loop or makes
the main loop wait. When its thread dies, `failure` says so; the line goes on sorting.
"""

from __future__ import annotations

import logging
import socket
import ssl
import sys
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import BaseRoute
from starlette.types import Lifespan

from edge_sorter.config import ServiceSection, ServiceTlsSection
from edge_sorter.errors import ConfigError
from edge_sorter.service import health
from edge_sorter.service.access import Access, Guard
from edge_sorter.service.status import LineStatus
from edge_sorter.service.web import Page

log = logging.getLogger(__name__)

GOODBYE_S = 1
BACKLOG = 64
SWITCH_S = 0.0005
"""A main loop that wants Python's lock back waits at most so long for this server's thread; Python's own 5 ms are
many, for a line that has to decide in 50."""
LARGEST_MESSAGE = 64 * 1024
"""Viewers send acknowledgements and small forms; nothing they say is larger."""


def open_http(section: ServiceSection, status: LineStatus, *, page: Page | None = None) -> HttpServer:
    """Open metrics, health and page of a line at the address of `service.http`.

    Raises:
        ConfigError: The address cannot be listened on, or token or certificates cannot be used.
    """
    access = page.access if page else Access.of(section)
    routes = [*health.routes(status), *(page.routes if page else ())]
    server = HttpServer(section, routes=routes, access=access, lifespan=page.lifespan if page else None)
    log.info("%s (metrics, healthz, readyz below it)%s", server.url, "" if page else ", without the page")
    return server


class HttpServer:
    """Serves routes on one address until closed; a context manager.

    Args:
        section: Where to listen; port 0 takes a free one.
        routes: What to serve, in order of matching.
        access: Who may see and change what.
        lifespan: What runs beside the routes, on the same thread.

    Attributes:
        url: Where it listens.
        failure: What ended the server's thread by itself, else None.

    Raises:
        ConfigError: The address cannot be listened on, or the certificates cannot be used.
    """

    def __init__(
        self,
        section: ServiceSection,
        *,
        routes: Sequence[BaseRoute],
        access: Access,
        lifespan: Lifespan[Starlette] | None = None,
    ) -> None:
        secrets = _tls(section.tls)
        self._socket = _listen(section.host, section.port)
        shown = f"[{section.host}]" if ":" in section.host else section.host
        scheme = "https" if section.tls else "http"
        self.url = f"{scheme}://{shown}:{self._socket.getsockname()[1]}/"
        self.failure: BaseException | None = None
        config = uvicorn.Config(
            Starlette(routes=list(routes), middleware=[Middleware(Guard, access=access)], lifespan=lifespan),
            log_config=None,
            log_level="warning",
            access_log=False,
            lifespan="off" if lifespan is None else "on",
            timeout_graceful_shutdown=GOODBYE_S,
            limit_concurrency=64,
            backlog=BACKLOG,
            server_header=False,
            proxy_headers=False,
            ws="websockets-sansio",
            ws_max_size=LARGEST_MESSAGE,
            ws_per_message_deflate=False,  # pictures get no smaller, and trying costs time
            **secrets,
        )
        sys.setswitchinterval(SWITCH_S)
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


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(where)
            listening.listen(BACKLOG)
        except BaseException:
            listening.close()
            raise
    except OSError as error:
        raise ConfigError(
            f"service.http: cannot listen on {host}:{port}: {error.strerror or error}; stop what runs there, or choose "
            "another port"
        ) from None
    return listening


def _tls(section: ServiceTlsSection | None) -> dict[str, Any]:
    if section is None:
        return {}
    try:
        probe = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        probe.load_cert_chain(section.cert_file, section.key_file)
        if section.client_ca_file:
            probe.load_verify_locations(section.client_ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"service.tls: certificate, key or authority cannot be used: {error}") from None
    wanted: dict[str, Any] = {"ssl_certfile": section.cert_file, "ssl_keyfile": section.key_file}
    if section.client_ca_file:
        wanted |= {"ssl_ca_certs": section.client_ca_file, "ssl_cert_reqs": ssl.CERT_REQUIRED}
    return wanted
