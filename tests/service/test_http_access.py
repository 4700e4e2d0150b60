"""The server's guard: who sees the line, who may change it, and how wrong set-ups are told at the start."""

from __future__ import annotations

import http.client
import json
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from edge_sorter.config import ServiceSection
from edge_sorter.errors import ConfigError
from edge_sorter.service.access import TRIES, Access
from edge_sorter.service.http import HttpServer

TOKEN = "correct-horse-battery"


def routes(access: Access) -> list[Route]:
    async def look(request: Request) -> JSONResponse:
        return JSONResponse({"may_change": access.may_change(request)})

    return [Route("/api/line", look, methods=["GET", "POST"]), Route("/healthz", look)]


def ask(server: HttpServer, path: str = "/api/line", *, method: str = "GET", **headers: str) -> tuple[int, dict]:
    host, port = server.url.split("//")[1].rstrip("/").rsplit(":", 1)
    connection = http.client.HTTPConnection(host, int(port), timeout=20)
    try:
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(TOKEN + "\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def remote(token_file: Path) -> Iterator[HttpServer]:
    """A server that other machines may reach; here through loopback, but under the rules of elsewhere."""
    section = ServiceSection(http="0.0.0.0:0", token_file=token_file)
    access = Access.of(section)
    with HttpServer(section, routes=routes(access), access=access) as server:
        server.url = server.url.replace("0.0.0.0", "127.0.0.1")
        yield server


def local(**more: object) -> HttpServer:
    section = ServiceSection.model_validate({"http": "127.0.0.1:0", **more})
    access = Access.of(section)
    return HttpServer(section, routes=routes(access), access=access)


def test_on_this_machine_anybody_looks_and_nobody_changes_without_token(token_file: Path) -> None:
    with local(token_file=token_file) as server:
        assert ask(server) == (200, {"may_change": False})
        assert ask(server, Authorization=f"Bearer {TOKEN}") == (200, {"may_change": True})
    with local() as server:
        assert ask(server, Authorization="Bearer ") == (200, {"may_change": False})


def test_a_foreign_name_for_this_machine_is_refused() -> None:
    """DNS rebinding: a site whose name was made to point at 127.0.0.1."""
    with local() as server:
        assert ask(server, Host="evil.example:9464")[0] == 421
        assert ask(server, Host="localhost:9464")[0] == 200
        assert ask(server, Host="[::1")[0] == 421


def test_another_sites_script_cannot_change_anything() -> None:
    with local() as server:
        assert ask(server, method="POST", Origin="http://evil.example")[0] == 403
        assert ask(server, method="POST", Origin=server.url.rstrip("/"))[0] == 200


def test_from_elsewhere_nothing_but_health_without_the_token(remote: HttpServer) -> None:
    assert ask(remote)[0] == 401
    assert ask(remote, Authorization="Bearer wrong-token-here")[0] == 401
    assert ask(remote, "/healthz")[0] == 200
    assert ask(remote, Authorization=f"Bearer {TOKEN}") == (200, {"may_change": True})


def test_guessing_is_slowed_down(remote: HttpServer) -> None:
    for _ in range(TRIES):
        assert ask(remote, Authorization="Bearer guess")[0] == 401
    assert ask(remote, Authorization=f"Bearer {TOKEN}")[0] == 429
    assert ask(remote, "/healthz")[0] == 200


@pytest.mark.parametrize("content", [None, "short", "ünïcödé-token-word"])
def test_a_useless_token_is_told_at_the_start(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "token"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match="token_file"):
        Access.of(ServiceSection(http="127.0.0.1:0", token_file=path))


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed: no certificates to try with")
def test_a_client_certificate_opens_the_door_and_nothing_else_does(tmp_path: Path) -> None:
    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=tmp_path, check=True, capture_output=True)

    for name in ("server", "client"):
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}",
                "-addext", "subjectAltName=IP:127.0.0.1")  # fmt: skip
    tls = {
        "cert_file": tmp_path / "server.pem",
        "key_file": tmp_path / "server.key",
        "client_ca_file": tmp_path / "client.pem",
    }
    context = ssl.create_default_context(cafile=str(tmp_path / "server.pem"))
    with local(tls=tls) as server:
        port = int(server.url.rstrip("/").rsplit(":", 1)[1])
        with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
            stranger = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=20)
            stranger.request("GET", "/api/line")
            stranger.getresponse()
        context.load_cert_chain(tmp_path / "client.pem", tmp_path / "client.key")
        friend = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=20)
        friend.request("GET", "/api/line")
        assert json.loads(friend.getresponse().read()) == {"may_change": True}
        friend.close()
    with pytest.raises(ConfigError, match=r"service\.tls"):
        local(tls=tls | {"key_file": tmp_path / "client.key"})
