"""`train`, `distill` and `export`: the commands from a data set to an ONNX file, for both command lines.

Contract: thin; heavy packages are imported by the functions that need them, so that attaching these commands costs
`edge-sorter run` nothing.
"""

from __future__ import annotations

import shlex
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from edge_sorter.errors import DatasetError, ModelError
from edge_sorter.lifecycle.architecture import refuse_unknown
from edge_sorter.lifecycle.recipe import Recipe

DEFAULT = Recipe()
FIELDS = ", ".join(asdict(DEFAULT))

DataOption = Annotated[Path | None, typer.Option(metavar="FILE", help="data.yaml of `edge-sorter dataset split`")]
OutOption = Annotated[Path, typer.Option(help="Run folder to create, or to continue with --resume")]
EpochsOption = Annotated[int | None, typer.Option(min=1, help=f"Times through the data; default: {DEFAULT.epochs}")]
ImgszOption = Annotated[
    int | None, typer.Option(min=32, help=f"Longer side in px, a multiple of 32; default: {DEFAULT.imgsz}")
]
BatchOption = Annotated[int | None, typer.Option(min=2, help=f"Pictures in a step; default: {DEFAULT.batch}")]
SeedOption = Annotated[int | None, typer.Option(help=f"The same seed makes the same model; default: {DEFAULT.seed}")]
SetOption = Annotated[
    list[str],
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help=f"Learning rate, augmentation and so on, e.g. lr0=0.001; repeatable. Fields: {FIELDS}",
    ),
]
ResumeOption = Annotated[bool, typer.Option(help="Continue the run in --out, as it was begun")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, a GPU's number, or several: 0,1")]
ThreadsOption = Annotated[int, typer.Option(help="CPU threads; more than there are free cores is slower, not faster")]
LoadersOption = Annotated[int, typer.Option(help="Processes that prepare images")]
Bf16Option = Annotated[bool, typer.Option(help="bfloat16 arithmetic; turn off on machines without it")]


def train_model(
    out: OutOption,
    data: DataOption = None,
    task: Annotated[str, typer.Option(help="detect, segment, obb, or classify (attributes of a parcel)")] = "detect",
    weights: Annotated[
        Path | None, typer.Option(help="Checkpoint (.pt) to start from; it is unpickled, so only one you trust")
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            help="Architecture yaml of ultralytics; default: that of --weights, else the task's yolo26n. With "
            "--weights of another architecture, what fits of them is the start"
        ),
    ] = "",
    epochs: EpochsOption = None,
    hours: Annotated[float | None, typer.Option(help="Train this long instead of a number of epochs")] = None,
    imgsz: ImgszOption = None,
    batch: BatchOption = None,
    seed: SeedOption = None,
    patience: Annotated[int | None, typer.Option(min=0, help="Stop after so many epochs without progress")] = None,
    freeze: Annotated[
        int, typer.Option(min=0, help="First layers to keep as they are (yolo26n: 23 = all but the head)")
    ] = 0,
    unfreeze: Annotated[
        list[str],
        typer.Option(metavar="EPOCH=LAYERS", help="From that epoch on freeze fewer; the first is 0; repeatable"),
    ] = [],  # noqa: B006
    int8_like: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Train with the rounding of this int8 file of --weights, then quantize anew"),
    ] = None,
    belt_speed_mm_s: Annotated[float, typer.Option(min=0, help="With the two below: motion blur in training")] = 0.0,
    exposure_ms: Annotated[float, typer.Option(min=0, help="The camera's shutter time")] = 0.0,
    px_per_mm: Annotated[float, typer.Option(min=0, help="Scale of pictures after resizing to --imgsz")] = 0.0,
    also: SetOption = [],  # noqa: B006
    resume: ResumeOption = False,
    device: DeviceOption = "auto",
    threads: ThreadsOption = 1,
    loaders: LoadersOption = 1,
    validate: Annotated[bool, typer.Option(help="Measure after every epoch")] = True,
    bf16: Bf16Option = True,
) -> None:
    """Train a model: OUT/weights/best.pt and last.pt, training.json, results.csv, curves.png, card.md.

    For example `train --data data/line1/data.yaml --out runs/line1`, then `export`. Without --weights it starts from
    random ones; nothing is downloaded. A run that was killed, at any moment, continues with --resume --out OUT and
    ends as it would have ended.
    """
    asked = {"epochs": epochs, "hours": hours, "imgsz": imgsz, "batch": batch, "seed": seed, "patience": patience}
    changes = _recipe_changes(asked, also)
    if belt_speed_mm_s or exposure_ms or px_per_mm:
        changes["blur_px"] = _blur_px(belt_speed_mm_s, exposure_ms, px_per_mm)
    stages = _stages(freeze, unfreeze)
    means = {"device": device, "threads": threads, "loaders": loaders, "bf16": bf16}
    if resume:
        given = [data, weights, model, changes, stages, int8_like, task != "detect"]
        _resume(out, given, means)
    else:
        plan = {"task": task, "weights": weights, "model": model, "frozen": stages, "validate": validate}
        plan["transfer"] = bool(weights and model)
        plan["int8_like"] = int8_like
        _run(out, data, plan, changes, means)


def distill_model(
    out: OutOption,
    teacher: Annotated[Path | None, typer.Option(help="Checkpoint (.pt) of a larger detector, same classes")] = None,
    data: DataOption = None,
    weights: Annotated[Path | None, typer.Option(help="The student's checkpoint to start from")] = None,
    model: Annotated[str, typer.Option(help="The student's architecture, without --weights")] = "yolo26n.yaml",
    weight: Annotated[float, typer.Option(min=0, help="How much the teacher's features count beside the labels")] = 6.0,
    epochs: EpochsOption = None,
    imgsz: ImgszOption = None,
    batch: BatchOption = None,
    seed: SeedOption = None,
    also: SetOption = [],  # noqa: B006
    resume: ResumeOption = False,
    device: DeviceOption = "auto",
    threads: ThreadsOption = 1,
    loaders: LoadersOption = 1,
) -> None:
    """Train a small detector that also imitates the features of a larger one (its teacher)."""
    changes = _recipe_changes({"epochs": epochs, "imgsz": imgsz, "batch": batch, "seed": seed}, also)
    means = {"device": device, "threads": threads, "loaders": loaders}
    if resume:
        _resume(out, [data, weights, teacher, changes], means)
    elif teacher is None:
        raise ModelError("distill needs --teacher, the checkpoint to learn from.")
    else:
        plan = {"weights": weights, "model": model, "teacher": teacher, "teacher_weight": weight}
        _run(out, data, plan, changes, means)


def export_model(
    checkpoint: Annotated[Path, typer.Option(help="RUN/weights/best.pt or last.pt; it is unpickled")],
    out: Annotated[Path, typer.Option(help="ONNX file to write; its manifest goes beside it")],
    width: Annotated[int, typer.Option(help="Default input width in px")] = 448,
    height: Annotated[int, typer.Option(help="Default input height in px")] = 288,
    confidence: Annotated[float | None, typer.Option(help="Recommended threshold, from evaluation")] = None,
) -> None:
    """Write the float ONNX model of a detector (upright or oriented boxes, YOLO26 or YOLO11) and its manifest."""
    from edge_sorter.lifecycle import manifest
    from edge_sorter.lifecycle.export import export

    training = manifest.training_facts(checkpoint.parent.parent)
    facts = export(checkpoint, out, width_px=width, height_px=height)
    path = manifest.write(
        out,
        classes=facts["classes"],
        precision="float32",
        training=training,
        decode=facts["decode"],
        width_px=width,
        height_px=height,
        confidence=manifest.DEFAULT_CONFIDENCE if confidence is None else confidence,
    )
    sys.stdout.write(f"{out} ({out.stat().st_size / 1e6:.1f} MB)\n{path}\n")


def _run(out: Path, data: Path | None, plan: dict[str, Any], changes: dict[str, Any], means: dict[str, Any]) -> None:
    from edge_sorter.lifecycle.run_record import Plan
    from edge_sorter.lifecycle.train import TASKS, Means, train

    if data is None:
        raise DatasetError("Give --data, the data.yaml to train on (or --resume to continue the run in --out).")
    task = plan.get("task", "detect")
    if task not in TASKS:
        raise ModelError(f"--task '{task}' is none of {', '.join(TASKS)}.")
    plan["model"] = plan["model"] or TASKS[task]
    whole = Plan(data, **plan, recipe=replace(Recipe(), **changes))
    checkpoint = train(data, out, plan=whole, means=Means(**means), command=command_line())
    _tell(checkpoint, task)


def _resume(out: Path, given: list[Any], means: dict[str, Any]) -> None:
    from edge_sorter.lifecycle.run_record import load
    from edge_sorter.lifecycle.train import Means, resume

    if any(given):
        raise ModelError("--resume continues as the run was begun: give --out, and at most --device and the like.")
    _tell(resume(out, means=Means(**means)), load(out)["task"])


def _tell(checkpoint: Path, task: str) -> None:
    run = checkpoint.parent.parent
    sys.stdout.write(f"{checkpoint}\ncard: {run / 'card.md'}, curves: {run / 'curves.png'}\n")
    if task in ("detect", "obb"):
        sys.stdout.write(f"Next: edge-sorter export --checkpoint {checkpoint} --out weights/NAME.onnx\n")


def command_line() -> str:
    """Return how this process was started, as one can type it again."""
    program = "python -m edge_sorter.lifecycle" if "lifecycle" in sys.argv[0] else "edge-sorter"
    return f"{program} {shlex.join(sys.argv[1:])}"


def _recipe_changes(asked: dict[str, Any], pairs: list[str]) -> dict[str, Any]:
    fields = asdict(Recipe())
    changes = {name: value for name, value in asked.items() if value is not None}
    for pair in pairs:
        name, _, text = pair.partition("=")
        if name not in fields:
            raise ModelError(f"--set '{pair}': the recipe has no '{name}'. It has: {', '.join(fields)}.")
        kind = type(fields[name])
        try:
            changes[name] = text.lower() in ("1", "true", "yes") if kind is bool else kind(text)
        except ValueError as error:
            raise ModelError(f"--set '{pair}': '{text}' is no {kind.__name__}.") from error
    refuse_unknown(changes.get("activation", ""))
    imgsz = changes.get("imgsz", 32)
    if imgsz % 32:
        raise ModelError(f"--imgsz {imgsz} is not a multiple of 32; try {round(imgsz / 32) * 32}.")
    return changes


def _blur_px(speed_mm_s: float, exposure_ms: float, px_per_mm: float) -> float:
    from edge_sorter.lifecycle.augment import blur_length_px

    if not (speed_mm_s and exposure_ms and px_per_mm):
        raise ModelError("Motion blur needs all three: --belt-speed-mm-s, --exposure-ms and --px-per-mm.")
    return blur_length_px(belt_speed_mm_s=speed_mm_s, exposure_ms=exposure_ms, px_per_mm=px_per_mm)


def _stages(freeze: int, unfreeze: list[str]) -> tuple[tuple[int, int], ...]:
    """Return (epoch, frozen layers) in order; each stage must come later and freeze less than the one before."""
    stages = [(0, freeze)] if freeze else []
    for pair in unfreeze:
        epoch, _, layers = pair.partition("=")
        if not (epoch.isdigit() and layers.isdigit()):
            raise ModelError(f"--unfreeze '{pair}' is not EPOCH=LAYERS, e.g. 5=10.")
        if not stages or int(epoch) <= stages[-1][0] or int(layers) >= stages[-1][1]:
            raise ModelError(f"--unfreeze {pair}: each must come after the one before and freeze fewer layers than it.")
        stages.append((int(epoch), int(layers)))
    return tuple(stages)
