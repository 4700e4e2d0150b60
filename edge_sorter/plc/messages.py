"""What goes over the wire, as types: every MQTT payload is one of these models, and the JSON Schemas come from them.

Equal input gives equal bytes (field order is fixed, times are handed in), unknown values are left out, and a decision
fits 1 KiB. Here is what we send; `plc.inbound` has what we take, `plc.schemas` writes the JSON Schemas of both.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from edge_sorter.types import Action

MAJOR = 1

Name = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Word = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]{0,63}$")]
"""A code such as PLAN_MATCH: new ones may come within a major version, so the set is open."""
Timestamp = Annotated[str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$")]
"""RFC 3339, UTC, with microseconds when we write it."""
UInt32 = Annotated[int, Field(ge=0, le=0xFFFFFFFF)]
Int64 = Annotated[int, Field(ge=-(2**63), lt=2**63)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Count = Annotated[int, Field(ge=0, lt=2**63)]


class AppState(str, Enum):
    """What this program can do right now; the PLC sorts only while it reads RUNNING or DEGRADED."""

    STARTING = "STARTING"
    READY = "READY"
    RUNNING = "RUNNING"
    DEGRADED = "DEGRADED"
    HOLD = "HOLD"
    OFFLINE = "OFFLINE"


class Payload(BaseModel):
    """Base of everything on the wire."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", allow_inf_nan=False, populate_by_name=True, serialize_by_alias=True
    )


class Message(Payload):
    """Base of a whole payload. `to_json` is the only way one becomes bytes."""

    def to_json(self) -> bytes:
        """Return compact UTF-8 JSON; a value that is not known is left out rather than null."""
        return self.model_dump_json(by_alias=True, exclude_none=True).encode()


class Position(Payload):
    """Where the parcel was at the decision line.

    `ref` says what `*_mm` is counted by: "ENC1" an encoder, "SPEED" belt speed times time, "TIME" nothing but the
    clock. Counts appear only with an encoder.
    """

    ref: Word
    lead_cnt: Int64 | None = None
    trail_cnt: Int64 | None = None
    lead_mm: float | None = None
    trail_mm: float | None = None
    lat_mm: float | None = None
    tol_mm: float | None = None
    center_px: tuple[float, float] | None = None


class Dimensions(Payload):
    """Size in millimetres: l along travel, w across, h high."""

    l: float | None = None  # noqa: E741  the name on the wire
    w: float | None = None
    h: float | None = None


class CodeItem(Payload):
    """One barcode: symbology, text, and n frames that agreed on it."""

    sym: Name
    text: Annotated[str, StringConstraints(max_length=8192)]
    src: Name | None = None
    n: Count = 1
    ok: bool = True


class ClassItem(Payload):
    """What kind of parcel it is, and how sure that is."""

    name: Name
    conf: Share


class Deadline(Payload):
    """After this moment (or encoder count) the decision must not be acted on."""

    enc_cnt: Int64 | None = None
    ts: Timestamp


class DecisionMessage(Message):
    """Where one parcel goes. Key of idempotency: (boot_id, parcel_uid, rev)."""

    schema_: Literal["edge_sorter.decision/1"] = Field("edge_sorter.decision/1", alias="schema")
    boot_id: Name
    seq: UInt32
    parcel_uid: Name
    rev: UInt32
    plc_index: UInt32 | None = None
    lane: Name
    alt: tuple[Name, ...] = ()
    action: Action
    reason: Word
    rule: Name | None = None
    plan: Name | None = None
    recirc: Count = 0
    pos: Position
    dim_mm: Dimensions | None = None
    codes: tuple[CodeItem, ...] = ()
    codes_left_out: Count | None = Field(None, description="codes read but not listed, to keep the payload small")
    cls: ClassItem | None = None
    flags: tuple[Word, ...] = ()
    conf: Share | None = None
    t_capture: Timestamp
    t_publish: Timestamp | None = None
    mono_ns: Int64 | None = Field(None, description="capture time on the sender's own clock")
    clock: Word | None = Field(
        None, description="what the wall times come from: SYSTEM, REPLAY, or BAD when it was set"
    )
    deadline: Deadline
    valid_ms: Count | None = Field(None, description="time from t_publish to the deadline")
    model: Name | None = None
    replay: bool


class StateMessage(Message):
    """Retained: what this program can do, since when and why. Also the last will, then as OFFLINE."""

    schema_: Literal["edge_sorter.state/1"] = Field("edge_sorter.state/1", alias="schema")
    boot_id: Name
    state: AppState
    cause: Name | None = None
    ts: Timestamp
    reconnects: Count = Field(0, description="how often this run lost the broker and came back")
    replay: bool = False


class Ages(Payload):
    """Age of the newest of each, in milliseconds."""

    frame: float | None = None
    infer: float | None = None
    plc_hb: float | None = None


class HeartbeatMessage(Message):
    """Proof that the decision loop turns; its absence for half a second means the opposite."""

    schema_: Literal["edge_sorter.hb/1"] = Field("edge_sorter.hb/1", alias="schema")
    boot_id: Name
    n: Count
    ts: Timestamp
    state: AppState
    fps: float | None = None
    age_ms: Ages | None = None
    queue: Count = Field(0, description="messages sent but not yet acknowledged by the broker")
    lat_p99_ms: float | None = None
    temp_c: float | None = None
    peer_n: Count | None = Field(None, description="last counter seen in the gateway's heartbeat")
    mono_ns: Int64 | None = Field(None, description="the moment of `ts` on the sender's own clock, as in decisions")


class InfoMessage(Message):
    """Retained: exactly what is running, for the person who asks later."""

    schema_: Literal["edge_sorter.info/1"] = Field("edge_sorter.info/1", alias="schema")
    boot_id: Name
    ts: Timestamp
    version: Name
    source: Name | None = None
    model: Name | None = None
    engine: Name | None = None
    plan: Name | None = None
    calibration: Name | None = None
    config_sha256: Name | None = None
    lanes: tuple[Name, ...] = ()
    replay: bool = False


class Percentiles(Payload):
    """Percentiles of a time in milliseconds."""

    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


class KpiMessage(Message):
    """Retained: counters of this run, every ten seconds or so."""

    schema_: Literal["edge_sorter.kpi/1"] = Field("edge_sorter.kpi/1", alias="schema")
    boot_id: Name
    ts: Timestamp
    frames: Count = 0
    parcels: Count = 0
    decisions: Count = 0
    per_minute: Count = Field(0, description="decisions sent in the newest minute")
    by_lane: dict[Name, Count] = {}
    by_reason: dict[Name, Count] = {}
    late: Count = 0
    dropped: dict[Name, Count] = {}
    outcomes: dict[Name, Count] = Field({}, description="how the stories of parcels ended")
    answers: dict[Name, Count] = Field({}, description="acknowledgements and confirmations of the PLC, by result")
    rejected: dict[Name, Count] = Field({}, description="incoming messages refused or dropped, by code")
    latency_ms: Percentiles | None = Field(None, description="capture to publish")
    ack_ms: Percentiles | None = Field(None, description="publish to the broker's acknowledgement")
    plc_ack_ms: Percentiles | None = Field(None, description="publish to the PLC's acknowledgement")
    replay: bool = False


class AlarmMessage(Message):
    """Retained, one topic per code: something a person should know, as ISA-18.2 counts alarms.

    `severity` 1 is the most urgent; CLEARED stays retained so that a late subscriber sees that it is over.
    """

    schema_: Literal["edge_sorter.alarm/1"] = Field("edge_sorter.alarm/1", alias="schema")
    boot_id: Name
    code: Word
    severity: Annotated[int, Field(ge=1, le=4)]
    state: Literal["ACTIVE", "ACKED", "CLEARED"]
    since: Timestamp
    ts: Timestamp
    count: Count = 1
    text: Name
    advice: Name | None = None
    replay: bool = False


class ParcelMessage(Message):
    """Everything known of one parcel once its story is over; for analytics and the host, never for control."""

    schema_: Literal["edge_sorter.parcel/1"] = Field("edge_sorter.parcel/1", alias="schema")
    boot_id: Name
    parcel_uid: Name
    rev: UInt32
    plc_index: UInt32 | None = None
    outcome: Word = Field(description="VERIFIED, MISSORT, UNVERIFIED, NO_ACK, LATE, NOT_SENT, ... the final state")
    lane: Name
    lane_act: Name | None = None
    action: Action
    reason: Word
    rule: Name | None = None
    plan: Name | None = None
    cls: ClassItem | None = None
    dim_mm: Dimensions | None = None
    weight_g: float | None = None
    codes: tuple[CodeItem, ...] = ()
    flags: tuple[Word, ...] = ()
    pos: Position | None = None
    t_capture: Timestamp
    t_publish: Timestamp | None = None
    t_ack: Timestamp | None = None
    t_confirm: Timestamp | None = None
    ack: Word | None = None
    model: Name | None = None
    replay: bool = False


class PlanStatusMessage(Message):
    """Retained: what became of the newest sort plan that was offered, and which plan sorts now."""

    schema_: Literal["edge_sorter.plan_status/1"] = Field("edge_sorter.plan_status/1", alias="schema")
    boot_id: Name
    ts: Timestamp
    active: Name = Field(description="<plan id>#<hash> of the plan that decides")
    offered: Name | None = None
    result: Literal["ACTIVE", "WAITING", "REJECTED"]
    errors: tuple[Annotated[str, StringConstraints(max_length=300)], ...] = ()
    replay: bool = False


class RouteAskMessage(Message):
    """A code was read on a parcel: the host is asked what it knows of it; answers go to `wcs/route`."""

    schema_: Literal["edge_sorter.route_ask/1"] = Field("edge_sorter.route_ask/1", alias="schema")
    boot_id: Name
    code: Annotated[str, StringConstraints(max_length=8192)]
    sym: Name
    ts: Timestamp
    replay: bool = False


class ReplyMessage(Message):
    """Answer to a command."""

    schema_: Literal["edge_sorter.reply/1"] = Field("edge_sorter.reply/1", alias="schema")
    boot_id: Name
    cmd: Name
    id: Name | None = None
    ok: bool
    text: Annotated[str, StringConstraints(max_length=1000)] = ""
    ts: Timestamp


MESSAGES: dict[str, type[Message]] = {
    "decision": DecisionMessage,
    "state": StateMessage,
    "hb": HeartbeatMessage,
    "info": InfoMessage,
    "kpi": KpiMessage,
    "alarm": AlarmMessage,
    "parcel": ParcelMessage,
    "plan_status": PlanStatusMessage,
    "reply": ReplyMessage,
    "route_ask": RouteAskMessage,
}
"""Message name (the word in the schema field) to its model."""

TOPIC_OF = {"alarm": "alarm/+", "plan_status": "plan/status", "route_ask": "route/ask"}
"""Topic below the prefix where that is not the message's name; a reply goes where the command says."""
