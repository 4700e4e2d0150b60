"""A line event as a short list of plain values, and back: how the journal keeps what was heard between two frames.

Contract: `event_from(event_record(event))` equals the event. Values that are the default are left out at the end, so
that an encoder sample costs three values: ["enc", at_ns, count].
"""

from __future__ import annotations

import json
from dataclasses import fields
from enum import Enum
from typing import Any

from edge_sorter.events import (
    DecidedBefore,
    EncoderCount,
    Flush,
    HostData,
    LaneReport,
    LaneStatus,
    LineEvent,
    LineReport,
    ModelInUse,
    Overdue,
    PlanOffer,
    PlcItem,
    ScannerRead,
    Thresholds,
    WallTime,
)

KINDS: dict[str, type[LineEvent]] = {
    "enc": EncoderCount,
    "item": PlcItem,
    "lane": LaneReport,
    "line": LineReport,
    "scan": ScannerRead,
    "host": HostData,
    "plan": PlanOffer,
    "flush": Flush,
    "wall": WallTime,
    "limits": Thresholds,
    "model": ModelInUse,
    "due": Overdue,
    "before": DecidedBefore,
}
_NAMES = {kind: name for name, kind in KINDS.items()}


def event_record(event: LineEvent) -> list[Any]:
    """Return an event as plain values."""
    values = [(field.default, getattr(event, field.name)) for field in fields(event)]
    while values and values[-1][0] == values[-1][1]:
        values.pop()
    return [_NAMES[type(event)], *(_plain(value) for _, value in values)]


def event_from(record: list[Any]) -> LineEvent:
    """Return the event a record was made of.

    Raises:
        ValueError, TypeError, KeyError, IndexError: It is no such record.
    """
    kind, *values = record
    cls = KINDS[kind]
    if cls is LaneReport:
        values[2] = LaneStatus(values[2])
    elif cls is ScannerRead:
        values[4:5] = [tuple((symbology, text) for symbology, text in codes) for codes in values[4:5]]
        values[6:7] = [None if size is None else tuple(size) for size in values[6:7]]
        values[7:8] = [tuple(flags) for flags in values[7:8]]
    elif cls is HostData:
        values[3:4] = [tuple((key, value) for key, value in keys) for keys in values[3:4]]
        values[4:5] = [tuple(flags) for flags in values[4:5]]
    elif cls is DecidedBefore:
        values[1:] = [tuple(names) for names in values[1:]]
    return cls(*values)


def _plain(value: object) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dict):  # a plan as YAML gave it may hold dates
        return json.loads(json.dumps(value, default=str))
    return value
