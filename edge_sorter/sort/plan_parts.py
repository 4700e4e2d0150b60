"""The parts a sort plan file is made of: lanes, groups of lanes, readings of codes, rules and their conditions.

Contract: each part is checked by itself here; whether they fit together is `sort.plan_checks`' question.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

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
from edge_sorter.sort.pattern_cost import too_costly
from edge_sorter.sort.route_keys import KEYS, gs1_elements, normal
from edge_sorter.sort.starts import Start, parse_start
from edge_sorter.types import Action, Code, Reason
from edge_sorter.yamlfile import Section


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _readable_starts(patterns: tuple[str, ...]) -> tuple[str, ...]:
    for pattern in patterns:
        parse_start(normal(pattern))
    return patterns


def _clock_time(value: str) -> str:
    if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", value):
        raise ValueError('write it as "18:30", with quotes')
    return value


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,31}$")]
Text = Annotated[str, Field(min_length=1, max_length=128)]
Strings = Annotated[tuple[Text, ...], BeforeValidator(_listed), Field(min_length=1)]
Targets = Annotated[tuple[Text, ...], BeforeValidator(_listed), Field(min_length=1, max_length=32)]
Starts = Annotated[
    tuple[Text, ...], BeforeValidator(_listed), AfterValidator(_readable_starts), Field(min_length=1, max_length=1000)
]
ClockTime = Annotated[str, AfterValidator(_clock_time)]

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


class CodeCondition(Section):
    """What one accepted code of the parcel must look like; everything given must hold for the same code."""

    symbology: Strings | None = None
    ai: str | None = Field(
        None, pattern=r"^[0-9]{2,4}$", description="GS1 application identifier; the rest is about its value"
    )
    prefix: Strings | None = None
    range: tuple[str, str] | None = Field(None, description="first and last allowed start of the code, equally long")
    regex: str | None = Field(None, min_length=1, max_length=256, description="matches the whole code")

    @field_validator("regex")
    @classmethod
    def _compiles(cls, regex: str | None) -> str | None:
        if regex is not None:
            try:
                re.compile(regex)
            except (re.error, OverflowError, RecursionError) as error:
                raise ValueError(f"not a regular expression: {error}") from None
            why = too_costly(regex)
            if why is not None:
                raise ValueError(why)
        return regex

    @field_validator("range")
    @classmethod
    def _range_is_ordered(cls, limits: tuple[str, str] | None) -> tuple[str, str] | None:
        if limits is not None and (len(limits[0]) != len(limits[1]) or not limits[0] or limits[0] > limits[1]):
            raise ValueError("give two equally long, non-empty starts of a code, the smaller one first")
        return limits

    @model_validator(mode="after")
    def _asks_something(self) -> CodeCondition:
        if (self.regex, self.prefix, self.range, self.symbology, self.ai) == (None,) * 5:
            raise ValueError("give at least one of regex, prefix, range, symbology, ai")
        return self

    @cached_property
    def _pattern(self) -> re.Pattern[str] | None:
        return None if self.regex is None else re.compile(self.regex)

    @property
    def looks_at_text(self) -> bool:
        """Whether it asks for more than the symbology or the presence of an identifier."""
        return self.regex is not None or self.prefix is not None or self.range is not None

    @cached_property
    def range_starts(self) -> tuple[Start, ...] | None:
        """The range as starts."""
        return None if self.range is None else (Start(*self.range),)

    @cached_property
    def prefix_starts(self) -> tuple[Start, ...] | None:
        """The prefixes as starts."""
        return None if self.prefix is None else tuple(Start(prefix, prefix) for prefix in self.prefix)

    @property
    def starts(self) -> tuple[Start, ...] | None:
        """How a text that meets this must begin; None when anything may come first."""
        return self.range_starts or self.prefix_starts

    def match(self, code: Code) -> tuple[str, dict[str, str]] | None:
        """Return the text looked at and what the named groups of `regex` found in it, or None where it is not met."""
        if self.symbology is not None and code.symbology not in self.symbology:
            return None
        text: str | None = code.text if self.ai is None else gs1_elements(code.text).get(self.ai)
        if text is None or (self.prefix is not None and not text.startswith(self.prefix)):
            return None
        if self.range_starts is not None and not self.range_starts[0].holds(text):
            return None
        if self._pattern is None:
            return text, {}
        found = self._pattern.fullmatch(text)
        return None if found is None else (text, {k: v for k, v in found.groupdict().items() if v is not None})


class CodeEntry(CodeCondition):
    """How to read a code: where it fits, its named groups, `key` and `set` become route keys of the parcel."""

    id: Name
    key: str | None = Field(None, description="the whole text, or the value of `ai`, is this key")
    fixed: dict[str, Text] = Field(default_factory=dict, alias="set", description="keys that such a code stands for")

    @cached_property
    def gives(self) -> frozenset[str]:
        """The route keys it may give."""
        groups = self._pattern.groupindex if self._pattern is not None else {}
        return frozenset({*groups, *self.fixed, *([self.key] if self.key else [])})

    @model_validator(mode="after")
    def _yields_known_keys(self) -> CodeEntry:
        unknown = sorted(self.gives - set(KEYS))
        if unknown:
            raise ValueError(f"{', '.join(map(repr, unknown))}: route keys are {', '.join(KEYS)}")
        if not self.gives:
            raise ValueError("gives no route key: name a group of `regex` after one, or give `key` or `set`")
        return self

    def keys_of(self, code: Code) -> dict[str, str]:
        """Return the route keys one code gives; none where it does not fit."""
        found = self.match(code)
        if found is None:
            return {}
        text, groups = found
        own = {**self.fixed, **({self.key: text} if self.key else {}), **groups}
        return {key: normal(value) for key, value in own.items() if normal(value)}


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

    def met(self, facts: Facts) -> bool:
        """Tell whether a parcel meets all conditions."""
        return all(condition.met(facts) for condition in self.conditions.values())

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


class Recirculation(Section):
    """How often a parcel may come round again before a person looks at it."""

    limit: int = Field(3, ge=0, le=100, description="seen again more often than this: exception lane")
    loop_s: float = Field(gt=0, le=86_400, description="longest time until a parcel on the loop is seen again")
