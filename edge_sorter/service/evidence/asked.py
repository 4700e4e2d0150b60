"""What is worth keeping: decisions that went wrong or could not be made, and what a person marks.

Contract: pure; `why` says under which word of `evidence.on` a decision is kept, or that it is not.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

from edge_sorter.plc.publisher import PublishResult
from edge_sorter.types import Reason, SortDecision

NO_READ = frozenset({Reason.NO_READ, Reason.MULTI_LABEL_CONFLICT, Reason.CHECK_FAIL})
LOW_CONF = frozenset({Reason.LOW_CONF, Reason.TRACK_LOST})
UNSENT = frozenset({PublishResult.LATE, PublishResult.DROPPED_OFFLINE, PublishResult.DROPPED_STALLED})


@dataclass(frozen=True, slots=True)
class Asked:
    """Something to keep.

    Attributes:
        why: "no_read", "low_conf", "late", "missort" or "mark".
        at_ns: The moment it is about, on the axis of `captured_ns`.
        decision: The parcel's, or None: a moment of the line.
        result: What became of the decision.
        lane_act: Where the parcel really went, where somebody saw it.
        note: A person's words.
        model: What saw the parcel, "<name>#<hash>".
    """

    why: str
    at_ns: int
    decision: SortDecision | None = None
    result: str | None = None
    lane_act: str | None = None
    note: str = ""
    model: str | None = None


def why(decision: SortDecision, result: PublishResult, *, on: Container[str]) -> str | None:
    """Return the first word of those in `on` under which a decision is an exception, or None."""
    words = {
        "no_read": decision.reason in NO_READ,
        "low_conf": decision.reason in LOW_CONF,
        "late": decision.reason is Reason.LATE or result in UNSENT,
    }
    return next((word for word, true in words.items() if true and word in on), None)
