"""Key `plc`: the broker, what the PLC's side is expected to say, and where records wait for it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from edge_sorter.yamlfile import Section


class TlsSection(Section):
    """Transport security towards the broker."""

    ca_file: Path | None = Field(None, description="certificate authority of the broker; default: the system's")
    cert_file: Path | None = Field(None, description="our own certificate, for mutual TLS")
    key_file: Path | None = Field(None, description="its private key")


class OutboxSection(Section):
    """Where parcel records wait for the broker and stay as the audit trail."""

    path: Path | None = Field(
        None, description="SQLite file; default: outbox.sqlite in $STATE_DIRECTORY of the service, else memory only"
    )
    max_mb: float = Field(256.0, ge=1, description="a larger file loses its oldest records, forwarded ones first")


class PlcSection(Section):
    """The broker that carries decisions to the PLC gateway."""

    host: str = Field("127.0.0.1", description="MQTT broker")
    port: int = Field(1883, ge=1, le=65535, description="1883, or 8883 with TLS as a rule")
    protocol: Literal["auto", "5", "3.1.1"] = Field("auto", description="auto: MQTT 5, or 3.1.1 where 5 is refused")
    client_id: str | None = Field(None, max_length=64, description="default: edge-sorter-<line>-<cell>")
    username: str | None = Field(None, description="where the broker asks for one")
    password_file: Path | None = Field(None, description="file holding the password; never the password itself")
    tls: TlsSection | None = None
    keepalive_s: int = Field(5, ge=1, le=600, description="MQTT keepalive; the heartbeat is what the PLC watches")
    connect_timeout_s: float = Field(5.0, gt=0, description="a broker that is silent for longer fails the start")
    heartbeat_hz: float = Field(10.0, gt=0, le=50, description="heartbeats a second")
    gateway: Literal["none", "required"] = Field(
        "none", description="required: a gateway beats and acknowledges; without it for 1 s nothing is sent (HOLD)"
    )
    confirms: Literal["none", "required"] = Field(
        "none", description="required: lanes confirm what arrives; a parcel without is UNVERIFIED"
    )
    confirm_after_s: dict[str, float] = Field(
        {}, description="lane to longest time from decision line to its eye; default: worked out from the deadline"
    )
    kpi_s: float = Field(10.0, gt=0, description="seconds between two kpi messages")
    outbox: OutboxSection = OutboxSection()
