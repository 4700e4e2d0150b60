"""The parts a sort plan file is made of: lanes, groups of lanes, rules and their conditions.

Contract: each part is checked by itself here; whether they fit together is `sort.plan_checks`' question.
"""

from __future__ import annotations

from functools import cached_property
from typing import Literal

from pydantic import Field, field_validator, model_validator

from edge_sorter.sort.conditions import (
    AnyCode,
    Band,
    ClassIs,
    CodeLike,
    Condition,
    Facts,
    FlagsAny,
    KeyLike,
    SizeIn,
)
from edge_sorter.sort.plan_codes import CodeCondition
from edge_sorter.sort.plan_words import ClockTime, Name, Starts, Strings, Targets
from edge_sorter.sort.route_keys import KEYS, normal
from edge_sorter.sort.starts import parse_start
from edge_sorter.types import Action, Reason
from edge_sorter.yamlfile import Section

ACTION_OF_KIND = {
    "sort": Action.DIVERT,
    "default": Action.PASS,
    "exception": Action.EXCEPTION,
    "overflow": Action.DIVERT,
    "recirc": Action.RECIRC,
}
SIZES = ("length_mm", "width_mm", "longest_mm", "height_mm", "weight_g")
CALIBRATED_SIZES = ("length_mm", "width_mm", "longest_mm")
"""Measured by the camera; height and weight come from a scanner or scale."""
HAND_REASONS = frozenset({Reason.DG, Reason.DAMAGED, Reason.NON_CONVEYABLE, Reason.OVERSIZE})
"""Parcels that must never end up among the others because their lane is full: a person takes them."""
DAMAGE_FLAGS = frozenset({"DAMAGED", "OPEN", "WET", "NON_CONVEYABLE", "OVERSIZE", "OVER_HEIGHT"})


class Lane(Section):
    """One place a parcel can end up in."""

    id: Name
    plc: int = Field(ge=0, le=65535, description="number of the lane in the PLC program")
    kind: Literal["sort", "default", "exception", "overflow", "recirc"] = "sort"
    action: Literal["DIVERT", "PASS", "RECIRC", "EXCEPTION"] | None = Field(None, description="default: by kind")
    divert_mm: float | None = Field(None, gt=0, description="decision line to this lane's point of no return")
    max_fill_mm_s: float | None = Field(None, gt=0, description="length of parcels a second it can take, over 10 s")
    max_per_minute: int | None = Field(None, ge=1, le=10_000, description="parcels a minute it can take")

    @property
    def asked(self) -> Action:
        """What the PLC is asked to do with a parcel for this lane."""
        return ACTION_OF_KIND[self.kind] if self.action is None else Action(self.action)


class LaneGroup(Section):
    """Lanes that do the same work; a rule may name the group instead of a lane."""

    id: Name
    lanes: Targets
    pick: Literal["in_order", "round_robin", "least_full"] = Field(
        "round_robin", description="in_order fills the first before the second; least_full goes by lane reports"
    )


class When(Section):
    """Conditions of a rule; all that are given must hold, none given means every parcel."""

    flags: Strings | None = Field(None, description="any of these")
    service: Starts | None = Field(None, description="route keys read by `codes`: X, 70*, 70000..72999; any of these")
    carrier: Starts | None = None
    country: Starts | None = None
    depot: Starts | None = None
    postcode: Starts | None = None
    tracking: Starts | None = None
    code: CodeCondition | None = None
    unread: bool | None = Field(None, description="true: no code was accepted; false: at least one was")
    classes: Strings | None = Field(None, alias="class", description="any of these")
    length_mm: Band | None = Field(None, description="extent along travel: minimum <= size < maximum")
    width_mm: Band | None = Field(None, description="extent across the belt")
    longest_mm: Band | None = Field(None, description="the longer of the two, however the parcel lies")
    height_mm: Band | None = Field(None, description="from a dimensioner")
    weight_g: Band | None = Field(None, description="from a scale")

    @field_validator(*SIZES)
    @classmethod
    def _band_is_ordered(cls, band: Band | None) -> Band | None:
        if band is not None:
            low, high = band
            if low is None and high is None:
                raise ValueError("give a minimum, a maximum or both")
            if low is not None and high is not None and low >= high:
                raise ValueError(f"minimum {low:g} must be below maximum {high:g}")
        return band

    @cached_property
    def conditions(self) -> dict[str, Condition]:
        """What is asked, by what it is about; the cheapest and most telling first."""
        asked: list[Condition] = []
        if self.classes is not None:
            asked.append(ClassIs(self.classes))
        if self.flags is not None:
            asked.append(FlagsAny(self.flags))
        for key in KEYS:
            patterns = getattr(self, key)
            if patterns is not None:
                asked.append(KeyLike(key, tuple(parse_start(normal(pattern)) for pattern in patterns)))
        for name in SIZES:
            band = getattr(self, name)
            if band is not None:
                asked.append(SizeIn(name, *band))
        if self.unread is not None:
            asked.append(AnyCode(not self.unread))
        if self.code is not None:
            asked.append(CodeLike(self.code))
        return {condition.about: condition for condition in asked}

    def words(self) -> str:
        """Say what is asked."""
        return ", ".join(condition.words() for condition in self.conditions.values()) or "everything"

    def unmet(self, facts: Facts) -> str | None:
        """Return the first condition the parcel does not meet, in words, or None when it meets all."""
        return next((c.why_not(facts) for c in self.conditions.values() if not c.met(facts)), None)


class Rule(Section):
    """One line of the plan: parcels like this go there."""

    id: Name
    priority: int | None = Field(
        None, ge=0, le=1_000_000, description="lower is asked first; default: by what is asked (see `rank`)"
    )
    when: When = When()
    to: Targets = Field(description="lane or group, then alternates in order")
    overflow: str | None = Field(None, description="when none of `to` can take it; default: the plan's")
    reason: Literal["PLAN_MATCH", "NO_READ", "DG", "DAMAGED", "NON_CONVEYABLE", "OVERSIZE", "MANUAL"] = "PLAN_MATCH"
    cutoff: ClockTime | None = Field(None, description='"18:30": from then on parcels go to `late_to`')
    late_to: Targets | None = Field(None, description="after the cut-off; default: the plan's default lane")

    @model_validator(mode="after")
    def _late_needs_a_time(self) -> Rule:
        if self.late_to is not None and self.cutoff is None:
            raise ValueError("late_to needs cutoff")
        return self

    @property
    def hazard(self) -> bool:
        """Whether it is about dangerous goods: asked even of parcels that are in doubt: missing one is worse."""
        return self.reason == "DG"

    @cached_property
    def rank(self) -> int:
        """The priority: as given, or by the gravest thing the rule asks about.

        100 dangerous goods, 200 damaged or not conveyable, 300 service, 400 carrier, 500 any other route key or code,
        600 class, 700 size and weight, 800 unread, 900 everything.
        """
        if self.priority is not None:
            return self.priority
        asked, flags = set(self.when.conditions), set(self.when.flags or ())
        ranks = (
            (100, self.hazard or "DG" in flags),
            (200, Reason(self.reason) in HAND_REASONS or bool(flags & DAMAGE_FLAGS)),
            (300, "service" in asked),
            (400, "carrier" in asked),
            (500, bool(asked & {"code", "country", "depot", "postcode", "tracking"})),
            (600, bool(asked & {"class", "flags"})),
            (700, bool(asked & set(SIZES))),
            (800, "unread" in asked),
        )
        return next((rank for rank, given in ranks if given), 900)


class HostSection(Section):
    """A host that is asked about every parcel by its code."""

    gives: Strings = Field(description="route keys it may tell")
    without: Literal["default", "rules"] = Field(
        "default",
        description="parcel of which it told nothing in time: default lane, or by the rules and the label alone",
    )

    @field_validator("gives")
    @classmethod
    def _gives_known_keys(cls, gives: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [key for key in gives if key not in KEYS]
        if unknown:
            raise ValueError(f"{', '.join(map(repr, unknown))}: route keys are {', '.join(KEYS)}")
        return gives


class Recirculation(Section):
    """How often a parcel may come round again before a person looks at it."""

    limit: int = Field(3, ge=0, le=100, description="seen again more often than this: exception lane")
    loop_s: float = Field(gt=0, le=86_400, description="longest time until a parcel on the loop is seen again")
