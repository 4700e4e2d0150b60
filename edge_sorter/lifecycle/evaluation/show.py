"""An evaluation on the terminal: the few figures one looks at first."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

NAMES = {"map50": "mAP50", "map50_95": "mAP50-95", "precision": "precision", "recall": "recall", "f1": "F1"}


def show(document: dict[str, Any]) -> None:
    """Print one document of `edge_sorter.evaluation/1`."""
    console = Console(highlight=False, soft_wrap=True)
    {"images": _images, "comparison": _comparison, "clip": _clip}[document["kind"]](console, document)


def _images(console: Console, document: dict[str, Any]) -> None:
    figures, labelled = document["figures"], document["set"]
    console.print(
        f"[bold]{document['model']['runs_on']}[/]\n{labelled['images']}: {labelled['count']} pictures, "
        f"{labelled['boxes']} boxes"
    )
    table = Table("figure", "value", "95 % interval", box=None)
    for key, name in NAMES.items():
        low, high = figures["intervals_95"][key]
        table.add_row(name, f"{figures[key]:.3f}", f"{low:.3f} to {high:.3f}")
    table.add_row("calibration error", f"{figures['calibration']['ece']:.3f}", "")
    console.print(table)
    per_class = Table(
        "class",
        "boxes",
        "AP50",
        "AP50-95",
        "P",
        "R",
        "best F1",
        "at",
        f"R≥{figures['target_recall']:g} at",
        "P there",
        box=None,
    )
    for name, row in figures["per_class"].items():
        target = row["target"]
        per_class.add_row(
            name,
            str(row["boxes"]),
            *("" if row[key] is None else f"{row[key]:.3f}" for key in ("ap50", "ap50_95")),
            f"{row['working']['precision']:.3f}",
            f"{row['working']['recall']:.3f}",
            f"{row['best_f1']['f1']:.3f}",
            f"{row['best_f1']['confidence']:.2f}",
            f"{target['confidence']:.2f}" if target else "never",
            f"{target['precision']:.3f}" if target else "",
        )
    console.print(per_class)
    errors = ", ".join(f"{count} {kind}" for kind, count in figures["faults"].items())
    console.print(f"errors at threshold {figures['confidence']:g}: {errors}")


def _comparison(console: Console, document: dict[str, Any]) -> None:
    for letter in "ab":
        console.print(f"[bold]{letter.upper()}[/] {document[letter]['model']['runs_on']}")
    table = Table("figure", "A", "B", "B - A", "95 % interval", "verdict", box=None)
    for name, row in document["comparison"]["figures"].items():
        table.add_row(
            NAMES.get(name, name.replace("ap50_95", "AP50-95")),
            f"{row['a']:.3f}",
            f"{row['b']:.3f}",
            f"{row['difference']:+.3f}",
            f"{row['low']:+.3f} to {row['high']:+.3f}",
            row["verdict"].replace("no significant difference", "not significant"),
        )
    console.print(table)
    console.print(f"[bold]{document['comparison']['verdict']}[/] by mAP50-95")


def _clip(console: Console, document: dict[str, Any]) -> None:
    tracking, parcels = document.get("tracking"), document.get("parcels")
    if tracking:
        table = Table("tracking", "value", box=None)
        for key, value in tracking.items():
            table.add_row(key, f"{value:.3f}" if isinstance(value, float) else str(value))
        console.print(table)
    if parcels:
        low, high = parcels["lane_right_95"]
        console.print(
            f"parcels: {parcels['decided']} of {parcels['parcels']} decided, {parcels['missed']} missed, "
            f"{parcels['extra']} too many; right lane {parcels['lane_right']} of {parcels['lanes_judged']} "
            f"(95 % {low:.3f} to {high:.3f})"
        )
