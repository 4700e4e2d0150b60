"""Fixtures of the PLC tests; they are written in `link_world`."""

from __future__ import annotations

from link_world import broker, clock, make_decision, make_link, outsider, plc, topics

__all__ = ["broker", "clock", "make_decision", "make_link", "outsider", "plc", "topics"]
