"""A belt as the configuration describes it: camera, motion and line together."""

from __future__ import annotations

from pathlib import Path

import pytest
from belt_calibrations import FLAT, SIZE

from edge_sorter.belt import (
    EncoderMotion,
    open_belt,
)
from edge_sorter.config import BeltSection, DecisionLineSection
from edge_sorter.errors import ConfigError

S = 1_000_000_000


@pytest.fixture
def camera_yaml(tmp_path: Path) -> Path:
    path = tmp_path / "camera.yaml"
    path.write_text(
        "image_size_px: [960, 540]\n"
        "image_points_px: [[900, 100], [900, 500], [100, 500], [100, 100]]\n"
        "belt_points_mm: [[0, 800], [0, 0], [1600, 0], [1600, 800]]\n"  # travel is to the left
    )
    return path


def test_open_belt_with_calibration(camera_yaml: Path) -> None:
    section = BeltSection(calibration=camera_yaml, speed_mm_s=1200, decision_line=DecisionLineSection(at_mm=800))
    belt = open_belt(section, image_size_px=SIZE)
    assert belt.map is not None
    assert belt.direction == pytest.approx((-1, 0), abs=1e-6)
    assert belt.motion.travel_mm(S) == 1200
    assert belt.line.ends_px[0][0] == pytest.approx(500, abs=0.01)
    assert belt.line.side((900, 300)) < 0 < belt.line.side((100, 300))


def test_open_belt_without_calibration() -> None:
    section = BeltSection(direction=(0, 2), decision_line=DecisionLineSection(points=((0, 0.5), (1, 0.5))))
    belt = open_belt(section, image_size_px=SIZE)
    assert (belt.map, belt.direction, belt.motion.ref(0)) == (None, (0.0, 1.0), "TIME")
    assert belt.line.side((480, 100)) == pytest.approx(-170)


def test_direction_against_the_calibration_is_refused(camera_yaml: Path) -> None:
    section = BeltSection(calibration=camera_yaml, direction=(1, 0), decision_line=DecisionLineSection(at_mm=800))
    with pytest.raises(ConfigError, match="grows the other way"):
        open_belt(section, image_size_px=SIZE)
    with pytest.raises(ConfigError, match=r"camera\.yaml: made on a 960x540"):
        open_belt(section, image_size_px=(640, 480))


def test_the_configured_encoder_moves_the_belt(tmp_path: Path) -> None:
    path = tmp_path / "flat.yaml"
    path.write_text(FLAT.model_dump_json())
    section = {"calibration": path, "decision_line": {"at_mm": 900}, "encoder": {"source": "mqtt", "mm_per_count": 0.5}}
    belt = open_belt(BeltSection.model_validate(section), image_size_px=SIZE)
    assert isinstance(belt.motion, EncoderMotion)
    assert belt.motion.travel_mm(0) is None
    belt = open_belt(BeltSection.model_validate(section | {"speed_mm_s": 500}), image_size_px=SIZE)
    assert belt.motion.ref(0) == "SPEED"
