"""The finished story of a parcel as the record that analytics and the host get; a pure function.

Whatever was not sent in time appears here as EXCEPTION with its reason, never as the divert it might have been.
"""

from __future__ import annotations

from collections.abc import Sequence

from edge_sorter.clock import Clock, rfc3339
from edge_sorter.events import DecidedBefore
from edge_sorter.plc.book import Outcome, Story
from edge_sorter.plc.encode import whole_message
from edge_sorter.plc.messages import DecisionMessage, ParcelMessage
from edge_sorter.types import Action, Reason

MAX_RECORD_BYTES = 3500
_NOT_SENT_REASON = {
    Outcome.LATE: Reason.LATE.value,
    Outcome.NOT_SENT: Reason.DEGRADED_MODE.value,
    Outcome.WITHHELD: Reason.DEGRADED_MODE.value,
}


def parcel_message(story: Story, *, clock: Clock, boot_id: str, model: str | None, replay: bool) -> ParcelMessage:
    """Build the record of one parcel.

    Args:
        story: What happened to it; one that is not over counts as UNFINISHED.
        clock: Translates times on the axis of `captured_ns` to UTC; its present is not asked.
        boot_id: Id of this run.
        model: "<name>#<hash>" of the detector.
        replay: Whether recorded video drives this run.
    """
    decision = story.decision
    ended = story.outcome or Outcome.UNFINISHED
    was_sent = story.sent_ns is not None
    known = whole_message(
        decision,
        clock=clock,
        published_ns=decision.captured_ns,
        boot_id=boot_id,
        model=model,
        replay=replay,
        seq=decision.seq,
    )

    def wall(at_ns: int | None) -> str | None:
        return None if at_ns is None else rfc3339(clock.wall(at_ns))

    message = ParcelMessage(
        boot_id=boot_id,
        parcel_uid=known.parcel_uid,
        rev=known.rev,
        plc_index=known.plc_index,
        outcome=ended.value,
        lane=known.lane,
        lane_act=story.lane_act,
        action=known.action if was_sent else Action.EXCEPTION,
        reason=known.reason if was_sent else _NOT_SENT_REASON.get(ended, known.reason),
        rule=known.rule,
        plan=known.plan,
        cls=known.cls,
        dim_mm=known.dim_mm,
        weight_g=decision.weight_g,
        codes=known.codes,
        flags=known.flags,
        pos=known.pos,
        t_capture=known.t_capture,
        t_publish=wall(story.sent_ns),
        t_ack=wall(story.ack_ns),
        t_confirm=wall(story.confirm_ns),
        ack=None if story.ack is None else story.ack.value,
        model=known.model,
        replay=replay,
    )
    return _fit(message)


def unfinished_record(payload: bytes) -> bytes:
    """Return the record of a parcel whose decision went out and whose story nobody saw to its end.

    Args:
        payload: The decision message, as an earlier run wrote it down before it sent it.
    """
    sent = DecisionMessage.model_validate_json(payload)
    shared = {name: getattr(sent, name) for name in ParcelMessage.model_fields if name in DecisionMessage.model_fields}
    del shared["schema_"]
    return ParcelMessage(outcome=Outcome.UNFINISHED.value, **shared).to_json()


def decided_before(records: Sequence[bytes], *, at_ns: int) -> DecidedBefore | None:
    """Return what earlier runs decided, or None where no record of theirs is left to say, or one cannot be read.

    Args:
        records: Their newest records.
        at_ns: Time of this start.
    """
    try:
        parcels = [ParcelMessage.model_validate_json(record) for record in records]
    except ValueError:
        return None
    if not parcels:
        return None
    indices = {parcel.plc_index for parcel in parcels if parcel.plc_index is not None}
    codes = {code.text for parcel in parcels for code in parcel.codes}
    return DecidedBefore(at_ns, tuple(sorted(indices)), tuple(sorted(codes)))


def _fit(message: ParcelMessage) -> ParcelMessage:
    """Leave out codes, the last first, until the record fits its slot in the outbox."""
    while len(message.to_json()) > MAX_RECORD_BYTES and message.codes:
        message = message.model_copy(update={"codes": message.codes[:-1]})
    return message
