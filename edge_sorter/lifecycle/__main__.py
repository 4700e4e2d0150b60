"""`python -m edge_sorter.lifecycle`: from images to the two model files, one command per step.

Contract: thin over the modules of this room; it prints progress to standard error, results to standard output, and
ends with the exit code of the error it reports.

    python -m edge_sorter.lifecycle data build --out DATA --sacks DIR --packages DIR --rendered DIR
    python -m edge_sorter.lifecycle train --data DATA/data.yaml --out RUN
    python -m edge_sorter.lifecycle export --checkpoint RUN/weights/last.pt --out weights/NAME.onnx
    python -m edge_sorter.lifecycle golden --model weights/NAME.onnx --clip CLIP
    python -m edge_sorter.lifecycle quantize --model weights/NAME.onnx --data DATA/data.yaml --out weights/INT8.onnx
    python -m edge_sorter.lifecycle evaluate --model weights/NAME-int8.onnx --images DIR --labels DIR
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from edge_sorter.errors import EdgeSorterError, ModelError
from edge_sorter.lifecycle.evaluation.command import evaluate
from edge_sorter.lifecycle.explanation.command import explain
from edge_sorter.lifecycle.quantize.commands import quantize_model
from edge_sorter.lifecycle.train_commands import command_line, distill_model, export_model, train_model

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help="Make and measure detection models.")
data_app = typer.Typer(no_args_is_help=True, help="Assemble data sets.")
app.add_typer(data_app, name="data")


@data_app.command("build")
def build_data(
    out: Annotated[Path, typer.Option(help="Folder to write: links, labels, lists, dataset.json")],
    sacks: Annotated[Path | None, typer.Option(help="Root of the sacks set (train/, valid/)")] = None,
    packages: Annotated[Path | None, typer.Option(help="Root of the public-domain packages set")] = None,
    rendered: Annotated[list[Path], typer.Option(help="Root of rendered images (images/, labels/); repeatable")] = [],  # noqa: B006
    collage: Annotated[Path | None, typer.Option(help="Root of pictures by edge_sorter.sim.collage")] = None,
    sacks_limit: Annotated[int, typer.Option(help="Sack images to draw; 0 takes all")] = 0,
    packages_repeat: Annotated[int, typer.Option(help="Times each packages image appears in an epoch")] = 4,
    rendered_repeat: Annotated[int, typer.Option(help="Times each rendered image appears in an epoch")] = 2,
    seed: int = 0,
) -> None:
    """Mix image sets with different classes into one YOLO data set with a fingerprint."""
    from edge_sorter.lifecycle import data

    path = data.build(
        out,
        sacks_root=sacks,
        packages_root=packages,
        rendered_roots=rendered,
        collage_root=collage,
        sacks_limit=sacks_limit,
        packages_repeat=packages_repeat,
        rendered_repeat=rendered_repeat,
        seed=seed,
    )
    record = json.loads((out / "dataset.json").read_text(encoding="utf-8"))
    for source in record["sources"]:
        _print(f"{source['split']:5} {source['name']:24} {source['images']:5} x{source['repeat']}  {source['boxes']}")
    _print(f"{record['images_per_epoch']} images an epoch, sha256 {record['sha256'][:12]}, {path}")


app.command("train")(train_model)
app.command("distill")(distill_model)
app.command("export")(export_model)
app.command("quantize")(quantize_model)


@app.command("restore")
def restore_checkpoint(
    model: Annotated[Path, typer.Option(help="Float ONNX made by `export`")],
    data: Annotated[Path, typer.Option(help="data.yaml whose training images give the batch norms their statistics")],
    out: Annotated[Path, typer.Option(help="Checkpoint to write, e.g. RUN/weights/last.pt")],
    images: Annotated[int, typer.Option(min=1)] = 96,
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
    _print(f"{out}, statistics of {count} images\nNext: python -m edge_sorter.lifecycle train --weights {out} ...")


@app.command("golden")
def golden_pictures(
    model: Annotated[Path, typer.Option(help="Float ONNX with its manifest")],
    clip: Annotated[Path, typer.Option(help="Video to take pictures from; they are shipped with the model")],
    also: Annotated[list[Path], typer.Option(help="int8 file made from it before; repeatable")] = [],  # noqa: B006
    count: Annotated[int, typer.Option(min=1, max=16, help="Pictures, evenly over the clip")] = 3,
) -> None:
    """Write the pictures and boxes that an engine must reproduce before it goes live (`edge-sorter accept`)."""
    from edge_sorter.lifecycle.golden import write_golden

    _print(str(write_golden(model, also=also, clip=clip, count=count)))


app.command("evaluate")(evaluate)
app.command("explain")(explain)


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


def main() -> None:
    """Run a command; our own errors become one message and their exit code."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        app()
    except EdgeSorterError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)


def _progress(unit: str) -> Any:
    def show(done: int, total: int = 0) -> None:
        if done % 20 == 0 or done == total:
            sys.stderr.write(f"\r{unit} {done}{f' of {total}' if total else ''} ")
            sys.stderr.flush()

    return show


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
