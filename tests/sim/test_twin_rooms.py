"""Measured boxes through the real tracker and router, their messages through the border, into the simulated line.

No broker and no clock: the same parcels are seen by a simulated camera and moved by the simulated belt.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edge_sorter.clock import EPOCH, ReplayClock
from edge_sorter.plc.decode import decode
from edge_sorter.plc.encode import decision_message
from edge_sorter.sim.levels import LEVELS, BeltKnobs
from edge_sorter.sim.measure import measure
from edge_sorter.sim.simulate import LINE_MM, Rooms
from edge_sorter.sim.twin.layout import load_layout
from edge_sorter.sim.twin.program import PlcProgram
from edge_sorter.sim.twin.report import make_report
from edge_sorter.sim.twin.traffic import draw_line, make_traffic
from edge_sorter.sim.twin.world import World

TOPIC = "acme/hub7/sort/sim01/vis01/edge_sorter/v1/decision"


def close_the_loop(root, *, parcels: int, level_name: str) -> dict:
    config, plan = load_layout(root / "configs/demo/sim_line.yaml")
    section = config.traffic.model_copy(update={"parcels": parcels})
    config = config.model_copy(update={"traffic": section})
    laid, ride = draw_line(section, config.seed, travel_mm=config.straight_on.at_mm)
    level = replace(LEVELS[level_name], belt=BeltKnobs(section.speed_mm_s, section.profile))
    measured = measure(np.random.Generator(np.random.PCG64(3)), level, laid, ride, line_mm=LINE_MM)
    rooms = Rooms(level, boot_id="S00001")
    decisions, ready_ns, _ = rooms.run(measured, ride, level.belt, laid)
    clock = ReplayClock()
    world = World(config, make_traffic(config, plan))
    program = PlcProgram(config, world.diverters, world.lanes)
    program.usable = True
    waiting = list(zip(decisions, ready_ns, strict=True))
    cycle = 0
    while not world.over:
        cycle += 1
        at_ns = cycle * 10_000_000
        while waiting and waiting[0][1] <= at_ns:
            decision, sent_ns = waiting.pop(0)
            message = decision_message(
                decision, clock=clock, published_ns=sent_ns, boot_id="S00001", model=None, replay=False
            )
            heard = decode(message.to_json(), topic=TOPIC)
            program.decide(heard, now=EPOCH + (clock.wall(at_ns) - EPOCH), count=world.count)
        edges, _ = world.advance(at_ns / 1e9)
        program.scan(at_s=world.now_s, count=world.count, speed_mm_s=world.speed_mm_s, edges=edges)
    return make_report(world, program, plan)


def test_what_the_rooms_decide_lands_where_it_should(root):
    report = close_the_loop(root, parcels=150, level_name="normal")
    assert (report["judged"], report["not_landed"]) == (150, 0)
    assert report["shares"]["wrong"]["count"] == 0
    assert report["shares"]["right"]["count"] >= 148
    assert {name: share["count"] for name, share in report["faults"].items() if name != "undecided"} == {
        "late": 0,
        "second_decision": 0,
    }
