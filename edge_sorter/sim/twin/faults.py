"""What may go wrong on a simulated line, and when: from its file, or as one word on the command line.

Contract: a fault is a kind and a stretch of world time; `active` is a pure question about them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Literal, get_args

from pydantic import Field

from edge_sorter.errors import ConfigError
from edge_sorter.yamlfile import Section

Kind = Literal[
    "lane_full",
    "encoder_lost",
    "encoder_slip",
    "no_acks",
    "no_confirms",
    "no_heartbeat",
    "e_stop",
    "jam",
    "fall",
    "hand",
]
KINDS: tuple[str, ...] = get_args(Kind)
_PLACES = ("jam", "fall")
"""Faults that happen at a place."""
_WHAT = {"encoder_slip": "share", **dict.fromkeys(_PLACES, "at_mm")}
_WRITTEN = re.compile(
    r"(?P<kind>[a-z_]+)(?:@(?P<at>\d+(?:\.\d+)?))?(?:\+(?P<span>\d+(?:\.\d+)?))?(?::(?P<what>[A-Za-z0-9_.-]+))?\Z"
)


class FaultSection(Section):
    """One fault.

    lane_full: nobody empties a lane; encoder_lost: the counter stands; encoder_slip: its wheel loses a share of the
    travel; no_acks, no_confirms, no_heartbeat: the PLC does not say so; e_stop: the belt stops, and flushes; jam: what
    comes to a place is held there while the belt runs on below it; fall: what comes to a place leaves the belt over its
    side; hand: one is in the photo-eye's beam.
    """

    kind: Kind
    at_s: float = Field(0.0, ge=0, description="world time of its beginning")
    for_s: float | None = Field(None, gt=0, description="how long; none: until the end")
    lane: str | None = Field(None, description="lane_full: which")
    share: float = Field(0.05, gt=0, lt=1, description="encoder_slip: lost share of the travel")
    at_mm: float | None = Field(None, description="jam, fall: where, in belt coordinates")

    @property
    def until_s(self) -> float:
        """When it is over."""
        return math.inf if self.for_s is None else self.at_s + self.for_s


def fault_problems(faults: Iterable[FaultSection], lanes: Sequence[str]) -> list[str]:
    """Return what is wrong with faults on a line of these lanes."""
    problems = []
    for fault in faults:
        if fault.kind == "lane_full" and fault.lane not in lanes:
            problems.append(f"faults: lane_full of {fault.lane}; lanes are {', '.join(lanes)}")
        if fault.kind != "lane_full" and fault.lane is not None:
            problems.append(f"faults: {fault.kind} has no lane")
        if fault.kind in ("e_stop", "jam", "hand") and fault.for_s is None:
            problems.append(f"faults: {fault.kind} needs for_s, else the line never ends")
        if (fault.kind in _PLACES) != (fault.at_mm is not None):
            problems.append(f"faults: {fault.kind} {'needs' if fault.kind in _PLACES else 'has no'} at_mm")
    return problems


def active(faults: Iterable[FaultSection], kind: Kind, at_s: float, lane: str | None = None) -> FaultSection | None:
    """Return the fault of a kind that is on at a time, or None."""
    for fault in faults:
        if fault.kind == kind and fault.at_s <= at_s < fault.until_s and fault.lane == lane:
            return fault
    return None


def parse_fault(text: str) -> FaultSection:
    """Read "KIND@AT_S+FOR_S:WHAT", such as "lane_full@10+5:L02", "encoder_slip@3:0.1" or "jam@10+2:2500".

    Raises:
        ConfigError: It says something else.
    """
    match = _WRITTEN.match(text)
    if match is None or match["kind"] not in KINDS:
        raise ConfigError(f"--fault {text!r}: write KIND[@AT_S][+FOR_S][:WHAT], KIND one of {', '.join(KINDS)}")
    values: dict[str, object] = {"kind": match["kind"]}
    values |= {"at_s": float(match["at"])} if match["at"] else {}
    values |= {"for_s": float(match["span"])} if match["span"] else {}
    if match["what"]:
        values[_WHAT.get(match["kind"], "lane")] = match["what"]
    try:
        return FaultSection.model_validate(values)
    except ValueError as error:
        raise ConfigError(f"--fault {text!r}: {error}") from None
