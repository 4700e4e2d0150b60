"""CVAT xml 1.1, for images and for video.

Contract: boxes of a track are those CVAT exported; between two keyframes without exported boxes they are interpolated
as CVAT does, linearly. Polygons and turned boxes become the box around them; points, lines and tags are
left out and counted. Frames of one task are one clip, tracks are its parcels.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from pathlib import Path
from typing import Any

from edge_sorter.errors import DatasetError
from edge_sorter.lifecycle.dataset import pictures
from edge_sorter.lifecycle.dataset.reading import Reading, visible
from edge_sorter.lifecycle.dataset.reading.frames import take_frames
from edge_sorter.lifecycle.dataset.reading.yolo import part_of
from edge_sorter.lifecycle.dataset.untrusted import Problems, inside, number, read_xml
from edge_sorter.lifecycle.dataset.values import SUFFIXES, Corners, Draft, Groups

NUMBER = re.compile(r"(\d+)$")
Shape = tuple[Corners, bool]
"""Corners in pixels, and whether the object is outside the picture from here on."""


def read(source: Path, *, clip: Path | None, scratch: Path) -> Reading:
    """Read one export: its xml, or the folder it was unpacked to.

    Raises:
        DatasetError: No CVAT export, missing pictures, wrong numbers; lists them.
    """
    root = source.parent if source.is_file() else source
    files = [source] if source.is_file() else visible(source, ".xml")
    problems = Problems(f"CVAT export {source}")
    skipped: Counter[str] = Counter()
    drafts: list[Draft] = []
    classes: dict[str, None] = {}
    for path in files:
        xml = read_xml(path)
        if xml.tag != "annotations":
            raise DatasetError(f"{path} is no CVAT export: its outermost element is <{xml.tag}>, not <annotations>")
        classes |= dict.fromkeys(e.text for e in xml.iterfind("meta//label/name") if e.text)
        if xml.find("image") is not None:
            drafts += _images(path, root, xml, problems, skipped)
        else:
            drafts += _video(path, root, xml, problems, skipped, clip=clip, scratch=scratch)
    problems.raise_any()
    notes = tuple(f"{count} {kind} shapes left out" for kind, count in sorted(skipped.items()))
    return Reading("cvat", tuple(drafts), tuple(classes), notes)


def _images(path: Path, root: Path, xml: Any, problems: Problems, skipped: Counter[str]) -> list[Draft]:
    files = {file.relative_to(root).as_posix(): file for file in visible(root, *SUFFIXES)}
    by_name = {file.name: file for file in files.values()}
    drafts = []
    for item in xml.iterfind("image"):
        name = item.get("name", "")
        where = f"{path}, image {name!r}"
        try:
            inside(root, name, str(path))
            file = files.get(name) or files.get(f"images/{name}") or by_name.get(name.rpartition("/")[2])
            if file is None:
                raise DatasetError(f"{where}: the picture is not in {root}; export the task with its images")
            size = (int(number(item.get("width"), where)), int(number(item.get("height"), where)))
            boxes = [(label, _relative(at, size, where)) for label, at in _shapes(item, where, skipped)]
        except DatasetError as error:
            problems.add(str(error))
            continue
        relative = file.relative_to(root).as_posix()
        part = part_of(f"{item.get('subset', '')}/x") or part_of(relative)
        drafts.append(Draft(relative, file, tuple(boxes), declared_px=size, part=part))
    return drafts


def _shapes(item: Any, where: str, skipped: Counter[str]) -> list[tuple[str, Corners]]:
    found = []
    for shape in item:
        at = _corners(shape, where)
        if at is None:
            skipped[shape.tag] += shape.tag not in ("tag", "attribute")
            continue
        found.append((_label(shape, where), at))
    return found


def _corners(shape: Any, where: str) -> Corners | None:
    """Return the corners of a shape in pixels, None for one that has no area."""
    if shape.tag == "box":
        at = Corners(*(number(shape.get(key), f"{where}, {key}") for key in ("xtl", "ytl", "xbr", "ybr")))
        return _turned(at, number(shape.get("rotation", 0), where))
    if shape.tag == "polygon":
        points = [pair.split(",") for pair in shape.get("points", "").split(";")]
        xs, ys = zip(*((number(p[0], where), number(p[-1], where)) for p in points), strict=True)
        return Corners(min(xs), min(ys), max(xs), max(ys))
    return None


def _turned(at: Corners, degrees: float) -> Corners:
    if not degrees % 180:
        return at
    cos, sin = abs(math.cos(math.radians(degrees))), abs(math.sin(math.radians(degrees)))
    width, height = at.x2 - at.x1, at.y2 - at.y1
    half_w, half_h = (width * cos + height * sin) / 2, (width * sin + height * cos) / 2
    x, y = (at.x1 + at.x2) / 2, (at.y1 + at.y2) / 2
    return Corners(x - half_w, y - half_h, x + half_w, y + half_h)


def _label(element: Any, where: str) -> str:
    label = element.get("label")
    if not label:
        raise DatasetError(f"{where}: a shape has no label")
    return str(label)


def _relative(at: Corners, size_px: tuple[int, int], where: str) -> Corners:
    if min(size_px) <= 0:
        raise DatasetError(f"{where}: size {size_px[0]} x {size_px[1]} px")
    return Corners(at.x1 / size_px[0], at.y1 / size_px[1], at.x2 / size_px[0], at.y2 / size_px[1])


def _video(
    path: Path,
    root: Path,
    xml: Any,
    problems: Problems,
    skipped: Counter[str],
    *,
    clip: Path | None,
    scratch: Path,
) -> list[Draft]:
    tracks: list[tuple[str, str, dict[int, Shape]]] = []
    for item in xml.iterfind("track"):
        where = f"{path}, track {item.get('id')}"
        try:
            shapes = _track(item, where, skipped)
            tracks.append((str(item.get("id")), _label(item, where), shapes))
        except DatasetError as error:
            problems.add(str(error))
    if clip is not None:
        wanted = sorted({frame for _, _, shapes in tracks for frame in shapes})
        files = take_frames(clip, wanted, scratch)
    else:
        files = {int(match[0]): p for p in visible(root, *SUFFIXES) if (match := NUMBER.search(p.stem))}
    if not files:
        problems.add(f"{path}: no frames in {root}; export the task with its images, or give its video with --clip")
        return []
    task = (xml.findtext("meta//task/name") or xml.findtext("meta//name") or root.name).strip() or "task"
    return [
        _frame(number_, file, task, tracks, root=root if clip is None else scratch)
        for number_, file in sorted(files.items())
    ]


def _track(item: Any, where: str, skipped: Counter[str]) -> dict[int, Shape]:
    shapes: dict[int, Shape] = {}
    for shape in item:
        place = f"{where}, frame {shape.get('frame')}"
        at = _corners(shape, place)
        if at is None:
            skipped[shape.tag] += 1
        else:
            shapes[int(number(shape.get("frame"), place))] = (at, shape.get("outside") == "1")
    return shapes


def _frame(index: int, file: Path, task: str, tracks: list[tuple[str, str, dict[int, Shape]]], *, root: Path) -> Draft:
    size = pictures.size_px(file)
    seen = [(track, label, at) for track, label, shapes in tracks if (at := _at(shapes, index)) is not None]
    name = file.relative_to(root).as_posix()
    return Draft(
        name,
        file,
        tuple((label, _relative(at, size, name)) for _, label, at in seen),
        groups=Groups(
            clip=task, frame=index, parcels=tuple(f"{task}/{track}" for track, _, _ in seen), original=f"{task}/{index}"
        ),
        part=part_of(name),
    )


def _at(shapes: dict[int, Shape], frame: int) -> Corners | None:
    """Return where a track is in a frame: as exported, or between its neighbours."""
    if frame in shapes:
        at, outside = shapes[frame]
        return None if outside else at
    before = max((f for f in shapes if f < frame), default=None)
    after = min((f for f in shapes if f > frame), default=None)
    if before is None or after is None or shapes[before][1]:
        return None
    share = (frame - before) / (after - before)
    return Corners(*(a + (b - a) * share for a, b in zip(shapes[before][0], shapes[after][0], strict=True)))
