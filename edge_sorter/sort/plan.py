"""The sort plan: which parcel goes to which lane, as data that a shift leader can read.

Contract: `load_plan` returns a frozen `SortPlan` that is known to be complete and free of contradictions, or one
`ConfigError` that lists every mistake with its line. `SortPlan.rule_for` depends on the parcel alone.

Size bands are half open: `[300, 420]` means 300 <= size < 420, so that two bands can meet without overlapping.
"""

from __future__ import annotations

import hashlib
import json
import re
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator, Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from edge_sorter.sort.plan_checks import contradictions
from edge_sorter.types import Action, Code, Parcel, Reason
from edge_sorter.yamlfile import Section, read_yaml

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,31}$")]
Strings = Annotated[
    tuple[Annotated[str, Field(min_length=1, max_length=128)], ...],
    BeforeValidator(lambda value: [value] if isinstance(value, str) else value),
    Field(min_length=1),
]
Band = tuple[float | None, float | None]

ACTION_OF_KIND = {
    "sort": Action.DIVERT,
    "default": Action.PASS,
    "exception": Action.EXCEPTION,
    "overflow": Action.DIVERT,
    "recirc": Action.RECIRC,
}
SIZES = ("length_mm", "width_mm", "longest_mm")


class Lane(Section):
    """One place a parcel can end up in."""

    id: Name
    plc: int = Field(ge=0, le=65535, description="number of the lane in the PLC program")
    kind: Literal["sort", "default", "exception", "overflow", "recirc"] = "sort"
    action: Literal["DIVERT", "PASS", "RECIRC", "EXCEPTION"] | None = Field(None, description="default: by kind")
    divert_mm: float | None = Field(None, gt=0, description="decision line to this lane's point of no return")

    @property
    def asked(self) -> Action:
        """What the PLC is asked to do with a parcel for this lane."""
        return ACTION_OF_KIND[self.kind] if self.action is None else Action(self.action)


class CodeCondition(Section):
    """What one accepted code of the parcel must look like; everything given must hold for the same code."""

    regex: str | None = Field(None, min_length=1, max_length=256, description="matches the whole code")
    prefix: Strings | None = None
    range: tuple[str, str] | None = Field(None, description="first and last allowed start of the code, equally long")
    symbology: Strings | None = None

    @field_validator("regex")
    @classmethod
    def _compiles(cls, regex: str | None) -> str | None:
        if regex is not None:
            try:
                re.compile(regex)
            except re.error as error:
                raise ValueError(f"not a regular expression: {error}") from None
        return regex

    @field_validator("range")
    @classmethod
    def _range_is_ordered(cls, limits: tuple[str, str] | None) -> tuple[str, str] | None:
        if limits is not None and (len(limits[0]) != len(limits[1]) or not limits[0] or limits[0] > limits[1]):
            raise ValueError("give two equally long, non-empty starts of a code, the smaller one first")
        return limits

    @model_validator(mode="after")
    def _asks_something(self) -> CodeCondition:
        if (self.regex, self.prefix, self.range, self.symbology) == (None,) * 4:
            raise ValueError("give at least one of regex, prefix, range, symbology")
        return self

    def holds(self, code: Code) -> bool:
        """Tell whether one code meets everything that is asked."""
        return (
            (self.symbology is None or code.symbology in self.symbology)
            and (self.prefix is None or code.text.startswith(self.prefix))
            and (self.range is None or _in_range(code.text, *self.range))
            and (self.regex is None or re.fullmatch(self.regex, code.text) is not None)
        )


class When(Section):
    """Conditions of a rule; all that are given must hold, none given means every parcel."""

    classes: Strings | None = Field(None, alias="class", description="any of these")
    length_mm: Band | None = Field(None, description="extent along travel: minimum <= size < maximum")
    width_mm: Band | None = Field(None, description="extent across the belt")
    longest_mm: Band | None = Field(None, description="the longer of the two, however the parcel lies")
    code: CodeCondition | None = None
    unread: bool | None = Field(None, description="true: no code was accepted; false: at least one was")
    flags: Strings | None = Field(None, description="any of these")

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

    def unmet(self, parcel: Parcel) -> str | None:
        """Return the first condition the parcel does not meet, in words, or None when it meets all."""
        if self.classes is not None and parcel.class_name not in self.classes:
            return f"class is {parcel.class_name}, not {' or '.join(self.classes)}"
        for name in SIZES:
            why = _outside(name, getattr(self, name), parcel.size_mm)
            if why:
                return why
        if self.unread is not None and self.unread == bool(parcel.codes):
            return "a code was read" if self.unread else "no code was read"
        if self.code is not None and not any(self.code.holds(code) for code in parcel.codes):
            return "no code matches" if parcel.codes else "no code was read"
        if self.flags is not None and not set(self.flags) & set(parcel.flags):
            return f"none of the flags {', '.join(self.flags)}"
        return None


class Rule(Section):
    """One line of the plan: parcels like this go there."""

    id: Name
    priority: int = Field(ge=0, le=1_000_000, description="lower is asked first")
    when: When = When()
    to: Strings = Field(description="lane, then alternates in order")
    reason: Literal["PLAN_MATCH", "NO_READ", "DAMAGED", "NON_CONVEYABLE", "OVERSIZE"] = "PLAN_MATCH"


class Explained(NamedTuple):
    """What one rule says about one parcel."""

    rule: str
    matched: bool
    why: str


class SortPlan(Section):
    """A complete plan. Every parcel ends in a lane: by a rule, in `default`, or in `exception`."""

    id: Name
    lanes: tuple[Lane, ...] = Field(min_length=1, max_length=1000)
    rules: tuple[Rule, ...] = Field((), max_length=1000)
    default: str = Field(description="lane of parcels that no rule takes")
    exception: str = Field(description="lane of parcels that cannot be decided: low confidence, lost, conflict")

    @model_validator(mode="wrap")
    @classmethod
    def _is_whole(cls, data: Any, handler: Any, info: ValidationInfo) -> SortPlan:
        """Report what contradicts itself together with what is malformed, so that one run shows every mistake."""
        errors: list[InitErrorDetails] = []
        plan: SortPlan | None = None
        try:
            plan = handler(data)
        except ValidationError as error:
            errors = [_detail(item) for item in error.errors(include_url=False)]
        context = info.context or {}
        for loc, message in contradictions(
            lanes=_readable(data, "lanes", Lane),
            lane_names=[str(_get(lane, "id")) for lane in _list(data, "lanes")],
            rules=_readable(data, "rules", Rule),
            ends={key: data[key] for key in ("default", "exception") if isinstance(_get(data, key), str)},
            classes=context.get("classes"),
            calibrated=context.get("calibrated", True),
        ):
            errors.append(InitErrorDetails(type=PydanticCustomError("plan", message), loc=loc, input={}))
        if errors:
            raise ValidationError.from_exception_data("SortPlan", errors)
        assert plan is not None
        return plan

    @cached_property
    def ordered(self) -> tuple[Rule, ...]:
        """Rules in the order they are asked."""
        return tuple(sorted(self.rules, key=lambda rule: rule.priority))

    @cached_property
    def lane_by_id(self) -> dict[str, Lane]:
        """Lanes by their id."""
        return {lane.id: lane for lane in self.lanes}

    @cached_property
    def sha256(self) -> str:
        """Digest of what the plan says; layout and comments of the file do not change it."""
        content = json.dumps(self.model_dump(mode="json", by_alias=True), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(content.encode()).hexdigest()

    @cached_property
    def name(self) -> str:
        """Short name that changes with the content, such as "night#1f3a09c2"."""
        return f"{self.id}#{self.sha256[:8]}"

    @cached_property
    def uses_classes(self) -> bool:
        """Whether any rule asks for the class; if not, a doubtful class is no reason for the exception lane."""
        return any(rule.when.classes is not None for rule in self.rules)

    @cached_property
    def uses_codes(self) -> bool:
        """Whether any rule asks for a code; if so, contradicting codes send a parcel to the exception lane."""
        return any(rule.when.code is not None for rule in self.rules)

    def rule_for(self, parcel: Parcel) -> Rule | None:
        """Return the first rule that takes the parcel, or None for the default lane."""
        return next((rule for rule in self.ordered if rule.when.unmet(parcel) is None), None)

    def explain(self, parcel: Parcel) -> tuple[Explained, ...]:
        """Tell of every rule, in the order they are asked, whether it takes the parcel and why not."""
        rows: list[Explained] = []
        taken = False
        for rule in self.ordered:
            why = rule.when.unmet(parcel)
            if why is None:
                why = "an earlier rule took it" if taken else f"goes to {rule.to[0]}"
                rows.append(Explained(rule.id, not taken, why))
                taken = True
            else:
                rows.append(Explained(rule.id, False, why))
        return tuple(rows)


def load_plan(path: Path, *, classes: tuple[str, ...] | None, calibrated: bool = True) -> SortPlan:
    """Read and check a sort plan.

    Args:
        path: The YAML file.
        classes: Class names of the model that will run; None leaves class names unchecked.
        calibrated: Whether sizes will be known; size rules are a mistake without.

    Raises:
        ConfigError: Lists every mistake with its line.
    """
    return read_yaml(path, SortPlan, what="sort plan", context={"classes": classes, "calibrated": calibrated})


def reason_of(rule: Rule) -> Reason:
    """Return the reason code a decision by this rule carries."""
    return Reason(rule.reason)


def _outside(name: str, band: Band | None, size_mm: tuple[float, float] | None) -> str | None:
    if band is None:
        return None
    if size_mm is None:
        return f"{name} is not known"
    value = {"length_mm": size_mm[0], "width_mm": size_mm[1], "longest_mm": max(size_mm)}[name]
    low, high = band
    if low is not None and value < low:
        return f"{name} {value:.0f} is below {low:g}"
    if high is not None and value >= high:
        return f"{name} {value:.0f} is not below {high:g}"
    return None


def _in_range(text: str, first: str, last: str) -> bool:
    return len(text) >= len(first) and first <= text[: len(first)] <= last


def _get(data: Any, key: str) -> Any:
    return data.get(key) if isinstance(data, dict) else None


def _list(data: Any, key: str) -> list[Any]:
    items = _get(data, key)
    return list(items) if isinstance(items, (list, tuple)) else []


def _readable(data: Any, key: str, model: type[Section]) -> dict[int, Any]:
    """Return those entries of a list that are well formed, by index: only they can be checked against each other."""
    found: dict[int, Any] = {}
    for index, item in enumerate(_list(data, key)):
        try:
            found[index] = model.model_validate(item)
        except ValidationError:
            continue
    return found


def _detail(item: Any) -> InitErrorDetails:
    return InitErrorDetails(type=item["type"], loc=item["loc"], input=item["input"], ctx=item.get("ctx", {}))
