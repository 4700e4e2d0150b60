"""The files of deploy/: scripts without mistakes, a unit that exposes little, a starter that `check` accepts."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from edge_sorter.config import load_config
from edge_sorter.sort import load_plan

DEPLOY = "deploy/jetson"
MOST_EXPOSED = 2.5


def test_scripts_pass_shellcheck(root: Path):
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed (apt-get install shellcheck)")
    scripts = sorted((root / DEPLOY).glob("*.sh"))
    assert scripts
    checked = subprocess.run(["shellcheck", *scripts], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


@pytest.fixture
def unit(root: Path, tmp_path: Path) -> Path:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed (apt-get install systemd)")
    text = (root / DEPLOY / "edge-sorter@.service").read_text()
    # `verify` wants the program to be there.
    (tmp_path / "edge-sorter@line01.service").write_text(re.sub(r"/opt/edge-sorter/current/bin/\S+", "/bin/true", text))
    shutil.copy(root / DEPLOY / "edge-sorter-retry@.service", tmp_path / "edge-sorter-retry@line01.service")
    return tmp_path / "edge-sorter@line01.service"


def test_units_are_understood(unit: Path):
    both = (unit, unit.with_name("edge-sorter-retry@line01.service"))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *both], capture_output=True, text=True, check=False)
    ours = [line for line in done.stderr.splitlines() if "edge-sorter" in line]
    assert (done.returncode, ours) == (0, [])


def test_exposure(unit: Path):
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", unit],
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.search(r"Overall exposure level.*: ([\d.]+)", done.stdout)
    if found is None:
        pytest.skip(f"this systemd-analyze rates no files: {done.stderr.strip()}")
    assert float(found[1]) <= MOST_EXPOSED, done.stdout


def test_the_starter_is_a_valid_configuration(root: Path, tmp_path: Path):
    starter = root / DEPLOY / "starter"
    config = yaml.safe_load((starter / "line.yaml").read_text())
    assert config["detect"]["model"].startswith("/opt/edge-sorter/current/share/weights/")
    assert (root / "weights" / Path(config["detect"]["model"]).name).is_file()
    loaded = load_config(starter / "line.yaml")
    assert loaded.sort.plan == starter / "plan.yaml"
    assert load_plan(loaded.sort.plan, classes=None, calibrated=False).name.startswith("starter#")
