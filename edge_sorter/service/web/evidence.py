"""Evidence on the page: what is kept of a parcel, its clip and record, and the button that keeps more.

Contract: looking needs the right to look, marking the right to change; files are served by name from the store only.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route

from edge_sorter.errors import ConfigError
from edge_sorter.service.access import Access
from edge_sorter.service.evidence import Entry, Evidence

LONGEST = 1024
MOST = 200
TYPES = {".mp4": "video/mp4", ".jpg": "image/jpeg", ".json": "application/json"}


class EvidencePages:
    """Serves what an `Evidence` keeps.

    Attributes:
        kept: What is kept; None where nothing is, or before the line runs.
    """

    def __init__(self, access: Access) -> None:
        self._access = access
        self.kept: Evidence | None = None

    @property
    def routes(self) -> list[BaseRoute]:
        """What it serves."""
        return [
            Route("/api/evidence", self._list),
            Route("/api/evidence/mark", self._mark, methods=["POST"]),
            Route("/api/evidence/{name}", self._file),
        ]

    def picture(self, uid: str, rev: int) -> Path | None:
        """Return a parcel's picture, where there is one."""
        return None if self.kept is None else self.kept.store.picture_of(uid, rev)

    async def _list(self, request: Request) -> Response:
        if self.kept is None:
            return JSONResponse({"kept": False, "entries": []})
        uid = request.query_params.get("uid")
        store = self.kept.store
        entries = store.entries() if uid is None else store.of_parcel(uid)
        return JSONResponse({"kept": True, "entries": [_as_json(entry) for entry in entries[:MOST]]})

    async def _file(self, request: Request) -> Response:
        name = Path(request.path_params["name"])
        path = None if self.kept is None else self.kept.store.file(name.stem, name.suffix)
        if path is None:
            return JSONResponse({"error": "no such evidence is kept"}, 404)
        headers = {"cache-control": "private, max-age=3600"}
        return FileResponse(path, media_type=TYPES[name.suffix], headers=headers)

    async def _mark(self, request: Request) -> Response:
        if not self._access.may_change(request):
            return JSONResponse({"error": "show the token first"}, 403)
        if self.kept is None:
            return JSONResponse({"error": "no evidence is kept: set evidence.path"}, 404)
        try:
            uid, note = await _asked(request)
            return JSONResponse({"told": self.kept.mark(uid, note)})
        except ConfigError as error:
            return JSONResponse({"error": str(error)}, 422)


async def _asked(request: Request) -> tuple[str | None, str]:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > LONGEST:
            raise ConfigError(f"more than {LONGEST} bytes; a note is short")
    try:
        content = json.loads(body or b"{}")
    except ValueError:
        raise ConfigError("that is not JSON") from None
    if not isinstance(content, dict):
        raise ConfigError("give an object with parcel_uid and note")
    uid, note = content.get("parcel_uid"), content.get("note", "")
    if not isinstance(uid, str | None) or not isinstance(note, str):
        raise ConfigError("parcel_uid and note are texts")
    return uid, note


def _as_json(entry: Entry) -> dict[str, Any]:
    return asdict(entry) | {"at": entry.at.isoformat()}
