"""What the PLC, the scanner and the host send: taken when right, refused with one countable code when not."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sorter.errors import MessageError
from edge_sorter.plc.decode import MAX_BYTES, MAX_PLAN_BYTES, decode_inbound, inbound_kind
from edge_sorter.plc.inbound import INBOUND, KEPT, AckMessage, LaneMessage

PREFIX = "acme/hub7/sort/line03/vis01/edge_sorter/v1"
TS = "2026-11-21T18:03:11.541902Z"
GOOD = {
    "plc/hb": {"n": 5, "peer_n": 4, "plc_cycle_ms": 8, "mode": "PRODUCTION", "ts": TS},
    "plc/item": {"plc_index": 17342, "eye": "PE1", "edge": "TRAIL", "lead_cnt": 1, "trail_cnt": 420, "ts": TS},
    "plc/enc": {"ref": "ENC1", "cnt": 4294967295, "mm_per_cnt": 1.0, "v_mm_s": 1998, "ts": TS},
    "plc/ack": {
        "schema": "edge_sorter.ack/1",
        "boot_id": "b",
        "seq": 1,
        "parcel_uid": "b-1",
        "rev": 0,
        "result": "ACCEPTED",
    },
    "plc/confirm": {"schema": "edge_sorter.confirm/1", "parcel_uid": "b-1", "lane_act": "L12", "result": "VERIFIED"},
    "plc/lane/+/state": {"lane": "L12", "state": "FULL", "fill_pct": 82},
    "plc/line/state": {"packml": "EXECUTE", "mode": "PRODUCTION", "v_set_mm_s": 2000, "cause": None},
    "scan/read": {"scanner": "top1", "plc_index": 1, "codes": [{"aim": "]C1", "text": "00340", "x_mm": 120}]},
    "wcs/route": {"code": "00340", "result": "FOUND", "keys": {"depot": "0176"}, "flags": ["DG", "NEW_ONE"]},
    "wcs/plan": {"id": "hub", "rev": 7, "activate": "NEXT_GAP", "plan": {"lanes": []}},
    "cmd": {"cmd": "pause", "id": "7", "reply_to": "a/b"},
}


def topic_of(kind: str) -> str:
    return f"{PREFIX}/{kind.replace('+', 'L12')}"


def take(kind: str, retained: bool = False, **changes):
    payload = json.dumps(GOOD[kind] | changes).encode()
    return decode_inbound(payload, topic=topic_of(kind), prefix=PREFIX, retained=retained)


def code_of(kind: str, **changes) -> str:
    with pytest.raises(MessageError) as caught:
        take(kind, **changes)
    return caught.value.code


@pytest.mark.parametrize("kind", INBOUND)
def test_each_kind_is_read_with_and_without_its_schema_and_with_unknown_fields(kind):
    found, message = take(kind, surprise={"a": [1, 2]})
    assert found == kind
    assert type(message) is INBOUND[kind]
    assert take(kind, schema=message.model_dump(by_alias=True)["schema"])[1] == message


@pytest.mark.parametrize("kind", INBOUND)
def test_another_schema_or_major_is_refused(kind):
    assert code_of(kind, schema="edge_sorter.decision/1") == "UNKNOWN_SCHEMA"
    word = INBOUND[kind].model_fields["schema_"].default.split("/")[0]
    assert code_of(kind, schema=f"{word}/2") == "UNKNOWN_MAJOR"
    assert code_of(kind, schema=7) == "UNKNOWN_SCHEMA"


@pytest.mark.parametrize("kind", INBOUND)
def test_retained_is_taken_only_where_it_is_the_newest_truth(kind):
    if kind in KEPT:
        assert take(kind, retained=True)[0] == kind
    else:
        assert code_of(kind, retained=True) == "RETAINED"


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("plc/enc", {"cnt": 2**32}),
        ("plc/enc", {"cnt": -1}),
        ("plc/enc", {"cnt": "7"}),
        ("plc/enc", {"mm_per_cnt": 0}),
        ("plc/ack", {"result": "MAYBE"}),
        ("plc/ack", {"seq": True}),
        ("plc/lane/+/state", {"state": "HALF-FULL"}),
        ("plc/line/state", {"packml": "execute"}),
        ("scan/read", {"codes": [{"text": "x"}] * 33}),
        ("wcs/plan", {"activate": "SOON"}),
        ("cmd", {"cmd": "shutdown"}),
        ("cmd", {"reply_to": "a/#"}),
    ],
)
def test_wrong_values_are_refused(kind, changes):
    assert code_of(kind, **changes) == "BAD_FIELDS"


@pytest.mark.parametrize("topic", ["decision", "plc/lane/state", "plc/lane/a/b/state", "plc/ack/x", ""])
def test_topics_that_nobody_expects(topic):
    assert inbound_kind(f"{PREFIX}/{topic}", prefix=PREFIX) is None
    with pytest.raises(MessageError) as caught:
        decode_inbound(b"{}", topic=f"{PREFIX}/{topic}", prefix=PREFIX)
    assert caught.value.code == "UNKNOWN_TOPIC"
    assert inbound_kind("elsewhere/plc/ack", prefix=PREFIX) is None


def test_only_a_plan_may_be_large():
    text = "x" * MAX_BYTES
    assert code_of("plc/ack", parcel_uid=text) == "TOO_LARGE"
    assert take("wcs/plan", plan={"id": text})[0] == "wcs/plan"
    assert code_of("wcs/plan", plan={"id": "x" * MAX_PLAN_BYTES}) == "TOO_LARGE"


def test_enums_and_types_arrive_as_such():
    ack = take("plc/ack")[1]
    lane = take("plc/lane/+/state")[1]
    assert isinstance(ack, AckMessage)
    assert ack.result.value == "ACCEPTED"
    assert isinstance(lane, LaneMessage)
    assert lane.state.value == "FULL"


kinds = st.sampled_from(sorted(INBOUND))
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)),
    max_leaves=12,
)


def taken_or_rejected(payload: bytes, topic: str, *, retained: bool) -> None:
    try:
        kind, message = decode_inbound(payload, topic=topic, prefix=PREFIX, retained=retained)
    except MessageError as error:
        assert error.code.isupper()
    else:
        assert type(message) is INBOUND[kind]


@settings(max_examples=300, deadline=None)
@given(payload=st.binary(max_size=2000), kind=kinds, retained=st.booleans())
def test_fuzz_raw_bytes(payload, kind, retained):
    taken_or_rejected(payload, topic_of(kind), retained=retained)


@settings(max_examples=600, deadline=None)
@given(kind=kinds, data=st.data(), value=values, noise=st.integers(0, 255), retained=st.booleans())
def test_fuzz_fields(kind, data, value, noise, retained):
    key = data.draw(st.sampled_from([*GOOD[kind], "schema", "other"]))
    payload = bytearray(json.dumps(GOOD[kind] | {key: value}).encode())
    taken_or_rejected(bytes(payload), topic_of(kind), retained=retained)
    payload[noise * len(payload) // 256] = noise
    taken_or_rejected(bytes(payload), topic_of(kind), retained=retained)
