"""The sort plan: which parcel goes to which lane, as data that a shift leader can read.

Contract: `load_plan` (a file) and `check_plan` (a document from elsewhere) return a frozen `SortPlan` that is known to
be complete and free of contradictions, or one `ConfigError` that lists every mistake, of a file with its line.
`SortPlan.rule_for` depends on the parcel alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field, ValidationError, ValidationInfo, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from edge_sorter.sort.conditions import Facts
from edge_sorter.sort.plan_checks import contradictions
from edge_sorter.sort.plan_codes import CodeEntry
from edge_sorter.sort.plan_parts import CALIBRATED_SIZES, HostSection, Lane, LaneGroup, Recirculation, Rule
from edge_sorter.sort.plan_words import ClockTime, Name
from edge_sorter.sort.route_keys import KEYS, RouteKeys, read_keys
from edge_sorter.types import Parcel, Reason
from edge_sorter.yamlfile import Section, read_document, read_yaml


class Explained(NamedTuple):
    """What one rule says about one parcel."""

    rule: str
    matched: bool
    why: str


class SortPlan(Section):
    """A complete plan. Every parcel ends in a lane: by a rule, in `overflow`, in `default`, or in `exception`."""

    id: Name
    rev: int = Field(0, ge=0, le=2**31 - 1, description="grows with every edit; an older one is refused while running")
    lanes: tuple[Lane, ...] = Field(min_length=1, max_length=1000)
    groups: tuple[LaneGroup, ...] = Field((), max_length=1000)
    codes: tuple[CodeEntry, ...] = Field((), max_length=200)
    rules: tuple[Rule, ...] = Field((), max_length=1000)
    default: str = Field(description="lane of parcels that no rule takes")
    exception: str = Field(description="lane of parcels that cannot be decided: low confidence, lost, conflict")
    overflow: str | None = Field(None, description="lane of parcels whose lanes are all full or closed")
    recirculate: Recirculation | None = None
    host: HostSection | None = None
    day_starts: ClockTime = Field("00:00", description="when cut-off times begin anew, local time")

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
            groups=_readable(data, "groups", LaneGroup),
            group_names=[str(_get(group, "id")) for group in _list(data, "groups")],
            codes=_readable(data, "codes", CodeEntry),
            rules=_readable(data, "rules", Rule),
            told=_told(data),
            ends={key: data[key] for key in ("default", "exception", "overflow") if isinstance(_get(data, key), str)},
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
        return tuple(sorted(self.rules, key=lambda rule: rule.rank))

    @cached_property
    def lane_by_id(self) -> dict[str, Lane]:
        """Lanes by their id."""
        return {lane.id: lane for lane in self.lanes}

    @cached_property
    def group_by_id(self) -> dict[str, LaneGroup]:
        """Groups of lanes by their id."""
        return {group.id: group for group in self.groups}

    @cached_property
    def sha256(self) -> str:
        """Digest of what the plan says; layout, comments and spelled-out defaults of the file do not change it."""
        content = json.dumps(
            self.model_dump(mode="json", by_alias=True, exclude_defaults=True), sort_keys=True, separators=(",", ":")
        )
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
        return (
            bool(self.codes)
            or self.host is not None
            or any({"code", *KEYS} & set(rule.when.conditions) for rule in self.rules)
        )

    @cached_property
    def uses_sizes(self) -> bool:
        """Whether any rule asks for a size; if so, a parcel that was never seen whole is no known one."""
        return any(set(CALIBRATED_SIZES) & set(rule.when.conditions) for rule in self.rules)

    @cached_property
    def uses_wall_time(self) -> bool:
        """Whether any rule has a cut-off time."""
        return any(rule.cutoff is not None for rule in self.rules)

    @cached_property
    def hazard_rules(self) -> tuple[Rule, ...]:
        """Rules about dangerous goods, which are asked before any doubt."""
        return tuple(rule for rule in self.ordered if rule.hazard)

    def facts(self, parcel: Parcel, told: Mapping[str, str] | None = None) -> Facts:
        """Gather what rules may ask about a parcel; what the host told overrules its label."""
        keys = read_keys(self.codes, parcel.codes)
        if told and self.host is not None:
            own = {key: value for key, value in told.items() if key in self.host.gives}
            keys = RouteKeys({**keys.known, **own}, tuple(key for key in keys.contradictory if key not in own))
        return Facts(parcel, keys)

    def rule_for(self, parcel: Parcel) -> Rule | None:
        """Return the first rule that takes the parcel, or None for the default lane."""
        return self.rule_of(self.facts(parcel))

    def rule_of(self, facts: Facts) -> Rule | None:
        """Return the first rule that takes a parcel of which the facts are gathered."""
        for rule, asked in self._asked:
            for met in asked:
                if not met(facts):
                    break
            else:
                return rule
        return None

    @cached_property
    def _asked(self) -> tuple[tuple[Rule, tuple[Callable[[Facts], bool], ...]], ...]:
        """The rules in order with what each asks, ready to be asked for every parcel."""
        return tuple((rule, tuple(c.met for c in rule.when.conditions.values())) for rule in self.ordered)

    def explain(self, parcel: Parcel) -> tuple[Explained, ...]:
        """Tell of every rule, in the order they are asked, whether it takes the parcel and why not."""
        rows: list[Explained] = []
        taken = False
        facts = self.facts(parcel)
        for rule in self.ordered:
            why = rule.when.unmet(facts)
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


def check_plan(
    document: dict[str, Any], *, source: str, classes: tuple[str, ...] | None, calibrated: bool = True
) -> SortPlan:
    """Check a sort plan that did not come from a file; as `load_plan`, with places instead of lines.

    Raises:
        ConfigError: Lists every mistake with its place.
    """
    context = {"classes": classes, "calibrated": calibrated}
    return read_document(document, SortPlan, what=f"sort plan from {source}", context=context)


def reason_of(rule: Rule) -> Reason:
    """Return the reason code a decision by this rule carries."""
    return Reason(rule.reason)


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


def _told(data: Any) -> tuple[str, ...]:
    """Return the route keys that the host may tell, as far as they can be read."""
    gives = _get(_get(data, "host"), "gives")
    return tuple(map(str, gives)) if isinstance(gives, (list, tuple)) else (str(gives),) if gives else ()


def _detail(item: Any) -> InitErrorDetails:
    return InitErrorDetails(type=item["type"], loc=item["loc"], input=item["input"], ctx=item.get("ctx", {}))
