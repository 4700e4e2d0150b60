"""Key `evidence`: what is kept of exceptions, and for how long."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from edge_sorter.yamlfile import Section


class EvidenceSection(Section):
    """What is kept of exceptions: a short blurred clip and a record, for some days; costs no decision any time."""

    path: Path | None = Field(
        None, description="folder; default: `evidence` in $STATE_DIRECTORY of the service, else nothing is kept"
    )
    on: tuple[Literal["no_read", "low_conf", "late", "missort", "mark"], ...] = Field(
        ("no_read", "low_conf", "late", "missort", "mark"), description="what is worth keeping; mark: a person says so"
    )
    before_s: float = Field(2.0, ge=0, le=30, description="the clip begins so long before the decision")
    after_s: float = Field(1.0, ge=0, le=30, description="and ends so long after it")
    fps: float = Field(10.0, gt=0, le=60, description="pictures a second in the clip")
    width_px: int = Field(640, ge=64, le=4096, description="width of the clip; less is also harder to read")
    buffer_s: float = Field(30.0, gt=0, le=600, description="kept in memory (at most 48 MB), for what is told later")
    blur: Literal["parcels", "off"] = Field(
        "parcels", description="parcels: what lies inside a parcel's box is a coarse mosaic, whatever is printed there"
    )
    retention_h: float = Field(72.0, gt=0, description="older evidence is removed")
    max_mb: float = Field(2000.0, gt=0, description="more than this, and the oldest is removed")
    per_hour: int = Field(60, ge=1, description="most pieces an hour, marks not counted; the rest is only counted")
