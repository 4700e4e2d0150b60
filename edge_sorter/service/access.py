"""Who may look, and who may change something, over HTTP.

Contract: on this machine's own address anybody may look; from elsewhere nobody sees anything without the token or a
client certificate; changing always needs one of them. A browser shows the token once and gets a cookie that no script
can read and no other site can send; programs send `Authorization: Bearer <token>`.
"""

from __future__ import annotations

import hmac
import logging
import secrets
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge_sorter.clock import stopwatch_ns
from edge_sorter.config import ServiceSection
from edge_sorter.errors import ConfigError

log = logging.getLogger(__name__)

COOKIE = "edge_sorter_session"
SHORTEST_TOKEN = 12
SESSION_S = 12 * 3600
SESSIONS = 64
TRIES, TRIES_S = 5, 60.0
"""So many wrong tokens from one address within this time, and it has to wait."""
ADDRESSES = 256
OPEN_PATHS = ("/healthz", "/readyz", "/", "/api/session")
"""What anybody may ask for: health, and the empty page with its question for the token."""
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")

HEADERS = {
    b"content-security-policy": b"default-src 'self'; img-src 'self' blob:; frame-ancestors 'none'; base-uri 'none'",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
}


@dataclass
class Access:
    """Knows the token and who has shown it; lives on the server's thread.

    Attributes:
        token: The word that opens the page; None where nobody can be let in by one.
        local: Whether only this machine can reach the server.
        certified: Whether every connection has shown a certificate of the plant's own authority.
        encrypted: Whether the browser may be told to keep its cookie for encrypted connections.
    """

    token: str | None = None
    local: bool = True
    certified: bool = False
    encrypted: bool = False
    _sessions: OrderedDict[str, int] = field(default_factory=OrderedDict)
    _failures: OrderedDict[str, list[int]] = field(default_factory=OrderedDict)

    @staticmethod
    def of(section: ServiceSection) -> Access:
        """Return the access rules of a configuration.

        Raises:
            ConfigError: The token's file cannot be read, or the token is too short to keep anybody out.
        """
        certified = section.tls is not None and section.tls.client_ca_file is not None
        token = _read_token(section.token_file) if section.token_file else None
        if token and section.tls is None and not section.local:
            log.warning("service.http %s: without service.tls the token crosses the network readable", section.http)
        return Access(token, local=section.local, certified=certified, encrypted=section.tls is not None)

    def may_look(self, connection: HTTPConnection) -> bool:
        """Tell whether this connection may see the line."""
        return self.local or self.may_change(connection)

    def may_change(self, connection: HTTPConnection) -> bool:
        """Tell whether this connection may change something."""
        if self.certified:
            return True
        scheme, _, shown = connection.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            if self._is_token(shown):
                return True
            self._note_failure(address_of(connection))
        began_ns = self._sessions.get(connection.cookies.get(COOKIE, ""))
        return began_ns is not None and stopwatch_ns() - began_ns < SESSION_S * 1e9

    def sign_in(self, shown: str, *, address: str) -> str | None:
        """Return a new session for the right token, None for a wrong one."""
        if not self._is_token(shown):
            self._note_failure(address)
            return None
        self._failures.pop(address, None)
        session = secrets.token_urlsafe(32)
        self._sessions[session] = stopwatch_ns()
        if len(self._sessions) > SESSIONS:
            self._sessions.popitem(last=False)
        return session

    def sign_out(self, connection: HTTPConnection) -> None:
        """Forget a session."""
        self._sessions.pop(connection.cookies.get(COOKIE, ""), None)

    def must_wait(self, address: str) -> bool:
        """Tell whether this address has guessed too often of late."""
        since_ns = stopwatch_ns() - round(TRIES_S * 1e9)
        recent = [at_ns for at_ns in self._failures.get(address, ()) if at_ns > since_ns]
        if address in self._failures:
            self._failures[address] = recent
        return len(recent) >= TRIES

    def refusal(self, connection: HTTPConnection) -> tuple[int, str] | None:
        """Return status and message for a connection that gets nothing, or None."""
        if self.local and not self.certified and _host(connection) not in LOCAL_NAMES:
            # Another site's name made to point at this machine would read the line through its user's browser.
            return 421, "this server answers to localhost only"
        path = connection.scope["path"]
        changes = connection.scope["type"] == "websocket" or connection.scope.get("method") not in ("GET", "HEAD")
        origin = connection.headers.get("origin")
        if changes and origin is not None and urlsplit(origin).netloc != connection.headers.get("host"):
            return 403, "requests from other sites are not accepted"
        if ("authorization" in connection.headers or path == "/api/session") and self.must_wait(address_of(connection)):
            return 429, f"too many wrong tokens; wait {TRIES_S:.0f} seconds"
        if path in OPEN_PATHS or path.startswith("/static/") or self.may_look(connection):
            return None
        return 401, "show the token first"

    def _note_failure(self, address: str) -> None:
        log.warning("page: wrong token from %s", address)
        self._failures.setdefault(address, []).append(stopwatch_ns())
        self._failures.move_to_end(address)
        if len(self._failures) > ADDRESSES:
            self._failures.popitem(last=False)

    def _is_token(self, shown: str) -> bool:
        return self.token is not None and hmac.compare_digest(shown.encode(), self.token.encode())


class Guard:
    """ASGI middleware: asks `Access` before anything else sees a request, and adds the headers that browsers obey."""

    def __init__(self, app: ASGIApp, *, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] not in ("http", "websocket"):
            return await self._app(scope, receive, send)
        refusal = self._access.refusal(HTTPConnection(scope))
        if refusal is None:
            return await self._app(scope, receive, _with_headers(send))
        status, message = refusal
        if scope["type"] == "websocket":
            await receive()
            return await send({"type": "websocket.close", "code": 4000 + status, "reason": message})
        return await JSONResponse({"error": message}, status)(scope, receive, _with_headers(send))


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *HEADERS.items()]
        await send(message)

    return send_with_headers


def address_of(connection: HTTPConnection) -> str:
    """Return the address a connection comes from."""
    return connection.client.host if connection.client else "?"


def _host(connection: HTTPConnection) -> str | None:
    try:
        return urlsplit(f"//{connection.headers.get('host', '')}").hostname
    except ValueError:
        return None


def _read_token(path: Path) -> str:
    try:
        token = path.read_text(encoding="utf-8").strip()
        readable_by_all = path.stat().st_mode & 0o004
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"service.token_file {path} cannot be read: {error}") from None
    if len(token) < SHORTEST_TOKEN or not token.isascii():
        raise ConfigError(
            f"service.token_file {path}: a token needs at least {SHORTEST_TOKEN} plain characters; "
            "make one with: openssl rand -base64 18"
        )
    if readable_by_all:
        log.warning("service.token_file %s can be read by every user of this machine: chmod 600 it", path)
    return token
