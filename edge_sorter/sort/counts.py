"""What became of the parcels, in numbers: written by router and dispatch, read by report, metrics and page."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class RouterCounts:
    """What became of the parcels, beyond the decisions themselves."""

    decided: int = 0
    late: int = 0
    unseen: int = 0
    split_suppressed: int = 0
    unconfirmed: int = 0
    joined: int = 0
    revised: int = 0
    by_reason: dict[str, int] = field(default_factory=dict)
