"""Recorded runs: a clip or a journal through the same program as a live line, then measured and drawn."""

from __future__ import annotations

from edge_sorter.replay.runner import ReplayOptions, ReplayResult, replay_clip, replay_journal

__all__ = ["ReplayOptions", "ReplayResult", "replay_clip", "replay_journal"]
