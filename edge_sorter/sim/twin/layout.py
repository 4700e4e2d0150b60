"""The file of a simulated line: what lies on the belt, where eyes and diverters stand, what the lanes can take.

Contract: `load_layout` reads and checks everything it names (scenario, sort plan) and lists all mistakes at once.
Positions are belt coordinates as in the scenario: millimetres along travel.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from edge_sorter.config import LineSection, PlcSection
from edge_sorter.errors import ConfigError
from edge_sorter.sim.scenario import CLASSES
from edge_sorter.sim.twin.faults import FaultSection, fault_problems
from edge_sorter.sort import SortPlan, load_plan
from edge_sorter.yamlfile import Section, beside, read_yaml

PositiveMm = Annotated[float, Field(gt=0, le=20_000)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")]


class TrafficSection(Section):
    """Parcels drawn by a seeded generator, for a line without video."""

    parcels: int = Field(500, ge=1, le=100_000, description="how many")
    per_hour: float = Field(6000.0, gt=0, le=15_000, description="parcels an hour while the belt runs")
    speed_mm_s: float = Field(1500.0, ge=300, le=3000, description="full speed of the belt")
    profile: Literal["constant", "ramp", "stop-and-go"] = Field("constant", description="how the belt moves")
    run_mm: tuple[float, float] = Field((20_000.0, 60_000.0), description="belt between two changes of speed or stops")
    stand_s: tuple[float, float] = Field((0.5, 4.0), description="how long a stop takes")
    skew_deg: float = Field(15.0, ge=0, le=45, description="parcels lie askew by up to so much")
    doubles: float = Field(0.0, ge=0, le=0.2, description="share of parcels that touch the one before")
    side_by_side: float = Field(0.0, ge=0, le=0.2, description="share of parcels beside the one before")
    stacked: float = Field(0.0, ge=0, le=0.5, description="share of parcels on top of the one before, where they fit")
    totes: float = Field(0.0, ge=0, le=0.5, description="share of open plastic totes, which the model has no class for")
    irregular: float = Field(0.0, ge=0, le=0.5, description="share of tyres, buckets and wrapped bundles")
    slides: float = Field(0.0, ge=0, le=0.5, description="share of parcels that slide back on the belt once")
    slide_mm: tuple[PositiveMm, PositiveMm] = Field((20.0, 150.0), description="how far")
    jams: float = Field(0.0, ge=0, le=0.1, description="share of parcels that get stuck while the belt runs on")
    jam_mm: tuple[PositiveMm, PositiveMm] = Field((300.0, 1500.0), description="belt until a stuck parcel comes free")
    foreign: float = Field(0.0, ge=0, le=0.5, description="share of gaps with something that is no parcel, if it fits")
    hands_per_h: float = Field(0.0, ge=0, le=3600, description="hands in the photo-eye's beam, an hour")

    @model_validator(mode="after")
    def _least_comes_first(self) -> TrafficSection:
        for name in ("slide_mm", "jam_mm"):
            least, most = getattr(self, name)
            if least > most:
                raise ValueError(f"{name}: least {least:g} is more than most {most:g}")
        return self


class CounterSection(Section):
    """The encoder as the PLC counts it: 32 bits, wrapping."""

    mm_per_count: float = Field(0.5, gt=0, le=100, description="belt travel of one count")
    first_count: int = Field(0, ge=0, lt=1 << 32, description="count before the belt moves; near 2**32 it soon wraps")
    hz: float = Field(50.0, ge=1, le=200, description="encoder messages a second")


class EyeSection(Section):
    """The photo-eye that gives every parcel its index."""

    name: Name = "PE1"
    at_mm: float = Field(description="belt coordinate along travel")


class ScaleSection(Section):
    """A scale in the belt, which tells what lies on it once it is past: `scan/read` with the PLC's index."""

    name: Name = Field("SC1", description="scanner, as identify.scanners of the sorter names it")
    at_mm: float = Field(description="where the rear of an item is when it has been weighed")
    step_g: float = Field(10.0, gt=0, le=1000, description="its division")


class DiverterSection(Section):
    """A lane and the diverter that serves it."""

    id: Name = Field(description="lane, as the sort plan names it")
    mouth_mm: float = Field(description="where parcels leave the belt")
    no_return_mm: float = Field(description="when a parcel's front is here, the diverter goes or it does not")
    travel_ms: float = Field(120.0, gt=0, le=5000, description="out or home; in between nothing can be parted")
    chute_ms: float = Field(600.0, ge=0, description="from the mouth to the lane's photo-eye")
    capacity: int = Field(50, ge=1, description="parcels the lane holds; then it is FULL")
    drain_per_h: float = Field(3600.0, ge=0, description="parcels an hour taken away at its end")


class StraightSection(Section):
    """Where everything goes that no diverter takes."""

    id: Name = Field(description="the sort plan's default lane")
    at_mm: float = Field(description="its photo-eye, at the end of the belt")
    recirculates: bool = Field(False, description="parcels come round again: confirmed as RECIRC")


class ProgramSection(Section):
    """The PLC's program."""

    scan_ms: float = Field(10.0, ge=1, le=100, description="one cycle")
    hold_after_ms: float = Field(1000.0, gt=0, description="sorter silent for so long: default lane for everything")
    keeps_accepted: bool = Field(
        False, description="what was accepted before the sorter fell silent still counts; else default lane at once"
    )
    match_mm: float = Field(50.0, gt=0, description="how far a decision's place and the eye's may differ")
    longest_mm: float = Field(2000.0, gt=0, description="photo-eye dark for more belt than that: JAM")
    overdue_mm: float = Field(500.0, gt=0, description="so much belt after the last lane's eye must have seen it: JAM")


class SimPlcConfig(Section):
    """A simulated line: one file, everything the PLC side of a line has."""

    schema_name: Literal["edge_sorter.sim_plc/1"] = Field(alias="schema")
    line: LineSection = LineSection()
    mqtt: PlcSection = PlcSection()
    replays: bool = Field(False, description="serve a sorter that plays a clip; live decisions are refused then")
    starts: Literal["at_once", "with_sorter"] = Field("with_sorter", description="when the belt starts")
    seed: int = Field(0, ge=0, description="the same seed is the same line on any machine")
    scenario: Path | None = Field(None, description="parcels and belt of a rendered clip")
    traffic: TrafficSection | None = Field(None, description="or parcels from a generator")
    plan: Path = Field(description="sort plan: the lane each parcel should get")
    doubles: Literal["sort", "exception"] = Field("sort", description="as the sorter's sort.doubles")
    decision_line_mm: float = Field(description="as the sorter's belt.decision_line")
    encoder: CounterSection = CounterSection()
    photo_eye: EyeSection
    scale: ScaleSection | None = None
    diverters: tuple[DiverterSection, ...] = Field(min_length=1)
    straight_on: StraightSection
    program: ProgramSection = ProgramSection()
    faults: tuple[FaultSection, ...] = ()

    @model_validator(mode="after")
    def _makes_sense(self) -> SimPlcConfig:
        problems = [*self._parcel_problems(), *self._place_problems(), *fault_problems(self.faults, self._lanes)]
        for kind in ("e_stop", "jam"):
            if self.replays and any(fault.kind == kind for fault in self.faults):
                problems.append(f"faults: {kind} cannot be had with replays, nothing in a clip stops for it")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def _lanes(self) -> tuple[str, ...]:
        return (*(diverter.id for diverter in self.diverters), self.straight_on.id)

    def _parcel_problems(self) -> list[str]:
        problems = []
        if (self.scenario is None) == (self.traffic is None):
            problems.append("give exactly one of scenario and traffic")
        if self.replays and self.scenario is None:
            problems.append("replays needs the scenario of the clip")
        return problems

    def _place_problems(self) -> list[str]:
        problems = [
            f"lane {name} is given twice" for name in sorted({n for n in self._lanes if self._lanes.count(n) > 1})
        ]
        problems += [
            f"diverter {d.id}: no_return_mm {d.no_return_mm:g} must be before mouth_mm {d.mouth_mm:g} and behind the "
            f"photo-eye at {self.photo_eye.at_mm:g}"
            for d in self.diverters
            if not self.photo_eye.at_mm < d.no_return_mm < d.mouth_mm
        ]
        problems += [
            f"diverter {b.id} at {b.mouth_mm:g} must come after {a.id} at {a.mouth_mm:g}"
            for a, b in pairwise(self.diverters)
            if b.mouth_mm <= a.mouth_mm
        ]
        seen_mm = max(self.photo_eye.at_mm, self.decision_line_mm)
        problems += [
            f"faults: a fall must be behind photo-eye and decision line, at more than {seen_mm:g} mm"
            for fault in self.faults
            if fault.kind == "fall" and fault.at_mm is not None and fault.at_mm <= seen_mm
        ]
        if self.scale is not None and self.scale.at_mm <= self.photo_eye.at_mm:
            problems.append(f"scale.at_mm must be behind the photo-eye at {self.photo_eye.at_mm:g}")
        if self.straight_on.at_mm <= self.diverters[-1].mouth_mm:
            problems.append("straight_on.at_mm must be behind the last diverter's mouth")
        return problems


def load_layout(path: Path) -> tuple[SimPlcConfig, SortPlan]:
    """Read a simulated line and its sort plan; paths in it are relative to the file.

    Raises:
        ConfigError: Lists every mistake with its line.
    """
    config = beside(read_yaml(path, SimPlcConfig, what="simulated line"), path.resolve().parent)
    plan = load_plan(config.plan, classes=CLASSES)
    problems = _plan_problems(config, plan)
    if problems:
        raise ConfigError(f"simulated line {path} does not fit the sort plan {config.plan.name}:", problems=problems)
    return config, plan


def _plan_problems(config: SimPlcConfig, plan: SortPlan) -> tuple[str, ...]:
    ours, theirs = {*(diverter.id for diverter in config.diverters), config.straight_on.id}, set(plan.lane_by_id)
    problems = [f"lane {name} of the plan has no diverter" for name in sorted(theirs - ours)]
    problems += [f"lane {name} is not in the plan" for name in sorted(ours - theirs)]
    if config.straight_on.id != plan.default:
        problems.append(f"straight_on is {config.straight_on.id}, but what nobody takes belongs to {plan.default}")
    return tuple(problems)
