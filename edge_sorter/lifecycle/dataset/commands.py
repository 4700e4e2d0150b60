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

from edge_sorter.errors import DatasetError

if TYPE_CHECKING:
    from edge_sorter.lifecycle.dataset.importing import Imported

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
