"""A scale in the belt of a simulated line: what lies in an item, once the PLC says that it has passed.

Contract: one `scan/read` for each item, as a scanner's, with the PLC's index and the count; the weight is the true one
of everything in the item, rounded to the scale's division. An item that is only a hand weighs nothing.
"""

from __future__ import annotations

from edge_sorter.plc.gateway.judge import WRAP
from edge_sorter.plc.inbound import ScanMessage
from edge_sorter.sim.twin.layout import ScaleSection, SimPlcConfig
from edge_sorter.sim.twin.program import PlcProgram
from edge_sorter.sim.twin.world import World


class Scale:
    """Weighs items in the order in which they come."""

    def __init__(self, config: SimPlcConfig, section: ScaleSection) -> None:
        self._section = section
        self._from_eye = (section.at_mm - config.photo_eye.at_mm) / config.encoder.mm_per_count
        self._next = 0

    def weighed(self, world: World, program: PlcProgram, *, ts: str) -> list[ScanMessage]:
        """Return what passed since the last question.

        Args:
            world: What lies where.
            program: Its items and their counts.
            ts: The present, for the messages.
        """
        messages: list[ScanMessage] = []
        while (item := program.items.get(self._next)) is not None:
            if item.trail_count is None or item.trail_count + self._from_eye > world.count:
                break
            step_g = self._section.step_g
            messages.append(
                ScanMessage(
                    scanner=self._section.name,
                    plc_index=item.plc_index,
                    enc_cnt=round(item.middle + self._from_eye) % WRAP,
                    weight_g=step_g * round(self._weight_g(world, self._next) / step_g),
                    ts=ts,
                )
            )
            self._next += 1
        return messages

    def _weight_g(self, world: World, stretch: int) -> float:
        inside = [i for i, of in world.stretch_by_parcel.items() if of == stretch]
        return sum(1000.0 * (world.traffic.parcels[i].weight_kg or 0.0) for i in inside)
