"""Evaluation on labelled pictures from end to end: open the model, look, measure, write report and document.

Contract: `evaluate_images` and `compare_images` return the JSON document (`edge_sorter.evaluation/1`, see schema.json);
with a folder they also leave the report and the document there. A model that this machine refuses is an error: its
stand-in would be measured under its name.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_sorter import __version__
from edge_sorter.atomic import write_json, write_text
from edge_sorter.config import DetectSection
from edge_sorter.detect import Detector, open_detector
from edge_sorter.detect.manifest import load_manifest
from edge_sorter.errors import ModelError
from edge_sorter.lifecycle.evaluation import report
from edge_sorter.lifecycle.evaluation.compare import Comparison, apart, compare
from edge_sorter.lifecycle.evaluation.labelled import FLOOR_CONFIDENCE, Labelled
from edge_sorter.lifecycle.evaluation.measure import Evaluation, Looked, as_json, look, measure
from edge_sorter.lifecycle.evaluation.precision import RESAMPLES
from edge_sorter.types import Frame, IntArray

SCHEMA = "edge_sorter.evaluation/1"
REPORT, DOCUMENT = "report.html", "evaluation.json"
PICTURES_APART = 10

Progress = Callable[[int], None]


@dataclass(frozen=True)
class Task:
    """What to measure and how; the same for one model and for two.

    Attributes:
        images, labels: Folders of pictures and YOLO label files of the same stems.
        class_map: Their class id to ours; None when they are ours.
        any_class: Score positions only.
        only: Classes that occur, as `detect.classes`; empty for all of the model's.
        engine, input_px, threads: How the model runs; see `detect` in the configuration.
        confidence: Working threshold; None takes each manifest's.
        target_recall: Recall to find a threshold for.
        group: Regular expression on file names; pictures with the same first group are resampled together.
        resamples, seed: Of the intervals.
    """

    images: Path
    labels: Path
    class_map: dict[int, int] | None = None
    any_class: bool = False
    only: tuple[str, ...] = ()
    engine: str = "auto"
    input_px: tuple[int, int] | None = None
    threads: int = 0
    confidence: float | None = None
    target_recall: float = 0.95
    group: str | None = None
    resamples: int = RESAMPLES
    seed: int = 0


def evaluate_images(
    model: Path, task: Task, *, out: Path | None = None, on_progress: Progress | None = None
) -> dict[str, Any]:
    """Measure one model.

    Raises:
        ModelError: Model, pictures or labels are wrong, or this machine refuses the model.
    """
    facts, looked = _look(model, task, on_progress)
    evaluation = _measure(looked, task, facts)
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "kind": "images",
        "edge_sorter": __version__,
        "model": facts,
        "set": _set_facts(task, looked),
        "figures": as_json(evaluation),
        "errors": _errors(looked, evaluation),
    }
    if out is not None:
        title = f"{facts['name']} on {_set_name(task)}"
        html = report.single(looked, evaluation, title=title, facts=[*_model_rows(facts), *_set_rows(document["set"])])
        write(out, html, document)
    return document


def compare_images(
    models: tuple[Path, Path], task: Task, *, out: Path | None = None, on_progress: Progress | None = None
) -> dict[str, Any]:
    """Measure two models on the same pictures and hold them against each other.

    Raises:
        ModelError: As `evaluate_images`, or the two know different classes.
    """
    sides = [_look(model, task, on_progress) for model in models]
    (facts_a, looked_a), (facts_b, looked_b) = sides
    a, b = (_measure(looked, task, facts) for facts, looked in sides)
    differences = compare(
        looked_a,
        looked_b,
        confidence_a=a.confidence,
        confidence_b=b.confidence,
        groups=_groups(task.group, looked_a.truths),
        resamples=task.resamples,
        seed=task.seed,
    )
    comparison = Comparison(differences, apart(a, b, count=PICTURES_APART))
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "kind": "comparison",
        "edge_sorter": __version__,
        "set": _set_facts(task, looked_a),
        "a": {"model": facts_a, "figures": as_json(a)},
        "b": {"model": facts_b, "figures": as_json(b)},
        "comparison": comparison.as_json([truth.path.name for truth in looked_a.truths]),
    }
    if out is not None:
        html = report.double(
            ((_runs(facts_a), looked_a, a), (_runs(facts_b), looked_b, b)),
            comparison,
            title=f"{facts_a['name']} and {facts_b['name']} on {_set_name(task)}",
            facts=_set_rows(document["set"]),
        )
        write(out, html, document)
    return document


@contextmanager
def opened(model: Path, task: Task) -> Iterator[Detector]:
    """Open a model as the line would, down to `FLOOR_CONFIDENCE`.

    Raises:
        ModelError: This machine refuses it and would run another in its place.
    """
    section = DetectSection.model_validate(
        {
            "model": model,
            "engine": task.engine,
            "threads": task.threads,
            "input_px": task.input_px,
            "classes": task.only,
            "confidence": task.confidence,
            "low_confidence": FLOOR_CONFIDENCE,
        }
    )
    asked = load_manifest(model)
    with open_detector(section) as detector:
        if detector.manifest.sha256 != asked.sha256:
            why = "; ".join(detector.acceptance.refused) if detector.acceptance else ""
            raise ModelError(
                f"{model} is refused on this machine and {detector.manifest.name} would run in its place: {why}. "
                "Name another engine, e.g. --engine onnxruntime."
            )
        yield detector


def _look(model: Path, task: Task, on_progress: Progress | None) -> tuple[dict[str, Any], Looked]:
    with opened(model, task) as detector:
        looked = look(
            lambda picture: detector.detect(Frame(0, 0, picture)),
            task.images,
            task.labels,
            classes=detector.classes,
            class_map=task.class_map,
            any_class=task.any_class,
            on_progress=on_progress,
        )
        facts = {
            "name": detector.manifest.name,
            "version": detector.manifest.version,
            "sha256": detector.manifest.sha256,
            "precision": detector.manifest.precision,
            "input_px": list(detector.input_size_px),
            "runs_on": detector.description,
            "confidence": detector.high_confidence,
        }
    return facts, looked


def _measure(looked: Looked, task: Task, facts: dict[str, Any]) -> Evaluation:
    return measure(
        looked,
        confidence=facts["confidence"],
        target_recall=task.target_recall,
        groups=_groups(task.group, looked.truths),
        resamples=task.resamples,
        seed=task.seed,
    )


def _groups(pattern: str | None, truths: Sequence[Labelled]) -> IntArray | None:
    if pattern is None:
        return None
    try:
        found = [re.search(pattern, truth.path.name) for truth in truths]
        names = [hit.group(1) if hit else truth.path.name for hit, truth in zip(found, truths, strict=True)]
    except (re.error, IndexError) as error:
        raise ModelError(
            f"--group '{pattern}' is no regular expression with one group ({error}); e.g. '^(.+)_[0-9]+'."
        ) from None
    known = {name: number for number, name in enumerate(dict.fromkeys(names))}
    if len(known) < 2:
        raise ModelError(
            f"--group '{pattern}' puts all {len(names)} pictures into one group; nothing can be resampled."
        )
    return np.array([known[name] for name in names], np.int64)


def _set_facts(task: Task, looked: Looked) -> dict[str, Any]:
    digest = hashlib.sha256()
    for truth in looked.truths:
        digest.update(
            truth.path.name.encode() + truth.path.read_bytes() + truth.xyxy.tobytes() + truth.class_id.tobytes()
        )
    return {
        "images": str(task.images),
        "labels": str(task.labels),
        "count": len(looked.truths),
        "boxes": looked.boxes,
        "sha256": digest.hexdigest(),
        "any_class": task.any_class,
        "only": list(task.only),
        "resamples": task.resamples,
        "seed": task.seed,
        "group": task.group,
    }


def _set_name(task: Task) -> str:
    parts = [part for part in task.images.resolve().parts if part != "images"]
    return "/".join(parts[-2:]) if parts[-1] in {"valid", "val", "test", "train"} else parts[-1]


def _errors(looked: Looked, evaluation: Evaluation) -> list[dict[str, Any]]:
    def name(class_id: int | None) -> str | None:
        return None if class_id is None else looked.classes[class_id]

    def box(xyxy: Sequence[float] | None) -> list[float] | None:
        return None if xyxy is None else [round(side, 1) for side in xyxy]

    return [
        {
            "kind": fault.kind,
            "image": looked.truths[fault.picture].path.name,
            "true": name(fault.true_class),
            "true_xyxy": box(fault.true_xyxy),
            "found": name(fault.found_class),
            "found_xyxy": box(fault.found_xyxy),
            "confidence": round(fault.confidence, 4),
            "overlap": round(fault.overlap, 3),
        }
        for fault in evaluation.faults
    ]


def _runs(facts: dict[str, Any]) -> str:
    return f"{facts['name']} ({facts['precision']})"


def _model_rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    return [("model", facts["runs_on"]), ("sha256", facts["sha256"][:16])]


def _set_rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    told = f"{facts['count']} pictures, {facts['boxes']} boxes, sha256 {facts['sha256'][:16]}"
    scored = "positions only, whatever the class" if facts["any_class"] else "position and class"
    if facts["only"]:
        scored += f", as where only {' and '.join(facts['only'])} occur"
    return [("set", facts["images"]), ("holds", told), ("scored", scored)]


def write(out: Path, html: str, document: dict[str, Any]) -> None:
    """Leave report and document in a folder, each whole or not at all."""
    try:
        write_text(out / REPORT, html)
        write_json(out / DOCUMENT, document)
    except OSError as error:
        raise ModelError(f"{out} cannot be written: {error.strerror}; choose another --out") from None
