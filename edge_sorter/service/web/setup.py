"""The page's way to set up the camera: propose, see what it would mean, save.

Contract: trying a proposal changes nothing and needs no token; saving needs the right to change and a configuration
file that the page was given. What is saved counts from the next start of the line.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from edge_sorter.belt import load_calibration
from edge_sorter.clock import SystemClock
from edge_sorter.errors import EdgeSorterError
from edge_sorter.service.access import Access
from edge_sorter.service.commission import Proposal, check_proposal, proposal_of, save, speed_of
from edge_sorter.service.status import LineStatus
from edge_sorter.service.web.looks import Looks
from edge_sorter.service.web.scene import Scene
from edge_sorter.types import TrackState

log = logging.getLogger(__name__)

LARGEST_BODY = 16 * 1024


class SetUp:
    """Serves `/api/setup`.

    Args:
        status: Has the newest frame.
        looks: Have the tracks of late, for the belt's speed.
        access: Who may save.
        scene: Returns the line as it is.
        config_path: What may be changed; None: nothing.
    """

    def __init__(
        self,
        status: LineStatus,
        looks: Looks,
        *,
        access: Access,
        scene: Callable[[], Scene | None],
        config_path: Path | None,
    ) -> None:
        self._status, self._looks, self._access = status, looks, access
        self._scene, self._config_path = scene, config_path

    @property
    def routes(self) -> list[BaseRoute]:
        """What is served."""
        return [
            Route("/api/setup", self._now),
            Route("/api/setup/try", self._try, methods=["POST"]),
            Route("/api/setup/save", self._save, methods=["POST"]),
        ]

    async def _now(self, _: Request) -> Response:
        """Tell what is in force."""
        scene = self._scene()
        if scene is None:
            return _refused(503, "the line is still starting")
        file = scene.config.belt.calibration
        try:
            calibration = await run_in_threadpool(load_calibration, file) if file else None
        except EdgeSorterError as error:
            return _refused(409, str(error))
        return JSONResponse(proposal_of(scene.config, size_px=scene.size_px, calibration=calibration))

    async def _try(self, request: Request) -> Response:
        """Tell what a proposal would mean: sizes of what is in view, and the belt's speed."""
        scene = self._scene()
        if scene is None:
            return _refused(503, "the line is still starting")
        proposal = await _proposal(request)
        if isinstance(proposal, Response):
            return proposal
        try:
            check_proposal(proposal, scene.config)
            problem = None
        except EdgeSorterError as error:
            problem = str(error)
        belt_map = proposal.belt_map()
        places = [tuple(looks.places) for looks in self._looks.tracks().values()]
        speed = speed_of(places, belt_map, size_px=proposal.calibration.image_size_px)
        return JSONResponse(
            {"problem": problem, "speed": asdict(speed) if speed else None, "parcels": self._parcels(proposal)}
        )

    async def _save(self, request: Request) -> Response:
        if not self._access.may_change(request):
            without = "service.token_file is not set, so nobody can sign in"
            return _refused(403, "sign in first" if self._access.token else without)
        if self._config_path is None:
            return _refused(409, "this line has no configuration of its own to change; start it with `edge-sorter run`")
        proposal = await _proposal(request)
        if isinstance(proposal, Response):
            return proposal
        clock = SystemClock()
        try:
            saved = await run_in_threadpool(save, self._config_path, proposal, now=clock.wall(clock.now_ns()))
        except EdgeSorterError as error:
            return _refused(422, str(error))
        log.info("page: %s set up anew, the old one is %s", saved.config, saved.backup)
        return JSONResponse(
            {
                "config": str(saved.config),
                "backup": saved.backup.name,
                "calibration": saved.calibration.name,
                "facts": saved.facts,
            }
        )

    def _parcels(self, proposal: Proposal) -> list[dict[str, Any]]:
        seen = self._status.seen()
        tracks = [t for t in seen.step.tracks if t.state is TrackState.CONFIRMED] if seen else []
        if not tracks:
            return []
        boxes = [track.looked_xyxy for track in tracks]
        sizes = proposal.belt_map().size_mm(boxes).tolist()
        return [
            {"id": track.track_id, "box": box, "size_mm": [round(side) for side in size]}
            for track, box, size in zip(tracks, boxes, sizes, strict=True)
        ]


async def _proposal(request: Request) -> Proposal | Response:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > LARGEST_BODY:
            return _refused(413, "a proposal is never that large")
    try:
        return Proposal.model_validate_json(body)
    except ValidationError as error:
        said = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        return _refused(422, said.replace("Value error, ", ""))


def _refused(status: int, message: str) -> JSONResponse:
    return JSONResponse({"error": message}, status)
