"""The scenario file: read, checked, expanded the same way every time."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge_sorter.errors import ConfigError
from edge_sorter.sim import scenario, truth
from edge_sorter.sim.scenario import CLASSES

DEMO = Path(__file__).parents[2] / "configs" / "demo" / "scenario.yaml"


BELT = {"width_mm": 600, "speed_mm_s": 500, "decision_line_mm": 600}


def small(**changes: Any) -> dict[str, Any]:
    """A valid scenario of two parcels with top-level keys replaced."""
    base: dict[str, Any] = {
        "schema": "edge_sorter.scenario/1",
        "name": "small",
        "seed": 3,
        "video": {"width_px": 320, "height_px": 180, "fps": 25, "duration_s": 3},
        "camera": {"position_mm": [500, -200, 1500], "look_at_mm": [500, 300, 0], "horizontal_fov_deg": 40},
        "belt": BELT,
        "parcels": [
            {"kind": "carton", "length_mm": 200, "width_mm": 150, "height_mm": 100, "lateral_mm": 300, "gap_mm": 100},
            {"kind": "tube", "length_mm": 400, "width_mm": 80, "height_mm": 80, "lateral_mm": 300, "gap_mm": 50},
        ],
    }
    return base | changes


def saved(folder: Path, content: dict[str, Any]) -> Path:
    path = folder / "scenario.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def two(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    parcels = small()["parcels"]
    rows = [{k: v for k, v in row.items() if v is not None} for row in (parcels[0] | first, parcels[1] | second)]
    return small(parcels=rows)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (small(colour="red"), ["colour", "unknown key"]),
        (two({"lenght_mm": 3}, {}), ["parcels[0].lenght_mm", "unknown key"]),
        (small(belt={"width_mm": -1, "speed_mm_s": 500, "decision_line_mm": 6}), ["belt.width_mm", "greater than"]),
        (two({"height_mm": "tall"}, {}), ["parcels[0].height_mm", "valid number"]),
        (two({"kind": "pallet"}, {}), ["parcels[0].kind", "'carton'"]),
        (two({}, {"gap_mm": None}), ["parcels[1]", "exactly one of gap_mm, start_mm and beside_mm"]),
        (two({}, {"gap_mm": None, "start_mm": 300}), ["parcels[1] overlaps parcels[0]"]),
        (two({"lateral_mm": 20}, {}), ["parcels[0]", "belt of 600 mm"]),
        (two({"label_code": "A1"}, {"label_code": "A1"}), ["A1 is used twice"]),
        (two({"label_code": "A1", "labelled": False}, {}), ["labelled is false"]),
        (small(parcels=[]), ["parcels"]),
        (small(belt=BELT | {"profile": [[0, 500]]}), ["belt", "exactly one of speed_mm_s and profile"]),
        (small(belt={"width_mm": 600, "decision_line_mm": 6, "profile": [[1, 5], [1, 6]]}), ["belt.profile[1]"]),
        (small(belt=BELT | {"encoder": {"mm_per_count": 0}}), ["belt.encoder.mm_per_count"]),
        (two({"gap_mm": None, "beside_mm": 0}, {}), ["parcels[0]", "parcel before it"]),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, content: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        scenario.load(saved(tmp_path, content))
    for word in words:
        assert word in str(caught.value)


def test_all_mistakes_come_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        scenario.load(saved(tmp_path, two({"kind": "pallet", "extra": 1}, {"width_mm": -4})))
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "a: [1,\n"])
def test_a_file_that_is_no_scenario(tmp_path: Path, text: str) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"s\.yaml"):
        scenario.load(path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        scenario.load(tmp_path / "none.yaml")


def test_the_same_file_and_seed_give_the_same_parcels(tmp_path: Path) -> None:
    path = saved(tmp_path, small())
    first, second = scenario.load(path), scenario.load(path)
    assert scenario.expand(first) == scenario.expand(second)
    assert truth.mot_lines(first) == truth.mot_lines(second)
    other = scenario.load(saved(tmp_path, small(seed=4)))
    assert [p.label_code for p in scenario.expand(other)] != [p.label_code for p in scenario.expand(first)]


def test_gaps_are_clear_belt(tmp_path: Path) -> None:
    ahead, behind = scenario.expand(scenario.load(saved(tmp_path, two({"skew_deg": 30}, {"skew_deg": -20}))))
    gap = ahead.footprint_mm()[:, 0].min() - behind.footprint_mm()[:, 0].max()
    assert gap == pytest.approx(50)


def test_the_demo_has_what_a_demo_needs() -> None:
    demo = scenario.load(DEMO)
    placed = scenario.expand(demo)
    crossing = [p for p in truth.truth(demo)["parcels"] if p["crosses"]]
    assert len(crossing) >= 40
    assert {p.spec.kind for p in placed} == set(CLASSES) - {"sack"}
    assert sum(p.spec.damaged for p in placed) == 1
    assert sum(not p.spec.labelled for p in placed) == 1
    cartons = [p.spec.length_mm for p in placed if p.spec.kind == "carton"]
    assert all(length <= 300 or length > 400 for length in cartons)
    assert all(abs(p.spec.skew_deg) <= 35 and p.spec.height_mm <= 350 for p in placed)
    together = scenario.groups(placed)
    assert sorted(reason for reason, _ in together.values()) == ["DOUBLE"] * 2 + ["SIDE_BY_SIDE"] * 2
    for earlier, later in pairwise(sorted(placed, key=lambda p: -p.start_mm)):
        gap = earlier.footprint_mm()[:, 0].min() - later.footprint_mm()[:, 0].max()
        assert gap >= 200 or together[earlier.id] == together[later.id]


def test_a_parcel_beside_another_is_level_with_it(tmp_path: Path) -> None:
    content = two({"lateral_mm": 150}, {"lateral_mm": 400, "gap_mm": None, "beside_mm": 20})
    content["parcels"].append(content["parcels"][0] | {"gap_mm": 40})
    first, beside, behind = scenario.expand(scenario.load(saved(tmp_path, content)))
    front = first.footprint_mm()[:, 0].max()
    assert beside.footprint_mm()[:, 0].max() == pytest.approx(front - 20)
    rear = min(p.footprint_mm()[:, 0].min() for p in (first, beside))
    assert behind.footprint_mm()[:, 0].max() == pytest.approx(rear - 40)
    assert scenario.groups((first, beside, behind)) == {1: ("SIDE_BY_SIDE", (1, 2)), 2: ("SIDE_BY_SIDE", (1, 2))}


@pytest.mark.parametrize(("gap_mm", "group"), [(0, "DOUBLE"), (10, "DOUBLE"), (60, None)])
def test_parcels_without_clear_belt_between_touch(tmp_path: Path, gap_mm: float, group: str | None) -> None:
    placed = scenario.expand(scenario.load(saved(tmp_path, two({}, {"gap_mm": gap_mm}))))
    assert {reason for reason, _ in scenario.groups(placed).values()} == ({group} if group else set())
