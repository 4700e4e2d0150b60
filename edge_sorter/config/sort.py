"""Key `sort`: the plan, how sure a decision must be, limits, doubles, and what must fit before the deadline."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from edge_sorter.config.fraction import Fraction
from edge_sorter.yamlfile import Section


class TimingSection(Section):
    """What must fit between the decision line and the diverter, for the deadline."""

    divert_mm: float = Field(2000.0, gt=0, description="from decision line to a lane's point of no return, default")
    travel_s: float | None = Field(None, gt=0, description="the same as a time, where belt speed is unknown")
    actuator_ms: float = Field(150.0, ge=0, description="diverter, from command to being in place")
    plc_scan_ms: float = Field(20.0, ge=0, description="one cycle of the PLC program")
    bridge_ms: float = Field(30.0, ge=0, description="broker and gateway")
    margin_ms: float = Field(100.0, ge=0, description="spare")


class LaneStatesSection(Section):
    """Who says which lanes can take a parcel."""

    source: Literal["assume_open", "plc"] = Field(
        "assume_open", description="plc: a lane that is not reported counts as disabled; assume_open: as open"
    )
    ttl_s: float = Field(60.0, gt=0, description="with plc: a report is believed for so long")


class LimitsSection(Section):
    """What the line can carry and divert; everything else goes to the exception lane."""

    length_mm: float | None = Field(None, gt=0, description="longest along travel; more is OVERSIZE")
    width_mm: float | None = Field(None, gt=0, description="widest across the belt; more is OVERSIZE")
    height_mm: float | None = Field(None, gt=0, description="highest, where a dimensioner tells; more is OVERSIZE")
    weight_g: float | None = Field(None, gt=0, description="heaviest, where a scale tells; more is NON_CONVEYABLE")
    shortest_mm: float | None = Field(
        None, gt=0, description="least longest side a diverter catches; less is NON_CONVEYABLE"
    )


class SortSection(Section):
    """Which plan decides, and how sure it must be."""

    plan: Path = Field(description="sort plan (YAML)")
    min_hits: int = Field(3, ge=1, description="fewer sightings of a parcel make the decision LOW_CONF")
    min_class_confidence: Fraction = Field(0.5, description="a class with a smaller share of evidence is LOW_CONF")
    doubles: Literal["sort", "exception"] = Field(
        "sort", description="parcels that touch, lie side by side or melt into one: one decision, exception lane"
    )
    doubles_gap_mm: float = Field(30.0, ge=0, description="belt between two parcels below which they touch")
    longest_mm: dict[str, float] = Field(
        {}, description="longest side a single parcel of a class may show; a longer one is a double, where these count"
    )
    broadest: float | None = Field(
        None, gt=1, description="where parcels come lengthwise: a box so much wider than long is several, side by side"
    )
    slimmest: dict[str, float] = Field(
        {}, description="longest side over the other that a single parcel of a class may show; a slimmer one is several"
    )
    typical_height_mm: dict[str, float] = Field(
        {},
        description="height by class where no dimensioner tells: places of tall parcels need belt.camera_mm and this",
    )
    found_late: Literal["count", "exception"] = Field(
        "count",
        description="parcel first seen past the line on a belt of known motion: exception lane if there is time",
    )
    min_gap_mm: float = Field(
        0.0, ge=0, description="belt between parcels of different lanes that the diverters need; 0: not checked"
    )
    limits: LimitsSection = LimitsSection()
    lane_states: LaneStatesSection = LaneStatesSection()
    at_start: Literal["auto", "flush", "sort"] = Field(
        "auto", description="parcels in view at start: exception lane, or sorted; auto: flush with a camera"
    )
    on_stop: Literal["flush", "verify"] = Field(
        "flush", description="line STOPPED or ABORTED: all in view to the exception lane, or only after a slip"
    )
    timing: TimingSection = TimingSection()
