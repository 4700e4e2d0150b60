"""Key `line`: where this camera stands in the plant."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from edge_sorter.yamlfile import Section

TopicLevel = Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,32}$")]


class LineSection(Section):
    """Where this camera stands in the plant; the five levels open every MQTT topic (ISA-95)."""

    enterprise: TopicLevel = Field("site", description="company, as the plant's topic tree names it")
    site: TopicLevel = Field("hub", description="building")
    area: TopicLevel = Field("sort", description="part of the building")
    line: TopicLevel = Field("line01", description="conveyor line")
    cell: TopicLevel = Field("vis01", description="this camera on the line")
