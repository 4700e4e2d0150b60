"""`python -m edge_sorter.lifecycle`: the commands of a model's life, and three for this project's own weights.

`data build` (`shipped_data.py`) mixed the sets that the shipped weights were trained on; for yours there is
`edge-sorter dataset`. `peer` times the tool that they are compared with, `shapes` says what oriented boxes
would tell about parcels.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

from edge_sorter.errors import EdgeSorterError, ModelError
from edge_sorter.lifecycle.commands import app

data_app = typer.Typer(no_args_is_help=True, help="Assemble the data sets of the shipped weights.")
app.add_typer(data_app, name="data")


@data_app.command("build")
def build_data(
    out: Annotated[Path, typer.Option(help="Folder to write: links, labels, lists, dataset.json")],
    sacks: Annotated[Path | None, typer.Option(help="Root of the sacks set (train/, valid/)")] = None,
    packages: Annotated[Path | None, typer.Option(help="Root of the public-domain packages set")] = None,
    rendered: Annotated[list[Path], typer.Option(help="Root of rendered images (images/, labels/); repeatable")] = [],  # noqa: B006
    collage: Annotated[Path | None, typer.Option(help="Root of pictures by edge_sorter.sim.collage")] = None,
    site: Annotated[Path | None, typer.Option(help="Root of a rendered clip: frames/, truth_mot.txt")] = None,
    sacks_limit: Annotated[int, typer.Option(help="Sack images to draw; 0 takes all")] = 0,
    packages_repeat: Annotated[int, typer.Option(help="Times each packages image appears in an epoch")] = 4,
    rendered_repeat: Annotated[
        list[int], typer.Option(help="Times each rendered image appears in an epoch; once for all, or for each root")
    ] = [2],  # noqa: B006
    site_repeat: Annotated[int, typer.Option(help="Times each frame of that clip appears in an epoch")] = 3,
    seed: int = 0,
) -> None:
    """Mix image sets with different classes into one YOLO data set with a fingerprint."""
    from edge_sorter.lifecycle import shipped_data

    path = shipped_data.build(
        out,
        sacks_root=sacks,
        packages_root=packages,
        rendered_roots=rendered,
        collage_root=collage,
        site_root=site,
        sacks_limit=sacks_limit,
        packages_repeat=packages_repeat,
        rendered_repeat=rendered_repeat,
        site_repeat=site_repeat,
        seed=seed,
    )
    record = json.loads((out / "dataset.json").read_text(encoding="utf-8"))
    for source in record["sources"]:
        _print(f"{source['split']:5} {source['name']:24} {source['images']:5} x{source['repeat']}  {source['boxes']}")
    _print(f"{record['images_per_epoch']} images an epoch, sha256 {record['sha256'][:12]}, {path}")


@app.command("peer")
def bench_peer(
    clip: Annotated[Path, typer.Option(help="Clip to track")],
    model: Annotated[Path | None, typer.Option(help="Model folder exported earlier")] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="Checkpoint to export first")] = None,
    out: Annotated[Path, typer.Option(help="Where to export to")] = Path("out/peer"),
    imgsz: int = 640,
) -> None:
    """Measure `yolo track` with its OpenVINO export on a clip, to compare with `edge-sorter replay`."""
    from edge_sorter.lifecycle.peer_bench import export_peer, track_fps

    if model is None and checkpoint is None:
        raise ModelError("Give --model (exported earlier) or --checkpoint (exported now).")
    if model is None and checkpoint is not None:
        model = export_peer(checkpoint, out, imgsz=imgsz)
    if model is not None:
        _print(json.dumps(track_fps(model, clip, imgsz=imgsz), indent=2))


@app.command("shapes")
def compare_shapes(
    scenario: Annotated[Path, typer.Option(metavar="FILE", help="Scenario whose camera and belt are used")],
    count: Annotated[int, typer.Option(min=10, help="Parcels of each kind and skew for the exact part")] = 100,
    seed: int = 1,
    model: Annotated[Path | None, typer.Option(metavar="FILE", help="Model of oriented boxes to look with")] = None,
    clip: Annotated[Path | None, typer.Option(metavar="FILE", help="The scenario's rendered clip, for --model")] = None,
    every: Annotated[int, typer.Option(min=1, help="Look at every so-many-th frame of it")] = 5,
) -> None:
    """Show what upright and what oriented boxes tell: median errors of place, size and skew, "upright / oriented"."""
    from rich.console import Console
    from rich.table import Table

    from edge_sorter.lifecycle import box_shapes
    from edge_sorter.sim import scenario as scenarios

    loaded, told = scenarios.load(scenario), {}
    for kind in box_shapes.HEIGHTS_MM:
        for low, high in box_shapes.SKEWS_DEG:
            looks = box_shapes.bound(loaded, kind=kind, skew_deg=(low, high), count=count, seed=seed)
            told[f"{kind} {low}-{high}, exact"] = box_shapes.errors(looks)
    if model is not None:
        if clip is None:
            raise ModelError("--model needs --clip, the scenario's rendered clip.")
        looks = box_shapes.seen(loaded, clip, model, every=every)
        for name, part in box_shapes.parted(looks).items():
            told[f"{name}, seen ({len(part)} looks)"] = box_shapes.errors(part)
    table = Table(title='median errors, "upright / oriented"')
    for column in ("parcels, skew", "along mm", "across mm", "length mm", "width mm", "skew deg"):
        table.add_column(column, no_wrap=True)
    for row in box_shapes.rows(told):
        table.add_row(*row)
    Console().print(table)


def main() -> None:
    """Run a command; our own errors become one message and their exit code."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        app()
    except EdgeSorterError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
