"""A sorter that is always right, for those who have a PLC program and no camera: decisions from the world's truth.

Contract: one decision for each item, `LATENCY_MS` after its middle crossed the decision line, through the real link.
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
from edge_sorter.sim.twin.layout import SimPlcConfig
from edge_sorter.sim.twin.traffic import Stretch
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
        self._next = 0
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
        stretches = self._world.traffic.stretches
        latency_mm = self._speed_mm_s * LATENCY_MS / 1e3
        while self._next < len(stretches):
            stretch = stretches[self._next]
            middle_mm = (stretch.lead_mm + stretch.trail_mm) / 2.0
            if middle_mm + self._world.travel_mm < self._config.decision_line_mm + latency_mm:
                return
            self._next += 1
            if stretch.trail_mm < self._config.decision_line_mm:  # else it was past the line before we came
                self._link.publish(self._decision(stretch, self._next))

    def _decision(self, stretch: Stretch, number: int) -> SortDecision:
        parcel = self._world.traffic.parcels[stretch.parcels[0]]
        lane = self._plan.lane_by_id[parcel.lane if len(stretch.parcels) == 1 else self._plan.exception]
        now_ns, line_mm = self._clock.now_ns(), self._config.decision_line_mm
        deadline = deadline_by_travel(
            line_mm - (stretch.lead_mm + stretch.trail_mm) / 2.0,
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
            reason=Reason.PLAN_MATCH if len(stretch.parcels) == 1 else Reason.DOUBLE,
            rule=None,
            plan=self._plan.name,
            track_id=number,
            class_name=parcel.class_name,
            confidence=1.0,
            size_mm=parcel.size_mm[:2],
            codes=() if parcel.code is None else (Code("Code128", parcel.code),),
            flags=(),
            position=BeltPosition(
                ref="ENC1",
                lead_mm=line_mm - stretch.lead_mm,
                trail_mm=line_mm - stretch.trail_mm,
                lateral_mm=None,
                center_px=(0.0, 0.0),
                lead_count=self._count(line_mm - stretch.lead_mm),
                trail_count=self._count(line_mm - stretch.trail_mm),
            ),
            crossed_ns=now_ns - round(LATENCY_MS * 1e6),
            captured_ns=now_ns - round(LATENCY_MS * 1e6),
            deadline_ns=deadline.at_ns,
            deadline_count=self._count(until_mm),
        )

    def _count(self, travel_mm: float) -> int:
        """Return the count at a travel; with a slipping wheel it says where the belt is now, and how far it goes on."""
        ahead = (travel_mm - self._world.travel_mm) / self._config.encoder.mm_per_count
        return (self._world.count + round(ahead)) % WRAP
