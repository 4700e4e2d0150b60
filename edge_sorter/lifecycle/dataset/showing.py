"""What the commands of this room show on a terminal.

Contract: prints to standard output, plain lines and one table; nothing here computes.
"""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from edge_sorter.lifecycle.dataset.examine import Examined
from edge_sorter.lifecycle.dataset.examine.findings import ERROR, KINDS, Finding
from edge_sorter.lifecycle.dataset.importing import Imported
from edge_sorter.lifecycle.dataset.splitting import Split


def show_import(done: Imported, notes: list[str]) -> None:
    """Show what came in, with every name that was changed."""
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


def show_findings(found: Examined) -> None:
    """Show one line a kind of finding, with its worst case."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("", "kind", "count", "worst or first", "picture"):
        table.add_column(column, justify="right" if column == "count" else "left", overflow="fold")
    by_kind: dict[str, list[Finding]] = {}
    for item in found.findings:
        by_kind.setdefault(item.kind, []).append(item)
    for kind, items in by_kind.items():
        first = max(items, key=_beyond)
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


def _beyond(item: Finding) -> float:
    """Return how far a value is beyond its limit, whichever side is the bad one."""
    known = isinstance(item.value, float) and isinstance(item.limit, float)
    return abs(float(item.value) - float(item.limit)) if known else 0.0


def show_split(data: Path, done: Split, by: str) -> None:
    """Show how the parts came out."""
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
    folder, run = escape(str(data)), escape(data.name)
    console.print(f"sha256 {done.sha256}\nNext: edge-sorter train --data {folder}/data.yaml --out runs/{run}")
