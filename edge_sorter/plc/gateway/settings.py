"""Configuration files of gateways: which sorter they listen to, and what they write to, a PLC or a mirror."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from edge_sorter.config import LineSection, PlcSection
from edge_sorter.yamlfile import Section, beside, read_yaml

LaneNumber = Annotated[int, Field(ge=1, le=65535)]
SparkplugId = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^/+#\s]+$")]


class ModbusSection(Section):
    """The PLC as a Modbus TCP server."""

    host: str = Field("127.0.0.1", description="PLC")
    port: int = Field(502, ge=1, le=65535, description="Modbus TCP port")
    unit: int = Field(1, ge=0, le=255, description="unit (device) id")
    cycle_ms: float = Field(10.0, gt=0, le=1000, description="one read of the PLC's block every so often")
    timeout_ms: float = Field(200.0, gt=0, description="a PLC that answers later counts as lost")
    base: int = Field(0, ge=0, le=60000, description="added to every register address, where 40101 is taken")


class GatewayConfig(Section):
    """A gateway between one sorter and one PLC."""

    line: LineSection = LineSection()
    mqtt: PlcSection = PlcSection()
    modbus: ModbusSection = ModbusSection()
    lanes: dict[str, LaneNumber] = Field(description="lane id of the sort plan to lane number in the PLC")
    mm_per_count: float = Field(1.0, gt=0, le=100, description="belt travel of one encoder count")
    encoder_hz: float = Field(50.0, gt=0, le=200, description="encoder messages a second")
    degraded_after_ms: float = Field(500.0, gt=0, description="sorter's heartbeat silent: told, still used")
    hold_after_ms: float = Field(1000.0, gt=0, description="sorter's heartbeat silent: default lane for everything")
    echo_ms: float = Field(100.0, gt=0, description="PLC answers a slot within this, else nobody acknowledges it")

    @model_validator(mode="after")
    def _lanes_are_distinct(self) -> GatewayConfig:
        if not self.lanes:
            raise ValueError("lanes must name at least one lane of the sort plan")
        taken: dict[int, str] = {}
        for lane, number in self.lanes.items():
            if number in taken:
                raise ValueError(f"lanes {taken[number]} and {lane} have the same number {number}")
            taken[number] = lane
        if self.hold_after_ms < self.degraded_after_ms:
            raise ValueError("hold_after_ms must not be smaller than degraded_after_ms")
        return self


class SparkplugSection(Section):
    """Where the line appears in the Sparkplug B namespace."""

    group: SparkplugId | None = Field(None, description="group id; default: line.site")
    node: SparkplugId | None = Field(None, description="edge node id; default: <line>-<cell>")
    device: SparkplugId = Field("edge_sorter", description="device id of the sorter below the edge node")
    mqtt: PlcSection | None = Field(None, description="broker of the Sparkplug host; default: the sorter's")
    report_ms: float = Field(500.0, gt=0, description="changes are gathered for so long and sent in one message")


class MirrorConfig(Section):
    """A mirror of one line for people and their screens; it can change nothing."""

    line: LineSection = LineSection()
    mqtt: PlcSection = PlcSection()
    sparkplug: SparkplugSection = SparkplugSection()
    silent_after_ms: float = Field(3000.0, gt=0, description="sorter's heartbeat silent: shown as gone")


def load_gateway_config(path: Path) -> GatewayConfig:
    """Read a gateway's configuration; certificate paths are relative to the file.

    Raises:
        ConfigError: Lists every mistake with its line.
    """
    return beside(read_yaml(path, GatewayConfig, what="gateway configuration"), path.resolve().parent)


def load_mirror_config(path: Path) -> MirrorConfig:
    """Read a mirror's configuration; certificate paths are relative to the file.

    Raises:
        ConfigError: Lists every mistake with its line.
    """
    return beside(read_yaml(path, MirrorConfig, what="mirror configuration"), path.resolve().parent)
