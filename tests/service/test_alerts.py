"""The alert rules: promtool understands them, they fire on what they should and only then, and their figures exist."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client.exposition import generate_latest
from test_line_status import MS, decision, step

from edge_sorter.clock import ReplayClock
from edge_sorter.plc.alarms import Alarm
from edge_sorter.plc.publisher import PublishResult, Vitals
from edge_sorter.service.metrics import registry
from edge_sorter.service.status import LineStatus, Peers

RULES = "deploy/prometheus/alerts.yaml"


def promtool(*words: object, cwd: Path) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed (apt-get install prometheus)")
    done = subprocess.run(["promtool", *words], capture_output=True, text=True, check=False, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_understands_them(root: Path):
    promtool("check", "config", "prometheus.yml", cwd=root / "deploy/prometheus")


def test_they_fire_when_they_should(root: Path, tmp_path: Path):
    shutil.copy(root / RULES, tmp_path)
    shutil.copy(Path(__file__).with_name("alerts_test.yaml"), tmp_path)
    promtool("test", "rules", "alerts_test.yaml", cwd=tmp_path)


def test_every_figure_they_ask_for_exists(root: Path):
    clock = ReplayClock()
    status = LineStatus(clock)
    status.on_step(step(0, 0, decision(1)), (PublishResult.SENT,), MS)
    status.came_round(0, vitals=Vitals(fps=30.0))
    status.met(Peers({}, alarms=(Alarm("MISSORT", "ACTIVE", 0),)))
    served = generate_latest(registry(status)).decode()
    names = set(re.findall(r"^(\w+?)(?:\{| )", served, re.M)) | {"edge_sorter_temperature_celsius"}
    rules = yaml.safe_load((root / RULES).read_text())["groups"][0]["rules"]
    asked = {name for rule in rules for name in re.findall(r"\b(?:edge_sorter|process)_\w+", rule["expr"])}
    assert asked - {"edge_sorter"} <= names, asked - names
    assert len(asked) >= 10


def test_every_rule_says_what_to_do(root: Path):
    for rule in yaml.safe_load((root / RULES).read_text())["groups"][0]["rules"]:
        assert {"summary", "advice"} == rule["annotations"].keys()
        assert rule["labels"]["severity"] in ("warning", "critical")
