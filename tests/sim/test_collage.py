"""Invented training pictures: reproducible, and their boxes are where the parcels are."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge_sorter.sim.collage import picture, write
from edge_sorter.sim.collage.canvas import Canvas, View
from edge_sorter.sim.collage.faces import CARTON, POLYBAG, TUBE
from edge_sorter.sim.collage.things import Thing


def test_the_same_seed_gives_the_same_picture() -> None:
    first, boxes = picture(np.random.default_rng([3, 1]))
    again, boxes_again = picture(np.random.default_rng([3, 1]))
    assert np.array_equal(first, again)
    assert boxes == boxes_again
    assert not np.array_equal(first, picture(np.random.default_rng([3, 2]))[0])


def test_boxes_lie_in_the_picture_and_all_kinds_come_up() -> None:
    seen: set[int] = set()
    for number in range(40):
        image, boxes = picture(np.random.default_rng([5, number]))
        height, width = image.shape[:2]
        for class_id, (x1, y1, x2, y2) in boxes:
            assert 0 <= x1 < x2 <= width
            assert 0 <= y1 < y2 <= height
            seen.add(class_id)
    assert seen == set(range(CARTON, TUBE + 1))


def test_mailers_can_be_left_out() -> None:
    seen = {
        class_id
        for number in range(40)
        for class_id, _ in picture(np.random.default_rng([5, number]), mailers=False)[1]
    }
    assert seen == {CARTON, POLYBAG, TUBE}


def looking_down(size_px: tuple[int, int] = (200, 200)) -> View:
    return View(np.diag([1.0, -1.0, -1.0]), np.array([0.0, 0.0, 2.0]), 200.0, size_px)


def carton_at(x: float, height: float = 0.2) -> Thing:
    return Thing(CARTON, (0.4, 0.4, height), np.array([x, 0.0, height / 2]), 0.0, np.array([0.0, 0.0, 1.0]))


def test_a_box_is_what_shows_of_the_parcel() -> None:
    canvas = Canvas(np.full((200, 200, 3), 90, np.uint8))
    carton_at(0.0).paint(np.random.default_rng(0), canvas, looking_down(), owner=1)
    ((class_id, (x1, y1, x2, y2)),) = canvas.boxes()
    # its top is 1.8 m below the lens: 0.4 m are 0.4 / 1.8 * 200 px
    assert class_id == CARTON
    assert abs((x2 - x1) - 44.4) <= 2
    assert abs((y2 - y1) - 44.4) <= 2
    assert abs((x1 + x2) / 2 - 100) <= 1


def test_what_another_parcel_hides_is_not_boxed() -> None:
    canvas = Canvas(np.full((200, 200, 3), 90, np.uint8))
    rng = np.random.default_rng(0)
    carton_at(0.0).paint(rng, canvas, looking_down(), owner=1)
    carton_at(0.02, height=0.6).paint(rng, canvas, looking_down(), owner=2)
    assert len(canvas.boxes()) == 1


def test_every_picture_has_its_label_file(tmp_path: Path) -> None:
    write(tmp_path, count=4, seed=1)
    images = sorted(path.stem for path in (tmp_path / "images").iterdir())
    assert images == sorted(path.stem for path in (tmp_path / "labels").iterdir())
    assert len(images) == 4
