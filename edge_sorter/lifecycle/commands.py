"""The commands of a model's life, in the order one needs them; `edge-sorter` has them all.

Contract: the one list of these commands; what is heavy is imported by the functions that need it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from edge_sorter.lifecycle.average import average_models
from edge_sorter.lifecycle.evaluation.command import evaluate
from edge_sorter.lifecycle.explanation.command import explain
from edge_sorter.lifecycle.frontier_command import frontier
from edge_sorter.lifecycle.prune_command import prune_model
from edge_sorter.lifecycle.quantize.commands import quantize_model
from edge_sorter.lifecycle.train_commands import command_line, distill_model, export_model, train_model

PANEL = "A model's life (docs/models.md)"

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help="Make and measure detection models.")


def restore_checkpoint(
    model: Annotated[Path, typer.Option(metavar="FILE", help="Float ONNX made by `export`")],
    data: Annotated[Path, typer.Option(help="data.yaml whose training images give the batch norms their statistics")],
    out: Annotated[Path, typer.Option(help="Checkpoint to write, e.g. RUN/weights/last.pt")],
    images: Annotated[int, typer.Option(min=1, help="Pictures to take the statistics from")] = 96,
) -> None:
    """Make a shipped float model trainable again, where its checkpoint is gone."""
    from edge_sorter.lifecycle import calibration, manifest
    from edge_sorter.lifecycle.restore import restore

    content = manifest.load(model)
    size_px = (content["input"]["width_px"], content["input"]["height_px"])
    chosen = calibration.choose(calibration.look_at(calibration.training_pictures(data)), images)
    pictures = calibration.tensors([look.path for look in chosen], size_px=size_px)
    count = restore(model, out, pictures=pictures)
    record = {"command": command_line(), "started_from": content["training"], "restored_from_sha256": content["sha256"]}
    (out.parent.parent / "training.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    sys.stdout.write(f"{out}, statistics of {count} images\nNext: edge-sorter train --weights {out} ...\n")


def golden_pictures(
    model: Annotated[Path, typer.Option(help="Float ONNX with its manifest")],
    clip: Annotated[Path, typer.Option(help="Video to take pictures from; they are shipped with the model")],
    also: Annotated[list[Path], typer.Option(help="int8 file made from it before; repeatable")] = [],  # noqa: B006
    count: Annotated[int, typer.Option(min=1, max=16, help="Pictures, evenly over the clip")] = 3,
) -> None:
    """Write the pictures and boxes that an engine must reproduce before it goes live (see `accept`)."""
    from edge_sorter.lifecycle.golden import write_golden

    sys.stdout.write(f"{write_golden(model, also=also, clip=clip, count=count)}\n")


app.command("train", rich_help_panel=PANEL)(train_model)
app.command("distill", rich_help_panel=PANEL)(distill_model)
app.command("prune", rich_help_panel=PANEL)(prune_model)
app.command("average", rich_help_panel=PANEL)(average_models)
app.command("export", rich_help_panel=PANEL)(export_model)
app.command("golden", rich_help_panel=PANEL)(golden_pictures)
app.command("evaluate", rich_help_panel=PANEL)(evaluate)
app.command("explain", rich_help_panel=PANEL)(explain)
app.command("quantize", rich_help_panel=PANEL)(quantize_model)
app.command("frontier", rich_help_panel=PANEL)(frontier)
app.command("restore", rich_help_panel=PANEL)(restore_checkpoint)
