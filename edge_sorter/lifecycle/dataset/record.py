"""`dataset.json`: what a data set is, where its pictures came from, and a row for every one of them.

Contract: what is not known is left out; another version's file is refused in words.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge_sorter.errors import DatasetError
from edge_sorter.lifecycle.dataset.untrusted import read_text
from edge_sorter.lifecycle.dataset.values import SCHEMA, Groups, Picture


def load_record(root: Path) -> dict[str, Any]:
    """Return `dataset.json`.

    Raises:
        DatasetError: There is none, or it is another version's.
    """
    path = root / "dataset.json"
    if not path.is_file():
        raise DatasetError(f"{root} is no data set: it has no dataset.json. Make one: edge-sorter dataset import")
    try:
        record = json.loads(read_text(path))
        schema = record["schema"]
        if schema != SCHEMA:
            raise DatasetError(f"{path} has schema {schema!r}; this version reads {SCHEMA!r}")
        record["images"], record["classes"], record["sources"]  # all three must be there
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{path} is no record of a data set ({error}); import the pictures again") from None
    return dict(record)


def groups_from(row: dict[str, Any]) -> Groups:
    """Return the groups of one row of `dataset.json`."""
    return Groups(
        day=str(row.get("day", "")),
        clip=str(row.get("clip", "")),
        frame=row.get("frame"),
        parcels=tuple(row.get("parcels", ())),
        original=str(row.get("original", "")),
    )


def about_source(
    name: str,
    *,
    form: str,
    licence: str,
    origin: str,
    earlier: Sequence[dict[str, Any]],
    classes: tuple[str, ...],
    pictures: Sequence[Picture],
) -> dict[str, Any]:
    """Return what a source gave, in the words of the model card.

    Args:
        name: Of the source.
        form: Its format.
        licence: Of its pictures; those of `earlier` where none is given.
        origin: Where it came from; likewise.
        earlier: Sources that it was itself made of.
        classes: Of the data set.
        pictures: Of the whole data set.
    """
    mine = [picture for picture in pictures if picture.source == name]
    boxes = Counter(classes[box.class_id] for picture in mine for box in picture.boxes or ())
    about = {
        "name": name,
        "format": form,
        "licence": licence or _joined(earlier, "licence"),
        "origin": origin or _joined(earlier, "origin"),
        "images": len(mine),
        "boxes": dict(sorted(boxes.items())),
        "repeat": 1,
        "split": "all",
    }
    return about | ({"made_from": list(earlier)} if earlier else {})


def row_of(picture: Picture) -> dict[str, Any]:
    """Return a picture's row in `dataset.json`; what is not known is left out."""
    groups = picture.groups
    known: dict[str, Any] = {
        "day": groups.day,
        "clip": groups.clip,
        "frame": groups.frame,
        "parcels": list(groups.parcels),
        "original": groups.original,
        "part": picture.part,
        "pre_labels": picture.pre_labels,
    }
    row = {
        "file": picture.file,
        "sha256": picture.sha256,
        "width_px": picture.size_px[0],
        "height_px": picture.size_px[1],
        "boxes": None if picture.boxes is None else len(picture.boxes),
        "source": picture.source,
    }
    return row | {key: value for key, value in known.items() if value or (key == "frame" and value is not None)}


def _joined(sources: Sequence[dict[str, Any]], key: str) -> str:
    return "; ".join(sorted({str(source[key]) for source in sources if source.get(key)}))
