"""The `edge-sorter` command: thin over the rooms, and the one place that prints, handles signals and exits."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from edge_sorter import __version__
from edge_sorter.accept import accept
from edge_sorter.build import build
from edge_sorter.errors import EdgeSorterError
from edge_sorter.lifecycle.commands import PANEL as LIFE
from edge_sorter.lifecycle.commands import app as lifecycle_app
from edge_sorter.lifecycle.dataset.commands import app as dataset_app
from edge_sorter.plan_command import app as plan_app
from edge_sorter.plc.commands import schemas
from edge_sorter.plc.gateway.commands import app as gateway_app
from edge_sorter.replay.soak_command import soak
from edge_sorter.service.calibrate_command import calibrate
from edge_sorter.service.command import doctor
from edge_sorter.service.evidence_command import app as evidence_app
from edge_sorter.service.logs import LogFormat
from edge_sorter.service.logs import set_up as set_up_logs
from edge_sorter.sim.twin.command import sim_plc
from edge_sorter.stop import Hangup, Stop

app = typer.Typer(
    name="edge-sorter",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Conveyor video in, one sort decision per parcel out over MQTT, before its divert deadline.",
    epilog="Start with `edge-sorter demo`. Not a safety function: E-stop and guards belong to the safety PLC.",
)

app.add_typer(dataset_app, name="dataset", rich_help_panel=LIFE)
app.add_typer(evidence_app, name="evidence")
app.add_typer(gateway_app, name="gateway")
app.add_typer(plan_app, name="plan")

ConfigOption = Annotated[
    Path, typer.Option("--config", "-c", metavar="FILE", help="Configuration of the line, e.g. configs/demo/line.yaml")
]
OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out", metavar="DIR", help="Write decisions.jsonl, journal.jsonl, report.json and annotated.mp4 here"
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output, nothing else")]

ALL_LINES = "+/+/+/+/+/edge_sorter/v1"

_errors = Console(stderr=True, soft_wrap=True)


def _print_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"edge-sorter {__version__}\n")
        raise typer.Exit


@app.callback()
def _common(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what happens, frame by frame")] = False,
    log: Annotated[
        LogFormat, typer.Option("--log", envvar="EDGE_SORTER_LOG", help="Log lines: plain, for journald, or as JSON")
    ] = LogFormat.AUTO,
    version: Annotated[  # noqa: ARG001  its callback does the work
        bool, typer.Option("--version", help="Print the version and leave", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    set_up_logs(log, verbose=verbose)


@app.command()
def demo(
    out: OutOption = Path("out/demo"),
    fast: Annotated[bool, typer.Option("--fast", help="Run as fast as possible instead of in real time")] = False,
    video: Annotated[bool, typer.Option(help="Write annotated.mp4 at the end")] = True,
    page: Annotated[bool, typer.Option("--page", help="Play it over and over, with the operator's page")] = False,
    http: Annotated[str, typer.Option(metavar="ADDRESS", help="Where the page listens")] = "127.0.0.1:9464",
) -> None:
    """Sort the parcels of the demo clip and watch the decisions arrive over MQTT.

    Starts an MQTT broker inside this process, replays configs/demo/demo.mp4 through the whole product, listens on the
    broker as a PLC gateway would, and compares what it heard with the clip's exact truth. Needs no GPU and no server.
    """
    from edge_sorter.replay.demo import run_demo

    if page:
        return _showcase(http)
    with Stop().installed() as stop:
        perfect = run_demo(Console(), out_dir=out, fast=fast, video=video, stopped=stop)
    raise typer.Exit(stop.exit_code or int(not perfect))


def _showcase(address: str) -> None:
    from edge_sorter.config import ServiceSection
    from edge_sorter.replay.showcase import run_showcase

    with Stop().installed() as stop:
        counts = run_showcase(Console(), service=ServiceSection(http=address), stopped=stop)
    _errors.print(f"ended after {counts.frames} frames, {sum(counts.published.values())} decisions", style="dim")
    raise typer.Exit(stop.exit_code)


@app.command()
def run(
    config: ConfigOption,
    slow: Annotated[
        float, typer.Option(min=1.0, max=100.0, help="Clip only: slow motion, for a machine too small for real time")
    ] = 1.0,
) -> None:
    """Sort live: camera in, decisions out over MQTT, until SIGTERM or Ctrl-C.

    A clip as video.source is played in real time, as if it were a camera; its messages are marked as replay. SIGHUP
    reads the sort plan and thresholds anew, without losing a parcel.
    """
    from edge_sorter.config import load_config
    from edge_sorter.live import run_live

    with Stop().installed() as stop, Hangup().installed() as hangup:
        counts = run_live(load_config(config), stopped=stop, config_path=config, reload_asked=hangup, slow=slow)
    _errors.print(f"ended after {counts.frames} frames, {sum(counts.published.values())} decisions", style="dim")
    raise typer.Exit(stop.exit_code)


@app.command()
def replay(
    clip: Annotated[Path, typer.Argument(help="A video clip, or the journal.jsonl of an earlier run")],
    config: ConfigOption,
    truth: Annotated[
        Path | None, typer.Option("--truth", metavar="FILE", help="Compare decisions with this truth")
    ] = None,
    out: OutOption = None,
    realtime: Annotated[bool, typer.Option("--realtime", help="Pace the clip as a camera would")] = False,
    publish: Annotated[
        bool, typer.Option("--publish", help="Send decisions to the broker of the configuration")
    ] = False,
    repeat: Annotated[int, typer.Option(min=1, help="Play the clip this many times as one recording")] = 1,
    video: Annotated[bool, typer.Option(help="Write annotated.mp4 into --out")] = True,
    as_json: JsonOption = False,
) -> None:
    """Run a recorded clip through the same program as a live line, and report.

    Every frame is looked at; nothing is dropped. A journal is decided again from its recorded detections, and the
    command fails (exit 1) unless every decision comes out byte for byte the same.
    """
    from edge_sorter.config import load_config
    from edge_sorter.replay import ReplayOptions, replay_clip
    from edge_sorter.replay.report import show_report

    settings = load_config(config)
    if clip.suffix == ".jsonl":
        return _replay_journal(settings, clip, out, as_json=as_json)
    options = ReplayOptions(out_dir=out, realtime=realtime, repeat=repeat, truth=truth, video=video)
    with Stop().installed() as stop, _progress(quiet=as_json) as progress:
        if publish:
            from edge_sorter.live import replay_published

            result = replay_published(
                settings, clip, config_name=str(config), options=options, progress=progress, stopped=stop
            )
        else:
            result = replay_clip(
                settings, clip, config_name=str(config), options=options, progress=progress, stopped=stop
            )
    if as_json:
        sys.stdout.write(json.dumps(result.report) + "\n")
    else:
        console = Console()
        show_report(console, result.report)
        if out:
            console.print(f"written to [bold]{out}[/]: " + ", ".join(sorted(p.name for p in out.iterdir())))
    raise typer.Exit(stop.exit_code)


def _replay_journal(settings: Any, path: Path, out: Path | None, *, as_json: bool) -> None:
    from edge_sorter.journal import Journal, decided_by
    from edge_sorter.replay import replay_journal

    decisions, differ = replay_journal(settings, path, out_dir=out)
    models = decided_by(Journal(path))
    if as_json:
        sys.stdout.write(json.dumps({"decisions": decisions, "differ": differ, "models": models}) + "\n")
    else:
        same = (
            "all byte-identical to the recorded ones"
            if not differ
            else f"[red]{differ} differ from the recorded ones[/]"
        )
        Console().print(f"{decisions} decisions made again from {path.name}: {same}")
        if len(models) > 1:
            for model, count in models.items():
                Console(soft_wrap=True).print(f"  {count} seen by {escape(model)}", highlight=False)
    raise typer.Exit(1 if differ else 0)


@app.command()
def check(config: ConfigOption, as_json: JsonOption = False) -> None:
    """Check a configuration with its calibration, model and sort plan; lists every mistake at once.

    Exit code 0 when all is well, 78 for a wrong configuration or plan, 70 for a wrong model.
    """
    from edge_sorter.check import check_installation

    findings = check_installation(config)
    if as_json:
        sys.stdout.write(json.dumps({"facts": findings.facts, "errors": [str(e) for e in findings.errors]}) + "\n")
    else:
        console = Console(soft_wrap=True)
        for part, fact in findings.facts.items():
            console.print(f"[green]ok[/]  {part}: {escape(fact)}", highlight=False)
        for error in findings.errors:
            _errors.print(f"[red]bad[/] {escape(str(error))}", highlight=False)
    raise typer.Exit(findings.exit_code)


app.command()(doctor)
app.command()(schemas)
app.command()(accept)
app.command()(calibrate)
app.command()(sim_plc)
app.command()(build)
app.command()(soak)
app.registered_commands += lifecycle_app.registered_commands


@app.command()
def listen(
    config: Annotated[
        Path | None, typer.Option("--config", "-c", metavar="FILE", help="Take broker and topics from here")
    ] = None,
    host: Annotated[str, typer.Option(help="Broker host, without --config")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Broker port, without --config")] = 1883,
    replays: Annotated[bool, typer.Option(help="Also show what replays and the demo publish")] = True,
    heartbeats: Annotated[bool, typer.Option(help="Also show heartbeats")] = False,
    count: Annotated[int, typer.Option(min=0, help="Leave after this many decisions; 0 never")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Show what a PLC gateway would see on the broker: decisions, states, heartbeats."""
    from edge_sorter.config import PlcSection, load_config
    from edge_sorter.listening import listen_to
    from edge_sorter.plc.listen import Received, format_line

    section = load_config(config).plc if config else PlcSection(host=host, port=port)
    roots = (ALL_LINES, f"replay/{ALL_LINES}") if replays else (ALL_LINES,)
    names = ("decision", "state", *(("hb",) if heartbeats else ()))
    console = Console(soft_wrap=True, highlight=False)

    def show(received: Received) -> None:
        if as_json:
            sys.stdout.write(received.message.to_json().decode() + "\n")
            sys.stdout.flush()
        else:
            console.print(format_line(received.message))

    with Stop().installed() as stop:
        listen_to(section, roots, show, names=names, count=count, stopped=stop)
    raise typer.Exit(stop.exit_code)


@app.command()
def simulate(
    parcels: Annotated[int, typer.Option(min=1, help="How many parcels pass")] = 10_000,
    level: Annotated[str, typer.Option(help="easy, normal, rough, mixed or hard")] = "normal",
    seed: Annotated[int, typer.Option(min=0, help="Which line; the same seed is the same line anywhere")] = 0,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Write report.json and failures.jsonl here")
    ] = None,
    land: Annotated[
        bool, typer.Option("--land", help="Carry decisions out: photo-eye, diverters, lanes; what lands where")
    ] = False,
    fault: Annotated[
        list[str] | None,
        typer.Option("--fault", metavar="KIND[@S][+S][:WHAT]", help="With --land: also break this: encoder_slip@9"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Examine tracker and router on a simulated line with exact truth: measured boxes, no pixels."""
    from edge_sorter.errors import ConfigError
    from edge_sorter.sim.simulate import simulate as run_simulation
    from edge_sorter.sim.twin.faults import parse_fault
    from edge_sorter.sim.verdict import show

    if fault and not land:
        raise ConfigError("--fault breaks the line on which parcels land: give --land, too")
    faults = [parse_fault(text) for text in fault or ()] if land else None
    with _progress(quiet=as_json) as progress:
        result = run_simulation(parcels, level, seed=seed, land_with=faults, out_dir=out, progress=progress)
    if as_json:
        sys.stdout.write(json.dumps(result) + "\n")
    else:
        show(Console(), result)


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Any]:
    """Yield a progress callback drawn on standard error; silent when `quiet` or not on a terminal."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[fps]}"),
        TimeRemainingColumn(),
        console=_errors,
        disable=quiet or not _errors.is_terminal,
        transient=True,
    )
    tasks: dict[str, Any] = {}

    def show(what: str, done: int, total: int | None) -> None:
        if what not in tasks:
            tasks[what] = bar.add_task(what, total=total, fps="")
        speed = bar.tasks[tasks[what]].speed
        bar.update(tasks[what], completed=done, fps=f"{speed:.0f} frames/s" if speed else "")

    with bar:
        yield show


def main() -> None:
    """Run the command line; every error of ours ends in one message and its own exit code."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except EdgeSorterError as error:
        _errors.print(f"[bold red]error:[/] {escape(str(error))}", highlight=False)
        sys.exit(error.exit_code)
