"""Evaluation on a clip: the whole product replayed, its tracks against true boxes, its lanes against true parcels.

Contract: `evaluate_clip` returns the JSON document of kind "clip" and, with a folder, leaves it there with a report and
the replay's own files. Nothing of the replay is done anew here: it is `edge-sorter replay`, read with other eyes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge_sorter import __version__
from edge_sorter.config import load_config
from edge_sorter.errors import ConfigError
from edge_sorter.journal import Journal
from edge_sorter.lifecycle.evaluation import page
from edge_sorter.lifecycle.evaluation.images import SCHEMA, write
from edge_sorter.lifecycle.evaluation.tracks import Rows, every, read_mot, score_tracks, tracks_of
from edge_sorter.replay import ReplayOptions, replay_clip

TRACKING = {
    "hota": ("HOTA", "detection and association in one"),
    "det_a": ("DetA", "boxes found"),
    "ass_a": ("AssA", "identities kept"),
    "loc_a": ("LocA", "how tight boxes are"),
    "mota": ("MOTA", "1 - (missed + false + switches) / true boxes"),
    "idf1": ("IDF1", "boxes with the right identity"),
}


def evaluate_clip(
    clip: Path | None,
    config: Path | None,
    truths: Sequence[Path],
    *,
    tracks: Path | None = None,
    truth_step: int = 1,
    out: Path | None = None,
) -> dict[str, Any]:
    """Replay a clip, or read tracks made elsewhere, and score what came out.

    Args:
        clip: Video; None where `tracks` are given.
        config: Configuration of the line; likewise.
        truths: MOT boxes (.txt, .csv) for the tracks, parcels (.json) for decisions; at most one of each.
        tracks: Score this MOT file and replay nothing.
        truth_step: The truth's frames are every so-many-th of the clip's.
        out: Folder for the report.

    Raises:
        EdgeSorterError: Something is missing or cannot be read; as `edge-sorter replay`.
    """
    boxes, parcels = _truths(truths)
    document: dict[str, Any] = {"schema": SCHEMA, "kind": "clip", "edge_sorter": __version__}
    if tracks is not None:
        if boxes is None:
            raise ConfigError("--tracks needs true boxes to be held against: --truth gt.txt")
        document |= {"clip": str(tracks), "tracking": score_tracks(read_mot(boxes), read_mot(tracks))}
    elif clip is None or config is None:
        raise ConfigError("--clip needs the line it is a clip of: -c line.yaml")
    else:
        document |= _replayed(clip, config, boxes, parcels, truth_step=truth_step, out=out)
    if out is not None:
        write(out, _report(document), document)
    return document


def _truths(paths: Sequence[Path]) -> tuple[Path | None, Path | None]:
    boxes = [path for path in paths if path.suffix in {".txt", ".csv"}]
    parcels = [path for path in paths if path.suffix == ".json"]
    if not paths or len(boxes) > 1 or len(parcels) > 1 or len(boxes) + len(parcels) < len(paths):
        raise ConfigError("give --truth one MOT file (.txt), one parcel truth (.json), or both, each with --truth")
    return (boxes[0] if boxes else None), (parcels[0] if parcels else None)


def _replayed(
    clip: Path, config: Path, boxes: Path | None, parcels: Path | None, *, truth_step: int, out: Path | None
) -> dict[str, Any]:
    truth: Rows | None = read_mot(boxes) if boxes else None  # before minutes of replay, not after
    with tempfile.TemporaryDirectory(prefix="edge_sorter_clip_") as spare:
        folder = out or Path(spare)
        options = ReplayOptions(out_dir=folder, truth=parcels, video=out is not None)
        report = replay_clip(load_config(config), clip, config_name=str(config), options=options).report
        result: dict[str, Any] = {"clip": str(clip), "config": str(config), "runs_on": report["detector"]}
        if truth is not None:
            found = every(tracks_of(Journal(folder / "journal.jsonl")), truth_step)
            result["tracking"] = score_tracks(truth, found)
        if parcels is not None:
            result["parcels"] = report["truth"]
    return result


def _report(document: dict[str, Any]) -> str:
    facts = [(name, document[name]) for name in ("clip", "config", "runs_on") if name in document]
    parts = [page.facts(facts)]
    if tracking := document.get("tracking"):
        told = [(name, _figure(tracking[key]), meaning) for key, (name, meaning) in TRACKING.items() if key in tracking]
        counts = [(key.replace("_", " "), _figure(tracking[key]), "") for key in tracking if key not in TRACKING]
        parts.append(page.heading("Tracks", "Confirmed tracks against true boxes."))
        parts.append(page.table(("figure", "value", "what it is"), [*told, *counts]))
    if parcels := document.get("parcels"):
        low, high = parcels["lane_right_95"]
        cards = [
            ("decided", f"{parcels['decided']} of {parcels['parcels']}", f"{parcels['shared']} share one decision"),
            ("missed", str(parcels["missed"]), "parcels without a decision"),
            ("too many", str(parcels["extra"]), "decisions without a parcel"),
            ("right lane", f"{parcels['lane_right']} of {parcels['lanes_judged']}", f"95 %: {low:.3f} to {high:.3f}"),
        ]
        parts += [page.heading("Parcels", "Decisions against what really crossed the line."), page.cards(cards)]
        wrong = [
            [str(row[key] or "") for key in ("parcel", "class", "wanted", "got", "reason", "saw")]
            for row in parcels["wrong"]
        ]
        if wrong:
            parts.append(page.table(("parcel", "is a", "wanted", "got", "reason", "seen as"), wrong))
    return page.page(f"Clip {Path(document['clip']).name}", parts)


def _figure(value: float) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)
