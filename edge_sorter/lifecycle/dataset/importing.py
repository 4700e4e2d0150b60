"""Bring pictures and labels of any format into one folder that everything else here works on.

Contract: the folder appears whole or not at all; one that is there already is never touched. Pictures are copied byte
for byte. Names are cleaned (ASCII, no leading dash), two of the same name told apart by where they came from.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from tempfile import mkdtemp
from typing import Any

from edge_sorter.atomic import write_json
from edge_sorter.errors import DatasetError
from edge_sorter.lifecycle.dataset import pictures
from edge_sorter.lifecycle.dataset.progress import Progress, silent
from edge_sorter.lifecycle.dataset.reading import Reading
from edge_sorter.lifecycle.dataset.record import about_source, row_of
from edge_sorter.lifecycle.dataset.untrusted import Problems
from edge_sorter.lifecycle.dataset.values import SCHEMA, Box, Corners, Draft, Picture, fingerprint, label_text
from edge_sorter.lifecycle.shipped_data import CLASSES

ROUNDING_PX = 2.0
"""Boxes that stick out by less are annotators' rounding, and are cut to the picture."""
MAX_NAME = 96


@dataclass(frozen=True)
class Source:
    """One thing to import: what it gave, and what a model card must say about it."""

    name: str
    reading: Reading
    licence: str = ""
    origin: str = ""


@dataclass(frozen=True)
class ClassMap:
    """How class names become the data set's classes.

    Attributes:
        rename: Name as found -> name wanted.
        drop: Names whose boxes are left out.
        classes: The classes in order; () takes the shipped model's where they suffice, else all found, sorted.
    """

    rename: dict[str, str] = field(default_factory=dict)
    drop: frozenset[str] = frozenset()
    classes: tuple[str, ...] = ()

    def name(self, found: str) -> str | None:
        """Return the wanted name, None for a dropped one."""
        return None if found in self.drop else self.rename.get(found, found)

    def order(self, found: Iterable[str]) -> tuple[str, ...]:
        """Return the data set's classes.

        Raises:
            DatasetError: A rename or drop names no class that was found, or `classes` lacks one.
        """
        names = set(found)
        odd = sorted((set(self.rename) | self.drop) - names)
        if odd:
            raise DatasetError(f"--rename/--drop names {', '.join(odd)}, but the classes are: {_listed(names)}")
        wanted = {name for name in map(self.name, names) if name is not None}
        order = self.classes or (CLASSES if wanted <= set(CLASSES) else tuple(sorted(wanted)))
        missing = sorted(wanted - set(order))
        if missing:
            raise DatasetError(f"--classes lacks {_listed(missing)}; add them, or use --rename or --drop")
        return order


@dataclass
class Imported:
    """What an import did.

    Attributes:
        renamed: Boxes by "found -> wanted", for every name that changed.
        cut: Boxes cut to their picture.
    """

    root: Path
    classes: tuple[str, ...]
    sha256: str = ""
    pictures: int = 0
    boxes: Counter[str] = field(default_factory=Counter)
    renamed: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    unlabelled: int = 0
    cut: int = 0


def write_dataset(
    out: Path,
    sources: Sequence[Source],
    *,
    class_map: ClassMap | None = None,
    clip_all: bool = False,
    reviewed: bool = False,
    progress: Progress = silent,
) -> Imported:
    """Write a data set.

    Args:
        out: Folder to create.
        sources: What was read.
        class_map: Renames, drops, order.
        clip_all: Cut every box to its picture, not only those that stick out by a pixel or two.
        reviewed: A person has looked at all labels, so none is a model's any more.
        progress: Told pictures done and all.

    Raises:
        DatasetError: `out` is there already, a picture cannot be used, sizes differ from what labels were made for, or
            there is no room. Nothing is left behind.
    """
    class_map = class_map or ClassMap()
    names = {n for source in sources for draft in source.reading.drafts for n, _ in draft.boxes or ()}
    names |= {name for source in sources for name in source.reading.classes}
    done = Imported(out, class_map.order(names))
    total = sum(len(source.reading.drafts) for source in sources)
    with _whole_folder(out) as folder:
        _refuse_without_room(folder, sources)
        (folder / "images").mkdir()
        (folder / "labels").mkdir()
        problems = Problems(f"import into {out}")
        rows: list[Picture] = []
        for file, source, draft in _named(sources):
            try:
                rows.append(_take(folder, file, source, draft, class_map, done, clip_all=clip_all))
            except DatasetError as error:
                problems.add(str(error))
            progress(len(rows), total)
        problems.raise_any()
        rows = [replace(picture, pre_labels=False) for picture in rows] if reviewed else rows
        done.pictures = len(rows)
        done.sha256 = fingerprint(done.classes, rows)
        write_json(folder / "dataset.json", _record(done, class_map, sources, rows))
    return done


def _record(done: Imported, class_map: ClassMap, sources: Sequence[Source], rows: Sequence[Picture]) -> dict[str, Any]:
    about = [
        about_source(
            source.name,
            form=source.reading.format,
            licence=source.licence,
            origin=source.origin,
            earlier=source.reading.earlier,
            classes=done.classes,
            pictures=rows,
        )
        for source in sources
    ]
    return {
        "schema": SCHEMA,
        "sha256": done.sha256,
        "classes": list(done.classes),
        "class_map": {"rename": dict(sorted(class_map.rename.items())), "drop": sorted(class_map.drop)},
        "sources": about,
        "images": [row_of(picture) for picture in rows],
    }


@contextmanager
def _whole_folder(out: Path) -> Iterator[Path]:
    """Yield a folder that becomes `out` at the end, or vanishes on any error."""
    if out.exists():
        raise DatasetError(f"{out} exists already, and nothing is overwritten: choose another --out")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(mkdtemp(prefix=f".{out.name}.", dir=out.parent))
        folder.chmod(0o755)
    except OSError as error:
        raise DatasetError(f"{out} cannot be written: {error.strerror}") from None
    try:
        yield folder
        folder.rename(out)
    except OSError as error:
        raise DatasetError(f"{out} cannot be written: {error.strerror}; nothing was kept") from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _refuse_without_room(folder: Path, sources: Sequence[Source]) -> None:
    needed = sum(draft.image.stat().st_size for source in sources for draft in source.reading.drafts)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DatasetError(f"{folder.parent} has {free / 1e9:.1f} GB free, the pictures need {needed / 1e9:.1f} GB")


def _named(sources: Sequence[Source]) -> list[tuple[str, Source, Draft]]:
    """Give every picture a file name; those that would share one get a mark of where they came from."""
    clean = [(_clean(draft.name), source, draft) for source in sources for draft in source.reading.drafts]
    uses = Counter(PurePosixPath(name).stem.lower() for name, _, _ in clean)
    named = []
    for name, source, draft in clean:
        stem, suffix = PurePosixPath(name).stem, PurePosixPath(name).suffix
        if uses[stem.lower()] > 1:
            stem += "-" + hashlib.sha256(f"{source.name}/{draft.name}".encode()).hexdigest()[:8]
        named.append((f"images/{stem}{suffix}", source, draft))
    return sorted(named, key=lambda item: item[0])


def _clean(name: str) -> str:
    path = PurePosixPath(name)
    ascii_name = unicodedata.normalize("NFKD", path.stem).encode("ascii", "ignore").decode()
    stem = re.sub(r"[^A-Za-z0-9._+=@-]+", "_", ascii_name).strip("-._")[:MAX_NAME]
    return (stem or "picture") + path.suffix.lower()


def _take(
    folder: Path, file: str, source: Source, draft: Draft, class_map: ClassMap, done: Imported, *, clip_all: bool
) -> Picture:
    try:
        data = draft.image.read_bytes()
    except OSError as error:
        raise DatasetError(f"{draft.image} cannot be read: {error.strerror}") from None
    size = pictures.size_px(draft.image)
    if draft.declared_px is not None and draft.declared_px != size:
        turned = " Its EXIF data turns it: save it upright." if pictures.turned_by_exif(data) else ""
        raise DatasetError(
            f"{source.name}/{draft.name} is {size[0]} x {size[1]} px, its labels were made for "
            f"{draft.declared_px[0]} x {draft.declared_px[1]}.{turned}"
        )
    boxes = None
    if draft.boxes is not None:
        boxes = tuple(
            sorted(box for pair in draft.boxes if (box := _box(*pair, size, class_map, done, clip_all)) is not None)
        )
    picture = Picture(
        file,
        hashlib.sha256(data).hexdigest(),
        size,
        boxes,
        draft.groups,
        source=source.name,
        part=draft.part,
        pre_labels=draft.pre_labels,
    )
    with (folder / file).open("xb") as sink:
        sink.write(data)
    if boxes is None:
        done.unlabelled += 1
    else:
        (folder / picture.label_file).write_text(label_text(boxes), encoding="utf-8")
    return picture


def _box(
    found: str, at: Corners, size_px: tuple[int, int], class_map: ClassMap, done: Imported, clip_all: bool
) -> Box | None:
    name = class_map.name(found)
    if name is None:
        done.dropped[found] += 1
        return None
    if name != found:
        done.renamed[f"{found} -> {name}"] += 1
    cut = at.cut()
    out_px = max(abs(a - b) * size_px[axis % 2] for axis, (a, b) in enumerate(zip(at, cut, strict=True)))
    if cut != at and cut.area > 0 and (clip_all or out_px <= ROUNDING_PX):
        done.cut += 1
        at = cut
    done.boxes[name] += 1
    return Box(done.classes.index(name), at)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in sorted(names)) or "none"
