"""`edge-sorter sim-plc`: a PLC and its line behind the broker, until every parcel has landed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from edge_sorter.stop import Stop

if TYPE_CHECKING:
    from edge_sorter.sim.twin.layout import SimPlcConfig


def sim_plc(
    config: Annotated[
        Path, typer.Option("--config", "-c", metavar="FILE", help="Simulated line, e.g. configs/demo/sim_plc.yaml")
    ],
    fault: Annotated[
        list[str] | None,
        typer.Option("--fault", metavar="KIND[@S][+S][:WHAT]", help="Also break this, e.g. lane_full@10+5:L02"),
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Other parcels, from the generator")] = None,
    sorter: Annotated[
        bool, typer.Option("--sorter", help="Play the sorter as well: every decision right, 50 ms after the line")
    ] = False,
    port: Annotated[int | None, typer.Option("--port", min=1, max=65535, help="Another port of the broker")] = None,
    slow: Annotated[
        float, typer.Option("--slow", min=1.0, max=100.0, help="Slow motion, as slow as `edge-sorter run --slow`")
    ] = 1.0,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write the report here (JSON)")] = None,
    min_right: Annotated[
        float | None, typer.Option(min=0.0, max=1.0, help="Exit code 1 if a smaller share landed right")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON, nothing else")] = False,
) -> None:
    """Play the PLC and its line in real time over MQTT: encoder, photo-eye, diverters, lanes.

    Takes decisions as a gateway must, moves parcels as a belt would, and ends with what really landed in which lane.
    NEVER on a broker where a real line listens: it speaks as that line's PLC.
    """
    from edge_sorter.atomic import write_json
    from edge_sorter.clock import Clock, FileClock, SystemClock
    from edge_sorter.sim.twin.layout import load_layout
    from edge_sorter.sim.twin.played_sorter import PlayedSorter
    from edge_sorter.sim.twin.report import make_report, show_report
    from edge_sorter.sim.twin.server import TwinServer
    from edge_sorter.sim.twin.traffic import make_traffic

    settings, plan = load_layout(config)
    settings = _changed(settings, tuple(fault or ()), seed=seed, port=port)
    clock: Clock = SystemClock() if slow == 1.0 else FileClock(slow=slow)
    server = TwinServer(settings, make_traffic(settings, plan), clock=clock)
    played = PlayedSorter(settings, plan, server.world, clock=clock) if sorter else None
    with Stop().installed() as stop:
        if not as_json:
            waits = "" if settings.starts == "at_once" or sorter else "; the belt starts when the sorter runs"
            sys.stderr.write(f"line of {len(server.world.traffic.parcels)} parcels{waits}\n")
        if played is None:
            server.run(stop)
        else:
            with played:
                server.run(stop, played.step)
    report = make_report(server.world, server.program, plan)
    if out is not None:
        write_json(out, report)
    if as_json:
        sys.stdout.write(json.dumps(report) + "\n")
    else:
        show_report(Console(), report)
    right = report["shares"]["right"]["share"]
    failed = min_right is not None and (right is None or right < min_right)
    raise typer.Exit(stop.exit_code or int(failed))


def _changed(settings: SimPlcConfig, faults: tuple[str, ...], *, seed: int | None, port: int | None) -> SimPlcConfig:
    """Return the line with what the command line says; checked again as a whole.

    Raises:
        ConfigError: A fault is none, or does not fit the line.
    """
    from edge_sorter.errors import ConfigError
    from edge_sorter.sim.twin.faults import parse_fault
    from edge_sorter.sim.twin.layout import SimPlcConfig
    from edge_sorter.yamlfile import read_document

    if seed is not None and settings.traffic is None:
        raise ConfigError("--seed draws other parcels; this line has those of a scenario")
    update: dict[str, object] = {"faults": (*settings.faults, *(parse_fault(text) for text in faults))}
    update |= {} if seed is None else {"seed": seed}
    update |= {} if port is None else {"mqtt": settings.mqtt.model_copy(update={"port": port})}
    values = settings.model_copy(update=update).model_dump(by_alias=True)
    return read_document(values, SimPlcConfig, what="simulated line with --fault")
