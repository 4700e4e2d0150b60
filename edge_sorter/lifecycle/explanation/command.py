"""`edge-sorter explain`: heat maps of what drove each box, for a picture or for one decision of a journal."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge_sorter.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from edge_sorter.config import Config, DetectSection

METHODS = ("occlusion", "activation", "gradient")


def explain(
    picture: Annotated[Path | None, typer.Argument(help="A picture; or give --journal, --clip and --parcel")] = None,
    model: Annotated[Path | None, typer.Option(help="ONNX file with a manifest; default: the configuration's")] = None,
    config: Annotated[Path | None, typer.Option("--config", "-c", help="Configuration of the line")] = None,
    journal: Annotated[Path | None, typer.Option(help="journal.jsonl of the run that decided")] = None,
    clip: Annotated[Path | None, typer.Option(help="The clip it was made from")] = None,
    parcel: Annotated[str | None, typer.Option(metavar="UID", help="parcel_uid of the decision")] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(help="occlusion, activation or gradient; repeatable; default: the first two"),
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="last.pt of a training run, for gradient; it is unpickled, so trust it")
    ] = None,
    boxes: Annotated[int, typer.Option(min=1, help="Explain so many boxes of a picture, best first")] = 5,
    confidence: Annotated[float | None, typer.Option(min=0.01, max=1, help="Boxes of at least this")] = None,
    masks: Annotated[int, typer.Option(min=20, help="Looks for each box; more is smoother")] = 400,
    seed: Annotated[int, typer.Option(help="Of masks and noise")] = 0,
    engine: Annotated[str, typer.Option(help="auto, openvino, onnxruntime, tensorrt")] = "auto",
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the PNGs and explain.json")] = Path(
        "out/explain"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, nothing else")] = False,
) -> None:
    """Show what drove each box, as heat maps over the picture.

    occlusion covers parts of the picture and asks the running detector again (any engine, no torch). activation shows
    what the last feature maps respond to (needs onnx). gradient needs a checkpoint and torch.
    """
    from edge_sorter.config import load_config
    from edge_sorter.lifecycle.explanation import explain as run
    from edge_sorter.lifecycle.explanation.subject import of_decision, of_image

    settings = load_config(config) if config else None
    section = _section(settings, model, engine=engine, confidence=confidence)
    chosen = _methods(method, checkpoint)
    if picture is not None:
        path = picture
        subject_of = lambda detector: of_image(path, detector, most=boxes)  # noqa: E731
    elif settings is None or journal is None or clip is None or parcel is None:
        raise ConfigError("Give a picture, or all of --journal, --clip, --parcel and -c of the run that decided.")
    else:
        known, notes, film, uid = settings, journal, clip, parcel
        subject_of = lambda d: of_decision(known, d, journal=notes, clip=film, parcel_uid=uid)  # noqa: E731
    document = run.explain(
        section,
        subject_of,
        out,
        methods=chosen,
        checkpoint=checkpoint,
        masks=masks,
        seed=seed,
        on_progress=_progress,
    )
    _tell(document, out, as_json=as_json)


def _section(settings: Config | None, model: Path | None, *, engine: str, confidence: float | None) -> DetectSection:
    from edge_sorter.config import DetectSection

    if engine not in {"auto", "openvino", "onnxruntime", "tensorrt"}:
        raise ModelError(f"--engine '{engine}' is none of auto, openvino, onnxruntime, tensorrt.")
    if settings is None:
        if model is None:
            raise ModelError("Give --model FILE, or -c FILE of a line whose model is to be explained.")
        return DetectSection.model_validate({"model": model, "engine": engine, "confidence": confidence})
    changes: dict[str, Any] = {}
    if model is not None:
        changes["model"] = model
    if engine != "auto":
        changes["engine"] = engine
    if confidence is not None:
        changes["confidence"] = confidence
    return settings.detect.model_copy(update=changes)


def _methods(asked: list[str] | None, checkpoint: Path | None) -> tuple[str, ...]:
    chosen = tuple(asked) if asked else ("occlusion", "activation", *(("gradient",) if checkpoint else ()))
    strange = [name for name in chosen if name not in METHODS]
    if strange:
        raise ModelError(f"--method '{strange[0]}' is none of {', '.join(METHODS)}.")
    if "gradient" in chosen and checkpoint is None:
        raise ModelError("--method gradient needs --checkpoint RUN/weights/last.pt: an ONNX file has no gradients.")
    return chosen


def _tell(document: dict[str, Any], out: Path, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(document) + "\n")
        return
    decision = document["decision"]
    if decision:
        sys.stdout.write(f"{document['subject']}: lane {decision['lane']}, {decision['reason']}\n")
    for number, box in enumerate(document["boxes"], start=1):
        shares = ", ".join(f"{share:.0%} of the {name} heat in the box" for name, share in box["heat_inside"].items())
        sys.stdout.write(f"{number} {box['class']} {box['confidence']:.2f}: {shares}\n")
    names = ", ".join(name for group in document["files"].values() for name in group)
    sys.stdout.write(f"written to {out}: {names}\n")


def _progress(what: str, done: int, total: int) -> None:
    if done % 20 == 0 and sys.stderr.isatty():
        sys.stderr.write(f"\r{what}: look {done} of {total} ")
        sys.stderr.flush()
