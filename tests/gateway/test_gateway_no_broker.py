"""Programs beside the sorter have their brokers under keys of their own, and name the one that does not answer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from mosquitto import free_port

from edge_sorter.errors import PlcError


def ended_without_broker(root: Path, folder: Path, command: str, example: str, **changed) -> str:
    """Run a program with a shipped file of its own, some keys of it changed; returns what it says at its end."""
    values = yaml.safe_load((root / "configs/demo" / example).read_text()) | changed
    for name in ("scenario", "plan"):
        if name in values:
            values[name] = str(root / "configs/demo" / values[name])
    config = folder / example
    config.write_text(yaml.safe_dump(values))

    program = [sys.executable, "-m", "edge_sorter", *command.split(), "-c", str(config)]
    ended = subprocess.run(program, capture_output=True, text=True, timeout=120, check=False)

    assert ended.returncode == PlcError.exit_code
    return ended.stderr


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
    nobody = {"host": "127.0.0.1", "port": free_port()}
    said = ended_without_broker(root, tmp_path, command, example, mqtt=nobody)
    assert "start the broker there, or correct mqtt.host and mqtt.port" in said


def test_of_two_brokers_the_advice_names_the_one_that_is_missing(root: Path, tmp_path: Path, broker):
    there, nobody = {"host": broker.host, "port": broker.port}, {"host": "127.0.0.1", "port": free_port()}
    said = ended_without_broker(
        root, tmp_path, "gateway sparkplug", "mirror.yaml", mqtt=there, sparkplug={"mqtt": nobody}
    )
    assert f"127.0.0.1:{nobody['port']}" in said
    assert "start the broker there, or correct sparkplug.mqtt.host and sparkplug.mqtt.port" in said
