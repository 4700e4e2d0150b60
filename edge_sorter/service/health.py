"""`/metrics`, `/healthz` and `/readyz`: what monitoring asks a line.

Contract: `/healthz` is 200 while the main loop comes round (503: restarting would help), `/readyz` is 200 while parcels
are decided and the PLC hears of it (503: the body says what is missing). Both answer JSON, both cost one snapshot.
"""

from __future__ import annotations

from prometheus_client.exposition import choose_encoder
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from edge_sorter.plc.messages import AppState
from edge_sorter.service.metrics import registry
from edge_sorter.service.status import LineSnapshot, LineStatus

HUNG_MS = 2_500
"""Half of the systemd unit's WatchdogSec, so that monitoring sees a hang before systemd ends it."""


def routes(status: LineStatus) -> list[BaseRoute]:
    """Return the three routes."""
    figures = registry(status)

    def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(figures), headers={"content-type": content_type})

    async def healthz(_: Request) -> Response:
        return _verdict(not_live(status.snapshot(decisions=0, timings=0)))

    async def readyz(_: Request) -> Response:
        return _verdict(not_ready(status.snapshot(decisions=0, timings=0)))

    return [Route("/metrics", metrics), Route("/healthz", healthz), Route("/readyz", readyz)]


def not_live(seen: LineSnapshot) -> list[str]:
    """Return why the process should be restarted; empty while it is fine or still starting."""
    if seen.state is not AppState.STARTING and seen.stalled_ms > HUNG_MS:
        return [f"the main loop has not come round for {seen.stalled_ms / 1000:.1f} s"]
    return []


def not_ready(seen: LineSnapshot) -> list[str]:
    """Return what keeps parcels from being decided and told; empty when they are."""
    missing = not_live(seen)
    if seen.state not in (AppState.RUNNING, AppState.DEGRADED):
        missing.append(f"state {seen.state.value}: {seen.cause}")
    if seen.blind_for is not None:
        missing.append(f"no usable picture: {seen.blind_for}")
    if not seen.peers.broker_connected:
        missing.append("the broker is not connected")
    return missing


def _verdict(missing: list[str]) -> JSONResponse:
    return JSONResponse({"ok": not missing, "missing": missing}, status_code=503 if missing else 200)
