"""Inputs of line events: order, and nothing twice."""

from __future__ import annotations

from edge_sorter.events import EncoderCount, Flush
from edge_sorter.line_input import EventList, Inputs


def test_events_are_handed_out_once_when_their_time_has_come() -> None:
    counts, flush = [EncoderCount(at, at) for at in (1, 2, 3)], Flush(2, "MANUAL")
    line = Inputs((EventList(counts), EventList([flush])))
    assert line.take_events(0) == []
    assert line.take_events(2) == [counts[0], counts[1], flush]
    assert line.take_events(2) == []
    assert line.take_events(9) == [counts[2]]
