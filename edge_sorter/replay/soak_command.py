"""`edge-sorter soak`, attached in cli.py; imports what it needs when it runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from edge_sorter.replay.soak import Sample


def soak(
    minutes: Annotated[float, typer.Option(min=0.1, help="How long")] = 120.0,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Write soak.json and soak.png here")] = Path(
        "out/soak"
    ),
    config: Annotated[
        Path | None, typer.Option("--config", "-c", metavar="FILE", help="A line whose source is a clip; else the demo")
    ] = None,
    truth: Annotated[
        Path | None, typer.Option("--truth", metavar="FILE", help="What crosses the line in one round of that clip")
    ] = None,
    own_broker: Annotated[
        bool, typer.Option("--own-broker/--broker", help="Bring a broker along, or use the configuration's")
    ] = True,
    http: Annotated[str, typer.Option(metavar="ADDRESS", help="Where the page listens meanwhile")] = "127.0.0.1:9465",
) -> None:
    """Play a clip in real time, over and over, and see whether anything creeps: memory, threads, files, latency.

    Every round's decisions are held against the clip's truth. Exit code 1 when a promise was broken; a run that was
    too short to tell, or stopped with Ctrl-C, still writes its report.
    """
    from rich.console import Console

    from edge_sorter.atomic import write_json
    from edge_sorter.errors import ConfigError
    from edge_sorter.replay.demo import DEMO
    from edge_sorter.replay.soak import run_soak
    from edge_sorter.replay.soak_plot import draw
    from edge_sorter.stop import Stop

    if (config is None) != (truth is None):
        raise ConfigError("a line of your own needs both --config and --truth: what crosses in one round of its clip")
    console = Console(highlight=False, soft_wrap=True)
    out.mkdir(parents=True, exist_ok=True)
    with Stop().installed() as stop:
        report = run_soak(
            config or DEMO / "line.yaml",
            truth or DEMO / "truth.json",
            seconds=60 * minutes,
            address=http,
            own_broker=own_broker,
            stopped=stop,
            told=_say,
        )
    write_json(out / "soak.json", report)
    if report["samples"]:
        draw(report, out / "soak.png")
    _show(console, report)
    console.print(f"written to [bold]{out}[/]")
    raise typer.Exit(1 if "no" in report["promises"].values() else 0)


def _say(sample: Sample) -> None:
    p99 = "-" if sample.p99_ms is None else f"{sample.p99_ms:.0f}"
    sys.stderr.write(
        f"{sample.at_s / 60:6.1f} min  {sample.memory_mb:7.1f} MB  {sample.threads} threads  {sample.files} files  "
        f"{sample.frames / 10:4.1f} frames/s  p99 {p99} ms\n"
    )


def _show(console: Any, report: dict[str, Any]) -> None:
    rounds = report["rounds"]
    counts = ", ".join(f"{rounds[name]} {name}" for name in ("parcels", "decided", "missed", "extra"))
    console.print(f"{report['minutes']:g} minutes, {report['frames']} frames, {rounds['played']} rounds: {counts}")
    for promise, kept in report["promises"].items():
        colour = {"yes": "green", "no": "bold red"}.get(kept, "yellow")
        console.print(f"[{colour}]{kept:>18}[/]  {promise}")
