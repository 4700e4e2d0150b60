"""What the PLC knows of one piece of covered belt, from the photo-eye to a lane, and what its lane proves about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from edge_sorter.plc.inbound import ConfirmResult
from edge_sorter.plc.messages import DecisionMessage


class Way(str, Enum):
    """How far an item is."""

    OPEN = "OPEN"
    DIVERTING = "DIVERTING"
    STRAIGHT = "STRAIGHT"


@dataclass(slots=True)
class Item:
    """What the eye saw in one piece, as the PLC follows it.

    Attributes:
        plc_index: The PLC's number of it.
        lead_count, trail_count: Counts at its edges, unwrapped; the rear is None until it has passed the eye.
        decision: The newest accepted decision.
        way: Whether it goes, or went, into its lane.
        trouble: Why it did not.
        uids: Everybody who was accepted, or would have been, for this item.
        late: A decision for it came too late, and there was none before.
        held: The sorter fell silent before it was carried out.
        arrived: Some lane's eye saw what lay in it.
        jammed: No lane's eye saw it when one must have: it is told as a jam, and what comes later is nobody's.
    """

    plc_index: int
    stretch: int
    lead_count: int
    trail_count: int | None = None
    decision: DecisionMessage | None = None
    way: Way = Way.OPEN
    trouble: ConfirmResult | None = None
    uids: list[str] = field(default_factory=list)
    late: bool = False
    held: bool = False
    arrived: bool = False
    jammed: bool = False

    @property
    def middle(self) -> float:
        """Count at which its middle passed the eye, as far as that is known."""
        return (self.lead_count + (self.lead_count if self.trail_count is None else self.trail_count)) / 2.0

    def confirms(self, lane: str, *, recirculates: bool) -> ConfirmResult:
        """Return what to confirm once it arrived in a lane; a PLC infers this, the twin knows.

        Args:
            lane: Where it arrived.
            recirculates: Whether things that arrive there come round again.
        """
        if self.jammed:
            return ConfirmResult.JAM
        if self.trouble is not None or self.held:
            return self.trouble or ConfirmResult.FLUSHED
        if self.decision is not None and lane == self.decision.lane:
            return ConfirmResult.RECIRC if recirculates else ConfirmResult.VERIFIED
        return ConfirmResult.MISSED if self.way is Way.DIVERTING else ConfirmResult.MISSORT
