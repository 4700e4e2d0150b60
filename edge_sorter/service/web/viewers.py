"""The viewers of the page: one WebSocket each, fed with what is newest.

Contract: every message must be acknowledged before more than `AHEAD` others are sent, so a slow viewer gets fewer and
newer pictures instead of a queue of old ones. A viewer whose page is hidden gets no pictures, and none are encoded.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass, field

from starlette.websockets import WebSocket, WebSocketDisconnect

from edge_sorter.clock import stopwatch_ns
from edge_sorter.service.status import LineStatus
from edge_sorter.service.web.looks import Witness
from edge_sorter.service.web.notebook import Notebook
from edge_sorter.service.web.report import report
from edge_sorter.service.web.scene import Scene
from edge_sorter.service.web.view import FPS, View

AHEAD = 3
MOST = 24
FULL = 4429
"""Close code: too many viewers already."""
STATUS_S = 0.5
TIMINGS = 300
FIRST_CARDS = 40


@dataclass(eq=False)
class Viewer:
    """One open page."""

    looks: bool = True
    unanswered: int = 0
    card: int = 0
    frame: int | None = None
    scene: Scene | None = None
    told_ns: int = 0
    gone: asyncio.Event = field(default_factory=asyncio.Event)


class Viewers:
    """Serves all viewers; lives on the server's event loop."""

    def __init__(self, status: LineStatus, witness: Witness, notebook: Notebook, view: View) -> None:
        self._status, self._witness, self._notebook, self._view = status, witness, notebook, view
        self._open: set[Viewer] = set()
        self._report: tuple[int, str] = (0, "")
        self.scene: Scene | None = None

    def __len__(self) -> int:
        return len(self._open)

    async def attend(self, socket: WebSocket) -> None:
        """Serve one viewer until it leaves."""
        await socket.accept()
        if len(self._open) >= MOST:
            return await socket.close(FULL, "too many viewers")
        viewer = Viewer()
        self._open.add(viewer)
        listening = asyncio.create_task(self._listen(socket, viewer))
        try:
            with suppress(WebSocketDisconnect, RuntimeError, OSError):
                while not viewer.gone.is_set():
                    await self._feed(socket, viewer)
                    await asyncio.sleep(0.5 / FPS)
        finally:
            self._open.discard(viewer)
            listening.cancel()
        return None

    async def _listen(self, socket: WebSocket, viewer: Viewer) -> None:
        with suppress(WebSocketDisconnect, RuntimeError):
            while True:
                said = await socket.receive_text()
                if said == "ok":
                    viewer.unanswered = max(0, viewer.unanswered - 1)
                elif said in ("look", "away"):
                    viewer.looks = said == "look"
        viewer.gone.set()

    async def _feed(self, socket: WebSocket, viewer: Viewer) -> None:
        """Send what this viewer does not know yet, if it answered what it got."""
        if viewer.unanswered >= AHEAD:
            return
        now_ns = stopwatch_ns()
        if now_ns - viewer.told_ns >= STATUS_S * 1e9:
            viewer.told_ns = now_ns
            await self._send(socket, viewer, self._report_at(now_ns))
        if self.scene is not viewer.scene and self.scene is not None:
            viewer.scene = self.scene
            await self._send(socket, viewer, _text("scene", self.scene.as_json()))
        if viewer.card < self._notebook.newest:
            cards = self._notebook.cards_after(viewer.card, limit=FIRST_CARDS)
            viewer.card = self._notebook.newest
            await self._send(socket, viewer, _text("cards", cards))
        if viewer.looks and self.scene is not None and self._view.newer_than(viewer.frame):
            shown = await self._view.message(self.scene)
            if shown is not None and shown[0] != viewer.frame:
                viewer.frame = shown[0]
                await self._send(socket, viewer, shown[1])

    async def _send(self, socket: WebSocket, viewer: Viewer, message: str | bytes) -> None:
        viewer.unanswered += 1
        if isinstance(message, str):
            await socket.send_text(message)
        else:
            await socket.send_bytes(message)

    def _report_at(self, now_ns: int) -> str:
        if now_ns - self._report[0] >= STATUS_S * 0.8e9:
            seen = self._status.snapshot(timings=TIMINGS)
            self._report = (now_ns, report(seen, witness=self._witness, quality=self._view.quality))
        return self._report[1]


def _text(kind: str, content: object) -> str:
    return json.dumps({"type": kind, kind: content}, separators=(",", ":"), allow_nan=False)
