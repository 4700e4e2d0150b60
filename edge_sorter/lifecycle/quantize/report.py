"""What the comparisons of `quantize` look like: tables for the terminal, JSON for scripts, one picture to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from edge_sorter.atomic import write_json
from edge_sorter.lifecycle.plots import figure, save
from edge_sorter.lifecycle.quantize.fidelity import Fidelity
from edge_sorter.lifecycle.quantize.sensitivity import Layer, Trial

SHOWN = 20
"""Layers in the table and the picture; the JSON has all."""


def ranges_table(found: Mapping[str, Fidelity], maps: Mapping[str, float]) -> Table:
    """One row for each way to choose ranges; `maps` has mAP50-95 by the same names, with `float`, or is empty."""
    table = Table(title="ranges, all layers int8, against float")
    for name in ("ranges", "score error", "95 of 100 below", "worst", "box error", *(("mAP50-95",) if maps else ())):
        table.add_column(name, justify="left" if name == "ranges" else "right")
    if maps:
        table.add_row("float", "", "", "", "", f"{maps['float']:.4f}")
    for name, result in found.items():
        table.add_row(name, *_cells(result), *((f"{maps[name]:.4f}",) if maps else ()))
    return table


def layers_table(layers: Sequence[Layer]) -> Table:
    """The layers that hurt most when they alone are int8."""
    table = Table(title=f"one layer int8 at a time, the {min(SHOWN, len(layers))} worst of {len(layers)}")
    for name in ("layer", "score error", "95 of 100 below", "worst", "box error", "weights", "work"):
        table.add_column(name, justify="left" if name == "layer" else "right")
    for layer in layers[:SHOWN]:
        table.add_row(layer.name, *_cells(layer.fidelity), f"{layer.weights}", f"{layer.share:.1%}")
    return table


def trials_table(trials: Sequence[Trial], taken: Trial) -> Table:
    """What keeping more and more layers in float costs and brings."""
    table = Table(title="layers in float")
    for name in ("layers", "score error", "95 of 100 below", "worst", "box error", "MB", "work in float", ""):
        table.add_column(name, justify="right")
    for trial in trials:
        mark = "taken" if trial is taken else ""
        cost = (f"{trial.size_mb:.2f}", f"{trial.float_share:.1%}")
        table.add_row(f"{len(trial.keep_float)}", *_cells(trial.fidelity), *cost, mark)
    return table


def write_report(folder: Path, content: dict[str, Any]) -> list[Path]:
    """Write `quantize.json`, and `sensitivity.png` where layers were examined and matplotlib is installed."""
    path = folder / "quantize.json"
    write_json(path, content)
    if not content.get("layers"):
        return [path]
    drawing = figure(width_px=1000, height_px=700)
    if drawing is None:
        return [path]
    rows = content["layers"][:SHOWN][::-1]
    axes = drawing.add_subplot()
    axes.barh([row["name"].removesuffix("/conv/Conv") for row in rows], [row["error"] for row in rows], color="#2b6cb0")
    axes.set_xlabel("error of scores and boxes with only this layer in int8")
    axes.tick_params(axis="y", labelsize=7)
    return [path, save(drawing, folder / "sensitivity.png")]


def _cells(result: Fidelity) -> tuple[str, ...]:
    values = (result.score_error, result.score_error_p95, result.score_error_max, result.box_error)
    return tuple(f"{value:.4f}" for value in values)
