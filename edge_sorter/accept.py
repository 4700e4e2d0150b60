"""`edge-sorter accept`: the evidence that this machine computes what the float model computes, and how fast.

Contract: what it runs is what `run` would run, opened the same way; nothing is recalled, everything is measured anew.
"""

from __future__ import annotations

import json
import math
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from edge_sorter.accept_pictures import agreement, ratchet
from edge_sorter.atomic import write_json
from edge_sorter.detect.manifest import load_manifest
from edge_sorter.errors import ConfigError
from edge_sorter.machine import machine

if TYPE_CHECKING:
    from edge_sorter.config import DetectSection
    from edge_sorter.detect import Detector

WARM_UP = 10


def accept(
    config: Annotated[Path, typer.Option("--config", "-c", metavar="FILE", help="Configuration of the line")],
    budget_ms: Annotated[float, typer.Option(min=0.1, help="What 99 of 100 pictures may take, in milliseconds")] = 40.0,
    runs: Annotated[int, typer.Option(min=100, help="Pictures to time")] = 300,
    pictures: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Compare with the float model on these, too"),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most this many of --pictures")] = 300,
    labelled: Annotated[
        Path | None, typer.Option(metavar="DIR", help="images/ and labels/ (YOLO): is the mAP what the manifest says?")
    ] = None,
    metric: Annotated[
        str, typer.Option("--set", metavar="NAME", help="The manifest's figure for --labelled, e.g. rendered/valid")
    ] = "",
    classes: Annotated[str, typer.Option(help="Class ids of --labelled to ours, e.g. 0=carton,1=polybag")] = "",
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the result with machine, versions and time, as evidence")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON on standard output, nothing else")
    ] = False,
) -> None:
    """Prove that the model computes rightly on this machine, and measure how fast.

    Golden pictures beside the model are compared, box by box, with what the float model sees in ONNX Runtime; `run`
    does the same before it goes live. Exit code 0: the configured model is accepted and in its budget; 1: it runs, but
    another model or engine had to stand in, it is too slow, it came without golden pictures, it disagrees on
    --pictures, or its mAP on --labelled is lower than promised; 71: nothing computes rightly.
    """
    from edge_sorter.config import load_config
    from edge_sorter.lifecycle.option_values import class_map

    if (labelled is None) != (not metric):
        raise ConfigError("--labelled DIR and --set NAME belong together: which figure is it held against?")
    section = load_config(config).detect
    evidence = examine(section, runs=runs, budget_ms=budget_ms)
    if pictures is not None:
        evidence["agreement"] = agreement(section, pictures, limit=limit)
    if labelled is not None:
        theirs = class_map(classes, load_manifest(section.model).classes)
        evidence["accuracy"] = ratchet(section, labelled, name=metric, class_map=theirs)
    evidence["accepted"] &= all(evidence[part]["passed"] for part in ("agreement", "accuracy") if part in evidence)
    if out is not None:
        write_json(out, {"config": str(config), "model": section.model.name, **machine(), **evidence})
    if as_json:
        sys.stdout.write(json.dumps(evidence) + "\n")
    else:
        _show(Console(soft_wrap=True), evidence)
    raise typer.Exit(0 if evidence["accepted"] else 1)


def examine(section: DetectSection, *, runs: int, budget_ms: float) -> dict[str, Any]:
    """Open the detector, proving it anew, and time it.

    Args:
        section: `detect` of the configuration.
        runs: Pictures to time.
        budget_ms: Limit of the 99th percentile, letterbox and decoding included.

    Raises:
        ModelError: No model, or nothing here computes it rightly.
    """
    from edge_sorter.detect import open_detector

    with open_detector(section, anew=True) as detector:
        acceptance = detector.acceptance
        assert acceptance is not None  # open_detector always says how it chose
        spent_ms = _time(detector, runs=runs)
        p50_ms, p99_ms = (round(spent_ms[math.ceil(runs * part) - 1], 2) for part in (0.5, 0.99))
        parity = acceptance.parity
        return {
            "running": detector.description,
            "refused": list(acceptance.refused),
            "parity": None if parity is None else {**asdict(parity), "passed": parity.passed, "text": str(parity)},
            "latency_ms": {"p50": p50_ms, "p99": p99_ms, "runs": runs, "budget_p99": budget_ms},
            "accepted": parity is not None and not acceptance.refused and p99_ms <= budget_ms,
        }


def _time(detector: Detector, *, runs: int) -> list[float]:
    """Return how long `detect` takes on one noisy picture, in ms, ascending."""
    import numpy as np

    from edge_sorter.clock import stopwatch_ns
    from edge_sorter.types import Frame

    width, height = detector.input_size_px
    frame = Frame(0, 0, np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8))
    spent_ms = []
    for _ in range(WARM_UP + runs):
        began_ns = stopwatch_ns()
        detector.detect(frame)
        spent_ms.append((stopwatch_ns() - began_ns) / 1e6)
    return sorted(spent_ms[WARM_UP:])


def _show(console: Console, evidence: dict[str, Any]) -> None:
    for reason in evidence["refused"]:
        console.print(f"[red]refused[/]  {escape(reason)}", highlight=False)
    parity, latency = evidence["parity"], evidence["latency_ms"]
    console.print(f"running  {escape(evidence['running'])}", highlight=False)
    if parity is None:
        console.print("[yellow]unproven[/] it came without golden pictures", highlight=False)
    else:
        console.print(f"[green]proven[/]   {parity['text']}", highlight=False)
    slow = latency["p99"] > latency["budget_p99"]
    mark = "[red]slow[/]    " if slow else "[green]fast[/]    "
    console.print(
        f"{mark} p50 {latency['p50']:.1f} ms, p99 {latency['p99']:.1f} ms of {latency['budget_p99']:g} ms, "
        f"{latency['runs']} pictures, letterbox to boxes",
        highlight=False,
    )
    _show_pictures(console, evidence)
    console.print("[bold green]accepted[/]" if evidence["accepted"] else "[bold red]not accepted as configured[/]")


def _show_pictures(console: Console, evidence: dict[str, Any]) -> None:
    found = evidence.get("agreement")
    if found:
        mark = "[green]agrees[/]  " if found["passed"] else "[red]differs[/] "
        console.print(
            f"{mark} {found['within']:.1%} of {found['boxes']} boxes in {found['pictures']} pictures are as the float "
            f"model sees them, mean overlap {found['mean_iou']:.3f}, mean score difference "
            f"{found['mean_score_difference']:.3f}, {found['missing']} missing",
            highlight=False,
        )
    found = evidence.get("accuracy")
    if found:
        mark = "[green]accurate[/]" if found["passed"] else "[red]worse[/]   "
        console.print(
            f"{mark} mAP50-95 {found['map50_95']:.3f} on {found['images']} pictures of {escape(found['set'])}, "
            f"{found['promised']:.3f} promised",
            highlight=False,
        )
