"""`edge-sorter demo`: the whole product in one process, watched from outside over MQTT.

A broker, a replay that publishes to it, and a listener that knows nothing but what arrives on the topics; at the end
the listener's count, not the sender's, is held against the clip's truth.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from edge_sorter.clock import ReplayClock, stopwatch_ns
from edge_sorter.config import Config, load_config
from edge_sorter.detect import open_detector
from edge_sorter.errors import ConfigError
from edge_sorter.live import replay_published
from edge_sorter.plc.broker import EmbeddedBroker
from edge_sorter.plc.listen import Listener, format_line
from edge_sorter.plc.messages import DecisionMessage, StateMessage
from edge_sorter.plc.topics import Topics
from edge_sorter.replay.report import show_report
from edge_sorter.replay.runner import ReplayOptions
from edge_sorter.types import Frame
from edge_sorter.video import open_source

DEMO = Path(__file__).resolve().parents[2] / "configs" / "demo"
TRIAL_FRAMES, WARM_UP = 20, 8
ROOM = 0.7
"""Share of the time between two pictures that looking at one may take; the rest is for everything else."""


class _Ears:
    """Listens in a thread of its own, prints what arrives, and remembers which parcels were decided."""

    def __init__(self, listener: Listener, say: Callable[[str], None]) -> None:
        self.decisions = self.duplicates = 0
        self._keys: set[tuple[str, int]] = set()
        self._listener, self._say = listener, say
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="demo-listener", daemon=True)

    def __enter__(self) -> _Ears:
        self._listener.start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join(2.0)
        self._listener.close()

    def _listen(self) -> None:
        while not self._done.is_set():
            for received in self._listener.messages(timeout_s=0.3):
                message = received.message
                if isinstance(message, DecisionMessage):
                    key = (message.parcel_uid, message.rev)
                    self.duplicates += key in self._keys
                    self.decisions += 1
                    self._keys.add(key)
                if isinstance(message, (DecisionMessage, StateMessage)):
                    self._say(format_line(message))


def run_demo(console: Console, *, out_dir: Path | None, fast: bool, video: bool, stopped: Callable[[], bool]) -> bool:
    """Run the demo and print what happens; the last line says parcels, decisions, late and duplicates.

    Returns:
        Whether every parcel got exactly one decision, in the right lane and in time.

    Raises:
        ConfigError: The demo's files are not beside the package (it was installed without the checkout).
        EdgeSorterError: Anything else that keeps it from running.
    """
    if not (DEMO / "demo.mp4").is_file():
        raise ConfigError(f"the demo clip is not in {DEMO}; run the demo from a checkout of edge_sorter")
    config = load_config(DEMO / "line.yaml")
    if not fast and (slow := _too_slow(config)):
        console.print(slow, style="yellow", highlight=False, soft_wrap=True)
        fast = True
    options = ReplayOptions(out_dir=out_dir, realtime=not fast, truth=DEMO / "truth.json", video=video)
    bar = Progress(TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[at]}"), console=console)
    with ExitStack() as stack:
        broker = stack.enter_context(EmbeddedBroker())
        plc = config.plc.model_copy(update={"host": broker.host, "port": broker.port, "protocol": "3.1.1"})
        config = config.model_copy(update={"plc": plc})
        topics = Topics(config.line, replay=True)
        console.print(
            f"MQTT broker on {broker.host}:{broker.port}; decisions appear on [bold]{topics.decision}[/]\n"
            f"[dim]listen yourself: edge-sorter listen --port {broker.port}[/]",
            highlight=False,
            soft_wrap=True,
        )
        say = _printer(console)
        listener = Listener(config.plc, topics, client_id="demo-gateway", only=("decision", "state"))
        ears = stack.enter_context(_Ears(listener, say))
        with bar:
            result = replay_published(
                config,
                DEMO / "demo.mp4",
                config_name="configs/demo/line.yaml",
                options=options,
                progress=_progress(bar),
                stopped=stopped,
            )
    show_report(console, result.report)
    if out_dir:
        console.print(f"Watch it: [bold]{out_dir / 'annotated.mp4' if video else out_dir}[/]", soft_wrap=True)
    return _last_word(console, result.report, ears)


def _too_slow(config: Config) -> str | None:
    """Look at a few pictures and say so when this machine cannot follow the clip in real time.

    A clip drops no frame, so a machine that falls behind would only get later and later, and every decision with it.
    """
    took_ms: list[float] = []
    section = config.video.model_copy(update={"source": str(DEMO / "demo.mp4")})
    with open_detector(config.detect) as detector, open_source(section, clock=ReplayClock()) as source:
        fps = source.fps or 25.0
        for frame in islice((item for item in source if isinstance(item, Frame)), TRIAL_FRAMES):
            began_ns = stopwatch_ns()
            detector.detect(frame)
            took_ms.append((stopwatch_ns() - began_ns) / 1e6)
    typical_ms = median(took_ms[WARM_UP:])
    if typical_ms <= ROOM * 1000 / fps:
        return None
    return (
        f"This machine needs {typical_ms:.0f} ms for a picture and the clip has {fps:g} a second: shown as fast as it "
        "goes instead of in real time."
    )


def _printer(console: Console) -> Callable[[str], None]:
    return lambda line: console.print(line, highlight=False, soft_wrap=True)


def _progress(bar: Progress) -> Callable[[str, int, int | None], None]:
    tasks: dict[str, Any] = {}

    def show(what: str, done: int, total: int | None) -> None:
        if what not in tasks:
            tasks[what] = bar.add_task(what, total=total, at="")
        bar.update(tasks[what], completed=done, at=f"{done} frames")

    return show


def _last_word(console: Console, report: dict[str, Any], ears: _Ears) -> bool:
    truth = report["truth"]
    perfect = (
        ears.decisions + truth["shared"] == truth["parcels"] == truth["decided"] == truth["lane_right"]
        and not ears.duplicates
        and not report["late"]
        and not truth["extra"]
    )
    shared = f", {truth['shared']} of them for two that no diverter can part" if truth["shared"] else ""
    console.print(
        f"Truth: {truth['parcels']} parcels crossed the line, {truth['decided']} of them got exactly one decision",
        highlight=False,
        soft_wrap=True,
    )
    console.print(
        f"[bold {'green' if perfect else 'red'}]{truth['parcels']} parcels, {ears.decisions} decisions received over "
        f"MQTT{shared}, {truth['lane_right']} parcels in the right lane, {report['late']} late, "
        f"{ears.duplicates} duplicates[/]",
        highlight=False,
        soft_wrap=True,
    )
    return perfect
