"""`edge-sorter frontier`: which model, input size and engine to take, on this machine and these pictures."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from edge_sorter.errors import ModelError

if TYPE_CHECKING:
    from edge_sorter.lifecycle.frontier import Point


def frontier(
    model: Annotated[list[Path], typer.Option(metavar="FILE", help="ONNX file with its manifest; repeatable")],
    images: Annotated[Path, typer.Option(metavar="DIR", help="Labelled pictures")],
    labels: Annotated[Path, typer.Option(metavar="DIR", help="Their YOLO label files")],
    sizes: Annotated[str, typer.Option(help="Input sizes, multiples of 32")] = "416x256,448x288,512x288,640x384",
    engines: Annotated[str, typer.Option(help="Of openvino, onnxruntime, tensorrt")] = "openvino,onnxruntime",
    classes: Annotated[str, typer.Option(help="Class ids of the labels to ours, e.g. 0=sack")] = "",
    any_class: Annotated[bool, typer.Option(help="Score positions only")] = False,
    clip: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also decide this clip with every combination")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", metavar="FILE", help="The line that --clip is of")
    ] = None,
    parcels: Annotated[Path | None, typer.Option("--truth", metavar="FILE", help="What crosses in --clip")] = None,
    rounds: Annotated[int, typer.Option(min=5, help="Times each combination is timed, in turns")] = 60,
    threads: Annotated[int, typer.Option(min=0, help="CPU threads of an engine; 0 lets it choose")] = 0,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Write frontier.json and frontier.png here")] = Path(
        "out/frontier"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON, nothing else")] = False,
) -> None:
    """Plot accuracy against time for models x input sizes x engines, measured side by side in one process.

    What no other combination beats in both is marked. Several models may be of other architectures, as long as their
    manifests name the same classes.
    """
    from edge_sorter.detect.manifest import load_manifest
    from edge_sorter.lifecycle.frontier import Truth, best, measure, write_report
    from edge_sorter.lifecycle.frontier_decisions import Line
    from edge_sorter.lifecycle.option_values import class_map, size_px
    from edge_sorter.machine import machine

    names = load_manifest(model[0]).classes
    if any(load_manifest(other).classes != names for other in model[1:]):
        raise ModelError("The models have different classes, so their accuracy on one set cannot be compared.")
    truth = Truth(images, labels, class_map(classes, names), any_class)
    if clip is not None and (config is None or parcels is None):
        raise ModelError("--clip needs the line it is of and what crosses in it: -c line.yaml --truth truth.json")
    line = Line(clip, config, parcels) if clip and config and parcels else None
    points = measure(
        model,
        [size_px(text, "--sizes") for text in sizes.split(",")],
        [text.strip() for text in engines.split(",")],
        truth,
        line=line,
        rounds=rounds,
        threads=threads,
        on_progress=_say,
    )
    about = {**machine(), "images": f"{images.parent.name}/{images.name}", "rounds": rounds, "threads": threads}
    paths = write_report(points, out, about=about)
    if as_json:
        sys.stdout.write(json.dumps({**about, "points": [asdict(point) for point in points]}) + "\n")
        return
    leading = {point.label for point in best(points)}
    table = Table(title="accuracy and time, * what no other beats in both")
    lanes = ("right lanes", "off at the line", "size off") if line else ()
    for name in (
        "",
        "model, input, engine",
        "mAP50",
        "mAP50-95",
        "95 %",
        "cpu ms",
        "fastest",
        "median",
        "p95",
        "ratio",
        *lanes,
    ):
        table.add_column(name, justify="left" if name in ("", "model, input, engine") else "right")
    for point in sorted(points, key=lambda point: (bool(point.refused), point.median_ms)):
        if point.refused:
            table.add_row("", point.label, f"refused: {point.refused[:60]}")
            continue
        table.add_row("*" if point.label in leading else "", point.label, *_figures(point))
    Console(width=max(Console().width, 180 if line else 140)).print(table)  # figures that wrap say nothing
    sys.stdout.write("".join(f"{path}\n" for path in paths))


def _figures(point: Point) -> list[str]:
    low, high = point.map50_95_interval or (point.map50_95, point.map50_95)
    figures = [f"{point.map50:.3f}", f"{point.map50_95:.3f}", f"{low:.3f} to {high:.3f}"]
    figures += [f"{ms:.1f}" for ms in (point.cpu_ms, point.fastest_ms, point.median_ms, point.p95_ms)] + [
        f"{point.ratio:.2f}"
    ]
    if (decided := point.decided) is not None:
        figures.append(
            f"{decided.lane_right} of {decided.lanes_judged}, {decided.missed} missed, {decided.extra} extra"
        )
        figures.append("" if decided.crossing_error_ms is None else f"{decided.crossing_error_ms:g} ms")
        figures.append("" if decided.size_error_mm is None else "{:g} x {:g} mm".format(*decided.size_error_mm))
    return figures


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
