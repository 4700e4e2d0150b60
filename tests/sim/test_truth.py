"""Truth: crossing times, calibration points and boxes all follow from the scenario."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from edge_sorter.sim import scenario, truth
from edge_sorter.sim.camera import PinholeCamera

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "configs" / "demo" / "scenario.yaml"


@pytest.fixture(scope="module")
def demo() -> scenario.Scenario:
    return scenario.load(DEMO)


def test_the_shipped_truth_is_the_scenario_s_truth(demo: scenario.Scenario, tmp_path: Path) -> None:
    truth.write(demo, tmp_path, tmp_path / "demo.yaml")
    for fresh, shipped in (
        (tmp_path / "truth.json", ROOT / "configs/demo/truth.json"),
        (tmp_path / "demo.yaml", ROOT / "calibration/camera/demo.yaml"),
    ):
        assert fresh.read_text() == shipped.read_text(), f"{shipped.name} is stale: run the truth command"
    fresh_boxes = np.loadtxt(tmp_path / "truth_mot.txt", delimiter=",")
    shipped_boxes = np.loadtxt(ROOT / "configs/demo/truth_mot.txt", delimiter=",")
    np.testing.assert_allclose(fresh_boxes, shipped_boxes, atol=0.02)
    assert not list(tmp_path.glob("*.partial"))


def test_crossing_times_match_the_belt_s_travel(demo: scenario.Scenario) -> None:
    content, motion = truth.truth(demo), demo.belt.motion
    for parcel, placed in zip(content["parcels"], scenario.expand(demo), strict=True):
        if parcel["crosses"]:
            where = placed.start_mm + motion.travel_mm(parcel["cross_s"])
            assert where == pytest.approx(content["decision_line_mm"], abs=0.1)
            assert parcel["cross_s"] <= demo.video.duration_s - 0.4
        else:
            end = placed.footprint_mm()[:, 0].max() + motion.travel_mm(demo.video.duration_s)
            assert end < content["decision_line_mm"]
    assert content["parcels"][0]["in_view_at_start"]


def test_the_demo_shows_what_a_hub_sees(demo: scenario.Scenario) -> None:
    content = truth.truth(demo)
    crossing = [parcel for parcel in content["parcels"] if parcel["crosses"]]
    assert len(crossing) >= 40
    assert demo.video.duration_s >= 30
    assert [p["group"] for p in crossing].count("SIDE_BY_SIDE") == 2
    assert [p["group"] for p in crossing].count("DOUBLE") == 2
    assert any(not p["labelled"] for p in crossing)
    assert any(p["damaged"] for p in crossing)
    assert any(speed == 0 for _, speed in content["belt"]["profile"])
    for parcel in crossing:
        others = {other["id"] for other in crossing if parcel["id"] in other["group_ids"]}
        assert others == set(parcel["group_ids"])


def test_the_shipped_encoder_record_counts_the_belt_and_wraps(demo: scenario.Scenario) -> None:
    rows = np.loadtxt(ROOT / "configs/demo/demo.encoder.csv", delimiter=",", skiprows=1, dtype=np.int64)
    assert (ROOT / "configs/demo/demo.encoder.csv").read_text() == truth.encoder_csv(demo)
    assert (np.diff(rows[:, 0]) == 10_000_000).all()
    assert (np.diff(rows[:, 1]) < 0).sum() == 1, "it wraps once"
    assert rows[-1, 0] >= demo.video.duration_s * 1e9


def test_calibration_points_give_the_camera_back(demo: scenario.Scenario) -> None:
    points = yaml.safe_load((ROOT / "calibration/camera/demo.yaml").read_text())
    to_image = cv2.getPerspectiveTransform(
        np.float32(points["belt_points_mm"]).astype(np.float32), np.float32(points["image_points_px"])
    )
    grid = np.array([[x, y, 0.0] for x in range(100, 1900, 300) for y in range(0, 801, 200)])
    exact = demo.pinhole().project(grid)
    through = cv2.perspectiveTransform(grid[None, :, :2], to_image)[0]
    assert np.abs(through - exact).max() < 0.1


def test_projection_and_its_inverse_agree() -> None:
    camera = PinholeCamera((100.0, -300.0, 2000.0), (200.0, 300.0, 0.0), 900.0, (640, 480), roll_rad=0.3)
    belt = np.array([[0.0, 0.0], [400.0, 100.0], [250.0, 500.0]])
    back = camera.on_belt(camera.project(np.column_stack([belt, np.zeros(3)])))
    np.testing.assert_allclose(back, belt, atol=1e-6)
    assert np.isnan(camera.project(np.array([[100.0, -900.0, 5000.0]]))).all()


def test_boxes_move_with_the_belt_and_stay_in_the_picture(demo: scenario.Scenario) -> None:
    rows = np.loadtxt(ROOT / "configs/demo/truth_mot.txt", delimiter=",")
    content = json.loads((ROOT / "configs/demo/truth.json").read_text())
    assert (rows[:, 2:4] >= 0).all()
    assert (rows[:, 2] + rows[:, 4] <= content["image_px"][0] + 0.01).all()
    for parcel in content["parcels"]:
        own = rows[(rows[:, 1] == parcel["id"]) & (rows[:, 8] > 0.999)]
        centre = own[:, 2] + own[:, 4] / 2
        assert (np.diff(centre) >= 0).all(), "travel is +x in the picture"
    # A parcel's box stands over its crossing point at its crossing time.
    camera = demo.pinhole()
    for parcel in content["parcels"]:
        if parcel["crosses"]:
            line_px = camera.project(np.array([[content["decision_line_mm"], parcel["lateral_mm"], 0.0]]))[0]
            row = rows[(rows[:, 1] == parcel["id"]) & (rows[:, 0] == round(parcel["cross_s"] * 25) + 1)][0]
            assert row[2] - 12 < line_px[0] < row[2] + row[4] + 12
