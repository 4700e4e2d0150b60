"""`edge-sorter evaluate`: one command for pictures, for two models, and for a clip.

Contract: thin over `images` and `clip`, which are imported when it runs; the tables go to standard output, or with
`--json` the document and nothing else.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge_sorter.errors import DatasetError, ModelError

if TYPE_CHECKING:
    from edge_sorter.lifecycle.evaluation.images import Task

PICTURES, CLIPS, BOTH = "On labelled pictures", "On a clip", "Both"


def evaluate(
    model: Annotated[Path | None, typer.Option(help="ONNX file with a manifest", rich_help_panel=PICTURES)] = None,
    compare: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            metavar="A B", help="Two models on the same pictures, with significance", rich_help_panel=PICTURES
        ),
    ] = None,
    images: Annotated[Path | None, typer.Option(help="Folder of pictures", rich_help_panel=PICTURES)] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Folder of YOLO labels; default: labels beside it", rich_help_panel=PICTURES)
    ] = None,
    classes: Annotated[
        str,
        typer.Option(help="Their class ids to our names, e.g. '0=carton,1=polybag'", rich_help_panel=PICTURES),
    ] = "",
    any_class: Annotated[bool, typer.Option(help="Score positions only", rich_help_panel=PICTURES)] = False,
    only: Annotated[
        str,
        typer.Option(help="Classes that occur there, e.g. 'carton,polybag'; detect.classes", rich_help_panel=PICTURES),
    ] = "",
    confidence: Annotated[
        float | None, typer.Option(min=0.01, max=1, help="Working threshold; manifest's", rich_help_panel=PICTURES)
    ] = None,
    target_recall: Annotated[
        float,
        typer.Option(min=0, max=1, help="Find the threshold that reaches it, per class", rich_help_panel=PICTURES),
    ] = 0.95,
    group: Annotated[
        str | None,
        typer.Option(metavar="REGEX", help="Its first group in file names: kept together", rich_help_panel=PICTURES),
    ] = None,
    resamples: Annotated[int, typer.Option(min=20, help="Resampled sets", rich_help_panel=PICTURES)] = 1000,
    seed: Annotated[int, typer.Option(help="Of the resampling", rich_help_panel=PICTURES)] = 0,
    engine: Annotated[
        str, typer.Option(help="auto, openvino, onnxruntime, tensorrt", rich_help_panel=PICTURES)
    ] = "auto",
    input_px: Annotated[str, typer.Option(help="WIDTHxHEIGHT; default: manifest's", rich_help_panel=PICTURES)] = "",
    threads: Annotated[int, typer.Option(help="CPU threads; 0 lets the engine choose", rich_help_panel=PICTURES)] = 0,
    record: Annotated[
        str, typer.Option(metavar="NAME", help="Write mAP into the manifest under NAME", rich_help_panel=PICTURES)
    ] = "",
    clip: Annotated[Path | None, typer.Option(help="Video to replay", rich_help_panel=CLIPS)] = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Configuration of the line", rich_help_panel=CLIPS)
    ] = None,
    truth: Annotated[
        list[Path] | None,
        typer.Option(help="MOT boxes (.txt) and parcels (.json); repeatable", rich_help_panel=CLIPS),
    ] = None,
    tracks: Annotated[
        Path | None, typer.Option(help="Score this MOT file instead of a replay", rich_help_panel=CLIPS)
    ] = None,
    truth_step: Annotated[
        int, typer.Option(min=1, help="Every how many frames the truth has one", rich_help_panel=CLIPS)
    ] = 1,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write report.html and evaluation.json here", rich_help_panel=BOTH),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, nothing else", rich_help_panel=BOTH)] = False,
) -> None:
    """Measure a model on labelled pictures, two models side by side, or a whole line on a clip with truth.

    Pictures go through the detector as it runs on the line: letterbox, engine, decoder. mAP, curves, confusions,
    calibration, slices and thresholds come with intervals and with pictures of the worst errors. A clip is replayed
    through the whole product: HOTA, IDF1 and MOTA of its tracks, and which parcels went into the right lane.
    """
    if clip is not None or tracks is not None:
        from edge_sorter.lifecycle.evaluation.clip import evaluate_clip

        document = evaluate_clip(clip, config, truth or [], tracks=tracks, truth_step=truth_step, out=out)
        _tell(document, out, as_json=as_json)
        return
    first = compare[0] if compare else model
    if first is None or images is None or (model and compare):
        raise ModelError(
            "Give --model FILE --images DIR, or --compare A B --images DIR, or --clip FILE -c FILE --truth FILE."
        )
    from edge_sorter.detect.manifest import load_manifest
    from edge_sorter.lifecycle.evaluation.images import Task, compare_images, evaluate_images
    from edge_sorter.lifecycle.option_values import class_map, size_px

    task = Task(
        images=images,
        labels=labels or images.parent / "labels",
        class_map=class_map(classes, load_manifest(first).classes),
        any_class=any_class,
        only=tuple(name.strip() for name in only.split(",") if name.strip()),
        engine=engine,
        input_px=size_px(input_px, "--input-px") if input_px else None,
        threads=threads,
        confidence=confidence,
        target_recall=target_recall,
        group=group,
        resamples=resamples,
        seed=seed,
    )
    _check(task)
    if compare is not None:
        document = compare_images(compare, task, out=out, on_progress=_progress)
    elif model is not None:
        document = evaluate_images(model, task, out=out, on_progress=_progress)
        if record:
            _record(model, record, document)
    _tell(document, out, as_json=as_json)


def _check(task: Task) -> None:
    if task.engine not in {"auto", "openvino", "onnxruntime", "tensorrt"}:
        raise ModelError(f"--engine '{task.engine}' is none of auto, openvino, onnxruntime, tensorrt.")
    if not task.labels.is_dir():
        raise DatasetError(f"No such folder of labels: {task.labels}. Name it with --labels.")


def _record(model: Path, name: str, document: dict[str, Any]) -> None:
    from edge_sorter.lifecycle import manifest

    content = manifest.load(model)
    figures = document["figures"]
    content["metrics"][name] = {key: figures[key] for key in ("map50", "map50_95", "images")}
    manifest.save(model, content)


def _tell(document: dict[str, Any], out: Path | None, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(document) + "\n")
        return
    from edge_sorter.lifecycle.evaluation.show import show

    show(document)
    where = f"report: {out / 'report.html'}" if out else "--out DIR writes the report with curves and pictures"
    sys.stdout.write(where + "\n")


def _progress(done: int) -> None:
    if done % 20 == 0 and sys.stderr.isatty():
        sys.stderr.write(f"\rpicture {done} ")
        sys.stderr.flush()
