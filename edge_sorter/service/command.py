"""The service room's commands, attached to `edge-sorter` in cli.py; they import what they need when they run."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer


def doctor(
    config: Annotated[Path, typer.Option("--config", "-c", metavar="FILE", help="Configuration of the line")],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON on standard output, nothing else")
    ] = False,
) -> None:
    """Examine an installation on its machine: camera, model, engine, broker, clock, disk, heat; says what to do.

    Takes about ten seconds (longer where TensorRT first builds its engine) and disturbs no running line. Exit code 0
    when nothing failed; else that of the first failure, the one `run` would end with.
    """
    from edge_sorter.service.doctor import examine, exit_code
    from edge_sorter.service.doctor.show import show

    if as_json:
        findings = list(examine(config))
        told = [
            {"part": f.part, "verdict": f.verdict.value, "fact": f.fact, "advice": f.advice or None} for f in findings
        ]
        sys.stdout.write(json.dumps({"ok": not exit_code(findings), "findings": told}, ensure_ascii=False) + "\n")
    else:
        findings = show(lambda doing: examine(config, doing=doing))
    raise typer.Exit(exit_code(findings))
