"""Assemble one YOLO data set from several roots with different classes, so that a run has a single fingerprint.

Contract: `build` writes a folder of symlinks, remapped labels and lists that ultralytics reads, and `dataset.json` that
says what went in (licence, counts, sha256); the source folders are only read.
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edge_sorter.errors import DatasetError

CLASSES = ("carton", "polybag", "mailer", "tube", "sack")
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
LEAST_SEEN = 0.25
"""Share of a parcel's box that must be in sight for a frame of a clip to teach it."""
PACKAGES_CLASSES = Path(__file__).with_name("packages_public_domain.json")


@dataclass(frozen=True)
class Sample:
    """One image with its label lines in our class ids: `class cx cy w h`, the box relative to the image size."""

    name: str
    image: Path
    lines: tuple[str, ...]


@dataclass
class Source:
    """What one root gave, as it is written into `dataset.json` and the model card."""

    name: str
    licence: str
    origin: str
    images: int = 0
    boxes: dict[str, int] = field(default_factory=dict)
    repeat: int = 1
    split: str = "train"


def read_labels(path: Path) -> list[tuple[int, str]]:
    """Read one YOLO label file as (class id, the rest of the line); a missing file means no object.

    Raises:
        DatasetError: a line is not `class cx cy w h` with all four inside 0..1.
    """
    if not path.is_file():
        return []
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        parts = line.split()
        if not parts:
            continue
        try:
            values = [float(part) for part in parts[1:]]
            class_id = int(parts[0])
        except ValueError:
            values, class_id = [], -1
        if len(values) != 4 or class_id < 0 or not all(0.0 <= value <= 1.0 for value in values):
            raise DatasetError(
                f"{path}, line {number}: expected 'class cx cy w h' with the four in 0..1, found '{line}'. "
                "Convert polygons to boxes and clip boxes to the image first."
            )
        rows.append((class_id, " ".join(f"{value:.6f}" for value in values)))
    return rows


def find_images(folder: Path) -> list[Path]:
    """List the images of a folder by name.

    Raises:
        DatasetError: the folder is absent or holds no image.
    """
    if not folder.is_dir():
        raise DatasetError(f"No such folder: {folder}. Give the root that holds it, or leave this source out.")
    images = sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
    if not images:
        raise DatasetError(f"No image ({', '.join(IMAGE_SUFFIXES)}) in {folder}.")
    return images


def sacks(root: Path, split: str) -> list[Sample]:
    """Overhead CCTV of sacks on belts: one upstream class, `sack` here. `split` is train or valid."""
    sack = CLASSES.index("sack")
    return [
        Sample(image.stem, image, tuple(f"{sack} {box}" for _, box in read_labels(_label_of(image))))
        for image in find_images(root / split / "images")
    ]


def packages(root: Path) -> list[Sample]:
    """Photos of parcels at doors: one upstream class; ours comes from a table made by eye, box by box."""
    table: dict[str, list[str]] = json.loads(PACKAGES_CLASSES.read_text(encoding="utf-8"))["classes"]
    samples = []
    for split in ("train", "valid", "test"):
        for image in find_images(root / split / "images"):
            boxes = [box for _, box in read_labels(_label_of(image))]
            names = table.get(image.stem)
            if names is None or len(names) != len(boxes):
                raise DatasetError(
                    f"{image}: {len(boxes)} boxes, but {PACKAGES_CLASSES.name} has {names}. "
                    "Use version 6 of the set, or assign the classes again."
                )
            lines = tuple(f"{CLASSES.index(name)} {box}" for name, box in zip(names, boxes, strict=True))
            samples.append(Sample(image.stem, image, lines))
    return samples


def rendered(root: Path, split: str) -> list[Sample]:
    """Rendered scenes in `root/images/SPLIT` and `root/labels/SPLIT`, already in our class ids.

    An image without a label file is skipped: the renderer may still be writing it.
    """
    samples = []
    for image in find_images(root / "images" / split):
        label = root / "labels" / split / f"{image.stem}.txt"
        if label.is_file():
            rows = read_labels(label)
            samples.append(Sample(image.stem, image, tuple(f"{class_id} {box}" for class_id, box in rows)))
    return samples


def collages(root: Path) -> list[Sample]:
    """Invented pictures of `edge_sorter.sim.collage` in `root/images` and `root/labels`, already in our class ids."""
    samples = []
    for image in find_images(root / "images"):
        rows = read_labels(_label_of(image))
        samples.append(Sample(image.stem, image, tuple(f"{class_id} {box}" for class_id, box in rows)))
    return samples


def clip(root: Path, scenario_px: tuple[int, int] = (960, 540)) -> list[Sample]:
    """Frames of a rendered clip in `root/frames`, with the boxes that `root/truth_mot.txt` gives for them.

    Boxes of which less than `LEAST_SEEN` is in sight are left out, as a person would leave them. Frames are numbered
    from 0, rows of the truth from 1 (MOT). `scenario_px` is the size of a frame.

    Raises:
        DatasetError: no truth there, or a class in it that the detector does not have.
    """
    truth = root / "truth_mot.txt"
    if not truth.is_file():
        raise DatasetError(f"No {truth}; write it with: python -m edge_sorter.sim.render truth --out {root}")
    width_px, height_px = scenario_px
    lines: dict[int, list[str]] = {}
    for number, row in enumerate(truth.read_text(encoding="utf-8").splitlines(), start=1):
        frame, _, x, y, w, h, _, kind, seen = (float(part) for part in row.split(","))
        if not 1 <= kind <= len(CLASSES):
            raise DatasetError(f"{truth}, line {number}: class {kind:g} is none of 1 to {len(CLASSES)}.")
        if seen >= LEAST_SEEN:
            box = ((x + w / 2) / width_px, (y + h / 2) / height_px, w / width_px, h / height_px)
            lines.setdefault(int(frame) - 1, []).append(f"{int(kind) - 1} " + " ".join(f"{part:.6f}" for part in box))
    frames = (image for image in find_images(root / "frames") if image.stem.startswith("frame_"))
    return [Sample(image.stem, image, tuple(lines.get(int(image.stem[6:]), ()))) for image in frames]


def build(
    out: Path,
    *,
    sacks_root: Path | None = None,
    packages_root: Path | None = None,
    rendered_roots: Sequence[Path] = (),
    collage_root: Path | None = None,
    site_root: Path | None = None,
    sacks_limit: int = 0,
    packages_repeat: int = 4,
    rendered_repeat: Sequence[int] = (2,),
    site_repeat: int = 3,
    seed: int = 0,
) -> Path:
    """Assemble the mixed data set and return the path of its `data.yaml`.

    Args:
        out: folder to write; an earlier data set in it is replaced.
        sacks_root: root of the sacks set with `train/` and `valid/`.
        packages_root: root of the public-domain packages set; all of it is trained on.
        rendered_roots: roots of rendered images with `images/{train,valid}` and `labels/{train,valid}`.
        collage_root: root of pictures made by `python -m edge_sorter.sim.collage`.
        site_root: root of a rendered clip, `frames/` and `truth_mot.txt`: what the line to be sorted looks like.
        sacks_limit: how many sack images to train on, drawn with `seed`; 0 takes all.
        packages_repeat: how often each packages image appears in an epoch.
        rendered_repeat: how often each rendered image appears in an epoch: one number for all roots, or one for each.
        site_repeat: how often each frame of that clip appears in an epoch.
        seed: draws the sacks.

    Raises:
        DatasetError: nothing to train on, two roots of one name, or numbers that fit no roots.
    """
    names = [root.name for root in rendered_roots]
    if len(set(names)) < len(names):
        raise DatasetError(f"--rendered: {', '.join(names)}: give each root once, and roots of different names.")
    if rendered_roots and len(rendered_repeat) not in (1, len(rendered_roots)):
        raise DatasetError(
            f"--rendered-repeat: {len(rendered_repeat)} numbers for {len(rendered_roots)} roots of --rendered. Give "
            "one for all of them, or one for each in the same order."
        )
    repeats = rendered_repeat if len(rendered_repeat) > 1 else [*rendered_repeat] * len(rendered_roots)
    chosen: list[tuple[Source, list[Sample]]] = []
    if sacks_root is not None:
        drawn = sacks(sacks_root, "train")
        if 0 < sacks_limit < len(drawn):
            drawn = sorted(random.Random(seed).sample(drawn, sacks_limit), key=lambda sample: sample.name)
        about = ("sacks_overhead_cctv", "CC BY 4.0", "universe.roboflow.com/bagcounter/bag-counter-bppie v13")
        chosen.append((Source(*about), drawn))
        chosen.append((Source(*about, split="valid"), sacks(sacks_root, "valid")))
    if packages_root is not None:
        about = ("packages_public_domain", "Public Domain", "universe.roboflow.com/joseph-nelson/packages-g0ton v6")
        chosen.append((Source(*about, repeat=packages_repeat), packages(packages_root)))
    for root, repeat in zip(rendered_roots, repeats, strict=True):
        about = (root.name, "made by this project", "edge_sorter.sim")
        chosen.append((Source(*about, repeat=repeat), rendered(root, "train")))
        chosen.append((Source(*about, split="valid"), rendered(root, "valid")))
    if collage_root is not None:
        about = ("collage", "made by this project", "edge_sorter.sim.collage")
        chosen.append((Source(*about), collages(collage_root)))
    if site_root is not None:
        about = ("site", "made by this project", "edge_sorter.sim, site_scenario.yaml")
        chosen.append((Source(*about, repeat=site_repeat), clip(site_root)))
    if not any(source.split == "train" for source, _ in chosen):
        raise DatasetError(
            "Nothing to train on: give at least one of --sacks, --packages, --rendered, --collage, --site."
        )
    return _write(out, chosen, seed=seed)


def _label_of(image: Path) -> Path:
    return image.parent.parent / "labels" / f"{image.stem}.txt"


def _write(out: Path, chosen: list[tuple[Source, list[Sample]]], *, seed: int) -> Path:
    out = out.resolve()
    for part in ("images", "labels"):
        shutil.rmtree(out / part, ignore_errors=True)
    lists: dict[str, list[str]] = {"train": [], "valid": []}
    digest = hashlib.sha256()
    for source, samples in chosen:
        counts: Counter[str] = Counter()
        folder = f"{source.name}_{source.split}"
        (out / "images" / folder).mkdir(parents=True)
        (out / "labels" / folder).mkdir(parents=True)
        for sample in samples:
            # Numbered names: upstream ones start with '-' or hold spaces, which break lists and command lines.
            link = out / "images" / folder / f"{source.images:05d}{sample.image.suffix.lower()}"
            link.symlink_to(sample.image.resolve())
            text = "".join(f"{line}\n" for line in sample.lines)
            (out / "labels" / folder / f"{link.stem}.txt").write_text(text, encoding="utf-8")
            lists[source.split] += [str(link)] * source.repeat
            image_hash = hashlib.sha256(sample.image.read_bytes()).hexdigest()
            digest.update(f"{source.split} {source.repeat} {image_hash} {text}".encode())
            counts.update(CLASSES[int(line.split()[0])] for line in sample.lines)
            source.images += 1
        source.boxes = dict(sorted(counts.items()))
    for split, paths in lists.items():
        (out / f"{split}.txt").write_text("".join(f"{path}\n" for path in paths), encoding="utf-8")
    record: dict[str, Any] = {
        "sha256": digest.hexdigest(),
        "seed": seed,
        "images_per_epoch": len(lists["train"]),
        "sources": [asdict(source) for source, _ in chosen],
    }
    (out / "dataset.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    # Without a valid source ultralytics still wants a list: training images stand in, and the figures are no measure.
    names = "".join(f"  {index}: {name}\n" for index, name in enumerate(CLASSES))
    val = "valid.txt" if lists["valid"] else "train.txt"
    data_yaml = out / "data.yaml"
    data_yaml.write_text(f"path: {out}\ntrain: train.txt\nval: {val}\nnames:\n{names}", encoding="utf-8")
    return data_yaml
