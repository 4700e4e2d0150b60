"""Boxes in, identities out: follows each object over time from one detector's boxes."""

from edge_sorter.track.tracker import Tracker

__all__ = ["Tracker"]
