"""Write the manifest beside a model file: what the runtime checks before it believes the file.

Contract: `write` produces a manifest that `edge_sorter.detect` accepts, with the file's own sha256; training facts
come from the run's `training.json`, metrics from `evaluate`, and nothing from memory.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from edge_sorter.atomic import write_text
from edge_sorter.detect.manifest import OUTPUTS
from edge_sorter.errors import ModelError

VERSION = "0.1.0"
LICENCE = "AGPL-3.0 (trained with ultralytics, which is AGPL-3.0); data licences: see training.data"
DEFAULT_CONFIDENCE = 0.35


def write(
    model: Path,
    *,
    classes: list[str],
    precision: str,
    training: dict[str, Any],
    decode: str = "yolo26_ltrb",
    width_px: int,
    height_px: int,
    confidence: float = DEFAULT_CONFIDENCE,
    metrics: dict[str, Any] | None = None,
    golden: dict[str, Any] | None = None,
    fallback: str | None = None,
) -> Path:
    """Write `<model>.json` beside a model file made by `export` or `quantize` and return its path."""
    content = {
        "schema": "edge_sorter.model/1",
        "name": model.stem,
        "version": VERSION,
        "file": model.name,
        "sha256": hashlib.sha256(model.read_bytes()).hexdigest(),
        "task": "detect",
        "classes": classes,
        "input": {
            "name": "images",
            "width_px": width_px,
            "height_px": height_px,
            "dynamic": True,
            "stride_px": 32,
            "color": "rgb",
            "scale": 1 / 255,
        },
        "decode": decode,
        "outputs": {name: name for name in OUTPUTS[decode]},
        "precision": precision,
        "confidence": confidence,
        "licence": LICENCE,
        "training": training,
        "metrics": metrics or {},
    }
    if fallback is not None:
        content["fallback"] = fallback
    if golden is not None:
        content["golden"] = golden
    return save(model, content)


def save(model: Path, content: dict[str, Any]) -> Path:
    """Write a manifest's content beside its model."""
    path = model.with_suffix(".json")
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    return path


def load(model: Path) -> dict[str, Any]:
    """Read the manifest beside a model as plain JSON, to copy or amend it.

    Raises:
        ModelError: there is none.
    """
    path = model.with_suffix(".json")
    if not path.is_file():
        raise ModelError(f"{model} has no manifest ({path.name}). Export it again: it is written beside the model.")
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def training_facts(run: Path) -> dict[str, Any]:
    """Condense a run's `training.json` (and those of the runs it started from) into the manifest's training record."""
    path = run / "training.json"
    if not path.is_file():
        raise ModelError(f"{run} holds no training.json. Point --checkpoint at RUN/weights/last.pt of a run made here.")
    return _facts(json.loads(path.read_text(encoding="utf-8")))


def _facts(record: dict[str, Any]) -> dict[str, Any]:
    if "restored_from_sha256" in record:  # its past was condensed when the file it came from was exported
        return {key: record[key] for key in ("command", "restored_from_sha256", "started_from")}
    if "pruned" in record:
        earlier = record["started_from"]
        return {key: record[key] for key in ("command", "pruned")} | (
            {"started_from": _facts(earlier)} if earlier else {}
        )
    recipe, dataset = record["recipe"], record.get("dataset") or {}
    facts = {
        "model": record["model"],
        "command": record.get("command", "edge-sorter train"),
        "data": [
            {
                "name": source["name"],
                "split": source["split"],
                "licence": source["licence"],
                "origin": source["origin"],
                "images": source["images"],
                "repeat": source["repeat"],
                "boxes": source["boxes"],
            }
            for source in dataset.get("sources", ())
        ],
        "data_sha256": dataset.get("sha256", ""),
        "epochs": recipe["epochs"],
        "image_px": recipe["imgsz"],
        "seed": recipe["seed"],
        "recipe": recipe,
        "ultralytics": record["ultralytics"],
        "torch": record["torch"],
    }
    if "averaged" in record:
        facts["averaged"] = record["averaged"]
    if record.get("started_from"):
        facts["started_from"] = _facts(record["started_from"])
    return facts
