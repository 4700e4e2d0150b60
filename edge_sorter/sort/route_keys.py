"""What the codes on a parcel say about its way: carrier, service, country, depot, postcode, tracking number.

Contract: `read_keys` turns a parcel's accepted codes into route keys by the `codes` section of a plan. Within one code
the earlier entry wins; two codes that disagree about a key make it contradictory, and it is told apart from the keys
that are known. Values are compared without spaces and in capitals ("sw1a 1aa" is SW1A1AA).

A GS1 symbol is a row of (application identifier, value) pairs; `gs1_elements` takes it apart. Lengths: GS1 General
Specifications, figure 7.8.5-2 (element strings of predefined length) and section 3.2 (identifiers by first digits).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from edge_sorter.types import Code

if TYPE_CHECKING:
    from edge_sorter.sort.plan_codes import CodeEntry

KEYS = ("carrier", "service", "country", "depot", "postcode", "tracking")

GS = "\x1d"
"""Ends an element of variable length where another follows."""
FIXED_TOTAL = {"00": 20, "01": 16, "02": 16, "03": 16, "04": 18, "20": 4, "41": 16}
FIXED_TOTAL |= {str(first): 8 for first in range(11, 20)} | {str(first): 10 for first in range(31, 37)}
AI_LENGTH = {"23": 3, "24": 3, "25": 3, "71": 3} | {str(first): 3 for first in range(40, 43)}
AI_LENGTH |= {str(first): 4 for first in (31, 32, 33, 34, 35, 36, 39, 43, 70, 72, 80, 81, 82)}


class RouteKeys(NamedTuple):
    """What is known, and what the codes contradict each other about."""

    known: dict[str, str]
    contradictory: tuple[str, ...] = ()


def read_keys(entries: Iterable[CodeEntry], codes: Iterable[Code]) -> RouteKeys:
    """Read the route keys of a parcel from its codes."""
    entries = tuple(entries)
    known: dict[str, str] = {}
    contradictory: list[str] = []
    for code in codes if entries else ():
        own: dict[str, str] = {}
        for entry in entries:
            own = entry.keys_of(code) | own
        for key, value in own.items():
            if known.setdefault(key, value) != value and key not in contradictory:
                contradictory.append(key)
    return RouteKeys({key: value for key, value in known.items() if key not in contradictory}, tuple(contradictory))


def normal(value: str) -> str:
    """Return a key's value as values are compared."""
    return "".join(value.split()).upper()


def gs1_elements(text: str) -> dict[str, str]:
    """Return the values of a GS1 symbol by application identifier, as far as they can be told; the first one counts.

    A symbology identifier in front ("]C1") and leading separators are ignored. What follows an element that is cut
    short is left out.
    """
    rest = text[3:] if text.startswith("]") else text
    found: dict[str, str] = {}
    while (rest := rest.lstrip(GS)) and rest[:2].isascii() and rest[:2].isdigit():
        start = AI_LENGTH.get(rest[:2], 2)
        total = FIXED_TOTAL.get(rest[:2])
        end = rest.find(GS) if total is None else total
        end = len(rest) if end < 0 else end
        if end > len(rest) or start >= end:
            break
        found.setdefault(rest[:start], rest[start:end])
        rest = rest[end:]
    return found
