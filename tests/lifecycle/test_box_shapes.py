"""What upright and oriented boxes tell, on parcels whose place, size and skew are known exactly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_sorter.errors import ModelError
from edge_sorter.lifecycle import box_shapes
from edge_sorter.sim import scenario as scenarios


@pytest.fixture(scope="module")
def demo(root: Path) -> scenarios.Scenario:
    return scenarios.load(root / "configs/demo/scenario.yaml")


def test_oriented_boxes_tell_the_size_of_skewed_parcels_and_their_place_no_better(demo: scenarios.Scenario) -> None:
    looks = box_shapes.bound(demo, kind="mailer", skew_deg=(15, 30), count=25, seed=3)
    told = box_shapes.errors(looks)
    assert told["oriented"]["length_mm"][0] < 0.5 * told["upright"]["length_mm"][0]
    assert told["oriented"]["width_mm"][0] < 0.2 * told["upright"]["width_mm"][0]
    assert told["oriented"]["skew_deg"][0] < 2 < 15 <= told["upright"]["skew_deg"][0]
    assert abs(told["oriented"]["along_mm"][0] - told["upright"]["along_mm"][0]) < 3


def test_an_upright_box_shows_the_extent_of_a_turned_parcel(demo: scenarios.Scenario) -> None:
    """l cos a + w sin a along travel: what the docs of sizes promise, by hand for each parcel."""
    for look in box_shapes.bound(demo, kind="mailer", skew_deg=(5, 40), count=10, seed=4):
        _, _, length, width, skew = look.true
        angle = abs(np.deg2rad(skew))
        assert look.upright[2] == pytest.approx(length * np.cos(angle) + width * np.sin(angle), abs=75)
        assert look.upright[2] > length - 1
        assert {round(float(side) / 40) for side in look.oriented[2:4]} <= {
            round(float(side) / 40) + step for side in (length, width) for step in (-1, 0, 1)
        }


def test_the_same_seed_lays_the_same_parcels(demo: scenarios.Scenario) -> None:
    first, again = (box_shapes.bound(demo, kind="carton", skew_deg=(0, 5), count=3, seed=9) for _ in range(2))
    assert [look.true.tolist() for look in first] == [look.true.tolist() for look in again]


def test_parts_by_skew(demo: scenarios.Scenario) -> None:
    looks = box_shapes.bound(demo, kind="mailer", skew_deg=(0, 20), count=12, seed=5)
    parts = box_shapes.parted(looks)
    assert sum(len(part) for part in parts.values()) == 12
    assert len(parts) == 2


def test_upright_models_are_refused(root: Path, demo: scenarios.Scenario) -> None:
    with pytest.raises(ModelError, match="has upright boxes"):
        box_shapes.seen(demo, root / "configs/demo/demo.mp4", root / "weights/parcel-yolo26n.onnx")
