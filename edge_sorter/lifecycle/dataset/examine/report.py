"""The report of a check: one HTML file that works offline and needs no script, and a sheet of the worst pictures.

Contract: everything that came from files is escaped by the template; pictures are scaled-down copies inside the page.
"""

from __future__ import annotations

import base64
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge_sorter.atomic import write_text
from edge_sorter.errors import DatasetError
from edge_sorter.lifecycle.dataset import pictures
from edge_sorter.lifecycle.dataset.examine import Examined
from edge_sorter.lifecycle.dataset.examine.findings import KINDS, Finding, Limits
from edge_sorter.lifecycle.dataset.examine.plots import class_bars, histograms
from edge_sorter.lifecycle.dataset.sheet import Tile, beside, draw, encoded
from edge_sorter.lifecycle.dataset.untrusted import extra

TEMPLATE = Path(__file__).with_name("report.html")
ROWS_A_KIND = 200
WORST = 36
A_KIND = 8
THUMB_PX = (300, 220)


def worst(found: Examined, count: int = WORST) -> list[Finding]:
    """Return the findings to look at first: by severity, a few of each kind, each picture once."""
    kinds: Counter[str] = Counter()
    files: set[str] = set()
    chosen = []
    for item in found.findings:
        if not item.file or item.file in files or kinds[item.kind] >= A_KIND or item.kind == "changed":
            continue
        kinds[item.kind] += 1
        files.add(item.file)
        chosen.append(item)
    return chosen[:count]


def tile_of(found: Examined, item: Finding) -> Tile:
    """Return a finding's picture with its boxes, the faulty one in red; a pair side by side."""
    value = f" {item.value}" if item.value != "" and item.kind != "corrupt" else ""
    caption = f"{item.kind}{value}  {Path(item.file).name}"
    marked = frozenset() if item.box is None else frozenset({item.box})
    tile = _picture(found, item.file, caption, marked)
    if item.other and tile.image is not None:
        other = _picture(found, item.other, "", frozenset())
        return tile if other.image is None else beside(other, tile)
    return tile


def _picture(found: Examined, file: str, caption: str, marked: frozenset[int]) -> Tile:
    picture = next(picture for picture in found.data.pictures if picture.file == file)
    try:
        image = pictures.load(found.data.root / file)
    except DatasetError:
        image = None
    return Tile(image, [(box.at, box.class_id) for box in picture.boxes or ()], caption, marked)


def write_report(path: Path, found: Examined, limits: Limits) -> None:
    """Write the HTML report.

    Raises:
        DatasetError: It is there already, or cannot be written.
    """
    try:
        import jinja2
    except ImportError:
        raise extra("jinja2") from None
    if path.exists():
        raise DatasetError(f"{path} exists already, and nothing is overwritten: choose another --html")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    page = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(_content(found, limits))
    try:
        write_text(path, page)
    except OSError as error:
        raise DatasetError(f"{path} cannot be written: {os.strerror(error.errno or 0)}") from None


def _content(found: Examined, limits: Limits) -> dict[str, Any]:
    by_kind: dict[str, list[Finding]] = {}
    for item in found.findings:
        by_kind.setdefault(item.kind, []).append(item)
    return {
        "name": found.data.root.name,
        "sha256": found.sha256,
        "pictures": len(found.data.pictures),
        "boxes": sum(len(picture.boxes or ()) for picture in found.data.pictures),
        "errors": found.count("error"),
        "warnings": found.count("warning"),
        "classes": class_bars(found),
        "plots": histograms(found, limits),
        "kinds": [
            {
                "name": kind,
                "severity": items[0].severity,
                "about": KINDS[kind][1],
                "count": len(items),
                "rows": items[:ROWS_A_KIND],
            }
            for kind, items in by_kind.items()
        ],
        "worst": _thumbs(found, worst(found)),
    }


def _thumbs(found: Examined, items: Sequence[Finding]) -> list[dict[str, str]]:
    thumbs = []
    for item in items:
        tile = tile_of(found, item)
        data = base64.b64encode(encoded(draw(tile, THUMB_PX), ".jpg")).decode()
        value = str(item.value) + (f" (limit {item.limit})" if item.limit != "" else "")
        thumbs.append(
            {"data": data, "kind": item.kind, "severity": item.severity, "value": value, "file": Path(item.file).name}
        )
    return thumbs
