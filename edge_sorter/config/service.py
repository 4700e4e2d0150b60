"""Key `service`: who may look at the running line, and how."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from edge_sorter.yamlfile import Section


class ServiceTlsSection(Section):
    """Transport security of our own HTTP server."""

    cert_file: Path = Field(description="certificate to show to browsers")
    key_file: Path = Field(description="its private key")
    client_ca_file: Path | None = Field(
        None, description="only clients with a certificate of this authority are let in; they may also change things"
    )


class ServiceSection(Section):
    """How the line can be looked at from outside while it runs; nothing here changes a decision."""

    http: Annotated[str, Field(pattern=r"^(\[[0-9a-fA-F:]+\]|[^:\s\[\]]+):\d{1,5}$")] | None = Field(
        None, description="address and port of metrics, health and page, such as 127.0.0.1:9464; none: no server"
    )
    token_file: Path | None = Field(
        None, description="file holding the word that opens the page; on this machine only changes need it"
    )
    tls: ServiceTlsSection | None = None

    @property
    def host(self) -> str:
        """Address to listen on, without brackets."""
        return (self.http or "").rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """Port to listen on; 0 takes any free one."""
        return int((self.http or "0").rpartition(":")[2])

    @property
    def local(self) -> bool:
        """Whether only programs on this machine can reach the server."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @model_validator(mode="after")
    def _strangers_stay_out(self) -> ServiceSection:
        if self.port > 65535:
            raise ValueError(f"http: port {self.port} is above 65535")
        guarded = self.token_file is not None or (self.tls is not None and self.tls.client_ca_file is not None)
        if self.http is not None and not self.local and not guarded:
            raise ValueError(
                f"http: {self.http} can be reached from other machines: give token_file or tls.client_ca_file, "
                "or listen on 127.0.0.1"
            )
        return self
