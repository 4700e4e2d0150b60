"""One decision with its whole why, as the page shows it.

Contract: a card is plain JSON made of the decision itself, the looks that led to it and the plan that was in force;
what is not known is null, never a guess. Cards of the history lack what only the running program knew.
"""

from __future__ import annotations

from typing import Any

from edge_sorter.journal import decision_record
from edge_sorter.service.status import Decided
from edge_sorter.service.web.looks import TrackLooks
from edge_sorter.service.web.scene import Scene
from edge_sorter.sort import SortPlan
from edge_sorter.types import Code, Parcel, SortDecision, Track, TrackState


def card_of(decided: Decided, *, looks: TrackLooks | None, scene: Scene, picture: bool) -> dict[str, Any]:
    """Return the card of a decision just made."""
    decision = decided.decision
    return decision_record(decision) | {
        "at": decided.published_at.isoformat(),
        "result": decided.result.value,
        "picture": picture,
        "looks": _looks(looks, scene.classes),
        "rules": explained(decision, scene.plan),
        "timing": timing(decided),
    }


def card_of_record(record: dict[str, Any]) -> dict[str, Any]:
    """Return the card of a decision read from a journal."""
    return record | {"at": None, "result": None, "picture": False, "looks": [], "rules": [], "timing": None}


def timing(decided: Decided) -> dict[str, Any]:
    """Return the way of a decision in milliseconds after its parcel crossed the line."""
    decision = decided.decision
    stages = {name: round(ns / 1e6, 2) for name, ns in decided.stage_ns.items()}

    def after(at_ns: int) -> float:
        return round((at_ns - decision.crossed_ns) / 1e6, 1)

    return {
        "captured_ms": after(decision.captured_ns),
        "published_ms": after(decided.published_ns),
        "deadline_ms": after(decision.deadline_ns),
        "latency_ms": round(decided.latency_ms, 1),
        "spare_ms": round(decided.spare_ms, 1),
        "stages_ms": stages,
    }


def explained(decision: SortDecision, plan: SortPlan) -> list[dict[str, Any]]:
    """Return what every rule of the plan says about the parcel; nothing when another plan decided."""
    if decision.plan != plan.name:
        return []
    parcel = Parcel(
        _any_track(decision),
        decision.class_name,
        decision.confidence,
        decision.size_mm,
        tuple(Code(code.symbology, code.text, code.frames) for code in decision.codes),
        decision.flags,
    )
    return [{"id": row.rule, "matched": row.matched, "why": row.why} for row in plan.explain(parcel)]


def _looks(looks: TrackLooks | None, classes: tuple[str, ...]) -> list[dict[str, Any]]:
    if looks is None:
        return []
    return [
        {
            "class": classes[class_id] if 0 <= class_id < len(classes) else f"class_{class_id}",
            "frames": frames,
            "conf": round(total / frames, 3),
        }
        for class_id, (frames, total) in sorted(looks.by_class.items(), key=lambda item: -item[1][1])
    ]


def _any_track(decision: SortDecision) -> Track:
    """Return a stand-in: rules ask for evidence, not for the track it came from."""
    at_ns = decision.captured_ns
    state = TrackState.CONFIRMED
    return Track(decision.track_id, state, at_ns, (0, 0, 1, 1), (0, 0), True, 0.0, 0, 1, at_ns, at_ns)
