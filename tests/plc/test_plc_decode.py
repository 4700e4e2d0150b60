"""The border: whatever bytes arrive, the result is a checked message or one countable rejection."""

from __future__ import annotations

import copy
import json
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge_sorter.errors import MessageError
from edge_sorter.plc.decode import MAX_BYTES, decode
from edge_sorter.plc.listen import format_line
from edge_sorter.plc.messages import MESSAGES, DecisionMessage, Message

GOOD = {
    "schema": "edge_sorter.decision/1",
    "boot_id": "01JD5Z8Q3M",
    "seq": 1,
    "parcel_uid": "01JD5Z8Q3M-0000001",
    "rev": 0,
    "lane": "L12",
    "action": "DIVERT",
    "reason": "PLAN_MATCH",
    "pos": {"ref": "ENC1", "lead_cnt": 918231144},
    "codes": [{"sym": "GS1-128", "text": "00340123450000000017", "n": 5, "ok": True}],
    "cls": {"name": "carton", "conf": 0.97},
    "t_capture": "2026-11-21T18:03:11.482113Z",
    "deadline": {"ts": "2026-11-21T18:03:12.300Z"},
    "replay": False,
}
TOPIC = "a/b/c/d/e/edge_sorter/v1/decision"


def changed(**changes) -> bytes:
    return json.dumps(GOOD | changes).encode()


def test_a_good_message_with_unknown_fields_is_read():
    message = decode(changed(new_field={"x": [1]}, pos={"ref": "ENC1", "lead_cnt": 1, "new": None}), topic=TOPIC)
    assert isinstance(message, DecisionMessage)
    assert (message.lane, message.pos.lead_cnt) == ("L12", 1)


def test_a_minor_version_is_read():
    assert decode(changed(schema="edge_sorter.decision/1.7"), topic=TOPIC)


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"", "NOT_JSON"),
        (b"\xff\xfe{}", "NOT_UTF8"),
        ("{}".encode("utf-16"), "NOT_UTF8"),
        (b"\xef\xbb\xbf{}", "NOT_JSON"),
        (b" " * (MAX_BYTES + 1), "TOO_LARGE"),
        (b"[" * 9 + b"]" * 9, "TOO_DEEP"),
        (b'{"a":' * 3000, "TOO_DEEP"),
        (b"[" * MAX_BYTES, "TOO_DEEP"),
        (b"[1]", "NOT_AN_OBJECT"),
        (b"null", "NOT_AN_OBJECT"),
        (b'"text"', "NOT_AN_OBJECT"),
        (b'{"a": NaN}', "NOT_JSON"),
        (b'{"a": -Infinity}', "NOT_JSON"),
        (b'{"a": 1e999}', "NOT_JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "NOT_JSON"),
        (b'{"seq": 1, "seq": 2}', "NOT_JSON"),
        (b"{}", "UNKNOWN_SCHEMA"),
        (changed(schema=None), "UNKNOWN_SCHEMA"),
        (changed(schema="edge_sorter.nonsense/1"), "UNKNOWN_SCHEMA"),
        (changed(schema="other.decision/1"), "UNKNOWN_SCHEMA"),
        (changed(schema="edge_sorter.decision/1\n"), "UNKNOWN_SCHEMA"),
        (changed(schema="edge_sorter.decision/2"), "UNKNOWN_MAJOR"),
        (changed(schema="edge_sorter.hb/1"), "WRONG_TOPIC"),
        (changed(seq=-1), "BAD_FIELDS"),
        (changed(seq=2**32), "BAD_FIELDS"),
        (changed(seq="1"), "BAD_FIELDS"),
        (changed(seq=True), "BAD_FIELDS"),
        (changed(seq=1.5), "BAD_FIELDS"),
        (changed(lane=""), "BAD_FIELDS"),
        (changed(lane="x" * 300), "BAD_FIELDS"),
        (changed(lane=None), "BAD_FIELDS"),
        (changed(action="FIRE"), "BAD_FIELDS"),
        (changed(reason="because"), "BAD_FIELDS"),
        (changed(deadline={"ts": "tomorrow"}), "BAD_FIELDS"),
        (changed(deadline={}), "BAD_FIELDS"),
        (changed(cls={"name": "carton", "conf": 1.5}), "BAD_FIELDS"),
        (changed(lane="\ud800"), "BAD_FIELDS"),
        (changed(replay="no"), "BAD_FIELDS"),
        (changed(replay=True), "REPLAY"),
    ],
)
def test_rejections(payload, code):
    with pytest.raises(MessageError) as caught:
        decode(payload, topic=TOPIC)
    assert caught.value.code == code
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("field", ["boot_id", "seq", "parcel_uid", "rev", "lane", "pos", "deadline", "replay"])
def test_missing_fields_are_named(field):
    payload = {name: value for name, value in GOOD.items() if name != field}
    with pytest.raises(MessageError, match=field) as caught:
        decode(json.dumps(payload).encode(), topic=TOPIC)
    assert caught.value.code == "BAD_FIELDS"


def test_a_retained_decision_is_an_old_one():
    with pytest.raises(MessageError) as caught:
        decode(changed(), topic=TOPIC, retained=True)
    assert caught.value.code == "RETAINED"


def test_live_and_replayed_decisions_do_not_mix():
    assert decode(changed(replay=True), topic=TOPIC, replay=True)
    with pytest.raises(MessageError) as caught:
        decode(changed(replay=False), topic=TOPIC, replay=True)
    assert caught.value.code == "REPLAY"


def test_the_depth_limit_ignores_brackets_in_text():
    assert decode(changed(rule="[" * 50 + '\\"' + "{" * 50), topic=TOPIC)


@pytest.mark.parametrize("filler", [b'"', b"\\", b'"\\', b"[", b'{"a":', b"[[]", b'"\\\\"'])
def test_the_largest_payload_is_refused_quickly(filler):
    payload = (filler * MAX_BYTES)[:MAX_BYTES]
    began = time.process_time()
    with pytest.raises(MessageError):
        decode(payload, topic=TOPIC)
    assert time.process_time() - began < 0.5


def taken_or_rejected(payload: bytes, topic: str, *, retained: bool = False) -> None:
    try:
        message = decode(payload, topic=topic, retained=retained)
    except MessageError as error:
        assert error.code.isupper()
        return
    assert isinstance(message, Message)
    assert isinstance(format_line(message), str)


names = st.sampled_from(sorted(MESSAGES))


@settings(max_examples=300, deadline=None)
@given(payload=st.binary(max_size=2000), name=names, retained=st.booleans())
@example(payload=b'{"schema":"edge_sorter.state/1"}', name="state", retained=True)
def test_fuzz_raw_bytes(payload, name, retained):
    taken_or_rejected(payload, f"a/{name}", retained=retained)


json_values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.just("edge_sorter.decision/1"), names
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=10), inner, max_size=4)),
    max_leaves=20,
)
paths = st.lists(st.one_of(st.sampled_from([*GOOD, "ts", "n", "state", "ref", "name"]), st.integers(0, 3)), max_size=3)


def put(tree, path, value):
    """Set a value somewhere in a copy of a JSON tree, as far as the path leads."""
    tree = copy.deepcopy(tree)
    node = tree
    for key in path[:-1]:
        following = node.get(key) if isinstance(node, dict) else None
        if not isinstance(following, dict):
            break
        node = following
    if path and isinstance(node, dict):
        node[str(path[-1])] = value
    return tree


@settings(max_examples=400, deadline=None)
@given(changes=st.lists(st.tuples(paths, json_values), max_size=5), name=names, noise=st.integers(0, 255))
def test_fuzz_mutated_json(changes, name, noise):
    message = GOOD | {
        "schema": f"edge_sorter.{name}/1",
        "ts": GOOD["t_capture"],
        "n": 1,
        "state": "RUNNING",
        "version": "1",
    }
    for path, value in changes:
        message = put(message, path, value)
    payload = bytearray(json.dumps(message).encode())
    taken_or_rejected(bytes(payload), f"a/{name}")
    payload[noise * len(payload) // 256] = noise
    taken_or_rejected(bytes(payload), f"a/{name}")


@settings(max_examples=200, deadline=None)
@given(data=st.data(), name=names)
def test_fuzz_text_fields_reach_the_screen_harmless(data, name):
    text = data.draw(st.text(min_size=1, max_size=60))
    message = GOOD | {
        "schema": f"edge_sorter.{name}/1", "lane": text, "parcel_uid": text, "cause": text, "version": text,
        "cls": {"name": text, "conf": 0.5}, "ts": GOOD["t_capture"], "n": 1, "state": "RUNNING",
    }  # fmt: skip
    try:
        line = format_line(decode(json.dumps(message).encode(), topic=f"a/{name}"))
    except MessageError:
        return
    assert line.isprintable()
    from rich.text import Text

    assert "RUNNING" in line or text[:1] in Text.from_markup(line).plain or "?" in line or name == "kpi"
