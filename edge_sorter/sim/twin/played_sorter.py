"""A sorter that is always right, for those who have a PLC program and no camera: decisions from the world's truth.

Contract: one decision for each parcel, or for several that touch at the line, `LATENCY_MS` after the middle crossed it,
through the real link.
"""

from __future__ import annotations

from types import TracebackType

from edge_sorter.clock import Clock
from edge_sorter.config import TimingSection
from edge_sorter.plc.boot import boot_id
from edge_sorter.plc.gateway.judge import WRAP
from edge_sorter.plc.link import MqttLink
from edge_sorter.plc.messages import AppState
from edge_sorter.plc.topics import Topics
from edge_sorter.sim.twin.drafts import EYE_MM
from edge_sorter.sim.twin.layout import SimPlcConfig
from edge_sorter.sim.twin.world import World
from edge_sorter.sort import SortPlan
from edge_sorter.sort.deadline import deadline_by_travel
from edge_sorter.types import BeltPosition, Code, Reason, SortDecision

LATENCY_MS = 50.0


class PlayedSorter:
    """Speaks as edge_sorter does, about a world it knows."""

    def __init__(self, config: SimPlcConfig, plan: SortPlan, world: World, *, clock: Clock) -> None:
        self._config, self._plan, self._world, self._clock = config, plan, world, clock
        self._boot = boot_id(clock)
        self._link = MqttLink(
            config.mqtt.model_copy(update={"client_id": None}),
            topics=Topics(config.line, replay=config.replays),
            clock=clock,
            boot_id=self._boot,
            hears=False,
        )
        self._speed_mm_s = float(world.traffic.ride.speed_mm_s.max())
        self._next = self._decided = 0
        self._timing = TimingSection(divert_mm=config.diverters[0].no_return_mm - config.decision_line_mm)

    def __enter__(self) -> PlayedSorter:
        self._link.start()
        self._link.state(AppState.RUNNING, cause="sim-plc --sorter")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._link.close()

    def step(self) -> None:
        """Do what is due: heartbeat, and decisions about what has crossed the line."""
        self._link.tick(self._clock.now_ns())
        parcels, line_mm = self._world.traffic.parcels, self._config.decision_line_mm
        latency_mm = self._speed_mm_s * LATENCY_MS / 1e3
        while self._next < len(parcels):
            group = self._group(self._next)
            if sum(self._ends(group)) / 2.0 < line_mm + latency_mm:
                return
            self._next = group[-1] + 1
            seen = [i for i in group if not parcels[i].foreign and parcels[i].trail_mm < line_mm]
            if seen:  # else it is no parcel, or was past the line before we came
                self._decided += 1
                self._link.publish(self._decision(group, seen[0], self._decided))

    def _group(self, first: int) -> list[int]:
        """Return what touches one another here and now, from its foremost thing on."""
        group, rear_mm = [first], self._world.falls.ends(first)[0]
        for i in range(first + 1, len(self._world.traffic.parcels)):
            rear, front = self._world.falls.ends(i)
            if front <= rear_mm - EYE_MM:
                break
            group, rear_mm = [*group, i], min(rear_mm, rear)
        return group

    def _ends(self, group: list[int]) -> tuple[float, float]:
        ends = [self._world.falls.ends(i) for i in group]
        return min(rear for rear, _ in ends), max(front for _, front in ends)

    def _decision(self, group: list[int], first: int, number: int) -> SortDecision:
        parcel, alone = self._world.traffic.parcels[first], len(group) == 1
        lane = self._plan.lane_by_id[parcel.lane if alone else self._plan.exception]
        now_ns, line_mm = self._clock.now_ns(), self._config.decision_line_mm
        trail_at_mm, lead_at_mm = (self._world.travel_mm + line_mm - end_mm for end_mm in self._ends(group))
        deadline = deadline_by_travel(
            (lead_at_mm + trail_at_mm) / 2.0,
            self._timing,
            now_ns=now_ns,
            now_mm=self._world.travel_mm,
            speeds_mm_s=(self._speed_mm_s,),
            divert_mm=lane.divert_mm,
        )
        until_mm = self._world.travel_mm if deadline.travel_mm is None else deadline.travel_mm
        return SortDecision(
            parcel_uid=f"{self._boot}-{number:07d}",
            seq=number,
            rev=0,
            lane=lane.id,
            alternates=(),
            action=lane.asked,
            reason=Reason.PLAN_MATCH if alone else Reason.DOUBLE,
            rule=None,
            plan=self._plan.name,
            track_id=number,
            class_name=parcel.class_name,
            confidence=1.0,
            size_mm=parcel.size_mm[:2],
            codes=() if parcel.code is None else (Code("Code128", parcel.code),),
            flags=(),
            weight_g=self._weight_g(group),
            position=BeltPosition(
                ref="ENC1",
                lead_mm=lead_at_mm,
                trail_mm=trail_at_mm,
                lateral_mm=None,
                center_px=(0.0, 0.0),
                lead_count=self._count(lead_at_mm),
                trail_count=self._count(trail_at_mm),
            ),
            crossed_ns=now_ns - round(LATENCY_MS * 1e6),
            captured_ns=now_ns - round(LATENCY_MS * 1e6),
            deadline_ns=deadline.at_ns,
            deadline_count=self._count(until_mm),
        )

    def _weight_g(self, group: list[int]) -> float | None:
        """Return what a scale said, if there is one."""
        weights_kg = [self._world.traffic.parcels[i].weight_kg for i in group]
        return None if self._config.scale is None else round(1000.0 * sum(kg or 0.0 for kg in weights_kg))

    def _count(self, travel_mm: float) -> int:
        """Return the count at a travel; with a slipping wheel it says where the belt is now, and how far it goes on."""
        ahead = (travel_mm - self._world.travel_mm) / self._config.encoder.mm_per_count
        return (self._world.count + round(ahead)) % WRAP
