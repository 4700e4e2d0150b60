"""Read and prove a data set before a run starts, because a run that stops on picture 4,711 has wasted the night.

Contract: `read` understands `data.yaml` as YOLO tools write it (folders or lists; for `classify` tables of attributes);
`examine` reads every byte of every picture and label once, names all that are broken, and gives a fingerprint that
depends on content alone, not on order, names or machine; `snapshot` writes the lists a run uses into its folder.
Nothing here or later in a run writes into the data set.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
import random
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from edge_sorter.atomic import write_text
from edge_sorter.errors import DatasetError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
COLUMNS = {"detect": "class cx cy w h", "segment": "class x1 y1 x2 y2 x3 y3 ...", "obb": "class x1 y1 ... x4 y4"}
MOST_REPEATS = 8
SHOWN = 20
EDGE = 1.01  # labels may reach a hundredth past the picture; the trainer clips them


@dataclass(frozen=True)
class Attributes:
    """What is known of one picture: for each attribute 1, 0, or None where nobody looked."""

    image: Path
    values: tuple[int | None, ...]


@dataclass(frozen=True)
class TrainingData:
    """A data set as a run needs it. Pictures that appear twice in `train` are seen twice an epoch.

    Attributes:
        classes: names of the classes, or of the attributes.
        train: pictures in the order of their list.
        valid: pictures to measure on; the training ones where the set has none.
        attributes: by picture, for `classify` only.
    """

    task: str
    classes: tuple[str, ...]
    train: tuple[Path, ...]
    valid: tuple[Path, ...]
    attributes: dict[Path, Attributes]

    @property
    def held_out(self) -> bool:
        """Whether figures on `valid` say anything: it shares no picture with `train`."""
        return bool(self.valid) and not set(self.valid) & set(self.train)


@dataclass(frozen=True)
class Fingerprint:
    """What a data set held when it was examined; `classes` counts labels per class, or ones per attribute."""

    sha256: str
    train_images: int
    valid_images: int
    images_per_epoch: int
    without_label: int
    classes: dict[str, int]
    held_out: bool


def read(data_yaml: Path, *, task: str = "detect") -> TrainingData:
    """Read a `data.yaml` and the lists it names.

    Raises:
        DatasetError: it is missing, no YAML, or lacks pictures or class names.
    """
    if not data_yaml.is_file():
        raise DatasetError(f"No data set at {data_yaml}. Make one with: edge-sorter dataset --help")
    try:
        content = yaml.safe_load(data_yaml.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DatasetError(f"{data_yaml} is not YAML: {error}") from error
    if not isinstance(content, dict) or "train" not in content or not content.get("names"):
        raise DatasetError(f"{data_yaml} needs 'train' (a folder or list of pictures) and 'names' (the classes).")
    names = content["names"]
    classes = tuple(str(name) for name in (names.values() if isinstance(names, dict) else names))
    root = data_yaml.absolute().parent / str(content.get("path") or "")
    parts = {}
    attributes: dict[Path, Attributes] = {}
    for split in ("train", "val"):
        entries = content.get(split) or []
        entries = entries if isinstance(entries, list) else [entries]
        if task == "classify":
            rows = [row for entry in entries for row in _table(root / str(entry), classes)]
            attributes |= {row.image: row for row in rows}
            parts[split] = tuple(row.image for row in rows)
        else:
            parts[split] = tuple(image for entry in entries for image in _pictures(root / str(entry)))
    if not parts["train"]:
        raise DatasetError(f"{data_yaml}: 'train' names no picture ({', '.join(SUFFIXES)}).")
    return TrainingData(task, classes, parts["train"], parts["val"] or parts["train"], attributes)


def examine(data: TrainingData) -> Fingerprint:
    """Prove every picture and label and return the fingerprint.

    Raises:
        DatasetError: something cannot be read, decoded or understood; the message lists the first twenty.
    """
    times = Counter((split, image) for split in ("train", "valid") for image in getattr(data, split))
    unique = sorted(set(data.train) | set(data.valid))
    with ThreadPoolExecutor(max_workers=4) as pool:
        looked = dict(zip(unique, pool.map(lambda image: _look(image, data), unique), strict=True))
    problems = [problem for seen in looked.values() for problem in seen.problems]
    if problems:
        more = f"\n  ... and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        listed = "".join(f"\n  - {problem}" for problem in problems[:SHOWN])
        raise DatasetError(
            f"{len(problems)} faults in the data set; nothing was started. Mend or remove these "
            f"(`edge-sorter dataset check` shows them):{listed}{more}"
        )
    counts: Counter[int] = Counter()
    for image in set(data.train):
        counts.update(looked[image].classes)
    if not counts:
        raise DatasetError("No label in the training part of the data set: there is nothing to learn.")
    lines = sorted(f"{split} {count} {looked[image].sha256}\n" for (split, image), count in times.items())
    head = f"{data.task} {' '.join(data.classes)}\n"
    return Fingerprint(
        sha256=hashlib.sha256((head + "".join(lines)).encode()).hexdigest(),
        train_images=len(set(data.train)),
        valid_images=len(set(data.valid)),
        images_per_epoch=len(data.train),
        without_label=sum(not looked[image].classes for image in set(data.train)),
        classes={name: counts[index] for index, name in enumerate(data.classes)},
        held_out=data.held_out,
    )


def resampled(data: TrainingData, *, share: float, seed: int) -> TrainingData:
    """Repeat training pictures with rare classes (repeat-factor sampling, Gupta et al. 2019, "LVIS").

    Args:
        data: the set.
        share: each class should be in about this share of an epoch's pictures; 0 changes nothing.
        seed: decides who gets the fraction of a repeat.
    """
    if share <= 0.0:
        return data
    held = {image: set(classes_in(image, data)) for image in set(data.train)}
    seen = Counter(class_id for image in data.train for class_id in held[image])
    factor = {class_id: math.sqrt(max(1.0, share * len(data.train) / count)) for class_id, count in seen.items()}
    rng = random.Random(seed)
    chosen: list[Path] = []
    for image in sorted(data.train):
        wanted = min(max((factor[class_id] for class_id in held[image]), default=1.0), MOST_REPEATS)
        chosen += [image] * (int(wanted) + (rng.random() < wanted % 1.0))
    return TrainingData(data.task, data.classes, tuple(chosen), data.valid, data.attributes)


def snapshot(data: TrainingData, out: Path) -> Path:
    """Write the lists of this run, with absolute paths, into its folder; returns its `data.yaml`."""
    ending = "csv" if data.task == "classify" else "txt"
    for split, images in (("train", data.train), ("valid", data.valid)):
        text = _as_table(data, images) if data.task == "classify" else "".join(f"{image}\n" for image in images)
        write_text(out / f"{split}.{ending}", text)
    content = {
        "path": str(out.absolute()),
        "train": f"train.{ending}",
        "val": f"valid.{ending}",
        "names": dict(enumerate(data.classes)),
    }
    write_text(out / "data.yaml", yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
    return out / "data.yaml"


def label_path(image: Path) -> Path:
    """Return where a picture's labels lie: `labels` in place of the last `images` in its path, `.txt`."""
    parts = list(image.parent.parts)
    if "images" in parts:
        parts[len(parts) - 1 - parts[::-1].index("images")] = "labels"
    return Path(*parts) / f"{image.stem}.txt"


def classes_in(image: Path, data: TrainingData) -> list[int]:
    """List the class of every label of a picture, or the attributes it has."""
    if data.task == "classify":
        return [index for index, value in enumerate(data.attributes[image].values) if value]
    path = label_path(image)
    text = path.read_text(encoding="utf-8-sig") if path.is_file() else ""
    return [int(line.split()[0]) for line in text.splitlines() if line.strip()]


@dataclass(frozen=True)
class _Seen:
    sha256: str
    classes: tuple[int, ...]
    problems: tuple[str, ...]


def _look(image: Path, data: TrainingData) -> _Seen:
    problems: list[str] = []
    labels = b""
    classes: list[int] = []
    try:
        content = image.read_bytes()
        _decode(content)
    except Exception as error:  # decoders raise anything: SyntaxError, DecompressionBombError, struct.error ...
        return _Seen("", (), (f"{image}: cannot be decoded ({error})",))
    if data.task == "classify":
        labels = repr(data.attributes[image].values).encode()
        classes = classes_in(image, data)
    elif (path := label_path(image)).is_file():
        labels = path.read_bytes()
        for number, line in enumerate(labels.decode("utf-8-sig", errors="replace").splitlines(), start=1):
            if line.strip() and (fault := _fault(line.split(), data)):
                problems.append(f"{path}, line {number}: {fault}, found '{line}'")
        classes = [] if problems else classes_in(image, data)
    digest = hashlib.sha256(hashlib.sha256(content).digest() + labels).hexdigest()
    return _Seen(digest, tuple(classes), tuple(problems))


def _decode(content: bytes) -> None:
    """Decode a whole picture, at an eighth of its size where JPEG allows: half a file is an error, not grey bars."""
    from PIL import Image

    with Image.open(io.BytesIO(content)) as picture:
        if min(picture.size) < 10:
            raise ValueError(f"{picture.size[0]}x{picture.size[1]} px, at least 10x10 are needed")
        picture.draft("RGB", (picture.size[0] // 8, picture.size[1] // 8))
        picture.load()


def _fault(parts: list[str], data: TrainingData) -> str:
    count = len(parts)
    right = {"detect": count == 5, "segment": count >= 7 and count % 2 == 1, "obb": count == 9}[data.task]
    if not right:
        return f"{data.task} needs '{COLUMNS[data.task]}'"
    try:
        values = [float(part) for part in parts]
    except ValueError:
        return "not numbers"
    if not (values[0].is_integer() and 0 <= values[0] < len(data.classes)):
        return f"the class is none of 0 to {len(data.classes) - 1}"
    if not all(0.0 <= value <= EDGE for value in values[1:]):
        return "coordinates are not in 0..1 of the picture's size"
    return ""


def _pictures(entry: Path) -> Iterable[Path]:
    if entry.is_dir():
        return sorted(path for path in entry.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not entry.is_file():
        raise DatasetError(f"No folder or list of pictures at {entry}, which the data set names.")
    lines = entry.read_text(encoding="utf-8").splitlines()
    return [entry.parent / line.strip() for line in lines if line.strip()]


def _table(path: Path, classes: tuple[str, ...]) -> list[Attributes]:
    """Read `image,NAME,NAME...` with 1, 0 or nothing (not known) below each attribute."""
    if not path.is_file():
        raise DatasetError(
            f"No table at {path}. classify needs CSV tables: image,{','.join(classes)}, of 0, 1 or nothing."
        )
    rows = []
    with path.open(encoding="utf-8-sig", newline="") as file:
        table = csv.DictReader(file)
        if missing := [name for name in ("image", *classes) if name not in (table.fieldnames or ())]:
            raise DatasetError(f"{path} has no column {', '.join(missing)}; the first line names image and classes.")
        for number, row in enumerate(table, start=2):
            texts: list[Any] = [(row[name] or "").strip() for name in classes]
            if bad := [text for text in texts if text not in ("0", "1", "")]:
                raise DatasetError(f"{path}, line {number}: '{bad[0]}' is not 0, 1 or nothing.")
            values = tuple(int(text) if text else None for text in texts)
            rows.append(Attributes(path.parent / str(row["image"]), values))
    return rows


def _as_table(data: TrainingData, images: tuple[Path, ...]) -> str:
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("image", *data.classes))
    for image in images:
        values = data.attributes[image].values
        writer.writerow((str(image), *("" if value is None else value for value in values)))
    return out.getvalue()
