"""Measured boxes through the real tracker and router, their messages through the border, into the simulated line.

No broker and no clock: the same parcels are seen by a simulated camera and moved by the simulated belt.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from golden_line import ROOT, GoldenLine

from edge_sorter.config import load_config
from edge_sorter.events import EncoderCount, LineEvent, PlcItem, ScannerRead
from edge_sorter.plc.gateway.judge import WRAP
from edge_sorter.sim.counted_belt import CountedBelt
from edge_sorter.sim.landing import land
from edge_sorter.sim.levels import LEVELS, BeltKnobs
from edge_sorter.sim.measure import measure
from edge_sorter.sim.rooms import LINE_MM, Rooms
from edge_sorter.sim.twin.layout import load_layout
from edge_sorter.sim.twin.plant import Plant
from edge_sorter.sim.twin.scale import Scale
from edge_sorter.sim.twin.traffic import draw_line, make_traffic
from edge_sorter.types import Reason


def close_the_loop(root, *, parcels: int, level_name: str) -> dict:
    config, plan = load_layout(root / "configs/demo/sim_line.yaml")
    section = config.traffic.model_copy(update={"parcels": parcels})
    config = config.model_copy(update={"traffic": section})
    laid, ride = draw_line(section, config.seed, travel_mm=config.straight_on.at_mm)
    level = replace(LEVELS[level_name], belt=BeltKnobs(section.speed_mm_s, section.profile))
    measured = measure(np.random.Generator(np.random.PCG64(3)), level, laid, ride, line_mm=LINE_MM)
    decisions, ready_ns, _ = Rooms(level, boot_id="S00001").run(measured, CountedBelt.of(ride), level.belt, laid)
    return land(config, plan, laid, ride, list(zip(ready_ns, decisions, strict=True)))


def test_what_the_rooms_decide_lands_where_it_should(root):
    report = close_the_loop(root, parcels=150, level_name="normal")
    assert (report["judged"], report["not_landed"]) == (150, 0)
    assert report["shares"]["wrong"]["count"] == 0
    assert report["shares"]["right"]["count"] >= 148
    assert {name: share["count"] for name, share in report["faults"].items() if name != "undecided"} == {
        "late": 0,
        "second_decision": 0,
    }


def test_the_demo_lines_scale_is_heard_and_each_weight_goes_to_its_parcel(root):
    config, plan = load_layout(root / "configs/demo/sim_plc.yaml")
    plant = Plant(config, make_traffic(config, plan))
    world, scale = plant.world, Scale(config, config.scale)
    events: list[LineEvent] = []
    weight_g: dict[int, float] = {}
    for cycle in range(3100):
        at_ns = cycle * 10_000_000
        edges, _, _ = plant.cycle(at_ns / 1e9)
        events.append(EncoderCount(at_ns, world.count % WRAP, config.encoder.mm_per_count))
        for item in (plant.program.items[edge.stretch] for edge in edges if not edge.front):
            events.append(PlcItem(at_ns, item.plc_index, item.lead_count % WRAP, item.trail_count % WRAP, "PE1"))
        for read in scale.weighed(world, plant.program, ts="2026-11-21T00:00:00Z"):
            events.append(ScannerRead(at_ns, read.scanner, read.plc_index, read.enc_cnt, (), read.weight_g))
            weight_g[read.plc_index] = read.weight_g
    sorter = GoldenLine(load_config(root / "configs/demo/line_twin.yaml"), recorded=ROOT / "tests/golden/demo.jsonl")
    decided = {d.plc_index: d for d in sorter.play(events).decisions if d.plc_index is not None}
    assert len(decided) > 35
    several = {index for index, d in decided.items() if d.reason in (Reason.SIDE_BY_SIDE, Reason.DOUBLE)}
    assert {decided[index].weight_g for index in several} == {None}, "two lie there: the weight is nobody's"
    alone = decided.keys() - several
    assert {index: decided[index].weight_g for index in alone} == {index: weight_g[index] for index in alone}
