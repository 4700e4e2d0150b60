"""The line's state as the page shows it twice a second: one JSON text for all viewers."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from typing import Any

from edge_sorter.service.status import LineSnapshot
from edge_sorter.service.web.conditions import HANGS_MS, conditions
from edge_sorter.service.web.looks import Witness
from edge_sorter.service.web.picture import Quality

RECENT_S = 60.0


def report(seen: LineSnapshot, *, witness: Witness, quality: Quality | None) -> str:
    """Return the text of a status message."""
    status = _status(seen, quality) | {"told": _told(seen, witness)}
    return json.dumps({"type": "status", **status}, separators=(",", ":"), allow_nan=False)


def _told(seen: LineSnapshot, witness: Witness) -> dict[str, Any]:
    """Return what the PLC said of its lanes and of the line, and how long ago."""

    def ago_ms(at_ns: int) -> int:
        return round((seen.now_ns - at_ns) / 1e6)

    lanes = {
        lane: {"status": said.status.value, "fill": said.fill_percent, "ago_ms": ago_ms(said.at_ns)}
        for lane, said in list(witness.lanes.items())
    }
    line = witness.line
    return {"lanes": lanes, "line": line and {"packml": line.packml, "mode": line.mode, "ago_ms": ago_ms(line.at_ns)}}


def _status(seen: LineSnapshot, quality: Quality | None) -> dict[str, Any]:
    lanes: dict[str, Counter[str]] = {}
    for (lane, _, reason), count in seen.decided.items():
        lanes.setdefault(lane, Counter())[reason] += count
    latest = [d for d in seen.recent if (seen.now - d.published_at).total_seconds() <= RECENT_S]
    latencies = sorted(timed.latency_ns / 1e6 for timed in seen.timings)
    return {
        "now_ms": round(seen.now.timestamp() * 1000),
        "state": seen.state.value,
        "cause": seen.cause,
        "since_ms": round(seen.since.timestamp() * 1000),
        "hangs": seen.stalled_ms > HANGS_MS,
        "blind_for": seen.blind_for,
        "info": seen.info.model_dump(mode="json", exclude={"schema_"}) if seen.info else None,
        "frames": seen.frames,
        "fps": seen.fps,
        "frame_age_ms": _rounded(seen.frame_age_ms),
        "tracks": seen.tracks,
        "dropped": seen.peers.camera_drops,
        "camera_reconnects": seen.peers.camera_reconnects,
        "broker": {
            "connected": seen.peers.broker_connected,
            "reconnects": seen.peers.broker_reconnects,
            "acked": seen.peers.acked,
        },
        "lanes": {lane: {"count": sum(reasons.values()), "reasons": reasons} for lane, reasons in lanes.items()},
        "decided": sum(seen.published.values()),
        "published": seen.published,
        "last_minute": len(latest),
        "latency_ms": {
            "p50": _rounded(_share(latencies, 0.5)),
            "p99": _rounded(_share(latencies, 0.99)),
            "max": _rounded(latencies[-1] if latencies else None),
        },
        "stages_ms": _stages(seen),
        "quality": asdict(quality) if quality else None,
        "conditions": [asdict(condition) for condition in conditions(seen)],
    }


def _stages(seen: LineSnapshot) -> dict[str, float]:
    """Return what each stage took on average over the newest frames."""
    if not seen.timings:
        return {}
    total: Counter[str] = Counter()
    for timed in seen.timings:
        total.update(timed.stage_ns)
    return {stage: round(ns / len(seen.timings) / 1e6, 2) for stage, ns in total.items()}


def _share(ordered: list[float], share: float) -> float | None:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
