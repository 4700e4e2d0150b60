"""`edge-sorter gateway`: run the reference gateway or a mirror of the line, or examine somebody else's gateway."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from edge_sorter.stop import Stop

app = typer.Typer(
    no_args_is_help=True, help="Between MQTT and the PLC: the Modbus gateway, a test for other ones, a mirror."
)

ConfigOption = Annotated[
    Path,
    typer.Option("--config", "-c", metavar="FILE", help="Gateway configuration, e.g. configs/demo/gateway.yaml"),
]
MirrorOption = Annotated[
    Path, typer.Option("--config", "-c", metavar="FILE", help="Mirror configuration, e.g. configs/demo/mirror.yaml")
]
ReplayOption = Annotated[bool, typer.Option("--replay", help="Look on at a replay (a clip) instead of the line")]
MARKS = {"ok": "[green]ok[/]", "fail": "[bold red]FAIL[/]", "skip": "[yellow]skip[/]"}


@app.command()
def modbus(config: ConfigOption) -> None:
    """Carry decisions into the holding registers of a Modbus TCP PLC, and its answers back, until stopped.

    Keeps every rule of the contract (docs/plc.md): one action per parcel, nothing late, nothing replayed, default lane
    when the sorter falls silent. The register map is in docs/plc.md.
    """
    from edge_sorter.clock import SystemClock
    from edge_sorter.plc.gateway.modbus import ModbusGateway
    from edge_sorter.plc.gateway.settings import load_gateway_config

    gateway = ModbusGateway(load_gateway_config(config), clock=SystemClock())
    with Stop().installed() as stop:
        gateway.run(stop)
    counts = gateway.judge.counts
    answered = ", ".join(f"{count} {result.value}" for result, count in gateway.answered.items()) or "none"
    sys.stderr.write(f"ended: {counts.accepted} decisions taken; answers: {answered}\n")
    raise typer.Exit(stop.exit_code)


@app.command()
def sparkplug(config: MirrorOption, replay: ReplayOption = False) -> None:
    """Show the line to SCADA systems as a Sparkplug B edge node, until stopped: state, figures, lanes and alarms.

    A mirror for people, never a way to the PLC: decisions are not in it, and nothing can be changed through it. Tags
    and topics are in docs/gateways.md.
    """
    from edge_sorter.clock import SystemClock
    from edge_sorter.plc.gateway.settings import load_mirror_config
    from edge_sorter.plc.gateway.sparkplug import SparkplugMirror

    mirror = SparkplugMirror(load_mirror_config(config), clock=SystemClock(), replay=replay)
    with Stop().installed() as stop:
        mirror.run(stop)
    sys.stderr.write(f"ended: {mirror.births} births of the edge node, {mirror.messages} messages\n")
    raise typer.Exit(stop.exit_code)


@app.command()
def conformance(
    config: ConfigOption,
    lane: Annotated[str, typer.Option(help="A lane that your gateway knows")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON, nothing else")] = False,
) -> None:
    """Examine a gateway: speak as the sorter does, also wrongly, and look at what it answers.

    Needs the gateway and its PLC (or a model of it) running, and no sorter on these topics. NEVER on a line with
    parcels: it sends real decisions. Of the configuration only line, mqtt and lanes are used. Exit code 1 when a rule
    is broken.
    """
    from edge_sorter.clock import SystemClock
    from edge_sorter.plc.gateway.conformance import examine
    from edge_sorter.plc.gateway.settings import load_gateway_config

    settings = load_gateway_config(config)
    findings = examine(settings, lane=lane or next(iter(settings.lanes)), clock=SystemClock())
    if as_json:
        sys.stdout.write(json.dumps([finding.as_dict() for finding in findings]) + "\n")
    else:
        table = Table("", "rule", "what was seen", title="Conformance of the gateway")
        for finding in findings:
            table.add_row(MARKS[finding.verdict], escape(finding.rule), escape(finding.seen))
        Console().print(table)
    raise typer.Exit(int(any(finding.verdict == "fail" for finding in findings)))
