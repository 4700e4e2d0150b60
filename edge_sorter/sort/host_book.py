"""What the host told about parcels, by the code that they carry: route keys the label does not have, and conditions.

Contract: an answer is believed for `BELIEVED_S` and memory is bounded by `KEPT`. A parcel with several codes has what
was told about any of them; the first code's answer wins. Time is the events', so a replay remembers alike.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import replace

from edge_sorter.events import HostData
from edge_sorter.sort.route_keys import normal
from edge_sorter.sort.verdict import Evidence
from edge_sorter.types import Code

KEPT = 4096
BELIEVED_S = 3600.0
"""A parcel that comes again later is asked about again."""


class HostBook:
    """The newest answers."""

    def __init__(self) -> None:
        self._told: OrderedDict[str, HostData] = OrderedDict()

    def hear(self, told: HostData) -> None:
        """Take an answer; a newer one replaces it."""
        self._told.pop(told.code, None)
        self._told[told.code] = told
        if len(self._told) > KEPT:
            self._told.popitem(last=False)

    def keys(self, codes: Iterable[Code], *, at_ns: int) -> dict[str, str]:
        """Return the route keys told about a parcel with these codes."""
        known: dict[str, str] = {}
        for told in self._of(codes, at_ns):
            known = {key: normal(value) for key, value in told.keys} | known
        return known

    def informed(self, evidence: Evidence, *, at_ns: int) -> Evidence:
        """Return evidence with the conditions told, and whether nothing was told although there is a code to ask by."""
        parcel = evidence.parcel
        told = self._of(parcel.codes, at_ns)
        flags = tuple(sorted({*parcel.flags, *(flag for one in told for flag in one.flags)}))
        return evidence._replace(parcel=replace(parcel, flags=flags), no_data=bool(parcel.codes) and not told)

    def _of(self, codes: Iterable[Code], at_ns: int) -> list[HostData]:
        answers = (self._told.get(code.text) for code in codes)
        return [one for one in answers if one is not None and one.known and at_ns - one.at_ns <= BELIEVED_S * 1e9]
