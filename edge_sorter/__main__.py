"""`python -m edge_sorter` is `edge-sorter`."""

from __future__ import annotations

from edge_sorter.cli import main

main()
