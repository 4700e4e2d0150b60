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


def sourced(root: Path, script: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run some bash with the functions of install.sh at hand."""
    return subprocess.run(
        ["/bin/bash", "-c", f"source {root / DEPLOY}/install.sh; {script}"],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", **environ},
    )


def test_a_jetson_keeps_its_own_opencv_and_the_numpy_it_was_built_for(root: Path):
    jetson = "on_jetson() { true; }; TENSORRT=no;"
    kept = sourced(root, f"{jetson} system_has() {{ true; }}; requirements").stdout.splitlines()
    assert "numpy<2" in kept
    assert not [line for line in kept if line.startswith("opencv-python")]
    without = sourced(root, f"{jetson} system_has() {{ false; }}; requirements").stdout.splitlines()
    assert [line for line in without if line.startswith("opencv-python-headless")]
    assert "numpy<2" not in without


def test_tensorrt_comes_from_pypi_only_where_asked(root: Path):
    pc = "on_jetson() { false; };"
    assert "tensorrt>=8.6" in sourced(root, f"{pc} TENSORRT=yes; requirements").stdout
    assert "tensorrt" not in sourced(root, f"{pc} TENSORRT=no; requirements").stdout


def test_an_old_python_is_refused_with_what_to_do(root: Path, tmp_path: Path):
    for name in ("python3", "python3.13", "python3.12", "python3.11", "python3.10"):
        (tmp_path / name).write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.8.10\nexit 1\n')
        (tmp_path / name).chmod(0o755)
    done = sourced(root, "find_python", PATH=f"{tmp_path}:/usr/bin:/bin")
    assert done.returncode == 1
    assert "Python 3.10 or newer is needed, here is Python 3.8.10" in done.stderr
    assert "JetPack 6" in done.stderr


def test_the_name_of_a_release_follows_its_content(root: Path, tmp_path: Path):
    for part in ("edge_sorter", "weights", "configs", "calibration", "deploy"):
        (tmp_path / part).mkdir()
    (tmp_path / "edge_sorter/__init__.py").write_text('__version__ = "1.2.3"\n')
    for name in ("requirements.txt", "pyproject.toml"):
        (tmp_path / name).write_text("")

    def name() -> str:
        return sourced(root, f"SOURCE={tmp_path}; release_name").stdout.strip()

    first = name()
    assert re.fullmatch(r"1\.2\.3-[0-9a-f]{8}", first)
    assert name() == first
    (tmp_path / "weights/model.onnx").write_text("other")
    assert name() != first


@pytest.mark.parametrize("words", [["--line", "Bad Name"], ["--line"], ["--nonsense"]])
def test_wrong_words_are_refused_before_anything_happens(root: Path, words: list[str]):
    done = subprocess.run([root / DEPLOY / "install.sh", *words], capture_output=True, text=True, check=False)
    assert done.returncode in (1, 64)
    assert done.stderr
