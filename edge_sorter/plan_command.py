"""`edge-sorter plan`: look at a sort plan before a line runs by it.

`check` lists lanes and rules in the order they are asked, with every mistake or what looks like an oversight;
`explain` says where an example parcel goes, and what every rule said to it.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from edge_sorter.config import Config
    from edge_sorter.sort import SortPlan
    from edge_sorter.sort.explain import Explanation
    from edge_sorter.types import Code, Parcel

app = typer.Typer(no_args_is_help=True, help="Check a sort plan, or see where it sends an example parcel and why.")

PlanFile = Annotated[Path, typer.Argument(metavar="PLAN", help="The sort plan (YAML)", show_default=False)]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="FILE", help="Take classes, calibration and limits from this line"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output, nothing else")]


@app.command()
def check(file: PlanFile, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Check a sort plan: every mistake with its line, then lanes, rules in the order they are asked, and warnings.

    Without --config class names are not checked against a model. Exit code 0 when all is well, 78 for mistakes.
    """
    from edge_sorter.sort.plan_warnings import warnings

    plan, _ = _load(file, config)
    found = warnings(plan)
    if as_json:
        _print_json(_summary(plan, found))
        return
    console = Console(highlight=False)
    console.print(f"[bold]{plan.name}[/]  rev {plan.rev}, sha256 {plan.sha256[:16]}…", soft_wrap=True)
    console.print(_lane_table(plan))
    console.print(_rule_table(plan))
    ends = f"no rule: {plan.default}   cannot be decided: {plan.exception}   all full: {plan.overflow or plan.default}"
    console.print(ends, soft_wrap=True)
    for warning in found:
        console.print(f"[yellow]warning[/] {escape(warning)}", soft_wrap=True)


@app.command()
def explain(
    file: PlanFile,
    class_name: Annotated[str, typer.Option("--class", help="What the model sees")] = "carton",
    confidence: Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of that class in the evidence")] = 1.0,
    size: Annotated[
        str | None, typer.Option(metavar="LxW[xH]", help="Millimetres along travel, across, and height: 300x200")
    ] = None,
    weight_g: Annotated[float | None, typer.Option("--weight", metavar="G", min=0.0, help="Grams")] = None,
    code: Annotated[
        list[str] | None, typer.Option(metavar="[SYMBOLOGY:]TEXT", help="A code on it; may be given several times")
    ] = None,
    flag: Annotated[list[str] | None, typer.Option(help="A flag it carries, such as DG; several times")] = None,
    lane_full: Annotated[list[str] | None, typer.Option(metavar="LANE", help="A full lane; several times")] = None,
    at: Annotated[str | None, typer.Option(metavar="HH:MM", help="Time of the day, for cut-offs")] = None,
    rounds: Annotated[int, typer.Option(min=0, help="How often it has come round already")] = 0,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say where an example parcel goes: which rule takes it, why each other one does not, and which lane is left."""
    from edge_sorter.config import LaneStatesSection, SortSection
    from edge_sorter.events import LaneStatus
    from edge_sorter.sort.explain import explain as explain_parcel

    plan, settings = _load(file, config)
    section = settings.sort if settings is not None else SortSection(plan=file)
    section = section.model_copy(update={"lane_states": LaneStatesSection()})
    full = lane_full or []
    for name in full:
        if name not in plan.lane_by_id:
            raise typer.BadParameter(f"{name!r} is no lane of {plan.id}: {', '.join(plan.lane_by_id)}")
    found = explain_parcel(
        plan,
        _example(class_name, confidence, size, weight_g, codes=_codes(code or []), flags=tuple(sorted(flag or []))),
        section=section.model_copy(
            update={"lane_states": section.lane_states.model_copy(update={"source": "assume_open"})}
        ),
        lanes=dict.fromkeys(full, LaneStatus.FULL),
        rounds=rounds,
        local_s=None if at is None else _seconds(at),
    )
    if as_json:
        _print_json(_explanation(plan, found))
    else:
        _show(Console(highlight=False), plan, found)


def _load(file: Path, config: Path | None) -> tuple[SortPlan, Config | None]:
    from edge_sorter.config import load_config
    from edge_sorter.detect.manifest import load_manifest
    from edge_sorter.sort import load_plan

    if config is None:
        return load_plan(file, classes=None), None
    settings = load_config(config)
    classes = load_manifest(settings.detect.model).classes
    return load_plan(file, classes=classes, calibrated=settings.belt.calibration is not None), settings


def _example(
    class_name: str,
    confidence: float,
    size: str | None,
    weight_g: float | None,
    *,
    codes: tuple[Code, ...],
    flags: tuple[str, ...],
) -> Parcel:
    from edge_sorter.types import PARCEL_FLAGS, Parcel, Track, TrackState

    for name in flags:
        if name not in PARCEL_FLAGS:
            raise typer.BadParameter(f"{name!r} is no flag; known: {', '.join(PARCEL_FLAGS)}")
    seen = Track(1, TrackState.CONFIRMED, 0, (0.0, 0.0, 1.0, 1.0), (0.0, 0.0), True, 1.0, 0, 1000, 0, 0)
    length_mm, width_mm, height_mm = _size(size)
    known = None if length_mm is None or width_mm is None else (length_mm, width_mm)
    return Parcel(seen, class_name, confidence, known, codes, flags, height_mm, weight_g)


def _size(text: str | None) -> tuple[float | None, float | None, float | None]:
    if text is None:
        return None, None, None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)x(\d+(?:\.\d+)?)(?:x(\d+(?:\.\d+)?))?", text)
    if found is None:
        raise typer.BadParameter(f"--size {text!r}: write millimetres as 300x200, or 300x200x150 with the height")
    return float(found[1]), float(found[2]), None if found[3] is None else float(found[3])


def _codes(texts: list[str]) -> tuple[Code, ...]:
    from edge_sorter.types import Code

    codes = []
    for text in texts:
        symbology, colon, rest = text.partition(":")
        named = bool(colon) and re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*", symbology) is not None
        codes.append(Code(symbology, rest, 3) if named else Code("Code128", text, 3))
    return tuple(codes)


def _seconds(clock_time: str) -> float:
    found = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)", clock_time)
    if found is None:
        raise typer.BadParameter(f"--at {clock_time!r}: write the time of the day as 18:30")
    return int(found[1]) * 3600.0 + int(found[2]) * 60.0


def _summary(plan: SortPlan, found: tuple[str, ...]) -> dict[str, Any]:
    return {
        "plan": plan.name,
        "rev": plan.rev,
        "sha256": plan.sha256,
        "default": plan.default,
        "exception": plan.exception,
        "overflow": plan.overflow,
        "lanes": [
            {**lane.model_dump(mode="json", exclude_none=True), "action": lane.asked.value} for lane in plan.lanes
        ],
        "groups": [group.model_dump(mode="json") for group in plan.groups],
        "rules": [
            {"id": r.id, "rank": r.rank, "asks": r.when.words(), "to": r.to, "overflow": r.overflow, "reason": r.reason}
            for r in plan.ordered
        ],
        "warnings": found,
    }


def _explanation(plan: SortPlan, found: Explanation) -> dict[str, Any]:
    verdict = found.verdict
    return {
        "plan": plan.name,
        "lane": verdict.lane.id,
        "alternates": verdict.alternates,
        "action": verdict.action.value,
        "reason": verdict.reason.value,
        "rule": verdict.rule,
        "keys": found.keys.known,
        "contradictory": found.keys.contradictory,
        "rules": [answer._asdict() for answer in found.answers],
        "lanes": {name: status.value for name, status in found.lanes},
    }


def _lane_table(plan: SortPlan) -> Table:
    table = Table("lane", "PLC", "asks for", "point of no return", "limits", "groups", box=None, title="lanes")
    for lane in plan.lanes:
        limits = [f"{lane.max_fill_mm_s:g} mm/s"] if lane.max_fill_mm_s else []
        limits += [f"{lane.max_per_minute} a minute"] if lane.max_per_minute else []
        groups = ", ".join(group.id for group in plan.groups if lane.id in group.lanes)
        place = "" if lane.divert_mm is None else f"{lane.divert_mm:g} mm"
        table.add_row(lane.id, str(lane.plc), lane.asked.value, place, ", ".join(limits), groups)
    return table


def _rule_table(plan: SortPlan) -> Table:
    table = Table("", "rule", "asks", "to", "reason", box=None, title="rules, in the order they are asked")
    for rule in plan.ordered:
        to = ", ".join(rule.to) + (f", else {rule.overflow}" if rule.overflow else "")
        if rule.cutoff:
            to += f"; from {rule.cutoff} {', '.join(rule.late_to or (plan.default,))}"
        table.add_row(str(rule.rank), rule.id, escape(rule.when.words()), to, rule.reason)
    return table


def _show(console: Console, plan: SortPlan, found: Explanation) -> None:
    verdict = found.verdict
    if found.keys.known or found.keys.contradictory:
        said = [f"{key} {value}" for key, value in found.keys.known.items()]
        said += [f"{key} contradictory" for key in found.keys.contradictory]
        console.print(f"the codes say: {escape(', '.join(said))}", soft_wrap=True)
    table = Table("", "", "rule", "asks", "answer", box=None)
    for answer in found.answers:
        mark = "[green]→[/]" if answer.takes else ""
        table.add_row(mark, str(answer.rank), answer.rule, escape(answer.asks), escape(answer.why))
    console.print(table)
    if any(status.value != "OPEN" for _, status in found.lanes):
        console.print("lanes: " + ", ".join(f"{name} {status.value}" for name, status in found.lanes), soft_wrap=True)
    then = f", then {', '.join(verdict.alternates)}" if verdict.alternates else ""
    console.print(
        f"[bold]{verdict.action.value} {verdict.lane.id}[/] (PLC lane {verdict.lane.plc}){then}: "
        f"{verdict.reason.value}, by {'rule ' + verdict.rule if verdict.rule else 'no rule'} of {plan.name}",
        soft_wrap=True,
    )


def _print_json(value: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
