"""What a training run leaves for people and for the next step: `training.json`, `results.csv`, `curves.png`, `card.md`.

Contract: `training.json` is written before the first step and again at the end, each time whole; with it alone a run
can be continued (`Plan`) or told (`card`). Its older fields are what `manifest.training_facts` condenses.
"""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass, fields
from importlib import metadata
from pathlib import Path
from typing import Any

from edge_sorter.atomic import write_json, write_text
from edge_sorter.errors import ModelError
from edge_sorter.lifecycle.plots import figure, save
from edge_sorter.lifecycle.recipe import Recipe
from edge_sorter.lifecycle.training_data import Fingerprint

NAME = "training.json"
PACKAGES = ("torch", "torchvision", "ultralytics", "numpy", "opencv-python")
FEW_LABELS, FEW_PICTURES = 100, 50


@dataclass(frozen=True)
class Plan:
    """Everything that decides how a run ends, apart from the machine.

    Attributes:
        model: architecture by name of an ultralytics yaml; ignored where `weights` bring their own.
        weights: checkpoint to start from, or None for a random start.
        transfer: build `model` all the same, and take from `weights` what fits: a detector's for oriented boxes.
        frozen: pairs (epoch, layers): from that epoch on, the first so many layers keep their weights.
        teacher: checkpoint of a larger detector to learn from as well.
        teacher_weight: how much its features count beside the labels.
        int8_like: int8 file of this network whose rounding it is trained with, or None.
        validate: measure after every epoch (else only after the last).
    """

    data: Path
    task: str = "detect"
    model: str = "yolo26n.yaml"
    weights: Path | None = None
    transfer: bool = False
    frozen: tuple[tuple[int, int], ...] = ()
    teacher: Path | None = None
    teacher_weight: float = 6.0
    int8_like: Path | None = None
    validate: bool = True
    recipe: Recipe = Recipe()


def begin(out: Path, plan: Plan, found: Fingerprint, *, command: str) -> dict[str, Any]:
    """Write the record of a run that starts, and return it."""
    listed = plan.data.with_name("dataset.json")
    known = json.loads(listed.read_text(encoding="utf-8")) if listed.is_file() else {"sha256": found.sha256}
    earlier = plan.weights.parent.parent / NAME if plan.weights else None
    record = {
        "status": "started",
        "command": command,
        "task": plan.task,
        "model": plan.model,
        "recipe": asdict(plan.recipe),
        "plan": {
            "data": str(plan.data.absolute()),
            "weights": plan.weights and str(plan.weights.absolute()),
            "teacher": plan.teacher and str(plan.teacher.absolute()),
            "int8_like": plan.int8_like and str(plan.int8_like.absolute()),
            **{name: getattr(plan, name) for name in ("transfer", "frozen", "teacher_weight", "validate")},
        },
        "ultralytics": _version("ultralytics"),
        "torch": _version("torch"),
        "packages": {name: _version(name) for name in PACKAGES},
        "machine": {"system": platform.platform(), "python": platform.python_version(), "cpus": os.cpu_count()},
        "dataset": {key: value for key, value in known.items() if key != "images"},  # its row a picture stays there
        "examined": asdict(found),
        "started_from": json.loads(earlier.read_text(encoding="utf-8")) if earlier and earlier.is_file() else None,
    }
    write_json(out / NAME, record)
    return record


def load(out: Path) -> dict[str, Any]:
    """Read the record of a run.

    Raises:
        ModelError: there is none, so there is nothing to resume.
    """
    path = out / NAME
    if not path.is_file():
        raise ModelError(f"Nothing to resume: no {path}.")
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def plan_of(record: dict[str, Any]) -> Plan:
    """Return the plan that a record was begun with.

    Raises:
        ModelError: the record is older than plans.
    """
    if "plan" not in record:
        raise ModelError("This run was begun by an older version, or restored: start a new one from its weights.")
    given = record["plan"]
    known = {field.name for field in fields(Recipe)}
    return Plan(
        data=Path(given["data"]),
        task=record["task"],
        model=record["model"],
        weights=Path(given["weights"]) if given["weights"] else None,
        transfer=given.get("transfer", False),
        frozen=tuple((int(epoch), int(layers)) for epoch, layers in given["frozen"]),
        teacher=Path(given["teacher"]) if given["teacher"] else None,
        teacher_weight=given["teacher_weight"],
        int8_like=Path(given["int8_like"]) if given.get("int8_like") else None,
        validate=given["validate"],
        recipe=Recipe(**{name: value for name, value in record["recipe"].items() if name in known}),
    )


def finish(out: Path, state: dict[str, Any], *, device: str) -> dict[str, Any]:
    """Complete the record with what came of the run, draw its curves and write its card.

    Args:
        out: run folder.
        state: what `run_state.load` gives: rows of figures by epoch, and those of the best one by class.
        device: what it ran on, in words.
    """
    record = load(out)
    rows = state["rows"]
    record |= {
        "status": "finished",
        "device": device,
        "epochs_done": len(rows),
        "hours": round(state["spent_s"] / 3600, 4),
        "best_epoch": state["stopper"]["best_epoch"] or len(rows),
        "last": rows[-1] if rows else {},
        "by_class": state["by_class"],
        "thresholds": {name: figures["threshold"] for name, figures in state["by_class"].items()},
    }
    draw_curves(rows, out / "curves.png")
    write_text(out / "card.md", card(record))
    write_json(out / NAME, record)
    return record


def as_csv(rows: list[dict[str, float]]) -> str:
    """Return the figures of all epochs as CSV; a figure that an epoch lacks is left empty."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [",".join(names), *(",".join(f"{row[n]:.6g}" if n in row else "" for n in names) for row in rows)]
    return "\n".join(lines) + "\n"


def draw_curves(rows: list[dict[str, float]], path: Path) -> None:
    """Draw losses, metrics and learning rate over the epochs as PNG."""
    drawing = figure(width_px=1100, height_px=700)
    if drawing is None:
        return
    kinds = {"loss in training": "train/", "loss in validation": "val/", "metrics": "metrics/", "learning rate": "lr/"}
    for axes, (title, prefix) in zip(drawing.subplots(2, 2).flat, kinds.items(), strict=True):
        for name in dict.fromkeys(name for row in rows for name in row if name.startswith(prefix)):
            points = [(row["epoch"], row[name]) for row in rows if name in row]
            axes.plot(*zip(*points, strict=True), marker=".", label=name.removeprefix(prefix))
        axes.set_title(title)
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(fontsize=8)
    save(drawing, path)


def card(record: dict[str, Any]) -> str:
    """Return the model card: what was trained on what, how well it does, and what speaks against trusting that."""
    found, recipe = record["examined"], record["recipe"]
    start = record["plan"]["weights"]
    counted = ", ".join(f"{count} {name}" for name, count in found["classes"].items())
    lines = [
        f"# {record['task']}: {record['model']}",
        "",
        "**Licence: AGPL-3.0** unless you hold another for ultralytics, which trained it. "
        "Data licences: see `training.json`.",
        "",
        f"- Data: {found['train_images']} pictures ({found['images_per_epoch']} an epoch, {found['without_label']} "
        f"without label): {counted}; {found['valid_images']} to measure on; sha256 `{found['sha256']}`",
        f"- Start: {f'`{Path(start).name}`' if start else 'random weights'}; seed {recipe['seed']}",
        f"- {record['epochs_done']} epochs in {record['hours']:.2f} h on {record['device']}, best after epoch "
        f"{record['best_epoch']}; {recipe['imgsz']} px, {recipe['optimizer']}, learning rate {recipe['lr0']}",
        f"- ultralytics {record['ultralytics']}, torch {record['torch']}",
        f"- Made with: `{record['command']}`",
        "",
        "![curves](curves.png)",
        "",
        *_figures(record["by_class"]),
        "",
        "## What speaks against trusting this",
        "",
        *(f"- {doubt}" for doubt in doubts(record)),
        "",
    ]
    return "\n".join(lines)


def doubts(record: dict[str, Any]) -> list[str]:
    """List what a reader of the figures should know first."""
    found = record["examined"]
    listed = []
    if not found["held_out"]:
        listed.append("**No held-out pictures**: the figures are of training pictures and measure nothing.")
    elif found["valid_images"] < FEW_PICTURES:
        listed.append(f"Only {found['valid_images']} pictures to measure on: a figure may be off by several points.")
    scarce = [f"{name} ({count})" for name, count in found["classes"].items() if count < FEW_LABELS]
    if scarce:
        listed.append(f"Classes with fewer than {FEW_LABELS} labels: {', '.join(scarce)}.")
    listed.append("Thresholds were chosen on the pictures the figures are from, so they look a little too good.")
    listed.append("Measured by the trainer's validator at its input size; `evaluate` measures what a line runs.")
    return listed


def _figures(by_class: dict[str, dict[str, float]]) -> list[str]:
    if not by_class:
        return ["No figures: the run was not validated."]
    names = list(next(iter(by_class.values())))
    head = ["| class | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    return head + [
        f"| {name} | " + " | ".join(f"{value:.3f}" for value in figures.values()) + " |"
        for name, figures in by_class.items()
    ]


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
