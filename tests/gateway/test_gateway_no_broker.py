"""Programs beside the sorter have their broker under `mqtt`, and say so when it does not answer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from mosquitto import free_port

from edge_sorter.errors import PlcError


@pytest.mark.parametrize(
    ("command", "example"),
    [
        ("gateway modbus", "gateway.yaml"),
        ("gateway conformance", "gateway.yaml"),
        ("gateway sparkplug", "mirror.yaml"),
        ("sim-plc", "sim_plc.yaml"),
    ],
)
def test_the_advice_names_the_key_of_this_program_s_file(root: Path, tmp_path: Path, command, example):
    values = yaml.safe_load((root / "configs/demo" / example).read_text())
    values["mqtt"] = {"host": "127.0.0.1", "port": free_port()}
    for name in ("scenario", "plan"):
        if name in values:
            values[name] = str(root / "configs/demo" / values[name])
    config = tmp_path / example
    config.write_text(yaml.safe_dump(values))

    program = [sys.executable, "-m", "edge_sorter", *command.split(), "-c", str(config)]
    ended = subprocess.run(program, capture_output=True, text=True, timeout=120, check=False)

    assert ended.returncode == PlcError.exit_code
    assert "start the broker there, or correct mqtt.host and mqtt.port" in ended.stderr
