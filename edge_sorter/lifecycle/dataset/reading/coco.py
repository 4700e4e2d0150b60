"""COCO json: categories, images and boxes in pixels, for one file or one a part (Roboflow's `_annotations.coco.json`).

Contract: an image listed without annotations is empty, not unlabelled. Crowd regions are left out and counted.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ValidationError

from edge_sorter.errors import DatasetError
from edge_sorter.lifecycle.dataset.reading import Reading, visible
from edge_sorter.lifecycle.dataset.reading.yolo import part_of
from edge_sorter.lifecycle.dataset.untrusted import Problems, inside, number, read_text
from edge_sorter.lifecycle.dataset.values import PART_NAMES, Corners, Draft


class _Image(BaseModel):
    id: int | str
    file_name: str
    width: int
    height: int


class _Annotation(BaseModel):
    image_id: int | str
    category_id: int
    bbox: list[float] = []
    iscrowd: int = 0


class _Category(BaseModel):
    id: int
    name: str
    supercategory: str | None = None


class _File(BaseModel):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


def read(source: Path) -> Reading:
    """Read one COCO file, or all of a folder.

    Raises:
        DatasetError: Not COCO, unknown ids, missing pictures, wrong numbers; lists them.
    """
    root = source.parent if source.is_file() else source
    files = [source] if source.is_file() else [p for p in visible(source, ".json") if '"annotations"' in read_text(p)]
    problems = Problems(f"COCO data set {source}")
    drafts: dict[str, Draft] = {}
    classes: dict[str, None] = {}
    crowds = 0
    for path in files:
        content = _parse(path)
        crowds += sum(annotation.iscrowd != 0 for annotation in content.annotations)
        classes |= dict.fromkeys(_used(content))
        for draft in _drafts(path, root, content, problems):
            if drafts.setdefault(draft.name, draft) is not draft:
                problems.add(f"{path}: picture {draft.name} is listed twice")
    problems.raise_any()
    notes = (f"{crowds} crowd regions left out",) if crowds else ()
    return Reading("coco", tuple(drafts.values()), tuple(classes), notes)


def _parse(path: Path) -> _File:
    try:
        return _File.model_validate_json(read_text(path))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "the whole"
        raise DatasetError(f"{path} is no COCO file: {place}: {first['msg']} ({error.error_count()} faults)") from None


def _used(content: _File) -> list[str]:
    """Return the category names that mean something: Roboflow adds one that only groups the others."""
    used = {annotation.category_id for annotation in content.annotations}
    parents = {category.supercategory for category in content.categories}
    return [c.name for c in content.categories if c.id in used or c.name not in parents]


def _drafts(path: Path, root: Path, content: _File, problems: Problems) -> list[Draft]:
    names = {category.id: category.name for category in content.categories}
    boxes: dict[int | str, list[tuple[str, Corners]]] = {image.id: [] for image in content.images}
    sizes = {image.id: (image.width, image.height) for image in content.images}
    for index, annotation in enumerate(content.annotations):
        where = f"{path}, annotation {index}"
        try:
            if annotation.image_id not in boxes:
                raise DatasetError(f"{where}: no image has id {annotation.image_id}")
            if annotation.category_id not in names:
                raise DatasetError(f"{where}: no category has id {annotation.category_id}")
            if annotation.iscrowd:
                continue
            at = _corners(annotation.bbox, sizes[annotation.image_id], where)
        except DatasetError as error:
            problems.add(str(error))
            continue
        boxes[annotation.image_id].append((names[annotation.category_id], at))
    drafts = []
    for image in content.images:
        try:
            file = _find(path, root, image.file_name)
        except DatasetError as error:
            problems.add(str(error))
            continue
        name = file.relative_to(root).as_posix()
        part = part_of(name) or _part_of_file(path)
        drafts.append(
            Draft(name, file, tuple(boxes[image.id]), declared_px=(image.width, image.height), part=part),
        )
    return drafts


def _corners(bbox: list[float], size_px: tuple[int, int], where: str) -> Corners:
    if len(bbox) != 4:
        raise DatasetError(f"{where}: bbox must be [x, y, width, height], found {len(bbox)} numbers")
    if min(size_px) <= 0:
        raise DatasetError(f"{where}: its image is {size_px[0]} x {size_px[1]} px")
    x, y, width, height = (number(value, where) for value in bbox)
    return Corners(x / size_px[0], y / size_px[1], (x + width) / size_px[0], (y + height) / size_px[1])


def _find(path: Path, root: Path, file_name: str) -> Path:
    relative = inside(root, file_name, str(path))
    stem = path.stem.removeprefix("instances_")
    folders = (path.parent, path.parent / "images", path.parent.parent / "images", path.parent.parent / "images" / stem)
    for folder in (*folders, path.parent.parent / stem, path.parent.parent):
        candidate = folder / relative
        if candidate.is_file() and candidate.is_relative_to(root):
            return candidate
    raise DatasetError(f"{path}: picture {file_name} is not in {root}")


def _part_of_file(path: Path) -> str:
    words = path.stem.lower().replace("-", "_").split("_")
    return next(
        (PART_NAMES[word.rstrip("0123456789")] for word in words if word.rstrip("0123456789") in PART_NAMES), ""
    )
