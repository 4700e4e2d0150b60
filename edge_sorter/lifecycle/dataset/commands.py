"""`edge-sorter dataset`: import, check, split, augment-preview. Thin over this room; the only part of it that prints.

Contract: imports nothing but typer and rich until a command runs, so that the line's own commands start no slower.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from edge_sorter.errors import DatasetError

app = typer.Typer(no_args_is_help=True, help="Data sets: import, check, split, and see what augmentation does to them.")

DataArgument = Annotated[Path, typer.Argument(metavar="DATA", help="Folder made by `dataset import`")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output, nothing else")]
ClipOption = Annotated[
    Path | None,
    typer.Option("--clip", metavar="VIDEO", help="The video of a journal, or of a CVAT export without pictures"),
]

_errors = Console(stderr=True, soft_wrap=True)


@app.command("import")
def import_(
    sources: Annotated[
        list[Path], typer.Argument(metavar="SOURCE...", help="Folder, .zip, COCO .json, CVAT .xml, journal.jsonl")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to create; nothing is ever overwritten")],
    form: Annotated[str, typer.Option("--format", help="auto, yolo, coco, voc, cvat, own")] = "auto",
    classes: Annotated[
        str, typer.Option(metavar="A,B", help="Class names in order; for YOLO folders without data.yaml: theirs")
    ] = "",
    rename: Annotated[list[str], typer.Option(metavar="OLD=NEW", help="Give a class another name; repeatable")] = [],  # noqa: B006
    drop: Annotated[list[str], typer.Option(metavar="NAME", help="Leave the boxes of a class out; repeatable")] = [],  # noqa: B006
    name_pattern: Annotated[
        str, typer.Option(metavar="REGEX", help="What file names tell: groups day, clip, frame, parcel")
    ] = "",
    clip: ClipOption = None,
    exceptions: Annotated[bool, typer.Option(help="Journal: take parcels decided as exceptions")] = True,
    below: Annotated[float, typer.Option(min=0, max=1, help="Journal: take parcels less sure than this")] = 0.6,
    every: Annotated[int, typer.Option(min=0, help="Journal: take every n-th parcel, too; 0 for none")] = 0,
    views: Annotated[int, typer.Option(min=1, max=50, help="Journal: pictures a parcel")] = 1,
    cut: Annotated[
        bool, typer.Option("--cut", help="Cut every box to its picture, not only by a pixel or two")
    ] = False,
    reviewed: Annotated[
        bool,
        typer.Option("--reviewed", help="A person has looked at all labels; a model's are labels now"),
    ] = False,
    licence: Annotated[str, typer.Option(help="Licence of the pictures, for the model's card")] = "",
    origin: Annotated[str, typer.Option(help="Where they come from, for the model's card")] = "",
    as_json: JsonOption = False,
) -> None:
    """Bring YOLO, COCO, VOC, CVAT, or our own journals and clips into one data set.

    Several sources become one set; a set made here is a source, too.
    """
    from edge_sorter.lifecycle.dataset.importing import ClassMap, write_dataset
    from edge_sorter.lifecycle.dataset.opening import refuse_existing
    from edge_sorter.lifecycle.dataset.reading.recorded import Choice
    from edge_sorter.lifecycle.dataset.showing import show_import
    from edge_sorter.lifecycle.dataset.sources import read_sources

    refuse_existing(out)
    names = tuple(name.strip() for name in classes.split(",") if name.strip())
    choice = Choice(exceptions=exceptions, below=below, every=every, views=views)
    with (
        _progress(quiet=as_json) as progress,
        read_sources(
            sources,
            form=form,
            names=names,
            name_pattern=name_pattern,
            clip=clip,
            choice=choice,
            scratch=out.parent,
            about=(licence, origin),
            on_frame=lambda done, total: progress("decode", done, total),
        ) as read,
    ):
        done = write_dataset(
            out,
            read,
            class_map=ClassMap(_pairs(rename), frozenset(drop), names),
            clip_all=cut,
            reviewed=reviewed,
            progress=lambda n, total: progress("import", n, total),
        )
        notes = [f"{source.name}: {note}" for source in read for note in source.reading.notes]
    if as_json:
        _print_json({"out": str(out), "sha256": done.sha256, "images": done.pictures, "boxes": dict(done.boxes)})
    else:
        show_import(done, notes)


@app.command()
def check(
    data: DataArgument,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a report to look at; one file, works offline")
    ] = None,
    sheet: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the worst pictures as one .png")] = None,
    limit: Annotated[list[str], typer.Option(metavar="NAME=VALUE", help="Change a limit; repeatable")] = [],  # noqa: B006
    severity: Annotated[
        list[str], typer.Option(metavar="KIND=error|warning|off", help="Change how bad a finding is; repeatable")
    ] = [],  # noqa: B006
    strict: Annotated[bool, typer.Option("--strict", help="Fail on warnings, too")] = False,
    as_json: JsonOption = False,
) -> None:
    """Find bad pictures, bad labels and leaks between the parts of a split.

    Exit code 0 without errors, 1 with errors, 65 for what is no data set.
    """
    from edge_sorter.lifecycle.dataset.examine import examine
    from edge_sorter.lifecycle.dataset.examine.findings import Limits, severities
    from edge_sorter.lifecycle.dataset.examine.report import tile_of, worst, write_report
    from edge_sorter.lifecycle.dataset.opening import refuse_existing
    from edge_sorter.lifecycle.dataset.sheet import write_sheet
    from edge_sorter.lifecycle.dataset.showing import show_findings

    limits, wanted = Limits().changed(limit), severities(severity)
    for path in (html, sheet):
        if path is not None:
            refuse_existing(path)
    with _progress(quiet=as_json) as progress:
        found = examine(data, limits=limits, severity=wanted, progress=lambda n, of: progress("check", n, of))
    if html is not None:
        write_report(html, found, limits)
    chosen = worst(found)
    if sheet is not None and chosen:
        write_sheet(sheet, [tile_of(found, item) for item in chosen], columns=6)
    elif sheet is not None:
        _errors.print(f"{escape(str(sheet))} is not written: no picture has a fault")
    errors, warnings = found.count("error"), found.count("warning")
    if as_json:
        rows = [item.record() for item in found.findings]
        _print_json({"sha256": found.sha256, "errors": errors, "warnings": warnings, "findings": rows})
    else:
        show_findings(found)
    raise typer.Exit(int(errors > 0 or (strict and warnings > 0)))


@app.command()
def split(
    data: DataArgument,
    ratio: Annotated[
        str, typer.Option(metavar="A/B/C", help="Train, valid, test, e.g. 70/15/15 or 8:1:1")
    ] = "70/15/15",
    by: Annotated[str, typer.Option(help="What stays together: day, clip or parcel; never single frames")] = "clip",
    seed: Annotated[int, typer.Option(min=0, help="Another seed is another split")] = 0,
    keep: Annotated[
        Path | None, typer.Option(metavar="FILE", help="split.json of a smaller version; its pictures stay in place")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Split into train, valid and test without leaks, and write data.yaml for training.

    Pictures of one day, clip or parcel, copies of one original and near-duplicates end in the same part; classes are
    spread as evenly as that allows. The same split on any machine, whatever the order of files.
    """
    from edge_sorter.lifecycle.dataset.showing import show_split
    from edge_sorter.lifecycle.dataset.splitting import parse_ratio
    from edge_sorter.lifecycle.dataset.splitting import split as split_dataset

    with _progress(quiet=as_json) as progress:
        done = split_dataset(
            data,
            ratio=parse_ratio(ratio),
            by=by,
            seed=seed,
            keep=keep,
            progress=lambda n, of: progress("compare", n, of),
        )
    if as_json:
        parts = {part: len(pictures) for part, pictures in done.parts.items()}
        _print_json({"sha256": done.sha256, "images": parts, "groups": done.groups, "left_out": done.unlabelled})
    else:
        show_split(data, done, by)


@app.command("augment-preview")
def augment_preview(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Data set, folder of pictures, or one picture")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Contact sheet to write, .png or .jpg")],
    picture: Annotated[
        list[str], typer.Option("--picture", metavar="NAME", help="A picture by part of its name; repeatable")
    ] = [],  # noqa: B006
    count: Annotated[int, typer.Option(min=1, max=100, help="Pictures to draw, without --picture")] = 4,
    variants: Annotated[
        int, typer.Option(min=0, max=20, help="Draws of the whole augmentation; 0 shows camera effects only")
    ] = 4,
    belt_speed_mm_s: Annotated[float, typer.Option(min=0, help="With the two below: motion blur")] = 0.0,
    exposure_ms: Annotated[float, typer.Option(min=0, help="The camera's shutter time")] = 0.0,
    px_per_mm: Annotated[float, typer.Option(min=0, help="Scale of pictures after resizing to imgsz")] = 0.0,
    also: Annotated[
        list[str], typer.Option("--set", metavar="NAME=VALUE", help="Any field of the training recipe, e.g. noise=8")
    ] = [],  # noqa: B006
    seed: Annotated[int, typer.Option(min=0, help="Another seed draws others")] = 0,
) -> None:
    """Show what training will see: pictures as they are, each camera effect at its worst, and draws of everything.

    Rotation, scale, crop, flip and colour are ultralytics' own and need `pip install 'edge-sorter[train]'`; mosaic is
    not shown. Motion blur is belt speed times exposure time times scale.
    """
    from edge_sorter.lifecycle.augment import blur_length_px
    from edge_sorter.lifecycle.dataset.preview import choose, effects_at_worst, recipe_with, rows
    from edge_sorter.lifecycle.dataset.sheet import write_sheet

    recipe = recipe_with(also)
    moved = blur_length_px(belt_speed_mm_s=belt_speed_mm_s, exposure_ms=exposure_ms, px_per_mm=px_per_mm)
    recipe = replace(recipe, blur_px=moved) if moved else recipe
    paths = choose(data, picture, count, seed=seed)
    with _progress(quiet=False) as progress:
        table = rows(paths, recipe, variants=variants, seed=seed, progress=lambda n, of: progress("augment", n, of))
    write_sheet(out, [tile for row in table for tile in row], columns=len(table[0]))
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"[bold]{escape(str(out))}[/]  {len(table)} pictures, {len(table[0])} tiles each")
    for text, _ in effects_at_worst(recipe):
        console.print(f"  {text}")


def _pairs(texts: list[str]) -> dict[str, str]:
    pairs = {}
    for text in texts:
        old, equals, new = text.partition("=")
        if not equals or not old or not new.strip():
            raise DatasetError(f"--rename '{text}' is not OLD=NEW")
        pairs[old] = new.strip()
    return pairs


def _print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Any]:
    """Yield a progress callback drawn on standard error; silent when `quiet` or not on a terminal."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=_errors,
        disable=quiet or not _errors.is_terminal,
        transient=True,
    )
    tasks: dict[str, Any] = {}

    def show(what: str, done: int, total: int) -> None:
        if what not in tasks:
            tasks[what] = bar.add_task(what, total=total)
        bar.update(tasks[what], completed=done)

    with bar:
        yield show
