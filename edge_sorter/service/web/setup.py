"""The page's way to set up the camera: propose, see what it would mean, save.

Contract: trying a proposal changes nothing and needs no token; saving needs the right to change and a configuration
file that the page was given. What is saved counts from the next start of the line.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from edge_sorter.belt import BeltMap, load_calibration
from edge_sorter.clock import SystemClock
from edge_sorter.errors import EdgeSorterError
from edge_sorter.service.access import Access
from edge_sorter.service.commission import Proposal, check_proposal, proposal_of, save, speed_of
from edge_sorter.service.web.looks import Looks
from edge_sorter.service.web.scene import Scene

log = logging.getLogger(__name__)

LARGEST_BODY = 16 * 1024


class SetUp:
    """Serves `/api/setup`.

    Args:
        looks: Have the tracks of late, for the belt's speed.
        access: Who may save.
        scene: Returns the line as it is.
        config_path: What may be changed; None: nothing.
    """

    def __init__(
        self,
        looks: Looks,
        *,
        access: Access,
        scene: Callable[[], Scene | None],
        config_path: Path | None,
    ) -> None:
        self._looks, self._access = looks, access
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
        """Tell what a proposal would mean: the belt's speed, and size and place of the box that `?box=` names."""
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
        measured = _measured(request.query_params.get("box", ""), belt_map)
        return JSONResponse(
            {"problem": problem, "speed": asdict(speed) if speed else None, "measured": measured},
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


def _measured(text: str, belt_map: BeltMap) -> dict[str, list[float]] | None:
    """Return length and width, and the belt point under the middle, of a box "x1,y1,x2,y2"; None where there is none.

    The page names the box, because it is the one of the picture that is looked at, which may be held still.
    """
    try:
        x1, y1, x2, y2 = (float(part) for part in text.split(","))
    except ValueError:
        return None
    box = (x1, y1, x2, y2)
    if not (all(map(math.isfinite, box)) and x1 < x2 and y1 < y2):
        return None
    size, place = belt_map.size_mm([box])[0], belt_map.centre_mm([box])[0]
    if not (np.isfinite(size).all() and np.isfinite(place).all()):
        return None
    return {"size_mm": [round(float(side)) for side in size], "at_mm": [round(float(v)) for v in place]}


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
