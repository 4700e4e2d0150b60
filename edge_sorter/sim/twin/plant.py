"""World and program of a simulated line together: one cycle after the other, whoever brings the decisions.

Contract: `cycle` moves the world to a time and lets the program do one scan; while the encoder is lost or the line is
stopped in an emergency, and for one cycle after it, nothing on the belt is trusted.
"""

from __future__ import annotations

from edge_sorter.sim.twin.eye import EyeEdge
from edge_sorter.sim.twin.faults import active
from edge_sorter.sim.twin.items import Item
from edge_sorter.sim.twin.layout import SimPlcConfig
from edge_sorter.sim.twin.program import PlcProgram
from edge_sorter.sim.twin.traffic import Traffic
from edge_sorter.sim.twin.world import Arrival, World


class Plant:
    """Everything behind the messages.

    Attributes:
        world, program: The two halves.
    """

    def __init__(self, config: SimPlcConfig, traffic: Traffic) -> None:
        self.world = World(config, traffic)
        self.program = PlcProgram(config, self.world.diverters, self.world.lanes)
        self._faults = config.faults
        self._untrusted = False

    def cycle(self, to_s: float) -> tuple[list[EyeEdge], list[Arrival], list[Item]]:
        """Go on to a world time; returns what the photo-eyes saw, and the items one should have seen by now."""
        world = self.world
        edges, arrivals = world.advance(to_s)
        self.program.scan(at_s=world.now_s, count=world.count, speed_mm_s=world.speed_mm_s, edges=edges)
        untrusted = any(active(self._faults, kind, world.now_s) for kind in ("encoder_lost", "e_stop"))
        if untrusted or self._untrusted:  # also what moved before the counts were right again
            self.program.flush()
        self._untrusted = untrusted
        for arrival in arrivals:
            self.program.arrived(world.stretch_by_parcel[arrival.parcel])
        return edges, arrivals, self.program.overdue(world.count)
