"""Find what is wrong with labels: of one picture, between neighbouring frames, and over the whole set.

Contract: pure functions of the data set; pictures are not opened here.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise

from edge_sorter.lifecycle.dataset.examine.findings import Finding, Limits, finding
from edge_sorter.lifecycle.dataset.values import Box, Dataset, Picture


def of_picture(picture: Picture, limits: Limits) -> Iterator[Finding]:
    """Yield what is wrong with the labels of one picture."""
    if picture.boxes is None:
        yield finding("no_label_file", picture.file)
        return
    if picture.pre_labels:
        yield finding("pre_labels", picture.file)
    width, height = picture.size_px
    for index, box in enumerate(picture.boxes):
        at = box.at
        side_px = min((at.x2 - at.x1) * width, (at.y2 - at.y1) * height)
        out_px = max(-at.x1 * width, -at.y1 * height, (at.x2 - 1) * width, (at.y2 - 1) * height)
        if side_px <= 0.01:
            yield finding("no_area", picture.file, box=index, value=side_px, limit="more than 0 px")
            continue
        if out_px > limits.outside_px:
            yield finding("outside", picture.file, box=index, value=out_px, limit=limits.outside_px)
        if side_px < limits.tiny_px:
            yield finding("tiny", picture.file, box=index, value=side_px, limit=limits.tiny_px)
    yield from _overlaps(picture, picture.boxes, limits)


def _overlaps(picture: Picture, boxes: Sequence[Box], limits: Limits) -> Iterator[Finding]:
    for (_, one), (index, two) in combinations(enumerate(boxes), 2):
        iou = one.at.iou(two.at)
        if iou > limits.same and one.class_id == two.class_id:
            yield finding("labelled_twice", picture.file, box=index, value=iou, limit=limits.same)
        elif iou > limits.overlap:
            yield finding("overlapping", picture.file, box=index, value=iou, limit=limits.overlap)


def between_frames(data: Dataset, limits: Limits) -> Iterator[Finding]:
    """Yield boxes that are clearly the same parcel as one in the frame before, but of another class."""
    clips: dict[tuple[str, str], list[tuple[int, Picture]]] = defaultdict(list)
    for picture in data.pictures:
        if picture.groups.clip and picture.groups.frame is not None and picture.boxes:
            clips[picture.source, picture.groups.clip].append((picture.groups.frame, picture))
    for frames in clips.values():
        ordered = sorted(frames, key=lambda item: (item[0], item[1].file))
        for (frame, before), (next_frame, after) in pairwise(ordered):
            if 0 < next_frame - frame <= limits.neighbour_frames:
                yield from _flips(data.classes, before, after, limits)


def _flips(classes: tuple[str, ...], before: Picture, after: Picture, limits: Limits) -> Iterator[Finding]:
    earlier = before.boxes or ()
    for index, box in enumerate(after.boxes or ()):
        was = max(earlier, key=lambda other: other.at.iou(box.at))
        back = max(after.boxes or (), key=lambda other: other.at.iou(was.at))
        iou = was.at.iou(box.at)
        if back is box and iou > limits.follow and was.class_id != box.class_id:
            value = f"{classes[was.class_id]} -> {classes[box.class_id]}"
            yield finding("class_flips", after.file, box=index, value=value, limit=limits.follow, other=before.file)


def of_classes(data: Dataset, limits: Limits) -> Iterator[Finding]:
    """Yield what is odd about the classes as a whole."""
    alike: dict[str, list[str]] = defaultdict(list)
    for name in data.classes:
        alike["".join(name.split()).casefold().replace("_", "").replace("-", "")].append(name)
    for names in alike.values():
        if len(names) > 1:
            yield finding("class_names", value=" / ".join(map(repr, names)))
    counts = Counter(box.class_id for picture in data.pictures for box in picture.boxes or ())
    largest = max(counts.values(), default=0)
    for class_id, name in enumerate(data.classes):
        count = counts[class_id]
        if count == 0:
            yield finding("class_absent", value=name)
        elif count < limits.few:
            yield finding("class_few", value=f"{name}: {count}", limit=limits.few)
        elif largest > limits.imbalance * count:
            yield finding("imbalance", value=f"{name}: {count} of {largest}", limit=limits.imbalance)


def same_labels(one: Picture, two: Picture, limits: Limits) -> bool:
    """Return whether two pictures of the same scene carry the same boxes."""
    ours, theirs = list(one.boxes or ()), list(two.boxes or ())
    if len(ours) != len(theirs):
        return False
    for box in ours:
        match = max(theirs, key=lambda other: (other.class_id == box.class_id, other.at.iou(box.at)))
        if match.class_id != box.class_id or match.at.iou(box.at) < limits.follow:
            return False
        theirs.remove(match)
    return True
