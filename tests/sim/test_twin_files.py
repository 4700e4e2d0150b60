"""Files and words of the simulated line: mistakes are told all at once, and its clock agrees with a clip's."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from edge_sorter.clock import FileClock
from edge_sorter.config import load_config
from edge_sorter.errors import ConfigError
from edge_sorter.live import run_live
from edge_sorter.sim.scenario import load
from edge_sorter.sim.twin.faults import active, parse_fault
from edge_sorter.sim.twin.layout import load_layout
from edge_sorter.sim.twin.line_clock import LineClock
from edge_sorter.sim.twin.traffic import make_traffic, ride_of

MS = 1_000_000


def line_file(root: Path, folder: Path, *changes: tuple[str, str]) -> Path:
    text = (root / "configs/demo/sim_line.yaml").read_text(encoding="utf-8")
    text = text.replace("plan: plan.yaml", f"plan: {root}/configs/demo/plan.yaml")
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    path = folder / "line.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_shipped_lines_are_right(root):
    for name in ("sim_plc", "sim_line"):
        config, plan = load_layout(root / f"configs/demo/{name}.yaml")
        assert make_traffic(config, plan).parcels


def test_the_demo_line_is_the_clips_own(root):
    config, plan = load_layout(root / "configs/demo/sim_plc.yaml")
    truth = json.loads((root / "configs/demo/truth.json").read_text(encoding="utf-8"))
    parcels = {parcel.number: parcel for parcel in make_traffic(config, plan).parcels}
    assert {number for number, parcel in parcels.items() if parcel.judged} == {
        parcel["id"] for parcel in truth["parcels"] if parcel["crosses"]
    }
    for told in truth["parcels"]:
        parcel = parcels[told["id"]]
        assert parcel.centre_mm == pytest.approx(told["start_mm"], abs=1.0)
        assert parcel.together == bool(told["group"])
        assert parcel.class_name == told["class"]


def test_the_worlds_belt_moves_as_the_clips_encoder_says(root):
    config, _ = load_layout(root / "configs/demo/sim_plc.yaml")
    rows = (root / "configs/demo/demo.encoder.csv").read_text(encoding="ascii").splitlines()[1:]
    at_ns, count = np.array([[int(cell) for cell in row.split(",")] for row in rows]).T
    ride = ride_of(load(root / "configs/demo/scenario.yaml"))
    ours = config.encoder.first_count + np.floor(ride.travel_mm(at_ns / 1e9) / config.encoder.mm_per_count)
    assert ((ours - count + 1) % (1 << 32)).max() <= 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            ("mouth_mm: 4400", "mouth_mm: 3000"),
            ["no_return_mm 4220 must be before mouth_mm 3000", "must come after L01"],
        ),
        (("id: NC", "id: L01"), ["lane L01 is given twice"]),
        (("at_mm: 8500", "at_mm: 100"), ["straight_on.at_mm must be behind"]),
        (("traffic: {", "scenario: s.yaml\ntraffic: {"), ["exactly one of scenario and traffic"]),
        (("seed: 7", "seeed: 7"), ["unknown key", "seed"]),
        (
            ("seed: 7", "faults: [{kind: lane_full, lane: L9}, {kind: e_stop}]"),
            ["lane_full of L9", "e_stop needs for_s"],
        ),
        (("seed: 7", "replays: true"), ["replays needs the scenario"]),
    ],
)
def test_mistakes_of_a_file_are_told(root, tmp_path, change, words):
    with pytest.raises(ConfigError) as caught:
        load_layout(line_file(root, tmp_path, change))
    for word in words:
        assert word in str(caught.value)


def test_a_line_that_does_not_fit_its_plan(root, tmp_path):
    with pytest.raises(ConfigError) as caught:
        load_layout(line_file(root, tmp_path, ("id: L03", "id: L04")))
    assert set(caught.value.problems) == {"lane L03 of the plan has no diverter", "lane L04 is not in the plan"}


def test_too_many_parcels_say_how_many_would_fit(root, tmp_path):
    path = line_file(root, tmp_path, ("per_hour: 9000, speed_mm_s: 2000", "per_hour: 15000, speed_mm_s: 500"))
    config, plan = load_layout(path)
    with pytest.raises(ConfigError, match=r"at most \d+ an hour"):
        make_traffic(config, plan)


def test_faults_in_one_word():
    fault = parse_fault("lane_full@10+5:L02")
    assert (fault.kind, fault.at_s, fault.until_s, fault.lane) == ("lane_full", 10.0, 15.0, "L02")
    assert active([fault], "lane_full", 12.0, "L02") is fault
    assert active([fault], "lane_full", 15.0, "L02") is None
    assert active([fault], "lane_full", 12.0, "L01") is None
    assert parse_fault("encoder_slip@3:0.1").share == 0.1
    assert parse_fault("no_acks").until_s == float("inf")
    for wrong in ("lane_fall@1", "lane_full@x", "encoder_slip:7", "no_acks@1+0"):
        with pytest.raises(ConfigError, match="--fault"):
            parse_fault(wrong)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--fault", "lane_full:L99"], "lane_full of L99"),
        (["--fault", "nonsense"], "KIND"),
        (["-c", "/nowhere/line.yaml"], "does not exist"),
    ],
)
def test_the_command_says_what_is_wrong(root, tmp_path, arguments, words):
    path = line_file(root, tmp_path)
    out = tmp_path / "report.json"
    command = [sys.executable, "-m", "edge_sorter", "sim-plc", "-c", str(path), "--out", str(out), *arguments]
    told = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert told.returncode == 78
    assert words in told.stderr
    assert not out.exists()


def test_world_time_is_the_clips_time_as_well_as_the_network_allows():
    clock = LineClock()
    assert (clock.started, clock.world_ns(123)) == (False, 0)
    clock.align(arrived_ns=1_000 * MS + 40 * MS, theirs_ns=500 * MS)  # 40 ms on the way
    assert clock.world_ns(1_040 * MS) == 500 * MS
    clock.align(arrived_ns=1_100 * MS + 1 * MS, theirs_ns=600 * MS)  # 1 ms on the way
    before = clock.world_ns(1_101 * MS)
    times = [clock.world_ns(1_101 * MS + step * 10 * MS) for step in range(1, 200)]
    steps = np.diff([before, *times])
    assert steps.min() >= 10 * MS  # never slower than time itself, so the belt never backs up
    assert steps.max() <= 10.6 * MS
    assert times[-1] == (1_101 + 1_990 - 501) * MS  # and at last as good as the best message
    clock.align(arrived_ns=9_000 * MS, theirs_ns=600 * MS)  # a message that was held up tells nothing
    assert clock.world_ns(3_101 * MS) == (3_101 - 501) * MS


def test_slow_motion_makes_everything_take_longer():
    began = time.monotonic()
    clock = FileClock(slow=4.0)
    clock.sleep_until(50 * MS)
    assert time.monotonic() - began >= 0.2
    assert 49 * MS <= clock.now_ns() <= (time.monotonic() - began) / 4.0 * 1e9


def test_a_camera_has_no_slow_motion(root):
    config = load_config(root / "configs/demo/line.yaml")
    config = config.model_copy(update={"video": config.video.model_copy(update={"source": "usb:0"})})
    with pytest.raises(ConfigError, match="only a clip"):
        run_live(config, stopped=lambda: True, slow=2.0)
