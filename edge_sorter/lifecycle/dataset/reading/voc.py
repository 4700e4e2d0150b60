"""Pascal VOC: one XML file a picture, corners in pixels.

Contract: a picture without an XML file is unlabelled. Corners are taken as they stand: the original counts pixels from
1, most tools write from 0, and the difference of a pixel is below what annotators do.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge_sorter.errors import DatasetError
from edge_sorter.lifecycle.dataset import pictures
from edge_sorter.lifecycle.dataset.reading import Reading, visible
from edge_sorter.lifecycle.dataset.reading.yolo import part_of
from edge_sorter.lifecycle.dataset.untrusted import Problems, inside, number, read_text, read_xml
from edge_sorter.lifecycle.dataset.values import PART_NAMES, SUFFIXES, Corners, Draft


def read(source: Path) -> Reading:
    """Read a folder with XML files beside the pictures or in `Annotations`.

    Raises:
        DatasetError: Damaged XML, missing pictures, wrong numbers; lists them.
    """
    images = visible(source, *SUFFIXES)
    by_name = {image.name: image for image in reversed(images)}
    by_stem = {image.stem: image for image in reversed(images)}
    parts = _listed_parts(source)
    problems = Problems(f"VOC data set {source}")
    labelled: dict[Path, Draft] = {}
    for path in visible(source, ".xml"):
        try:
            root = read_xml(path)
            image = _image(source, path, root, by_name, by_stem)
            draft = _draft(source, path, image, root, parts)
            if labelled.setdefault(image, draft) is not draft:
                raise DatasetError(f"{path}: {image.name} has another XML file already")
        except DatasetError as error:
            problems.add(str(error))
    problems.raise_any()
    drafts = [labelled.get(image) or _unlabelled(source, image, parts) for image in images]
    return Reading("voc", tuple(drafts))


def _image(root: Path, path: Path, xml: Any, by_name: dict[str, Path], by_stem: dict[str, Path]) -> Path:
    named = (xml.findtext("filename") or "").strip()
    if named:
        inside(root, named, str(path))
    neighbours = [path.with_suffix(suffix) for suffix in SUFFIXES]
    image = next((p for p in neighbours if p.is_file()), None) or by_name.get(named) or by_stem.get(path.stem)
    if image is None:
        raise DatasetError(f"{path}: its picture {named or path.stem!r} is not in {root}")
    return image


def _draft(root: Path, path: Path, image: Path, xml: Any, parts: dict[str, str]) -> Draft:
    size = _declared(xml, path)
    width, height = size or pictures.size_px(image)
    boxes = []
    for index, item in enumerate(xml.iter("object"), start=1):
        where = f"{path}, object {index}"
        name, corners = item.findtext("name"), item.find("bndbox")
        if not name or corners is None:
            raise DatasetError(f"{where}: an object needs a name and a bndbox")
        x1, y1, x2, y2 = (number(corners.findtext(key), f"{where}, {key}") for key in ("xmin", "ymin", "xmax", "ymax"))
        boxes.append((name, Corners(x1 / width, y1 / height, x2 / width, y2 / height)))
    name = image.relative_to(root).as_posix()
    return Draft(name, image, tuple(boxes), declared_px=size, part=part_of(name) or parts.get(image.stem, ""))


def _unlabelled(root: Path, image: Path, parts: dict[str, str]) -> Draft:
    name = image.relative_to(root).as_posix()
    return Draft(name, image, None, part=part_of(name) or parts.get(image.stem, ""))


def _declared(xml: Any, path: Path) -> tuple[int, int] | None:
    """Return the declared size; many tools leave it out or write 0."""
    width, height = (number(xml.findtext(f"size/{side}") or 0, f"{path}, size") for side in ("width", "height"))
    return (int(width), int(height)) if width > 0 and height > 0 else None


def _listed_parts(root: Path) -> dict[str, str]:
    """Return stem -> part of the lists in ImageSets/Main."""
    parts: dict[str, str] = {}
    for path in visible(root, ".txt"):
        part = PART_NAMES.get(path.stem.lower())
        if part and path.parent.name == "Main":
            parts |= {line.split()[0]: part for line in read_text(path).splitlines() if line.strip()}
    return parts
