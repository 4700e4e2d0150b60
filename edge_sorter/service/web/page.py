"""Puts the page together: what it remembers, what it serves, and the small task that keeps it up to date.

Contract: `witness` goes to the main loop as an observer, `routes` and `lifespan` to the HTTP server; `show` hands over
the scene once the line is ready. Without viewers the page wakes four times a second and encodes nothing but the small
pictures of decided parcels.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from edge_sorter.belt import Belt
from edge_sorter.config import Config, ServiceSection
from edge_sorter.service.access import COOKIE, SESSION_S, Access, address_of
from edge_sorter.service.evidence import Evidence
from edge_sorter.service.status import LineStatus
from edge_sorter.service.web.card import card_of_record
from edge_sorter.service.web.evidence import EvidencePages
from edge_sorter.service.web.history import SHORTEST, matches, search
from edge_sorter.service.web.looks import Witness
from edge_sorter.service.web.notebook import Notebook
from edge_sorter.service.web.scene import Scene
from edge_sorter.service.web.setup import SetUp
from edge_sorter.service.web.view import View
from edge_sorter.service.web.viewers import Viewers
from edge_sorter.sort import SortPlan

log = logging.getLogger(__name__)

STATIC = Path(__file__).resolve().parent / "static"
TEND_S = 0.25
FOUND_AT_MOST = 50


class Page:
    """The operator's page of one line.

    Args:
        section: What keeps strangers out.
        status: What the line does.
        config_path: The configuration's file, for setting up the camera; None: nothing can be changed.

    Attributes:
        witness: Goes to the main loop as an observer, after the status.
        access: Who may look and who may change.
        scene: The line as it is drawn; None while it starts.

    Raises:
        ConfigError: The token cannot be read.
    """

    def __init__(self, section: ServiceSection, status: LineStatus, *, config_path: Path | None = None) -> None:
        self.witness = Witness(status)
        self.scene: Scene | None = None
        self.access = Access.of(section)
        self._notebook = Notebook(status, self.witness)
        self._view = View(status, self._notebook)
        self._viewers = Viewers(status, self.witness, self._notebook, self._view)
        self._evidence = EvidencePages(self.access)
        self._set_up = SetUp(
            self._notebook.looks, access=self.access, scene=lambda: self.scene, config_path=config_path
        )

    def keep(self, evidence: Evidence) -> None:
        """Show what is kept of exceptions from now on; may be called from any thread."""
        self._evidence.kept = evidence

    def show(
        self, config: Config, *, belt: Belt, plan: SortPlan, classes: tuple[str, ...], size_px: tuple[int, int]
    ) -> None:
        """Show this line from now on; may be called from any thread, again when another plan decides."""
        self.scene = self._viewers.scene = Scene(config, belt, plan, classes, size_px)

    @property
    def routes(self) -> list[BaseRoute]:
        """What the page serves."""
        return [
            Route("/", _index),
            Mount("/static", _Static(directory=STATIC)),
            WebSocketRoute("/api/live", self._viewers.attend),
            Route("/api/session", self._session, methods=["GET", "POST", "DELETE"]),
            Route("/api/trend", self._trend),
            Route("/api/history", self._history),
            Route("/api/picture/{uid}/{rev:int}.jpg", self._picture),
            Route("/api/still.jpg", self._still),
            *self._evidence.routes,
            *self._set_up.routes,
        ]

    @asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[None]:
        """Keep the notebook up to date while the server runs."""
        tending = asyncio.create_task(self._tend())
        try:
            yield
        finally:
            tending.cancel()
            with suppress(asyncio.CancelledError):
                await tending
            self._view.close()

    async def _tend(self) -> None:
        while True:
            try:
                self._notebook.tend(self.scene)
            except Exception:
                log.exception("the page could not take in what happened; it goes on with what comes next")
            await asyncio.sleep(TEND_S)

    async def _session(self, request: Request) -> Response:
        answer = JSONResponse({})
        if request.method == "POST":
            session = self.access.sign_in(await _shown_token(request), address=address_of(request))
            if session is None:
                return JSONResponse({"error": "that is not the token"}, 403)
            answer.set_cookie(
                COOKIE, session, max_age=SESSION_S, httponly=True, samesite="strict", secure=self.access.encrypted
            )
            return answer
        if request.method == "DELETE":
            self.access.sign_out(request)
            answer.delete_cookie(COOKIE)
            return answer
        rights = {"look": self.access.may_look(request), "change": self.access.may_change(request)}
        return JSONResponse(rights | {"token": self.access.token is not None})

    async def _trend(self, _: Request) -> Response:
        return JSONResponse(self._notebook.trend.points())

    async def _history(self, request: Request) -> Response:
        wanted = request.query_params.get("q", "").strip()
        if len(wanted) < SHORTEST:
            return JSONResponse({"error": f"give at least {SHORTEST} characters of a parcel id or code"}, 400)
        cards = [card for card in self._notebook.cards() if matches(card, wanted)][:FOUND_AT_MOST]
        known = {(card["parcel_uid"], card["rev"]) for card in cards}
        journal = self.scene.config.journal.path if self.scene else None
        found = await search(journal, wanted, limit=FOUND_AT_MOST)
        older = [r for r in found.records if (r["parcel_uid"], r["rev"]) not in known]
        return JSONResponse(
            {
                "cards": (cards + [self._card_of(record) for record in older])[:FOUND_AT_MOST],
                "complete": found.complete,
                "journal": journal is not None,
            }
        )

    def _card_of(self, record: dict[str, Any]) -> dict[str, Any]:
        """Return the card of a decision from the journal, with the picture that was kept as evidence, if one was."""
        return card_of_record(record) | {
            "picture": self._evidence.picture(record["parcel_uid"], record["rev"]) is not None
        }

    async def _picture(self, request: Request) -> Response:
        uid, rev = request.path_params["uid"], request.path_params["rev"]
        headers = {"cache-control": "private, max-age=3600, immutable"}
        data = self._notebook.picture((uid, rev))
        if data is not None:
            return Response(data, media_type="image/jpeg", headers=headers)
        path = self._evidence.picture(uid, rev)
        if path is not None:
            return FileResponse(path, media_type="image/jpeg", headers=headers)
        return JSONResponse({"error": "no picture of this parcel is kept"}, 404)

    async def _still(self, _: Request) -> Response:
        data = await self._view.still()
        if data is None:
            return JSONResponse({"error": "there is no picture yet"}, 503)
        return Response(data, media_type="image/jpeg", headers={"cache-control": "no-store"})


class _Static(StaticFiles):
    """Files of the page; a browser asks each time whether they changed, so an upgrade shows at once."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Return one file."""
        answer = await super().get_response(path, scope)
        answer.headers["cache-control"] = "no-cache"
        return answer


async def _index(_: Request) -> Response:
    return FileResponse(STATIC / "index.html", headers={"cache-control": "no-cache"})


async def _shown_token(request: Request) -> str:
    """Return the token of a sign-in form; anything malformed is a wrong one."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > 1024:
            return ""
    with suppress(ValueError, KeyError, TypeError):
        shown: Any = json.loads(body)["token"]
        return shown if isinstance(shown, str) else ""
    return ""
