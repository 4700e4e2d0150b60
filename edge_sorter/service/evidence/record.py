"""A record of evidence: the decision, why, when, with which model and plan, what was seen; no code in plain text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edge_sorter.clock import Clock, rfc3339
from edge_sorter.journal import decision_record
from edge_sorter.service.evidence.asked import Asked
from edge_sorter.service.evidence.privacy import Pseudonyms
from edge_sorter.service.evidence.ring import Kept
from edge_sorter.service.status import Decided, LineStatus
from edge_sorter.types import SortDecision


def record_of(
    asked: Asked,
    pictures: Sequence[Kept],
    status: LineStatus,
    clock: Clock,
    pseudonyms: Pseudonyms,
    *,
    line: str,
    blur: str,
) -> dict[str, Any]:
    """Return the record as plain values; what is not known is null.

    Args:
        asked: What it is about.
        pictures: Those of the clip.
        status: Asked what became of the decision, and what is running.
        clock: Translates times to UTC.
        pseudonyms: Give codes other names.
        line: Name of the line.
        blur: How pictures were made unreadable.
    """
    recent = status.snapshot(timings=0)
    info, decision = recent.info, asked.decision
    decided = None if decision is None else _decided(recent.recent, decision)
    return {
        "why": asked.why,
        "at": rfc3339(clock.wall(asked.at_ns)),
        "note": asked.note or None,
        "line": line,
        "boot_id": info and info.boot_id,
        "version": info and info.version,
        "model": asked.model,
        "plan": decision.plan if decision is not None else info and info.plan,
        "result": asked.result or (decided and decided.result.value),
        "lane_act": asked.lane_act,
        "decision": None if decision is None else _decision(decision, pseudonyms),
        "timing_ms": None if decided is None else _timing(decided),
        "blur": blur,
        "pictures": [
            {
                "t_ms": round((kept.captured_ns - asked.at_ns) / 1e6),
                "parcels": [[track, *(round(v, 1) for v in box)] for track, box in kept.parcels],
            }
            for kept in pictures
        ],
    }


def _decided(recent: Sequence[Decided], decision: SortDecision) -> Decided | None:
    key = (decision.parcel_uid, decision.rev)
    return next((d for d in reversed(recent) if (d.decision.parcel_uid, d.decision.rev) == key), None)


def _decision(decision: SortDecision, pseudonyms: Pseudonyms) -> dict[str, Any]:
    record = decision_record(decision)
    return record | {"codes": [[kind, pseudonyms.of(text), frames] for kind, text, frames in record["codes"]]}


def _timing(decided: Decided) -> dict[str, Any]:
    return {
        "latency": round(decided.latency_ms, 1),
        "spare": round(decided.spare_ms, 1),
        "stages": {name: round(ns / 1e6, 2) for name, ns in decided.stage_ns.items()},
    }
