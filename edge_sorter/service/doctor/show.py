"""Shows findings as they come: verdict, part, fact, and below it what to do."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.text import Text

from edge_sorter.service.doctor.finding import Finding, Verdict

STYLES = {Verdict.OK: "green", Verdict.WARN: "yellow", Verdict.FAIL: "bold red"}
PART_WIDTH = 20
MARGIN = 6 + PART_WIDTH

Examine = Callable[[Callable[[str], None]], Iterator[Finding]]


def show(examine: Examine, console: Console | None = None) -> list[Finding]:
    """Print every finding as soon as it is there, and a last line; return them all."""
    console = console or Console(soft_wrap=True, highlight=False)
    width = max(60, min(console.width, 120)) - MARGIN
    findings = []
    with console.status("looking around") as status:
        for finding in examine(lambda part: status.update(f"looking at the {part}")):
            findings.append(finding)
            console.print(_line(finding, width))
    bad, doubtful = (sum(f.verdict is verdict for f in findings) for verdict in (Verdict.FAIL, Verdict.WARN))
    if bad:
        console.print(f"\n[bold red]{bad} failed[/], {doubtful} to look at: this line cannot run like that")
    elif doubtful:
        console.print(f"\n[yellow]nothing failed, {doubtful} to look at[/]")
    else:
        console.print("\n[green]all well[/]")
    return findings


def _line(finding: Finding, width: int) -> Text:
    text = Text(f"{finding.verdict.value:<6}", style=STYLES[finding.verdict])
    text.append(f"{finding.part:<{PART_WIDTH}}", style="bold")
    text.append(_wrapped(finding.fact, width), style="default")
    if finding.advice:
        text.append("\n" + " " * MARGIN + "→ " + _wrapped(finding.advice, width - 2), style="italic")
    return text


def _wrapped(fact: str, width: int) -> str:
    lines = [part for line in fact.splitlines() for part in (textwrap.wrap(line, width) or [""])]
    return ("\n" + " " * MARGIN).join(lines)
