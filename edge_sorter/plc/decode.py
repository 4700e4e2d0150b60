"""The border where bytes from a network become values: limits first, then JSON, then the model.

`decode` returns a checked message or raises `MessageError` with a countable code, whatever the bytes are; no input
can cost more than its 16 KiB.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

from pydantic import ValidationError

from edge_sorter.errors import MessageError
from edge_sorter.plc.messages import MAJOR, MESSAGES, DecisionMessage, Message

MAX_BYTES = 16 * 1024
MAX_DEPTH = 8

_SCHEMA = re.compile(r"edge_sorter\.([a-z_]{1,32})/([0-9]{1,9})(?:\.[0-9]{1,9})?\Z")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)


def decode(payload: bytes, *, topic: str, retained: bool = False, replay: bool = False) -> Message:
    """Read one payload.

    Args:
        payload: The bytes that arrived.
        topic: Where they arrived; its last level must agree with the schema field.
        retained: Whether the broker had kept the message; a kept decision is never valid.
        replay: Whether this side listens to replays. A live side refuses replayed decisions and the other way round.

    Raises:
        MessageError: The one way this fails.
    """
    data = _json(payload)
    if not isinstance(data, dict):
        raise MessageError("NOT_AN_OBJECT", f"{topic}: payload is a JSON {type(data).__name__}, not an object")
    name = _name(data.get("schema"), topic)
    if name != topic.rpartition("/")[2]:
        raise MessageError("WRONG_TOPIC", f"{topic}: carries the schema of {name!r}")
    if name == "decision" and retained:
        raise MessageError("RETAINED", f"{topic}: a retained decision is an old one and is refused")
    try:
        # Through JSON once more: only then does "strict" still mean that arrays are tuples and words are enums.
        text = json.dumps(data | {"schema": f"edge_sorter.{name}/{MAJOR}"})
        model = MESSAGES[name].model_validate_json(text, strict=True)
    except ValueError as error:  # ValidationError is one
        raise MessageError("BAD_FIELDS", f"{topic}: {_first(error)}") from None
    if isinstance(model, DecisionMessage) and model.replay != replay:
        kind = "replayed" if model.replay else "live"
        raise MessageError("REPLAY", f"{topic}: {kind} decision where {'replays' if replay else 'live ones'} belong")
    return model


def _json(payload: bytes) -> Any:
    if len(payload) > MAX_BYTES:
        raise MessageError("TOO_LARGE", f"payload of {len(payload)} bytes is over the limit of {MAX_BYTES}")
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
