"""`edge-sorter dataset`: import, check, split, augment-preview. Thin over this room; the only part of it that prints.

Contract: imports nothing but typer and rich until a command runs, so that the line's own commands start no slower.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from edge_sorter.errors import DatasetError

if TYPE_CHECKING:
    from edge_sorter.lifecycle.dataset.examine import Examined
    from edge_sorter.lifecycle.dataset.examine.findings import Finding
    from edge_sorter.lifecycle.dataset.importing import Imported
    from edge_sorter.lifecycle.dataset.splitting import Split

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
            progress=lambda n, total: progress("import", n, total),
        )
        notes = [f"{source.name}: {note}" for source in read for note in source.reading.notes]
    if as_json:
        _print_json({"out": str(out), "sha256": done.sha256, "images": done.pictures, "boxes": dict(done.boxes)})
    else:
        _show_import(done, notes)


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
    errors, warnings = found.count("error"), found.count("warning")
    if as_json:
        rows = [item.record() for item in found.findings]
        _print_json({"sha256": found.sha256, "errors": errors, "warnings": warnings, "findings": rows})
    else:
        _show_findings(found)
    raise typer.Exit(int(errors > 0 or (strict and warnings > 0)))


def _show_findings(found: Examined) -> None:
    from edge_sorter.lifecycle.dataset.examine.findings import ERROR, KINDS

    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("", "kind", "count", "worst or first", "picture"):
        table.add_column(column, justify="right" if column == "count" else "left", overflow="fold")
    by_kind: dict[str, list[Finding]] = {}
    for item in found.findings:
        by_kind.setdefault(item.kind, []).append(item)
    for kind, items in by_kind.items():
        first = max(items, key=lambda item: item.value if isinstance(item.value, float) else 0.0)
        colour = "red" if first.severity == ERROR else "yellow"
        limit = f" (limit {first.limit})" if first.limit != "" else ""
        where = Path(first.file).name + (f" box {first.box}" if first.box is not None else "")
        value = f"{first.value}{limit}" if first.value != "" else KINDS[kind][1]
        table.add_row(f"[{colour}]{first.severity}[/]", kind, str(len(items)), escape(value), escape(where))
    console = Console(highlight=False)
    if found.findings:
        console.print(table)
    console.print(
        f"[bold]{found.count(ERROR)} errors, {found.count('warning')} warnings[/] in "
        f"{len(found.data.pictures)} pictures   sha256 {found.sha256[:16]}…",
        soft_wrap=True,
    )


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
        _show_split(data, done, by)


def _show_split(data: Path, done: Split, by: str) -> None:
    console = Console(highlight=False, soft_wrap=True)
    every = sum(map(len, done.parts.values()))
    for part, pictures in done.parts.items():
        if pictures:
            boxes = sum(len(picture.boxes or ()) for picture in pictures)
            share = 100 * len(pictures) / every
            groups = done.groups[part]
            console.print(f"{part:6} {len(pictures):6} pictures ({share:.1f} %)  {groups:5} groups  {boxes:6} boxes")
    if done.unlabelled:
        console.print(f"  [yellow]{done.unlabelled} pictures without labels left out[/]")
    if done.coarse:
        console.print(f"  [yellow]{done.coarse} pictures have no {by}: grouped by what else is known of them[/]")
    if done.moved:
        console.print(f"  [yellow]{done.moved} groups joined two parts of the earlier split and moved[/]")
    console.print("examined: no group, original or near-duplicate lies in two parts")
    console.print(
        f"sha256 {done.sha256}\nNext: python -m edge_sorter.lifecycle train --data {escape(str(data))}/data.yaml"
    )


def _show_import(done: Imported, notes: list[str]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    boxes = ", ".join(f"{name} {done.boxes[name]}" for name in done.classes if done.boxes[name]) or "no boxes"
    console.print(f"[bold]{escape(str(done.root))}[/]  {done.pictures} pictures, {escape(boxes)}")
    for text, count in (*done.renamed.items(), *((f"{name} left out", n) for name, n in done.dropped.items())):
        console.print(f"  {escape(text)}: {count} boxes")
    if done.cut:
        console.print(f"  {done.cut} boxes cut to their picture")
    if done.unlabelled:
        console.print(f"  [yellow]{done.unlabelled} pictures have no labels[/]")
    for note in notes:
        console.print(f"  {escape(note)}")
    console.print(f"sha256 {done.sha256}\nNext: edge-sorter dataset check {escape(str(done.root))}")


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
