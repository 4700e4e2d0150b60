"""What decisions do to a simulated line: photo-eye, diverters and lanes of the PLC twin, faster than real time.

Contract: a function of parcels, belt, decisions and when each was ready. The line is that of
`configs/demo/sim_line.yaml`, its decision line and counts those of the measured line; messages cross the border as on a
real one. Nothing here reads a clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

from edge_sorter.clock import ReplayClock
from edge_sorter.errors import ConfigError
from edge_sorter.plc.decode import decode
from edge_sorter.plc.encode import decision_message
from edge_sorter.plc.messages import DecisionMessage
from edge_sorter.plc.topics import Topics
from edge_sorter.sim.line import Parcels, Ride
from edge_sorter.sim.twin.faults import FaultSection
from edge_sorter.sim.twin.layout import EyeSection, SimPlcConfig, load_layout
from edge_sorter.sim.twin.plant import Plant
from edge_sorter.sim.twin.report import FAULTS as FLAWS
from edge_sorter.sim.twin.report import OUTCOMES, make_report, share_of
from edge_sorter.sim.twin.traffic import drafts_of, running_on, traffic_of
from edge_sorter.sort import SortPlan
from edge_sorter.types import SortDecision
from edge_sorter.yamlfile import read_document

LAYOUT = Path(__file__).resolve().parents[2] / "configs" / "demo" / "sim_line.yaml"
EYE_MM = 1500.0
"""The line's photo-eye, behind all that slides: what it sees stays where it is."""
FAULTS = ("lane_full", "encoder_lost", "encoder_slip", "e_stop")
"""Faults that mean something without messages."""


def line_layout(
    *, line_mm: float, mm_per_count: float, doubles: Literal["sort", "exception"], faults: Sequence[FaultSection]
) -> tuple[SimPlcConfig, SortPlan]:
    """Return the line behind the measured one.

    Raises:
        ConfigError: A fault is none of such a line.
    """
    for fault in faults:
        if fault.kind not in FAULTS:
            raise ConfigError(f"fault {fault.kind}: nothing is sent here; faults of this line are {', '.join(FAULTS)}")
    config, plan = load_layout(LAYOUT)
    update = {
        "decision_line_mm": line_mm,
        "doubles": doubles,
        "photo_eye": EyeSection(at_mm=EYE_MM),
        "scale": None,
        "encoder": config.encoder.model_copy(update={"mm_per_count": mm_per_count, "first_count": 0}),
        "faults": tuple(faults),
    }
    values = config.model_copy(update=update).model_dump(by_alias=True)
    return read_document(values, SimPlcConfig, what="simulated line with faults"), plan


def land(
    config: SimPlcConfig,
    plan: SortPlan,
    parcels: Parcels,
    ride: Ride,
    sent: Sequence[tuple[int, SortDecision]],
) -> dict[str, Any]:
    """Carry decisions out; returns the twin's report.

    Args:
        config: The line; its faults are put on the ride here.
        plan: Its sort plan.
        parcels: What lies on the belt.
        ride: How the belt would move without faults.
        sent: Decisions and the world time (ns) at which each was sent, in that order.
    """
    traffic = traffic_of(config, plan, drafts_of(parcels), running_on(ride, float(ride.speed_mm_s.max())))
    plant, clock, topic = Plant(config, traffic), ReplayClock(), Topics(config.line, replay=False).decision
    plant.program.usable = True
    cycle_ns, cycle, heard = round(config.program.scan_ms * 1e6), 0, 0
    while not plant.world.over:
        cycle += 1
        at_ns = cycle * cycle_ns
        while heard < len(sent) and sent[heard][0] <= at_ns:
            sent_ns, decision = sent[heard]
            message = decision_message(
                decision, clock=clock, published_ns=sent_ns, boot_id="S1", model=None, replay=False
            )
            received = decode(message.to_json(), topic=topic)
            assert isinstance(received, DecisionMessage)
            plant.program.decide(received, now=clock.wall(at_ns), count=plant.world.count)
            heard += 1
        plant.cycle(at_ns / 1e9)
    return make_report(plant.world, plant.program, plan)


def count_landed(report: dict[str, Any]) -> dict[str, dict[str, int]]:
    """Return the counts of a twin's report, which may be added up over several."""
    rows = report["rows"]
    counts: dict[str, Counter[str]] = {
        "outcomes": Counter(row["outcome"] for row in rows),
        "faults": Counter({name: share["count"] for name, share in report["faults"].items()}),
        "results": Counter(row["result"] for row in rows),
        "lanes": Counter(row["landed"] for row in rows),
    }
    for row in rows:
        counts.setdefault(f"kind {row['class']}", Counter())[row["outcome"]] += 1
    return {name: dict(sorted(of.items())) for name, of in counts.items()}


def landed_report(counts: dict[str, dict[str, int]]) -> dict[str, Any]:
    """Return shares with their intervals, and everything they were made of."""
    outcomes = counts["outcomes"]
    parcels = sum(outcomes.values())
    return {
        "shares": {name: share_of(outcomes.get(name, 0), parcels) for name in OUTCOMES},
        "faults": {name: share_of(counts["faults"].get(name, 0), parcels) for name in FLAWS},
        "results": counts["results"],
        "lanes": counts["lanes"],
        "by_kind": {name.removeprefix("kind "): of for name, of in sorted(counts.items()) if name.startswith("kind ")},
    }


def show_landed(console: Console, landed: dict[str, Any]) -> None:
    """Print where parcels landed."""
    table = Table("", "parcels", "share", "95 % interval", title="Where the parcels landed")
    for name, share in (landed["shares"] | landed["faults"]).items():
        between = f"{share['low']:.3%} .. {share['high']:.3%}"
        table.add_row(name.replace("_", " "), str(share["count"]), f"{share['share']:.3%}", between)
    console.print(table)
    told = ", ".join(f"{name} {count}" for name, count in landed["results"].items())
    console.print(f"what happened to them: {told}", highlight=False)
