"""`edge-sorter prune`: a narrower detector to train on, and what was taken where."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from edge_sorter.atomic import write_json
from edge_sorter.errors import ModelError
from edge_sorter.lifecycle.isolate import isolate_ultralytics
from edge_sorter.lifecycle.run_record import NAME
from edge_sorter.lifecycle.train_commands import command_line

if TYPE_CHECKING:
    from edge_sorter.lifecycle.prune import Block


def prune_model(
    checkpoint: Annotated[
        Path, typer.Option(metavar="FILE", help="RUN/weights/best.pt or last.pt of a detector; it is unpickled")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Run folder to create, with weights/last.pt to train on")],
    ratio: Annotated[float, typer.Option(min=0.05, max=0.9, help="Share of the channels to take out of blocks")] = 0.25,
    multiple: Annotated[
        int, typer.Option(min=1, help="Leave multiples of so many channels: 8 or 16 suit most processors")
    ] = 8,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON, nothing else")] = False,
) -> None:
    """Take the least important channels out of a detector's blocks; train it on afterwards.

    Which channels can go without touching what blocks pass to each other, and how important each is, the weights say;
    no pictures are needed.
    """
    if (out / NAME).exists() or (out / "weights" / "last.pt").exists():
        raise ModelError(f"{out} already holds a run. Choose another --out.")
    isolate_ultralytics()
    try:
        from edge_sorter.lifecycle.prune import prune
    except ImportError as error:
        raise ModelError(f"prune lacks a package ({error}): pip install 'edge-sorter[train]'.") from error
    from edge_sorter.lifecycle.export import DEFAULT_SIZE_PX

    weights = out / "weights" / "last.pt"
    blocks = prune(checkpoint, weights, ratio=ratio, multiple=multiple, size_px=DEFAULT_SIZE_PX)
    figures = {name: _sum(blocks, name) for name in ("multiplications", "parameters")}
    pruned = {"ratio": ratio, "multiple": multiple, "size_px": DEFAULT_SIZE_PX, **figures}
    earlier = checkpoint.parent.parent / NAME
    started_from = json.loads(earlier.read_text(encoding="utf-8")) if earlier.is_file() else None
    write_json(out / NAME, {"command": command_line(), "pruned": pruned, "started_from": started_from})
    if as_json:
        told = {"checkpoint": str(weights), **pruned, "blocks": [asdict(block) for block in blocks]}
        sys.stdout.write(json.dumps(told) + "\n")
        return
    _show(blocks, figures)
    sys.stdout.write(f"{weights}\nNext: edge-sorter train --weights {weights} --data data.yaml --out ANOTHER\n")


def _sum(blocks: list[Block], name: str) -> tuple[int, int]:
    pairs = [getattr(block, name) for block in blocks]
    return sum(pair[0] for pair in pairs), sum(pair[1] for pair in pairs)


def _show(blocks: list[Block], figures: dict[str, tuple[int, int]]) -> None:
    table = Table(title="of what is exported, before > after")
    table.add_column("layer")
    for column in ("channels", "multiplied, M", "share, %", "parameters, k"):
        table.add_column(column, justify="right")
    whole = figures["multiplications"][0]
    for block in blocks:
        table.add_row(*_row(block.name, block.channels, block.multiplications, block.parameters, whole=whole))
    table.add_section()
    channels = _sum(blocks, "channels")
    table.add_row(*_row("all", channels, figures["multiplications"], figures["parameters"], whole=whole))
    Console().print(table)


def _row(name: str, channels: Any, multiplications: Any, parameters: Any, *, whole: int) -> list[str]:
    share = " > ".join(f"{100 * count / whole:.1f}" for count in multiplications)
    return [
        name,
        " > ".join(str(count) for count in channels) if channels[0] else "",
        " > ".join(f"{count / 1e6:.1f}" for count in multiplications),
        share,
        " > ".join(f"{count / 1e3:.1f}" for count in parameters),
    ]
