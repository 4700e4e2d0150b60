"""The border where bytes from a network become values: limits first, then JSON, then the model.

`decode` returns a checked message or raises `MessageError` with a countable code, whatever the bytes are; no input
can cost more than its 16 KiB (a sort plan: 256 KiB). `decode` reads what we send (a listener, a gateway), and
`decode_inbound` what others send to us.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

from pydantic import ValidationError

from edge_sorter.errors import MessageError
from edge_sorter.plc.inbound import INBOUND, KEPT, LaneMessage
from edge_sorter.plc.messages import MAJOR, MESSAGES, TOPIC_OF, DecisionMessage, Message

MAX_BYTES = 16 * 1024
MAX_PLAN_BYTES = 256 * 1024
MAX_DEPTH = 8

_SCHEMA = re.compile(r"edge_sorter\.([a-z_]{1,32})/([0-9]{1,9})(?:\.[0-9]{1,9})?\Z")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)


def decode(payload: bytes, *, topic: str, retained: bool = False, replay: bool = False) -> Message:
    """Read one payload.

    Args:
        payload: The bytes that arrived.
        topic: Where they arrived; its end must agree with the schema field.
        retained: Whether the broker had kept the message; a kept decision is never valid.
        replay: Whether this side listens to replays. A live side refuses replayed decisions and the other way round.

    Raises:
        MessageError: The one way this fails.
    """
    data = _object_of(payload, topic, limit=MAX_BYTES)
    name = _name(data.get("schema"), topic)
    if not _ends_with(topic, TOPIC_OF.get(name, name)):
        raise MessageError("WRONG_TOPIC", f"{topic}: carries the schema of {name!r}")
    if name == "decision" and retained:
        raise MessageError("RETAINED", f"{topic}: a retained decision is an old one and is refused")
    model = _validated(MESSAGES[name], data | {"schema": f"edge_sorter.{name}/{MAJOR}"}, topic)
    if isinstance(model, DecisionMessage) and model.replay != replay:
        kind = "replayed" if model.replay else "live"
        raise MessageError("REPLAY", f"{topic}: {kind} decision where {'replays' if replay else 'live ones'} belong")
    return model


def decode_inbound(payload: bytes, *, topic: str, prefix: str, retained: bool = False) -> tuple[str, Message]:
    """Read one payload that was sent to us.

    Args:
        payload: The bytes that arrived.
        topic: Where they arrived.
        prefix: Our own topic prefix (`Topics.prefix`), which the topic must open with.
        retained: Whether the broker had kept the message: refused except on the topics in `KEPT`.

    Returns:
        The kind, a key of `INBOUND`, and the message.

    Raises:
        MessageError: The one way this fails.
    """
    kind = inbound_kind(topic, prefix=prefix)
    if kind is None:
        raise MessageError("UNKNOWN_TOPIC", f"{topic}: nothing is expected here")
    if retained and kind not in KEPT:
        raise MessageError("RETAINED", f"{topic}: a retained message here is an old one and is refused")
    data = _object_of(payload, topic, limit=MAX_PLAN_BYTES if kind == "wcs/plan" else MAX_BYTES)
    model = INBOUND[kind]
    wanted = str(model.model_fields["schema_"].default)
    given = data.get("schema", wanted)
    match = _SCHEMA.match(given) if isinstance(given, str) else None
    if match is None or f"edge_sorter.{match[1]}/" != wanted[: wanted.rindex("/") + 1]:
        raise MessageError("UNKNOWN_SCHEMA", f"{topic}: schema {str(given)[:60]!r}, expected {wanted!r}")
    if int(match[2]) != MAJOR:
        raise MessageError("UNKNOWN_MAJOR", f"{topic}: {match[0]} is not version {MAJOR}, which we read")
    message = _validated(model, data | {"schema": wanted}, topic)
    if isinstance(message, LaneMessage) and topic != f"{prefix}/{kind.replace('+', message.lane)}":
        raise MessageError("WRONG_TOPIC", f"{topic}: speaks of lane {message.lane[:60]!r}")
    return kind, message


def inbound_kind(topic: str, *, prefix: str) -> str | None:
    """Return which key of `INBOUND` a topic belongs to, or None."""
    if not topic.startswith(prefix + "/"):
        return None
    below = topic[len(prefix) + 1 :]
    return next((kind for kind in INBOUND if _levels_match(below, kind)), None)


def _ends_with(topic: str, pattern: str) -> bool:
    count = pattern.count("/") + 1
    return _levels_match("/".join(topic.split("/")[-count:]), pattern)


def _levels_match(topic: str, pattern: str) -> bool:
    levels, wanted = topic.split("/"), pattern.split("/")
    return len(levels) == len(wanted) and all(b in ("+", a) for a, b in zip(levels, wanted, strict=True))


def _validated(model: type[Message], data: dict[str, Any], topic: str) -> Message:
    try:
        # Through JSON once more: only then does "strict" still mean that arrays are tuples and words are enums.
        return model.model_validate_json(json.dumps(data), strict=True)
    except ValueError as error:  # ValidationError is one
        raise MessageError("BAD_FIELDS", f"{topic}: {_first(error)}") from None


def _object_of(payload: bytes, topic: str, *, limit: int) -> dict[str, Any]:
    data = _json(payload, limit=limit)
    if not isinstance(data, dict):
        raise MessageError("NOT_AN_OBJECT", f"{topic}: payload is a JSON {type(data).__name__}, not an object")
    return data


def _json(payload: bytes, *, limit: int) -> Any:
    if len(payload) > limit:
        raise MessageError("TOO_LARGE", f"payload of {len(payload)} bytes is over the limit of {limit}")
    try:
        text = payload.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MessageError("NOT_UTF8", f"payload is not UTF-8 (byte {error.start})") from None
    if _depth(text) > MAX_DEPTH:
        raise MessageError("TOO_DEEP", f"payload nests deeper than {MAX_DEPTH}")
    try:
        return json.loads(
            text, parse_constant=_no_constant, parse_float=_finite, parse_int=_int64, object_pairs_hook=_object
        )
    except ValueError as error:
        raise MessageError("NOT_JSON", f"payload is not the JSON we read: {error}") from None


def _depth(text: str) -> int:
    """Return how deep brackets nest, at least; looked at before parsing, because parsers recurse."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return 0
    depth = deepest = 0
    for character in _STRING.sub("", text):
        if character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    return deepest


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is too large a number")
    return value


def _int64(text: str) -> int:
    if len(text) > 20:
        raise ValueError(f"{text[:20]}... is too large a number")
    return int(text)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key appears twice in one object")
    return found


def _name(schema: object, topic: str) -> str:
    match = _SCHEMA.match(schema) if isinstance(schema, str) else None
    if match is None or match[1] not in MESSAGES:
        raise MessageError("UNKNOWN_SCHEMA", f"{topic}: no schema that we know: {str(schema)[:60]!r}")
    if int(match[2]) != MAJOR:
        raise MessageError("UNKNOWN_MAJOR", f"{topic}: {match[0]} is not version {MAJOR}, which we read")
    return match[1]


def _first(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error)[:200]
    item = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(str(part) for part in item['loc'])[:100]}: {item['msg']}"[:200]
