"""The physical side of a simulated line: parcels on a belt, a photo-eye, diverters that take time, lanes that fill.

Contract: `World.advance` moves everything to a later world time and returns what sensors saw in between; what a
diverter does to a parcel depends on where it stands at the very moment the parcel's middle passes its mouth. The world
knows neither messages nor decisions, and reads no clock.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from edge_sorter.sim.counted_belt import CountedBelt
from edge_sorter.sim.twin.eye import Eye, EyeEdge
from edge_sorter.sim.twin.falls import Falls, Mishap
from edge_sorter.sim.twin.faults import active
from edge_sorter.sim.twin.layout import DiverterSection, SimPlcConfig
from edge_sorter.sim.twin.mishaps import Hand
from edge_sorter.sim.twin.traffic import Traffic

FLOOR = "floor"
"""Where a parcel lands that fell off the belt: no lane, and no eye sees it."""
LONGEST_MM = 2000.0
"""Middles of things that lie in order may be out of order by less than that."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A parcel passed the photo-eye of a lane."""

    parcel: int
    lane: str
    at_s: float


@dataclass(slots=True)
class Diverter:
    """One diverter: told to go out or home, and on its way for `travel_ms`."""

    section: DiverterSection
    out: bool = False
    since_s: float = -math.inf

    def command(self, *, out: bool, at_s: float) -> None:
        """Send it out or home; saying so again changes nothing."""
        if out != self.out:
            self.out, self.since_s = out, at_s

    def moving(self, at_s: float) -> bool:
        """Tell whether it is between its two places."""
        return at_s - self.since_s < self.section.travel_ms / 1e3

    def catches(self, at_s: float) -> bool:
        """Tell whether it is all the way out."""
        return self.out and not self.moving(at_s)


@dataclass(slots=True)
class LaneStock:
    """What lies in a lane."""

    capacity: int
    drain_per_s: float
    parcels: float = 0.0

    @property
    def full(self) -> bool:
        """Whether no further parcel should come."""
        return self.parcels > self.capacity - 1.0

    @property
    def fill_percent(self) -> float:
        """How full it is; what came in nevertheless does not show."""
        return round(min(100.0, 100.0 * self.parcels / self.capacity), 1)


@dataclass(slots=True)
class _OnBelt:
    parcel: int
    next_mouth: int = 0


@dataclass
class World:
    """Everything physical, at one world time.

    Attributes:
        now_s, travel_mm, counted_mm: World time, belt travel, and what the encoder counted of it.
        speed_mm_s: Mean speed of the newest step.
        landed: Lane, or the floor, and time by parcel.
        struck: Parcels that met a diverter between its two places.
        diverters: In the order of travel.
        lanes: Stock by lane.
        stretch_by_parcel: Number of the piece of covered belt in which the photo-eye saw each parcel, once it has.
        falls: Where everything is, and what befell it on the belt.
    """

    config: SimPlcConfig
    traffic: Traffic
    now_s: float = 0.0
    travel_mm: float = 0.0
    counted_mm: float = 0.0
    speed_mm_s: float = 0.0
    landed: dict[int, Arrival] = field(default_factory=dict)
    struck: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._drive = CountedBelt.of(self.traffic.ride, self.config.faults)
        self.diverters = tuple(Diverter(section) for section in self.config.diverters)
        self.lanes = {d.id: LaneStock(d.capacity, d.drain_per_h / 3600.0) for d in self.config.diverters}
        parcels = self.traffic.parcels
        self._belt = [_OnBelt(i) for i in sorted(range(len(parcels)), key=lambda i: -parcels[i].centre_mm)]
        self._first = 0
        self._chutes: list[Arrival] = []
        self._off: set[int] = set()
        self.falls = Falls(self.traffic, self.config.faults)
        hands = [Hand(fault.at_s, fault.until_s) for fault in self.config.faults if fault.kind == "hand"]
        self._eye = Eye(self.config.photo_eye.at_mm, len(parcels), (*self.traffic.hands, *hands))
        self.stretch_by_parcel = self._eye.stretch_of

    @property
    def over(self) -> bool:
        """Whether every parcel has landed."""
        return len(self.landed) == len(self.traffic.parcels)

    @property
    def count(self) -> int:
        """What the encoder has counted, unwrapped."""
        return self._count_of(self.counted_mm)

    def advance(self, to_s: float) -> tuple[list[EyeEdge], list[Arrival]]:
        """Go on to a later time; returns what the photo-eyes saw, in order.

        The line ran before it began: what is past the eye already was seen by it, which the first call tells.
        """
        from_mm, counted_from_mm, from_s = self.travel_mm, self.counted_mm, self.now_s
        gone = self._drive.travel_mm(np.array([to_s]))
        self.travel_mm, self.counted_mm = float(gone[0]), float(self._drive.counted_of(gone)[0])
        if to_s > from_s:
            self.speed_mm_s = (self.travel_mm - from_mm) / (to_s - from_s)
        self.now_s = to_s
        self.falls.move(self.travel_mm, at_s=from_s, off=self._off)
        counted_mm = self.counted_mm - counted_from_mm

        def count_at(share: float) -> int:
            return self._count_of(counted_from_mm + (share * counted_mm if share >= 0.0 else share))

        self._fall_off()
        edges = self._eye.look(self.falls, count_at, from_s=from_s, to_s=to_s)
        self._pass_mouths(from_s)
        self._drain(to_s - from_s)
        return edges, self._arrive()

    def _fall_off(self) -> None:
        """Let what comes to a place where things fall leave the belt."""
        for fault in self.config.faults:
            if fault.kind != "fall" or fault.at_mm is None or not fault.at_s <= self.now_s < fault.until_s:
                continue
            for one in islice(self._belt, self._first, None):
                before_mm, now_mm = self.falls.middles(one.parcel)
                if now_mm < fault.at_mm - LONGEST_MM:
                    break
                if before_mm < fault.at_mm <= now_mm and one.parcel not in self._off:
                    self._off.add(one.parcel)
                    one.next_mouth = len(self.diverters) + 1
                    self.landed[one.parcel] = Arrival(one.parcel, FLOOR, self.now_s)
                    self.falls.mishaps.setdefault(one.parcel, []).append(Mishap("fell off", fault.at_mm, 0.0))

    def _pass_mouths(self, from_s: float) -> None:
        for one in islice(self._belt, self._first, None):
            before_mm, now_mm = self.falls.middles(one.parcel)
            if now_mm < self.diverters[0].section.mouth_mm - LONGEST_MM:
                break
            while one.next_mouth <= len(self.diverters):
                straight = one.next_mouth == len(self.diverters)
                place_mm = (
                    self.config.straight_on.at_mm if straight else self.diverters[one.next_mouth].section.mouth_mm
                )
                if now_mm < place_mm:
                    break
                share = (place_mm - before_mm) / (now_mm - before_mm) if now_mm > before_mm else 1.0
                self._meet(one, from_s + min(max(share, 0.0), 1.0) * (self.now_s - from_s), straight=straight)
        while self._first < len(self._belt) and self._belt[self._first].next_mouth > len(self.diverters):
            self._first += 1

    def _meet(self, one: _OnBelt, at_s: float, *, straight: bool) -> None:
        if straight:
            self._chutes.append(Arrival(one.parcel, self.config.straight_on.id, at_s))
            self._off.add(one.parcel)
        elif (diverter := self.diverters[one.next_mouth]).catches(at_s):
            self._chutes.append(Arrival(one.parcel, diverter.section.id, at_s + diverter.section.chute_ms / 1e3))
            one.next_mouth = len(self.diverters)
            self._off.add(one.parcel)
        elif diverter.moving(at_s):
            self.struck.add(one.parcel)
        one.next_mouth += 1

    def _arrive(self) -> list[Arrival]:
        here = sorted((one for one in self._chutes if one.at_s <= self.now_s), key=lambda one: (one.at_s, one.parcel))
        self._chutes = [one for one in self._chutes if one.at_s > self.now_s]
        for arrival in here:
            self.landed[arrival.parcel] = arrival
            if arrival.lane in self.lanes:
                self.lanes[arrival.lane].parcels += 1.0
        return here

    def _drain(self, span_s: float) -> None:
        for lane, stock in self.lanes.items():
            if active(self.config.faults, "lane_full", self.now_s, lane):
                stock.parcels = max(stock.parcels, float(stock.capacity))
            else:
                stock.parcels = max(0.0, stock.parcels - stock.drain_per_s * span_s)

    def _count_of(self, counted_mm: float) -> int:
        encoder = self.config.encoder
        return encoder.first_count + math.floor(counted_mm / encoder.mm_per_count + 1e-6)
