"""A `SortDecision` becomes the message that carries it; a pure function of what it is given.

`decision_message` never fails for a decision that exists: values that cannot be written (not finite) are left out,
and what makes the payload too large is dropped from its end, evidence first, the order to the PLC never.
"""

from __future__ import annotations

import math
import re

from edge_sorter.clock import Clock, rfc3339
from edge_sorter.plc.messages import (
    ClassItem,
    CodeItem,
    Deadline,
    DecisionMessage,
    Dimensions,
    Position,
)
from edge_sorter.types import BeltPosition, SortDecision

MAX_PAYLOAD_BYTES = 1024
"""What a gateway may count on; PLC-side JSON parsers have fixed buffers."""

_NO_WORD = re.compile(r"[^A-Z0-9_]")


def decision_message(
    decision: SortDecision,
    *,
    clock: Clock,
    published_ns: int,
    boot_id: str,
    model: str | None,
    replay: bool,
    seq: int | None = None,
) -> DecisionMessage:
    """Build the message of one decision, small enough for a PLC.

    Args:
        decision: What was decided.
        clock: Translates times on the axis of `captured_ns` to UTC, and tells whether these can be trusted.
        published_ns: When the message is handed to the broker, same axis.
        boot_id: Id of this run.
        model: "<name>#<hash>" of the detector.
        replay: Whether recorded video drives this run; a live gateway must refuse such a message.
        seq: Number of the message among those sent; None takes the decision's own, which also counts unsent ones.
    """
    seq = decision.seq if seq is None else seq
    return _fit(
        whole_message(
            decision, clock=clock, published_ns=published_ns, boot_id=boot_id, model=model, replay=replay, seq=seq
        )
    )


def whole_message(
    decision: SortDecision,
    *,
    clock: Clock,
    published_ns: int,
    boot_id: str,
    model: str | None,
    replay: bool,
    seq: int,
) -> DecisionMessage:
    """Build the message of one decision with everything known of the parcel, whatever its size."""
    confidence = _share(decision.confidence)
    return DecisionMessage(
        boot_id=boot_id,
        seq=seq & 0xFFFFFFFF,
        parcel_uid=decision.parcel_uid,
        rev=decision.rev,
        plc_index=decision.plc_index,
        recirc=decision.rounds,
        lane=decision.lane,
        alt=decision.alternates,
        action=decision.action,
        reason=decision.reason.value,
        rule=decision.rule or None,
        plan=decision.plan or None,
        pos=_position(decision.position),
        dim_mm=_dimensions(decision),
        codes=tuple(CodeItem(sym=code.symbology, text=code.text, n=code.frames) for code in decision.codes),
        cls=ClassItem(name=decision.class_name, conf=confidence) if decision.class_name else None,
        flags=tuple(_word(flag) for flag in decision.flags),
        conf=confidence,
        t_capture=rfc3339(clock.wall(decision.captured_ns)),
        t_publish=rfc3339(clock.wall(published_ns)),
        mono_ns=decision.captured_ns,
        clock="REPLAY" if replay else "SYSTEM" if clock.trusted() else "BAD",
        deadline=Deadline(enc_cnt=decision.deadline_count, ts=rfc3339(clock.wall(decision.deadline_ns))),
        valid_ms=max(0, decision.deadline_ns - published_ns) // 1_000_000,
        model=model or None,
        replay=replay,
    )


def _fit(message: DecisionMessage) -> DecisionMessage:
    """Drop evidence until the payload fits: whole codes (a shortened text would be another code), flags, the rest."""
    left_out = 0
    while len(message.to_json()) > MAX_PAYLOAD_BYTES:
        if message.codes:
            left_out += 1
            message = message.model_copy(update={"codes": message.codes[:-1], "codes_left_out": left_out})
        elif message.flags:
            message = message.model_copy(update={"flags": message.flags[:-1]})
        elif message.model or message.rule:
            message = message.model_copy(update={"model": None, "rule": None})
        elif message.alt:
            message = message.model_copy(update={"alt": message.alt[:-1]})
        elif message.cls or message.plan:
            message = message.model_copy(update={"cls": None, "plan": None})
        else:
            break
    return message


def _dimensions(decision: SortDecision) -> Dimensions | None:
    if decision.size_mm is None and decision.height_mm is None:
        return None
    length_mm, width_mm = decision.size_mm or (None, None)
    return Dimensions(l=_mm(length_mm), w=_mm(width_mm), h=_mm(decision.height_mm))


def _position(position: BeltPosition) -> Position:
    x_px, y_px = position.center_px
    center_known = math.isfinite(x_px) and math.isfinite(y_px)
    return Position(
        ref=_word(position.ref),
        lead_cnt=position.lead_count,
        trail_cnt=position.trail_count,
        lead_mm=_mm(position.lead_mm),
        trail_mm=_mm(position.trail_mm),
        lat_mm=_mm(position.lateral_mm),
        center_px=(round(x_px, 1), round(y_px, 1)) if center_known else None,
    )


def _mm(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(float(value), 1)


def _share(value: float) -> float:
    return round(min(max(float(value), 0.0), 1.0), 3) if math.isfinite(value) else 0.0


def _word(text: str) -> str:
    word = _NO_WORD.sub("_", text.upper())[:64]
    return word if word[:1].isalpha() else f"X{word}"[:64]
