"""The whole contract with the PLC side as one table: every topic, who writes it, how it is delivered, and one example.

The AsyncAPI document and docs/messages.md are written from here and from the message types, so that neither can say
something that the program does not do.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from edge_sorter.plc.inbound import INBOUND
from edge_sorter.plc.messages import MESSAGES, Message


class Channel(NamedTuple):
    """One topic.

    Attributes:
        below: Its name below the prefix; "+" or a word in braces stands for one level.
        message: Word in the schema field of its payload.
        writer: "sorter" writes it, or "plc", "scanner", "host", "operator".
        qos: MQTT quality of service the writer should use.
        retained: Whether the broker keeps the newest.
        rate: How often.
        purpose: What for.
    """

    below: str
    message: str
    writer: Literal["sorter", "plc", "scanner", "host", "operator"]
    qos: int
    retained: bool
    rate: str
    purpose: str


CHANNELS = (
    Channel("state", "state", "sorter", 1, True, "on change", "what the sorter can do; its last will too"),
    Channel("hb", "hb", "sorter", 0, False, "10 a second", "heartbeat; silent for 1 s means: use the default lane"),
    Channel("decision", "decision", "sorter", 1, False, "per parcel", "where one parcel goes; now or never"),
    Channel("parcel", "parcel", "sorter", 1, False, "per parcel", "how a parcel's story ended; may come twice"),
    Channel("alarm/{code}", "alarm", "sorter", 1, True, "on change", "something a person should know"),
    Channel("kpi", "kpi", "sorter", 0, True, "every 10 s", "counts and times of this run"),
    Channel("info", "info", "sorter", 1, True, "at start", "what exactly runs"),
    Channel("plan/status", "plan_status", "sorter", 1, True, "on change", "what became of the newest sort plan"),
    Channel("route/ask", "route_ask", "sorter", 1, False, "per code read", "asks the host about a parcel"),
    Channel("reply/{name}", "reply", "sorter", 1, False, "per command", "answer to a command that asked for one"),
    Channel("plc/hb", "plc_hb", "plc", 0, False, "10 a second", "heartbeat of the gateway; echoes ours"),
    Channel("plc/item", "item", "plc", 1, False, "per parcel", "a parcel at a photo-eye: index and edges"),
    Channel("plc/enc", "enc", "plc", 0, False, "20 to 50 a second", "encoder count of the belt"),
    Channel("plc/ack", "ack", "plc", 1, False, "per decision", "the decision was taken into tracking, or why not"),
    Channel("plc/confirm", "confirm", "plc", 1, False, "per parcel", "where the parcel really went"),
    Channel("plc/lane/{lane}/state", "lane", "plc", 1, True, "on change", "what a lane can take; unheard: disabled"),
    Channel("plc/line/state", "line", "plc", 1, True, "on change", "PackML state and speed of the line"),
    Channel("scan/read", "scan", "scanner", 1, False, "per read", "codes, weight and size from other devices"),
    Channel("wcs/route", "route", "host", 1, False, "per parcel", "what the host knows of the parcel with a code"),
    Channel("wcs/plan", "plan", "host", 1, True, "rare", "a sort plan, whole"),
    Channel("cmd", "cmd", "operator", 1, False, "rare", "pause, resume, reload and the like"),
)  # fmt: skip


def model_of(message: str) -> type[Message]:
    """Return the type of a message by the word in its schema field."""
    if message in MESSAGES:
        return MESSAGES[message]
    wanted = f"edge_sorter.{message}/"
    return next(model for model in INBOUND.values() if str(model.model_fields["schema_"].default).startswith(wanted))


_TS = "2026-11-21T18:03:11.541902Z"
_BOOT, _UID = "01JD5Z8Q3M", "01JD5Z8Q3M-0000482"
_KEY = {"boot_id": _BOOT, "seq": 48123, "parcel_uid": _UID, "rev": 0}

EXAMPLES: dict[str, dict[str, Any]] = {
    "state": {"boot_id": _BOOT, "state": "RUNNING", "cause": "first frame", "ts": _TS},
    "hb": {"boot_id": _BOOT, "n": 991823, "ts": _TS, "state": "RUNNING", "fps": 30.0, "peer_n": 55120,
           "age_ms": {"frame": 21.0, "plc_hb": 90.0}, "queue": 0},
    "decision": {**_KEY, "lane": "L12", "alt": ["L13", "OVF"], "action": "DIVERT", "reason": "PLAN_MATCH",
                 "rule": "pc-DE-70-72", "plan": "hub7#a91f", "plc_index": 17342,
                 "pos": {"ref": "ENC1", "lead_cnt": 918231144, "trail_cnt": 918231562, "lat_mm": -42.0},
                 "dim_mm": {"l": 418.0, "w": 300.0}, "cls": {"name": "carton", "conf": 0.97}, "conf": 0.97,
                 "codes": [{"sym": "Code128", "text": "00340123450000000017", "n": 5}],
                 "t_capture": "2026-11-21T18:03:11.482113Z", "t_publish": _TS, "clock": "SYSTEM",
                 "deadline": {"enc_cnt": 918233000, "ts": "2026-11-21T18:03:12.300000Z"}, "valid_ms": 758,
                 "model": "parcels-n#5c0e", "replay": False},
    "parcel": {"boot_id": _BOOT, "parcel_uid": _UID, "rev": 0, "outcome": "VERIFIED", "lane": "L12", "lane_act": "L12",
               "action": "DIVERT", "reason": "PLAN_MATCH", "t_capture": "2026-11-21T18:03:11.482113Z",
               "t_publish": _TS, "t_ack": "2026-11-21T18:03:11.553120Z", "t_confirm": "2026-11-21T18:03:14.101000Z",
               "ack": "ACCEPTED"},
    "alarm": {"boot_id": _BOOT, "code": "UNVERIFIED", "severity": 2, "state": "ACTIVE", "since": _TS, "ts": _TS,
              "count": 1, "text": "Parcels do not show up at the lane's eye: L12",
              "advice": "Check diverter and photo-eye of the lane"},
    "kpi": {"boot_id": _BOOT, "ts": _TS, "frames": 108000, "parcels": 4210, "decisions": 4210, "per_minute": 71,
            "by_lane": {"L12": 4150, "HOSP": 60}, "outcomes": {"VERIFIED": 4198, "UNVERIFIED": 12},
            "plc_ack_ms": {"p50": 6.2, "p95": 9.8, "p99": 14.0}},
    "info": {"boot_id": _BOOT, "ts": _TS, "version": "0.1.0", "model": "parcels-n#5c0e", "plan": "hub7#a91f",
             "lanes": ["L12", "L13", "OVF", "HOSP"]},
    "plan_status": {"boot_id": _BOOT, "ts": _TS, "active": "hub7#a91f", "offered": "hub8#77b0", "result": "REJECTED",
                    "errors": ["rules.3.to: no lane 'L99'"]},
    "reply": {"boot_id": _BOOT, "cmd": "pause", "id": "7", "ok": True, "text": "nothing is sent until resume",
              "ts": _TS},
    "route_ask": {"boot_id": _BOOT, "code": "00340123450000000017", "sym": "GS1-128", "ts": _TS},
    "route": {"code": "00340123450000000017", "result": "FOUND", "keys": {"depot": "0176", "service": "101"},
              "flags": ["DG"]},
    "plc_hb": {"n": 55120, "peer_n": 991820, "plc_cycle_ms": 8, "mode": "PRODUCTION", "ts": _TS},
    "item": {"plc_index": 17342, "eye": "PE1", "edge": "TRAIL", "lead_cnt": 918230980, "trail_cnt": 918231400},
    "enc": {"ref": "ENC1", "cnt": 918231144, "mm_per_cnt": 1.0, "v_mm_s": 1998},
    "ack": {**_KEY, "result": "ACCEPTED", "plc_index": 17342, "enc_cnt": 918231999},
    "confirm": {"parcel_uid": _UID, "plc_index": 17342, "lane_cmd": "L12", "lane_act": "L12", "result": "VERIFIED"},
    "lane": {"lane": "L12", "state": "FULL", "fill_pct": 100},
    "line": {"packml": "EXECUTE", "mode": "PRODUCTION", "v_set_mm_s": 2000},
    "scan": {"scanner": "top1", "plc_index": 17342, "codes": [{"aim": "]C1", "text": "00340123450000000017"}],
             "weight_g": 2140, "dim_mm": [418, 300, 190], "flags": ["OPEN"]},
    "plan": {"id": "hub8", "rev": 3, "activate": "NEXT_GAP", "plan": {"id": "hub8", "lanes": []}},
    "cmd": {"cmd": "pause", "id": "7"},
}  # fmt: skip
"""One message of each kind, without its schema field."""


def example_of(message: str) -> dict[str, Any]:
    """Return a whole example as it goes over the wire.

    Raises:
        ValueError: The example is not what its type says; a test keeps this from happening.
    """
    schema = str(model_of(message).model_fields["schema_"].default)
    return {"schema": schema, **EXAMPLES[message]}
