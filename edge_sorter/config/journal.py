"""Key `journal`: what a live run keeps of itself, for replay."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from edge_sorter.yamlfile import Section


class JournalSection(Section):
    """Where a live run writes its journal; a replay writes into its output folder instead."""

    path: Path | None = Field(None, description="journal of a live run (JSONL); none keeps no journal")
    max_mb: float = Field(512.0, gt=0, description="a larger journal is rotated once to <path>.1")
