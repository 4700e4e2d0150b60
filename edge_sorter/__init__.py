"""edge_sorter: a camera over a conveyor, one sort decision per parcel, before its divert deadline."""

from __future__ import annotations

__version__ = "0.1.0"
