"""A decision of usual size and content, for tests and measurements of what carries it to the PLC."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from edge_sorter.types import Action, BeltPosition, Code, Reason, SortDecision

BOOT_ID = "01JD5Z8Q3M"


def made_decision(seq: int, *, now_ns: int, left_s: float, **changes: Any) -> SortDecision:
    """Return decision number `seq` of BOOT_ID, captured 20 ms ago, with `left_s` to its deadline."""
    decision = SortDecision(
        parcel_uid=f"{BOOT_ID}-{seq:07d}",
        seq=seq,
        rev=0,
        lane="L12",
        alternates=("L13", "OVF"),
        action=Action.DIVERT,
        reason=Reason.PLAN_MATCH,
        rule="pc-DE-70-72",
        plan="hub#a91f",
        track_id=seq,
        class_name="carton",
        confidence=0.97,
        size_mm=(418.04, 300.0),
        codes=(Code("Code128", "00340123450000000017", 5),),
        flags=(),
        position=BeltPosition("SPEED", 9182.31, 9600.5, -42.0, (640.0, 360.25)),
        crossed_ns=now_ns - 30_000_000,
        captured_ns=now_ns - 20_000_000,
        deadline_ns=now_ns + round(left_s * 1e9),
    )
    return replace(decision, **changes)
