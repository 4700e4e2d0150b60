"""Setting up a camera: what is written is what `check` accepts, or nothing is; the page and the command agree."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest

from edge_sorter.belt import BeltMap, Calibration, load_calibration
from edge_sorter.check import check_installation
from edge_sorter.config import load_config
from edge_sorter.errors import ConfigError, EdgeSorterError
from edge_sorter.service.commission import Proposal, check_proposal, proposal_of, save, speed_of

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=timezone.utc)


def proposal(**more: object) -> Proposal:
    calibration = {
        "image_size_px": (960, 540),
        "image_points_px": ((100.0, 90.0), (860.0, 90.0), (890.0, 450.0), (70.0, 450.0)),
        "belt_points_mm": ((0.0, 750.0), (1500.0, 750.0), (1500.0, 0.0), (0.0, 0.0)),
    }
    return Proposal.model_validate({"calibration": calibration, "line_mm": 900, **more})


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_what_is_saved_is_accepted_and_the_old_is_kept(own_line):
    before = own_line.read_text()
    saved = save(own_line, proposal(speed_mm_s=950, crop=(0.05, 0.1, 0.95, 0.9)), now=NOW)
    assert check_installation(own_line).errors == []
    config = load_config(own_line)
    assert config.belt.decision_line.at_mm == 900
    assert config.belt.speed_mm_s == 950
    assert config.detect.crop == (0.05, 0.1, 0.95, 0.9)
    assert config.belt.calibration == saved.calibration
    assert load_calibration(saved.calibration).image_points_px[0] == (100.0, 90.0)
    assert saved.backup.name == "line.yaml.20260304T050607Z.bak"
    assert saved.backup.read_text() == before
    assert config.belt.encoder is not None
    for comment in ("# The demo line", "# opens every MQTT topic", "# from the decision line to the first diverter"):
        assert comment in own_line.read_text()
    assert not list(own_line.parent.glob(".*"))


def test_a_line_that_was_never_calibrated(own_line):
    text = own_line.read_text().replace("{at_mm: 1140}", "{points: [[0.5, 0.1], [0.5, 0.9]]}")
    text = "\n".join(x for x in text.splitlines() if "calibration:" not in x and "encoder:" not in x)
    plan = own_line.parent / "plan.yaml"
    plan.write_text(plan.read_text().replace(", longest_mm: [0, 400]", "").replace("  - {id: large", "  # {id: large"))
    own_line.write_text(text)
    assert check_installation(own_line).errors == []
    save(own_line, proposal(), now=NOW)
    assert check_installation(own_line).errors == []
    line = load_config(own_line).belt.decision_line
    assert (line.at_mm, line.points) == (900, None)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda line: (line.parent / "plan.yaml").write_text("id: broken\n"), "would not be accepted"),
        (lambda line: line.write_text(line.read_text() + "unknown: 1\n"), "unknown key"),
        (lambda line: line.unlink(), "does not exist"),
    ],
)
def test_when_the_result_is_unsound_nothing_changes(own_line, spoil, message):
    spoil(own_line)
    before = files(own_line.parent)
    with pytest.raises(EdgeSorterError, match=message):
        save(own_line, proposal(), now=NOW)
    assert files(own_line.parent) == before


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"line_mm": 5000}, "not in the part of the picture"),
        ({"line_mm": 900, "crop": (0.7, 0.0, 1.0, 1.0)}, "not in the part of the picture"),
        ({"crop": (0.9, 0.0, 0.1, 1.0)}, "x1 < x2"),
    ],
)
def test_a_line_nobody_would_cross_is_refused(own_line, more, message):
    with pytest.raises(ConfigError, match=message):
        check_proposal(proposal(**more), load_config(own_line))


def test_the_speed_of_a_known_belt():
    """Boxes of 200 mm at 800 mm/s, as the map shows them; those cut off by the picture's edge must not pull it down."""
    belt_map = proposal().belt_map()

    def box(x_mm: float) -> tuple[float, float, float, float]:
        corners = belt_map.to_px([(x_mm + dx, 300 + dy) for dx in (-100, 100) for dy in (-100, 100)])
        (x1, y1), (x2, y2) = np.clip(corners.min(axis=0), 0, (960, 540)), np.clip(corners.max(axis=0), 0, (960, 540))
        return float(x1), float(y1), float(x2), float(y2)

    def track(speed_mm_s: float) -> list[tuple[int, tuple[float, float, float, float]]]:
        return [(round(i * 4e7), box(-150 + speed_mm_s * i * 0.04)) for i in range(48)]

    found = speed_of([track(800), track(790), track(810), track(0)], belt_map, size_px=(960, 540))
    assert found is not None
    assert found.mm_s == pytest.approx(800, abs=8)
    assert found.tracks == 3
    assert found.spread_mm_s == pytest.approx(10, abs=5)
    backwards = speed_of([track(800)[::-1]], belt_map, size_px=(960, 540))
    assert backwards is None or backwards.mm_s < 0
    assert speed_of([track(0)], belt_map, size_px=(960, 540)) is None
    stopped = [(at if x < 24 else at + 3_000_000_000, box) for x, (at, box) in enumerate(track(800))]
    stood = stopped[:24] + [(stopped[23][0] + n * 40_000_000, stopped[23][1]) for n in range(1, 74)] + stopped[24:]
    resting = speed_of([stood], belt_map, size_px=(960, 540))
    assert resting is not None
    assert resting.mm_s == pytest.approx(800, abs=30)


def test_a_new_proposal_starts_from_what_is_in_force(own_line):
    config = load_config(own_line)
    calibration = load_calibration(config.belt.calibration)
    start = Proposal.model_validate(proposal_of(config, size_px=(1920, 1080), calibration=calibration))
    assert start.line_mm == 1140
    assert start.calibration.image_points_px[0] == pytest.approx((2 * 94.3627, 2 * 81.5193), abs=0.1)
    bare = Proposal.model_validate(proposal_of(config, size_px=(640, 480), calibration=None))
    BeltMap(bare.calibration, image_size_px=(640, 480))


def calibrate(*words: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "edge_sorter", "calibrate", *words], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout or done.stderr


def test_the_command_says_what_it_would_mean_and_writes_only_when_asked(own_line, tmp_path):
    before = files(own_line.parent)
    points = "100,90 860,90 890,450 70,450"
    words = ["-c", str(own_line), "--points", points, "--belt", "1500x750", "--line", "900", "--json"]
    code, said = calibrate(*words)
    assert code == 0
    assert json.loads(said)["proposal"]["calibration"]["belt_points_mm"][1] == [1500.0, 750.0]
    assert files(own_line.parent) == before
    picture = tmp_path / "out" / "grid.png"
    picture.parent.mkdir()
    code, said = calibrate(*words, "--save", "--picture", str(picture))
    assert code == 0
    written = json.loads(said)
    assert Calibration.model_validate(written["proposal"]["calibration"]).belt_points_mm[1] == (1500.0, 750.0)
    assert check_installation(own_line).errors == []
    assert picture.stat().st_size > 50_000


def test_the_command_measures_the_speed_from_a_journal(own_line, root):
    journals = sorted((root / "tests" / "golden").glob("*.jsonl"))
    if not journals:
        pytest.skip("no recorded journal in tests/golden")
    code, said = calibrate("-c", str(own_line), "--journal", str(journals[0]), "--json")
    assert code == 0
    assert json.loads(said)["speed"]["mm_s"] == pytest.approx(1000, rel=0.12)  # tall cartons pass for faster ones


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--points", "1,2 3,4"], "needs four points"),
        (["--points", "0,0 9,9 0,9 9,0"], "convex area"),
        (["--belt", "axb"], "2 numbers"),
        (["--crop", "0,0,1"], "4 numbers"),
        (["--line", "9000"], "not in the part of the picture"),
        (["--picture", "/nowhere/grid.png"], "cannot be written"),
    ],
)
def test_the_command_explains_a_wrong_wish(own_line, words, message):
    before = files(own_line.parent)
    code, said = calibrate("-c", str(own_line), *words, "--save")
    assert code != 0
    assert message in said
    assert files(own_line.parent) == before


def test_a_file_that_cannot_be_written_is_told(own_line):
    text = own_line.read_text()
    saved = save(own_line, proposal(), now=NOW)
    own_line.write_text(text)
    saved.calibration.unlink()
    saved.calibration.mkdir()  # even root cannot put a file there
    saved.backup.unlink()
    with pytest.raises(ConfigError, match="cannot be changed: Is a directory; nothing was"):
        save(own_line, proposal(), now=NOW)
    assert own_line.read_text() == text
    assert not saved.backup.exists()
    assert not list(own_line.parent.glob(".*"))
