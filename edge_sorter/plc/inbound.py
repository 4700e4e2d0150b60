"""What the PLC gateway, the scanner and the host may send us, as types; the JSON Schemas come from them as well.

Incoming: unknown fields are ignored, so that a newer sender of the same major version is read. `schema` may be left
out where a small controller writes the message, because the topic says what it is; a wrong one is refused.
"""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from edge_sorter.events import LaneStatus
from edge_sorter.plc.messages import Count, Message, Name, Payload, Timestamp, UInt32, Word
from edge_sorter.types import CONDITIONS

Millimetres = Annotated[float, Field(ge=0.0, le=100_000.0)]


def _exists(timestamp: str) -> str:
    datetime.strptime(timestamp[:19], "%Y-%m-%dT%H:%M:%S")
    return timestamp


Moment = Annotated[Timestamp, AfterValidator(_exists)]
"""A timestamp that is acted on and therefore must be one that a calendar has."""
Flags = Annotated[
    tuple[Word, ...],
    Field(max_length=16, description=f"the parcel's condition: {', '.join(CONDITIONS)}; others are ignored"),
]
RouteKey = Literal["carrier", "service", "country", "depot", "postcode", "tracking"]
CodeText = Annotated[str, StringConstraints(min_length=1, max_length=512)]


class AckResult(str, Enum):
    """What the PLC side did with a decision."""

    ACCEPTED = "ACCEPTED"
    DUPLICATE = "DUPLICATE"
    LATE = "LATE"
    UNKNOWN_PARCEL = "UNKNOWN_PARCEL"
    LANE_UNAVAILABLE = "LANE_UNAVAILABLE"
    BAD_SCHEMA = "BAD_SCHEMA"
    STALE_BOOT = "STALE_BOOT"
    REJECTED = "REJECTED"


class ConfirmResult(str, Enum):
    """What became of a parcel on the line."""

    VERIFIED = "VERIFIED"
    MISSORT = "MISSORT"
    ABORT_FULL = "ABORT_FULL"
    ABORT_GAP = "ABORT_GAP"
    MISSED = "MISSED"
    LOST = "LOST"
    JAM = "JAM"
    FLUSHED = "FLUSHED"
    RECIRC = "RECIRC"


class AckMessage(Message):
    """The PLC took a decision into its tracking, or says why not. Not yet a parcel in a lane: see confirm."""

    schema_: Literal["edge_sorter.ack/1"] = Field("edge_sorter.ack/1", alias="schema")
    boot_id: Name
    seq: UInt32
    parcel_uid: Name
    rev: UInt32
    result: AckResult
    plc_index: UInt32 | None = None
    enc_cnt: UInt32 | None = None
    ts: Timestamp | None = None


class ConfirmMessage(Message):
    """Where a parcel really went, as the lane's photo-eye saw it."""

    schema_: Literal["edge_sorter.confirm/1"] = Field("edge_sorter.confirm/1", alias="schema")
    parcel_uid: Name
    plc_index: UInt32 | None = None
    lane_cmd: Name | None = None
    lane_act: Name | None = None
    result: ConfirmResult
    enc_cnt: UInt32 | None = None
    ts: Timestamp | None = None


class PlcHeartbeatMessage(Message):
    """The gateway is alive; `peer_n` echoes our newest heartbeat and so proves both directions."""

    schema_: Literal["edge_sorter.plc_hb/1"] = Field("edge_sorter.plc_hb/1", alias="schema")
    n: Count
    peer_n: Count | None = None
    plc_cycle_ms: float | None = None
    mode: Word | None = None
    ts: Timestamp | None = None


class ItemMessage(Message):
    """A parcel passed a photo-eye: the PLC's index for it and the counts of its edges."""

    schema_: Literal["edge_sorter.item/1"] = Field("edge_sorter.item/1", alias="schema")
    plc_index: UInt32
    eye: Name = "PE1"
    edge: Literal["LEAD", "TRAIL"] = "TRAIL"
    lead_cnt: UInt32
    trail_cnt: UInt32 | None = None
    ts: Timestamp | None = None


class EncoderMessage(Message):
    """One sample of the belt's encoder; 20 to 50 a second."""

    schema_: Literal["edge_sorter.enc/1"] = Field("edge_sorter.enc/1", alias="schema")
    ref: Word = "ENC1"
    cnt: UInt32
    mm_per_cnt: Annotated[float, Field(gt=0.0, le=100.0)] | None = None
    v_mm_s: float | None = None
    ts: Timestamp | None = None


class LaneMessage(Message):
    """Retained: what one lane can take."""

    schema_: Literal["edge_sorter.lane/1"] = Field("edge_sorter.lane/1", alias="schema")
    lane: Name
    state: LaneStatus
    fill_pct: Annotated[float, Field(ge=0.0, le=100.0)] | None = None
    ts: Timestamp | None = None


class LineMessage(Message):
    """Retained: PackML state of the line."""

    schema_: Literal["edge_sorter.line/1"] = Field("edge_sorter.line/1", alias="schema")
    packml: Word
    mode: Word = "PRODUCTION"
    v_set_mm_s: Annotated[float, Field(ge=-10_000.0, le=10_000.0)] | None = None
    batch: Name | None = None
    cause: Name | None = None
    ts: Timestamp | None = None


class ScanCode(Payload):
    """One code: the AIM identifier or symbology, the text, and where on the parcel."""

    aim: Name | None = None
    text: CodeText
    x_mm: float | None = None


class ScanMessage(Message):
    """What an external scanner, scale or dimensioner says of one parcel."""

    schema_: Literal["edge_sorter.scan/1"] = Field("edge_sorter.scan/1", alias="schema")
    scanner: Name
    plc_index: UInt32 | None = None
    enc_cnt: UInt32 | None = None
    codes: Annotated[tuple[ScanCode, ...], Field(max_length=32)] = ()
    weight_g: Annotated[float, Field(ge=0.0, le=10_000_000.0)] | None = None
    dim_mm: tuple[Millimetres, Millimetres, Millimetres] | None = None
    flags: Flags = ()
    ts: Timestamp | None = None


class RouteMessage(Message):
    """What the host knows of the parcel with this code; the answer to `route/ask`, or told before it is asked."""

    schema_: Literal["edge_sorter.route/1"] = Field("edge_sorter.route/1", alias="schema")
    code: CodeText
    result: Literal["FOUND", "UNKNOWN"] = Field("FOUND", description="UNKNOWN: the host has no data of it")
    keys: dict[RouteKey, Annotated[str, StringConstraints(min_length=1, max_length=64)]] = Field(
        default_factory=dict, description="route keys for the sort plan"
    )
    flags: Flags = ()
    ts: Timestamp | None = None


class PlanMessage(Message):
    """Retained: a sort plan from the host, whole, with when to use it."""

    schema_: Literal["edge_sorter.plan/1"] = Field("edge_sorter.plan/1", alias="schema")
    id: Name
    rev: Count = 0
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = Field(
        None, description="digest as `edge-sorter plan check --json` tells it; another one is refused"
    )
    activate: Literal["NOW", "NEXT_GAP", "AT"] = "NOW"
    valid_from: Moment | None = None
    plan: dict[str, Any] = Field(description="the plan, with the keys of a sort-plan file")

    @model_validator(mode="after")
    def _says_when(self) -> PlanMessage:
        if self.activate == "AT" and self.valid_from is None:
            raise ValueError("activate AT needs valid_from")
        return self


class CommandMessage(Message):
    """A request; the answer goes to the MQTT 5 response topic, or to `reply_to` for clients of 3.1.1."""

    schema_: Literal["edge_sorter.cmd/1"] = Field("edge_sorter.cmd/1", alias="schema")
    cmd: Literal["pause", "resume", "reload", "snapshot", "selftest", "rebirth", "flush", "ack_alarm", "model", "mark"]
    id: Name | None = Field(None, description="repeated in the answer")
    reply_to: Annotated[str, StringConstraints(pattern=r"^[^+#\x00]{1,256}$")] | None = Field(
        None, description="below this sorter's reply/"
    )
    args: dict[str, Any] = Field(default_factory=dict)


INBOUND: dict[str, type[Message]] = {
    "plc/hb": PlcHeartbeatMessage,
    "plc/item": ItemMessage,
    "plc/enc": EncoderMessage,
    "plc/ack": AckMessage,
    "plc/confirm": ConfirmMessage,
    "plc/lane/+/state": LaneMessage,
    "plc/line/state": LineMessage,
    "scan/read": ScanMessage,
    "wcs/route": RouteMessage,
    "wcs/plan": PlanMessage,
    "cmd": CommandMessage,
}
"""Topic below the prefix, with MQTT's wildcard for the lane, to its model."""

KEPT = frozenset({"plc/lane/+/state", "plc/line/state", "wcs/plan"})
"""Topics on which a retained message is the newest truth; on all others it is an old one and refused."""
