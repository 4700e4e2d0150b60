"""Measured boxes through the real tracker and router, their messages through the border, into the simulated line.

No broker and no clock: the same parcels are seen by a simulated camera and moved by the simulated belt.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edge_sorter.sim.counted_belt import CountedBelt
from edge_sorter.sim.landing import land
from edge_sorter.sim.levels import LEVELS, BeltKnobs
from edge_sorter.sim.measure import measure
from edge_sorter.sim.rooms import LINE_MM, Rooms
from edge_sorter.sim.twin.layout import load_layout
from edge_sorter.sim.twin.traffic import draw_line


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
